"""Where the time of one input goes, node by node, as rows and in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from app.tables import Table, tabulate
from planner.domain.plan import Plan
from planner.strategies.timeline import NodeTime, busiest
from planner.units import format_bytes, format_seconds, format_si

COMPUTES, SENDS, WAITS = "computes", "sends", "waits"
"""What a node does, in this order everywhere."""


def node_time_table(times: Sequence[NodeTime]) -> Table:
    """One row per node; computing, sending and waiting add up to the latency."""
    return tabulate(
        "Where the time of one input goes",
        times,
        {
            "node": lambda x: x.node,
            "stage": lambda x: x.stage,
            "computes (ms)": lambda x: x.computing_s * 1e3,
            "sends (ms)": lambda x: x.sending_s * 1e3,
            "waits (ms)": lambda x: x.waiting_s * 1e3,
            "waits for messages (ms)": lambda x: x.for_messages_s * 1e3,
            "waits for slower nodes (ms)": lambda x: x.for_nodes_s * 1e3,
            "waits for other stages (ms)": lambda x: x.for_stages_s * 1e3,
            "MACs": lambda x: x.macs,
            "bytes it sends": lambda x: x.sent_bytes,
        },
        "sends: sends or receives, the software of messages included; waits: for messages on "
        "their way, for slower nodes of its stage, and for other stages",
    )


def cluster_table(plan: Plan, times: Sequence[NodeTime]) -> Table:
    """What the drawing of a cluster shows: every node with what lies on it."""
    work = {time.node: time for time in times}
    most = busiest(times).node
    return tabulate(
        f"{plan.model.name} on {plan.cluster.name}",
        plan.cluster.nodes,
        {
            "node": lambda x: x.name,
            "speed": lambda x: format_si(x.macs_per_s, "MAC/s"),
            "layers": lambda x: runs_words(plan, x.name),
            "busy (ms)": lambda x: work[x.name].busy_s * 1e3 if x.name in work else None,
            "memory needed (MB)": lambda x: (
                plan.predicted.memory_bytes[x.name] / 1e6 if x.name in work else None
            ),
            "memory (MB)": lambda x: x.memory_bytes / 1e6 if x.memory_bytes else None,
            "note": lambda x: "the busiest" if x.name == most else None,
        },
    )


def runs_words(plan: Plan, node: str) -> str:
    """What lies on a node: nothing, all layers, or its part of a stage's."""
    for number, stage in enumerate(plan.stages, start=1):
        if node in stage.nodes:
            layers = f"{len(stage.layers)} layer{'s'[: len(stage.layers) > 1]}"
            what = f"all {layers}" if len(plan.stages) == 1 else f"stage {number}, {layers}"
            return what if len(stage.nodes) == 1 else f"a part of {what}"
    return "nothing"


def memory_words(plan: Plan, node: str) -> str:
    """What a node needs, of what it has where that is known."""
    needed = format_bytes(plan.predicted.memory_bytes[node])
    limit = next(x.memory_bytes for x in plan.cluster.nodes if x.name == node)
    return needed if limit is None else f"{needed} of {format_bytes(limit)}"


def alike(times: Sequence[NodeTime], most: int) -> list[tuple[str, NodeTime]]:
    """Every node by its name; where they are many, those in a row that are alike together."""
    return [_named(members) for members in _together(times, most)]


def first_rows(
    times: Sequence[NodeTime], most: int, rows: int
) -> tuple[list[tuple[str, NodeTime]], int]:
    """The same in no more than so many rows, and how many nodes are in none of them."""
    groups = _together(times, most)
    return [_named(members) for members in groups[:rows]], sum(map(len, groups[rows:]))


def _together(times: Sequence[NodeTime], most: int) -> list[list[NodeTime]]:
    if len(times) <= most:
        return [[time] for time in times]
    return [list(members) for _, members in groupby(times, _shown)]


def _named(members: Sequence[NodeTime]) -> tuple[str, NodeTime]:
    first, *others = members
    name = f"{first.node} … {others[-1].node} ({len(members)})" if others else first.node
    return name, first


def _shown(time: NodeTime) -> tuple[object, ...]:
    return (time.stage, *part_words(time))


def cells(total_s: float, parts: Sequence[float], width: int) -> list[int]:
    """Widths of a bar's parts in whole cells that add up to the bar's, by largest remainder."""
    if total_s <= 0:
        return [0] * (len(parts) - 1) + [width]
    exact = [part / total_s * width for part in parts]
    whole = [int(each) for each in exact]
    order = sorted(range(len(parts)), key=lambda k: whole[k] - exact[k])
    for k in order[: width - sum(whole)]:
        whole[k] += 1
    return whole


def parts_of(time: NodeTime) -> tuple[float, float, float]:
    """Computing, sending and waiting."""
    return time.computing_s, time.sending_s, time.waiting_s


_LEAST = 5e-4  # of the latency: less reads as nothing


def part_words(time: NodeTime) -> list[str]:
    """Computing, sending and waiting, with three digits."""
    return [seconds_words(part, time.total_s) for part in parts_of(time)]


def seconds_words(part_s: float, whole_s: float) -> str:
    """A part of the latency, with three digits; nothing of what is next to nothing."""
    return format_seconds(part_s if part_s >= _LEAST * whole_s else 0.0, 3)

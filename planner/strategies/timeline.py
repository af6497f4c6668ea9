"""Where the time of one input goes: what every node of a plan does, and why it waits.

All seconds are those of `planner.strategies.costed`, divided among the nodes. Nodes of a stage
begin every layer together, so that each waits for the slowest; a node of another stage waits for
its turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.cost.handover import Transfers
from planner.cost.overlap import exposed_s
from planner.cost.stage import StageCosts
from planner.domain.plan import Plan
from planner.strategies.costed import CostedStages, cost_stages

Kind = Literal["computation", "communication", "handed over", "waiting"]
Cause = Literal["", "messages", "nodes", "stages"]
"""What a node waits for: messages on their way, slower nodes of its stage, other stages."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NodeTime:
    """What one node does from the input's arrival to the output, in seconds.

    Computing, sending and waiting add up to the plan's latency.

    Attributes
    ----------
    node : str
    stage : int
        From 1.
    computing_s : float
    sending_s : float
        Sending or receiving, the software of messages included; of what is hidden behind
        computation (``overlap``) nothing. In a handover as long as the busiest node of its group.
    for_messages_s, for_nodes_s, for_stages_s : float
        Waiting, by `Cause`.
    macs : int
        That it executes.
    sent_bytes : int
        That it puts on the wire inside its stage; handovers come on top.
    """

    node: str
    stage: int
    computing_s: float
    sending_s: float
    for_messages_s: float
    for_nodes_s: float
    for_stages_s: float
    macs: int = 0
    sent_bytes: int = 0

    @property
    def waiting_s(self) -> float:
        """For whatever it is."""
        return self.for_messages_s + self.for_nodes_s + self.for_stages_s

    @property
    def busy_s(self) -> float:
        """Computing and sending."""
        return self.computing_s + self.sending_s

    @property
    def total_s(self) -> float:
        """All of it: the latency."""
        return self.busy_s + self.waiting_s


@dataclass(frozen=True)
class Span:
    """One node's time on one thing.

    Attributes
    ----------
    node : str
    stage : int
        From 1.
    kind : Kind
    what : str
        A layer's name, or what is handed over: ``the input``, ``to stage 2``, ``the output``.
    start_s, end_s : float
        Since the input arrived.
    cause : Cause
        Of waiting.
    """

    node: str
    stage: int
    kind: Kind
    what: str
    start_s: float
    end_s: float
    cause: Cause = ""


@dataclass(frozen=True)
class _Rows:
    """A stage's layers, shape (l, n) each: for how long each node does what."""

    computing: Floats
    sending: Floats
    for_messages: Floats
    for_nodes: Floats

    @classmethod
    def of(cls, stage: StageCosts, overlap: bool) -> _Rows:
        table, at = stage.table, (stage.rows, 0)
        computing, software = table.node_compute_s[at], table.software_s[at][:, None]
        sending = exposed_s(table.node_comm_s[at], software, computing, overlap)
        free = np.maximum(table.latency_s[at][:, None] - computing - sending, 0.0)
        for_nodes = np.minimum(table.compute_s[at][:, None] - computing, free)
        return cls(computing, sending, free - for_nodes, for_nodes)


@dataclass(frozen=True)
class _Move:
    """A handover: who takes part for how long, and in which stages they are."""

    what: str
    stage: int
    seconds: float
    busy_s: dict[str, float]

    @classmethod
    def of(
        cls,
        what: str,
        stage: int,
        found: Transfers,
        senders: Sequence[str],
        receivers: Sequence[str],
    ) -> _Move:
        out, into = (float(found.busy_s + software) for software in (found.send_s, found.receive_s))
        busy = dict.fromkeys(receivers, into) | dict.fromkeys(senders, out)
        return cls(what, stage, float(found.seconds), busy)


class _Course:
    """A plan's stages and handovers in the order of time."""

    def __init__(self, case: Case, plan: Plan) -> None:
        on = case.sharing(plan.settings.shares)
        self.costed: CostedStages = cost_stages(on, plan.stages)
        self.nodes = plan.running_nodes
        self.stage_of: dict[str, int] = {}
        for number, stage in enumerate(plan.stages, start=1):
            for name in stage.nodes:
                self.stage_of.setdefault(name, number)  # of a ring the first
        self.rows = [_Rows.of(stage, self.costed.overlap) for stage in self.costed.stages]
        source = (on.cluster.nodes[on.cluster.source_index].name,)
        groups = [stage.nodes for stage in plan.stages]
        first, last = self.costed.ends
        others = [[name for name in group if name not in source] for group in groups]
        self.moves = [_Move.of("the input", 1, first, source, others[0])]
        for number, found in enumerate(self.costed.handovers, start=2):
            between = groups[number - 2], groups[number - 1]
            self.moves.append(_Move.of(f"to stage {number}", number, found, *between))
        self.output = _Move.of("the output", len(groups), last, others[-1], source)

    @property
    def parts(self) -> Iterator[tuple[_Move, StageCosts | None, _Rows | None]]:
        """Every handover with the stage behind it; none behind the last."""
        yield from zip(self.moves, self.costed.stages, self.rows, strict=True)
        yield self.output, None, None


def node_times(case: Case, plan: Plan) -> tuple[NodeTime, ...]:
    """Where the time goes on every node that works, in the plan's order.

    Parameters
    ----------
    case : Case
        That the plan was found for.
    plan : Plan
    """
    course = _Course(case, plan)
    columns = ("computing_s", "sending_s", "for_messages_s", "for_nodes_s", "for_stages_s")
    seconds = {name: dict.fromkeys(columns, 0.0) for name in course.nodes}
    macs, sent = dict.fromkeys(course.nodes, 0), dict.fromkeys(course.nodes, 0)
    for move, stage, rows in course.parts:
        for name, mine in seconds.items():
            busy = move.busy_s.get(name)
            if busy is None:
                mine["for_stages_s"] += move.seconds
            else:
                mine["sending_s"] += busy
                mine["for_messages_s"] += move.seconds - busy
        if stage is None or rows is None:
            continue
        total = stage.sum_of(stage.table.latency_s)
        for name in set(course.nodes).difference(stage.nodes):
            seconds[name]["for_stages_s"] += total
        sums = (
            rows.computing, rows.sending, rows.for_messages, rows.for_nodes,
            stage.table.macs[stage.rows, 0], stage.table.sent_bytes[stage.rows, 0],
        )  # fmt: skip
        by_node = zip(*(part.sum(axis=0).tolist() for part in sums), strict=True)
        for name, (*found, executed, on_wire) in zip(stage.nodes, by_node, strict=True):
            for column, value in zip(columns, found, strict=False):
                seconds[name][column] += value
            macs[name], sent[name] = int(executed), int(on_wire)
    return tuple(
        NodeTime(name, course.stage_of[name], **mine, macs=macs[name], sent_bytes=sent[name])
        for name, mine in seconds.items()
    )


def busiest(times: Sequence[NodeTime]) -> NodeTime:
    """Who computes and sends longest; the first of several."""
    return max(times, key=lambda time: time.busy_s)


def spans(case: Case, plan: Plan) -> Iterator[Span]:
    """What every node that works does, one after the other, from the input's arrival on.

    A layer exchanges and then computes; with overlap it does both at once. What takes no time is
    left out.
    """
    course = _Course(case, plan)
    overlap = course.costed.overlap
    now = 0.0
    for number, (move, stage, rows) in enumerate(course.parts, start=1):
        yield from _of_move(course, move, now)
        now += move.seconds
        if stage is None or rows is None:
            continue
        end = now + stage.sum_of(stage.table.latency_s)
        for name in course.nodes:
            if name not in stage.nodes and end > now:
                yield Span(
                    name, course.stage_of[name], "waiting", f"stage {number}", now, end, "stages"
                )
        yield from _of_stage(stage, rows, number, now, overlap)
        now = end


def _of_move(course: _Course, move: _Move, now: float) -> Iterator[Span]:
    end = now + move.seconds
    for name in course.nodes if move.seconds else ():
        stage, busy = course.stage_of[name], move.busy_s.get(name)
        if busy is None:
            yield Span(name, stage, "waiting", move.what, now, end, "stages")
            continue
        if busy:
            yield Span(name, stage, "handed over", move.what, now, now + busy)
        if end > now + busy:
            yield Span(name, stage, "waiting", move.what, now + busy, end, "messages")


def _of_stage(
    stage: StageCosts, rows: _Rows, number: int, start_s: float, overlap: bool
) -> Iterator[Span]:
    table, first = stage.table, stage.rows.start or 0
    comm, total = table.comm_s[stage.rows, 0].tolist(), table.latency_s[stage.rows, 0].tolist()
    columns = (table.node_comm_s[stage.rows, 0], rows.computing, rows.sending, rows.for_nodes)
    now = start_s
    for row, (comm_s, layer_s) in enumerate(zip(comm, total, strict=True)):
        what, end = table.layer_names[first + row], now + layer_s
        begin = now if overlap else now + comm_s
        for name, *mine in zip(stage.nodes, *(c[row].tolist() for c in columns), strict=True):
            messages, computing, exposed, for_nodes = mine
            found: list[tuple[Kind, float, float, Cause]] = [
                ("communication", now, now + messages, ""),
                ("computation", begin, begin + computing, ""),
            ]
            if overlap:
                free = now + computing + exposed
                found.append(("waiting", free, end - for_nodes, "messages"))
            else:
                found.append(("waiting", now + messages, begin, "messages"))
            found.append(("waiting", end - for_nodes, end, "nodes"))
            for kind, start, stop, cause in found:
                if stop - start > _NOTHING * layer_s:
                    yield Span(name, number, kind, what, start, stop, cause)
        now = end


_NOTHING = 1e-9  # of a layer's time: what rounding leaves of no time

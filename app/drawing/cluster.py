"""A cluster as a drawing: its nodes, what lies on each, the links, and who is busiest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.drawing.shapes import Box, Line, Picture, Shape, Words, fitted
from app.drawing.times import node_bar
from app.node_times import alike, first_rows, memory_words, runs_words
from planner.domain.cluster import Cluster, Node
from planner.domain.plan import Plan
from planner.strategies.timeline import NodeTime, busiest
from planner.units import format_seconds, format_si

WIDTH = 640.0
_NARROWEST, _HIGH, _GAP, _TRUNK = 136.0, 114.0, 12.0, 26.0
_DROP = 16.0
"""From a card to the link below it."""
_MOST = 16
"""Cards; where nodes are more, those that are alike share one."""
_MOST_IDLE = 4
"""Cards of nodes that do nothing; where their kinds are more, all share one."""


def cluster_picture(plan: Plan, times: Sequence[NodeTime], width: float = WIDTH) -> Picture:
    """The nodes as cards on their link, those that work first.

    Parameters
    ----------
    plan : Plan
    times : sequence of NodeTime
        `planner.strategies.timeline.node_times` of the plan.
    width : float
        In pixels of a screen.
    """
    working, hidden = first_rows(times, _MOST, _MOST)
    cards = [_Content((name,), time) for name, time in working] + _idle(plan)
    columns = max(int((width - _TRUNK + _GAP) // (_NARROWEST + _GAP)), 1)
    columns = min(columns, len(cards))
    wide = min((width - _TRUNK + _GAP) / columns - _GAP, 1.6 * _NARROWEST)
    rows = [cards[k : k + columns] for k in range(0, len(cards), columns)]
    most, shapes = busiest(times), list[Shape]()
    lows: list[float] = []
    for number, row in enumerate(rows):
        y = number * (_HIGH + 2 * _DROP)
        lows.append(y + _HIGH + _DROP)
        for column, content in enumerate(row):
            card = Box(_TRUNK + column * (wide + _GAP), y, wide, _HIGH, stroke="line", radius=8)
            middle = card.x + wide / 2
            shapes.append(Line(middle, y + _HIGH, middle, lows[-1], width=2))
            shapes += _card(plan, content, card, content.time.node == most.node)
        right = _TRUNK + len(row) * (wide + _GAP) - _GAP - wide / 2
        shapes.append(Line(_TRUNK / 2, lows[-1], right, lows[-1], width=3))
    if len(rows) > 1:
        shapes.append(Line(_TRUNK / 2, lows[0], _TRUNK / 2, lows[-1], width=3))
    y = lows[-1] + 20
    told = link_words(plan.cluster) + (f"; {hidden} more nodes are not shown" if hidden else "")
    shapes.append(Words(_TRUNK / 2, y, fitted(told, width - _TRUNK, 12), 12, "faint"))
    title = f"{plan.model.name} on {plan.cluster.name}: nodes, links and what lies on each"
    return Picture(width, y + 8, title, describe(plan, times), tuple(shapes))


def describe(plan: Plan, times: Sequence[NodeTime]) -> str:
    """The drawing in words."""
    most = busiest(times)
    works = ", ".join(f"{name}: {runs_words(plan, time.node)}" for name, time in alike(times, 4))
    return (
        f"{works}. Busiest: {most.node}, {format_seconds(most.busy_s, 3)} of "
        f"{format_seconds(plan.predicted.latency_s, 3)}. {link_words(plan.cluster)}."
    )


def link_words(cluster: Cluster) -> str:
    """The links in a line."""
    if len(cluster.nodes) == 1:
        return "no link"
    link = cluster.link
    words = f"{cluster.medium.replace('_', ' ')} links of {_of_link(link)}"
    pairs = [f"{' – '.join(x.between)} {_of_link(x)}" for x in cluster.pair_links]
    shown = pairs[:3] + ([f"{len(pairs) - 3} more"] if pairs[3:] else [])
    return "; ".join([words, *shown])


def _of_link(link: object) -> str:
    bandwidth, delay = (getattr(link, x) for x in ("bandwidth_bytes_per_s", "latency_s"))
    words = format_si(bandwidth, "B/s")
    return words + (f", {format_seconds(delay, 3)} a message" if delay else "")


@dataclass(frozen=True)
class _Content:
    """What a card is about: a node, or several that do the same.

    Attributes
    ----------
    titles : tuple of str
        The best that fits is shown.
    time : NodeTime
        Of the first of them.
    idle : tuple of Node
        All of them where they do nothing; none where they work.
    """

    titles: tuple[str, ...]
    time: NodeTime
    idle: tuple[Node, ...] = ()


def _idle(plan: Plan) -> list[_Content]:
    """The nodes that have nothing to do: those of the same figures are one card."""
    kinds: dict[Node, list[Node]] = {}
    unused = [node for node in plan.cluster.nodes if node.name not in plan.running_nodes]
    for node in unused:
        kinds.setdefault(node.unnamed, []).append(node)
    groups = list(kinds.values()) if len(kinds) <= _MOST_IDLE else [unused]
    waits_s = plan.predicted.latency_s
    return [
        _Content(
            _titles(plan.cluster, nodes),
            NodeTime(nodes[0].name, 0, 0.0, 0.0, 0.0, 0.0, waits_s),
            tuple(nodes),
        )
        for nodes in groups
    ]


def _titles(cluster: Cluster, nodes: Sequence[Node]) -> tuple[str, ...]:
    """Names of some nodes, the one that says most first."""
    first, last, count = nodes[0], nodes[-1], len(nodes)
    if count == 1:
        return (first.name,)
    at = cluster.nodes.index(first)
    titles = [f"{count} nodes"]
    if len({node.device_type for node in nodes}) == 1:
        titles.insert(0, f"{count} × {first.device_type}")
    if cluster.nodes[at : at + count] == tuple(nodes):
        titles.insert(0, f"{first.name} … {last.name}")
    return tuple(titles)


def _card(plan: Plan, content: _Content, card: Box, is_busiest: bool) -> Iterator[Shape]:
    time = content.time
    nodes = content.idle or [node for node in plan.cluster.nodes if node.name == time.node]
    works = not content.idle
    yield replace(card, stroke="busiest", stroke_width=3) if is_busiest else card
    left, y, inside = card.x + 10, card.y, card.width - 20
    room = inside - (54 if is_busiest else 0)
    cut = [(title, fitted(title, room, 13.5)) for title in content.titles]
    name = next((title for title, shown in cut if title == shown), cut[-1][1])
    yield Words(left, y + 21, name, 13.5, "text" if works else "faint", True)
    if is_busiest:
        yield Words(left + inside, y + 21, "busiest", 11.5, "busiest", True, "end")
    yield Words(left, y + 38, fitted(_speed(nodes), inside, 11.5), 11.5, "faint")
    part = _part(plan, time) if works else _unused(content.idle)
    yield Words(left, y + 55, fitted(part, inside, 11.5), 11.5)
    if not works:
        return
    yield Words(left, y + 72, fitted(memory_words(plan, time.node), inside, 11.5), 11.5, "faint")
    yield from node_bar(time, left, y + 80, inside, 8)
    words = f"busy {format_seconds(time.busy_s, 3)}"
    yield Words(left, y + 102, fitted(words, inside, 11), 11, "faint")


def _unused(nodes: Sequence[Node]) -> str:
    return "not used" if len(nodes) == 1 else f"{len(nodes)} nodes, not used"


def _part(plan: Plan, time: NodeTime) -> str:
    """Which part of the model's work a node does; what several nodes do counts for each."""
    stage = f"stage {time.stage}, " if len(plan.stages) > 1 else ""
    return f"{stage}{time.macs / max(plan.model.macs, 1):.0%} of the work"


def _speed(nodes: Sequence[Node]) -> str:
    speeds = [node.macs_per_s for node in nodes]
    slowest, fastest = (format_si(speed, "MAC/s") for speed in (min(speeds), max(speeds)))
    return fastest if slowest == fastest else f"{slowest} to {fastest}"

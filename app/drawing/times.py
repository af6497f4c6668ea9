"""Where the time of one input goes, as one bar for every node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.drawing.bars import ROW, WIDTH, Bar, Parts, bar, part_bars
from app.drawing.shapes import Picture, Shape
from app.node_times import COMPUTES, SENDS, WAITS, first_rows, part_words, parts_of
from planner.strategies.timeline import NodeTime

_MOST = 16
_PARTS = Parts(("computes", "sends", "waits"), (COMPUTES, SENDS, WAITS))


def time_bars(
    times: Sequence[NodeTime], width: float = WIDTH, said: str = "", row: float = ROW
) -> Picture:
    """One bar per node: computing, sending and waiting, which add up to the latency.

    Parameters
    ----------
    times : sequence of NodeTime
    width : float
        In pixels of a screen.
    said : str
        What they are of, where that is not one input.
    row : float
        Height of a row.
    """
    shown, hidden = first_rows(times, _MOST, 2 * _MOST)
    bars = [_bar(time, name) for name, time in shown]
    title = said or "Where the time of one input goes, node by node"
    return part_bars(bars, _PARTS, title, width=width, said=said, hidden=hidden, row=row)


def node_bar(time: NodeTime, x: float, y: float, width: float, height: float) -> Iterator[Shape]:
    """A node's bar at a place."""
    return bar(_bar(time), _PARTS.colours, x, y, width, height)


def _bar(time: NodeTime, name: str = "") -> Bar:
    return Bar(name, parts_of(time), tuple(part_words(time)), time.total_s)

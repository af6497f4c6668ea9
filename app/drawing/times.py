"""Where the time of one input goes, as one bar for every node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.drawing.shapes import Box, Colour, Picture, Shape, Words, fitted
from app.node_times import COMPUTES, SENDS, WAITS, first_rows, part_words, parts_of
from planner.strategies.timeline import NodeTime

WIDTH = 640.0
_ROW, _HEAD, _NAME, _NUMBER = 26.0, 26.0, 116.0, 68.0
_MOST = 16
_COLOURS: tuple[Colour, ...] = ("computes", "sends", "waits")
_WORDS = (COMPUTES, SENDS, WAITS)


def time_bars(times: Sequence[NodeTime], width: float = WIDTH) -> Picture:
    """One bar per node: computing, sending and waiting, which add up to the latency.

    Parameters
    ----------
    times : sequence of NodeTime
    width : float
        In pixels of a screen.
    """
    shown, hidden = first_rows(times, _MOST, 2 * _MOST)
    room = width - _NAME - 3 * _NUMBER
    shapes: list[Shape] = []
    for place, (colour, word) in enumerate(zip(_COLOURS, _WORDS, strict=True)):
        right = width - (2 - place) * _NUMBER
        shapes.append(Words(right, 14, word, 12, "faint", anchor="end"))
        shapes.append(Box(right - 12 - 7.0 * len(word), 5, 9, 9, colour, radius=2))
    for number, (name, time) in enumerate(shown):
        y = _HEAD + number * _ROW
        shapes.append(Words(0, y + 13, fitted(name, _NAME - 8, 12.5), 12.5))
        shapes += bar(time, _NAME, y + 2, room, 15)
        for place, words in enumerate(part_words(time)):
            right = width - (2 - place) * _NUMBER
            shapes.append(Words(right, y + 13, words, 12, anchor="end"))
    height = _HEAD + len(shown) * _ROW
    if hidden:
        shapes.append(Words(0, height + 12, f"{hidden} more nodes are not shown", 12, "faint"))
        height += 18
    title = "Where the time of one input goes, node by node"
    return Picture(width, height, title, _describe(shown), tuple(shapes))


def bar(time: NodeTime, x: float, y: float, width: float, height: float) -> Iterator[Shape]:
    """A node's bar at a place."""
    total = time.total_s or 1.0
    for colour, part in zip(_COLOURS, parts_of(time), strict=True):
        wide = part / total * width
        if wide > 0:
            yield Box(x, y, wide, height, colour)
        x += wide


def _describe(shown: Sequence[tuple[str, NodeTime]]) -> str:
    rows = []
    for name, time in shown:
        told = zip(_WORDS, part_words(time), strict=True)
        parts = ", ".join(" ".join(pair) for pair in told)
        rows.append(f"{name} {parts}")
    return "; ".join(rows) + "."

"""One bar a row, of parts that have a colour and a number each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.drawing.shapes import Box, Colour, Picture, Shape, Words, fitted

WIDTH = 640.0
_HEAD, _NAME, _NUMBER = 26.0, 116.0, 68.0
ROW, LOW_ROW = 26.0, 19.0
"""Heights of a row, and of one where several pictures stand on a screen."""


_FULL = 1 - 1e-6  # of a total: what rounding leaves of no room


@dataclass(frozen=True)
class Bar:
    """A row: its name, its parts, what they are shown as, and what a full bar is."""

    name: str
    parts: tuple[float, ...]
    words: tuple[str, ...]
    total: float


@dataclass(frozen=True)
class Parts:
    """What all rows have in common: the colour and the word of every part."""

    colours: tuple[Colour, ...]
    words: tuple[str, ...]


def part_bars(
    bars: Sequence[Bar],
    parts: Parts,
    title: str,
    *,
    width: float = WIDTH,
    said: str = "",
    hidden: int = 0,
    row: float = ROW,
) -> Picture:
    """Bars below each other under their legend.

    Parameters
    ----------
    bars : sequence of Bar
    parts : Parts
    title : str
        Of the picture, for those who do not see it.
    width : float
        In pixels of a screen.
    said : str
        In front of the legend.
    hidden : int
        Nodes that have no bar.
    row : float
        Height of a row.
    """
    last = len(parts.words) - 1
    room = width - _NAME - len(parts.words) * _NUMBER
    shapes: list[Shape] = []
    if said:
        shapes.append(Words(0, 14, fitted(said, room + _NAME - 8, 12.5), 12.5, bold=True))
    for place, (colour, word) in enumerate(zip(parts.colours, parts.words, strict=True)):
        right = width - (last - place) * _NUMBER
        shapes.append(Words(right, 14, word, 12, "faint", anchor="end"))
        shapes.append(Box(right - 12 - 7.5 * len(word), 5, 9, 9, colour, radius=2))
    for number, each in enumerate(bars):
        y = _HEAD + number * row
        shapes.append(Words(0, y + 13, fitted(each.name, _NAME - 8, 12.5), 12.5))
        shapes += bar(each, parts.colours, _NAME, y + 2, room, 0.58 * row)
        for place, words in enumerate(each.words):
            right = width - (last - place) * _NUMBER
            shapes.append(Words(right, y + 13, words, 12, anchor="end"))
    height = _HEAD + len(bars) * row
    if hidden:
        shapes.append(Words(0, height + 12, f"{hidden} more nodes are not shown", 12, "faint"))
        height += 18
    return Picture(width, height, title, _describe(bars, parts), tuple(shapes))


def bar(
    shown: Bar, colours: Sequence[Colour], x: float, y: float, width: float, height: float
) -> Iterator[Shape]:
    """A bar at a place; what no part fills of it is an empty box."""
    total = shown.total or 1.0
    if sum(shown.parts) < _FULL * total:
        yield Box(x, y, width, height, stroke="line")
    for colour, part in zip(colours, shown.parts, strict=True):
        wide = part / total * width
        if wide > 0:
            yield Box(x, y, wide, height, colour)
        x += wide


def _describe(bars: Sequence[Bar], parts: Parts) -> str:
    rows = []
    for each in bars:
        told = ", ".join(" ".join(pair) for pair in zip(parts.words, each.words, strict=True))
        rows.append(f"{each.name} {told}")
    return "; ".join(rows) + "."

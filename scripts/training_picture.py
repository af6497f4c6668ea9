"""A picture of what each strategy loses against the dense network of its seed, as SVG text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from svg import GRID, line, opening, text

WIDTH, HEIGHT = 1000, 460
LEFT, RIGHT, TOP, BOTTOM = 84, 980, 84, 370
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#777777")  # told apart by colour-blind readers
CAPTION = (
    "dots: means over the seeds; bars: one standard deviation to either side; late split: "
    "dense-then-split, early split: split-then-aggregate"
)


@dataclass(frozen=True)
class Mark:
    """One strategy at one place: mean and standard deviation over the seeds."""

    place: int
    mean: float
    spread: float


@dataclass(frozen=True)
class Series:
    """Marks of one strategy; ``joined`` draws a line through them."""

    name: str
    marks: tuple[Mark, ...]
    joined: bool


def picture(title: str, axis: str, places: Sequence[str], series: Sequence[Series]) -> str:
    """An SVG document with the places from left to right and a scale of round numbers."""
    low, high, step = _scale(series)

    def y(value: float) -> float:
        return BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP)

    def x(place: float) -> float:
        return LEFT + (place + 0.5) * (RIGHT - LEFT) / len(places)

    parts = [
        *opening(WIDTH, HEIGHT, title),
        text(LEFT, 26, title, "start", ' font-size="17" font-weight="bold"'),
    ]
    for index in range(round((high - low) / step) + 1):
        value = low + index * step
        parts.append(line(LEFT, y(value), RIGHT, y(value), GRID))
        parts.append(text(LEFT - 8, y(value) + 4, f"{value:.10g}", "end"))
    for place, name in enumerate(places):
        for row, word in enumerate(name.split("\n")):
            parts.append(text(x(place), BOTTOM + 20 + 16 * row, word))
    turned = f' transform="rotate(-90 22 {(TOP + BOTTOM) / 2:.1f})"'
    parts.append(text(22, (TOP + BOTTOM) / 2, axis, "middle", turned))
    for number, (found, colour) in enumerate(zip(series, COLOURS, strict=False)):
        aside = (number - (len(series) - 1) / 2) * 0.14
        spots = [(x(mark.place + aside), mark) for mark in found.marks]
        if found.joined:
            along = " ".join(f"{at:.1f},{y(mark.mean):.1f}" for at, mark in spots)
            parts.append(f'<polyline points="{along}" fill="none" stroke="{colour}"/>')
        for at, mark in spots:
            ends = y(mark.mean - mark.spread), y(mark.mean + mark.spread)
            parts.append(line(at, ends[0], at, ends[1], colour, 2))
            parts.append(_dot(at, y(mark.mean), colour))
        parts.append(_dot(LEFT + 8 + 210 * number, 54, colour))
        parts.append(text(LEFT + 20 + 210 * number, 58, found.name, "start"))
    parts.append(text(LEFT, HEIGHT - 20, CAPTION, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _scale(series: Sequence[Series]) -> tuple[float, float, float]:
    """Lowest and highest value of the axis, and the distance between its lines."""
    ends = [end for found in series for mark in found.marks for end in _ends(mark)]
    reach = max(ends) - min(ends)
    power = 10.0 ** math.floor(math.log10(reach / 4)) if reach > 0 else 1.0
    step = next(power * unit for unit in (1, 2, 5, 10) if reach / (power * unit) <= 6)
    return math.floor(min(ends) / step) * step, math.ceil(max(ends) / step) * step, step


def _ends(mark: Mark) -> Iterator[float]:
    yield mark.mean - mark.spread
    yield mark.mean + mark.spread


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'

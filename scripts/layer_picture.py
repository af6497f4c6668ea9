"""A picture of the communication and the computation of every layer, as SVG text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from svg import GRID, TEXT, line, text

WIDTH, HEIGHT = 1120, 560
LEFT, RIGHT, TOP, BOTTOM = 84, 1100, 104, 446
DECADES = (-3, 2)  # of the time axis: 0.001 ms to 100 ms
COMMUNICATION, COMPUTATION = "#0072b2", "#e69f00"  # two that colour-blind readers tell apart
RATIOS = (  # from which ratio on, width and colour of the stroke, words of the legend
    (100, 4, "#555555", "at least 100 times as long"),
    (10, 2, "#777777", "at least 10 times as long"),
    (0, 1, "#999999", "less"),
)


@dataclass(frozen=True)
class LayerTime:
    """One layer of the picture; ``comm_s`` is 0 where nothing is communicated."""

    name: str
    part: str
    skip_link: bool
    comm_s: float
    compute_s: float


def picture(layers: Sequence[LayerTime], title: str, caption: Sequence[str]) -> str:
    """An SVG document with one stroke per layer, from its computing to its communication time."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="13" fill="{TEXT}">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(' '.join(caption))}</desc>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text(LEFT, 26, title, "start", ' font-size="17" font-weight="bold"'),
        *_legend(),
        *_time_axis(),
        *_layer_axis(layers),
    ]
    for index, layer in enumerate(layers):
        parts += _marks(_x(index, len(layers)), layer)
    parts += [
        text(LEFT, BOTTOM + 82 + 18 * row, words, "start") for row, words in enumerate(caption)
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(index: float, count: int) -> float:
    return LEFT + (index + 0.5) * (RIGHT - LEFT) / count


def _y(seconds: float) -> float:
    low, high = DECADES
    decade = math.log10(seconds * 1e3)
    if not low <= decade <= high:
        raise ValueError(f"{seconds} s lies outside the time axis")
    return BOTTOM - (decade - low) / (high - low) * (BOTTOM - TOP)


def _mark(x: float, y: float, colour: str, skip_link: bool) -> str:
    if skip_link:
        around = f"{x:.1f},{y - 6:.1f} {x + 6:.1f},{y:.1f} {x:.1f},{y + 6:.1f} {x - 6:.1f},{y:.1f}"
        return f'<polygon points="{around}" fill="#ffffff" stroke="{colour}" stroke-width="2"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'


def _marks(x: float, layer: LayerTime) -> Iterator[str]:
    low = _y(layer.compute_s)
    if layer.comm_s > 0:
        high = _y(layer.comm_s)
        ratio = layer.comm_s / layer.compute_s
        _, width, colour, _ = next(row for row in RATIOS if ratio >= row[0])
        yield line(x, low, x, high, colour, width)
        yield _mark(x, high, COMMUNICATION, layer.skip_link)
    yield _mark(x, low, COMPUTATION, layer.skip_link)


def _legend() -> Iterator[str]:
    y = 52
    for x, colour, words in (
        (LEFT + 8, COMMUNICATION, "communication"),
        (LEFT + 142, COMPUTATION, "computation"),
    ):
        yield _mark(x, y, colour, False)
        yield text(x + 12, y + 4, words, "start")
    yield _mark(LEFT + 264, y, TEXT, True)
    yield text(LEFT + 276, y + 4, "skip link (1×1 convolution)", "start")
    yield text(LEFT, y + 30, "communication takes, against computation:", "start")
    for x, (_, width, colour, words) in zip(
        (LEFT + 300, LEFT + 540, LEFT + 770), RATIOS, strict=True
    ):
        yield line(x, y + 26, x + 26, y + 26, colour, width)
        yield text(x + 34, y + 30, words, "start")


def _time_axis() -> Iterator[str]:
    for decade in range(DECADES[0], DECADES[1] + 1):
        y = _y(10.0 ** (decade - 3))
        yield line(LEFT, y, RIGHT, y, GRID)
        yield text(LEFT - 8, y + 4, f"{10.0**decade:g}", "end")
    middle = (TOP + BOTTOM) / 2
    turned = f' transform="rotate(-90 24 {middle:.1f})"'
    yield text(24, middle, "time of the layer (ms, logarithmic)", "middle", turned)


def _layer_axis(layers: Sequence[LayerTime]) -> Iterator[str]:
    count = len(layers)
    for number in (1, *range(5, count - 2, 5), count):
        yield text(_x(number - 1, count), BOTTOM + 18, str(number), "middle", ' font-size="11"')
    at = 0
    for part, run in groupby(layers, key=lambda layer: layer.part):
        size = len(list(run))
        left, right = _x(at - 0.4, count), _x(at + size - 0.6, count)
        yield line(left, BOTTOM + 28, right, BOTTOM + 28, TEXT)
        yield text((left + right) / 2, BOTTOM + 44, part)
        at += size
    yield text((LEFT + RIGHT) / 2, BOTTOM + 62, "layer, in the order of the network")

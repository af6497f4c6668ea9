"""What pictures are made of: boxes, lines and words in colours that have names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Colour = Literal[
    "ground",
    "card",
    "text",
    "faint",
    "line",
    "computes",
    "sends",
    "waits",
    "busiest",
    "weights",
    "cache",
    "none",
]

LIGHT: dict[Colour, str] = {
    "ground": "#ffffff",
    "card": "#f4f6f8",
    "text": "#1f2430",
    "faint": "#5b6472",
    "line": "#b8c0cc",
    "computes": "#d55e00",
    "sends": "#0072b2",
    "waits": "#d5dae1",
    "busiest": "#8a1c5c",
    "weights": "#009e73",
    "cache": "#e69f00",
    "none": "none",
}
DARK: dict[Colour, str] = LIGHT | {
    "ground": "#11151c",
    "card": "#1b212b",
    "text": "#eef1f5",
    "faint": "#a9b2bf",
    "line": "#566070",
    "sends": "#56b4e9",
    "waits": "#3a424e",
    "busiest": "#f2a3cf",
}
"""Told apart by those who see few colours as well; words have contrast on ground and cards."""

CHARACTER = 0.56  # of the size of letters: what one takes on average


@dataclass(frozen=True)
class Box:
    """A rectangle from its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    fill: Colour = "card"
    stroke: Colour = "none"
    stroke_width: float = 1.0
    radius: float = 0.0


@dataclass(frozen=True)
class Line:
    """A straight stroke."""

    x1: float
    y1: float
    x2: float
    y2: float
    stroke: Colour = "line"
    width: float = 1.5


@dataclass(frozen=True)
class Words:
    """A line of text; y is that of its base line."""

    x: float
    y: float
    text: str
    size: float = 13.0
    fill: Colour = "text"
    bold: bool = False
    anchor: Literal["start", "middle", "end"] = "start"


Shape = Box | Line | Words


@dataclass(frozen=True)
class Picture:
    """Shapes on a ground.

    Attributes
    ----------
    width, height : float
        In pixels of a screen.
    title : str
        Its name, for those who do not see it.
    description : str
        What it shows, for them as well.
    shapes : tuple of Shape
        In the order in which they are drawn.
    """

    width: float
    height: float
    title: str
    description: str
    shapes: tuple[Shape, ...]


def moved(shape: Shape, dx: float, dy: float) -> Shape:
    """The shape at another place."""
    if isinstance(shape, Line):
        return replace(
            shape, x1=shape.x1 + dx, y1=shape.y1 + dy, x2=shape.x2 + dx, y2=shape.y2 + dy
        )
    return replace(shape, x=shape.x + dx, y=shape.y + dy)


def stacked(
    pictures: Sequence[Picture], title: str, description: str, gap: float = 18.0, edge: float = 24.0
) -> Picture:
    """Pictures below each other in one, with an edge around."""
    shapes: list[Shape] = []
    y = edge
    for picture in pictures:
        shapes += [moved(shape, edge, y) for shape in picture.shapes]
        y += picture.height + gap
    width = max(picture.width for picture in pictures) + 2 * edge
    return Picture(width, y - gap + edge, title, description, tuple(shapes))


def fitted(text: str, width: float, size: float) -> str:
    """A text that is cut short, in front, where it would be wider."""
    most = max(int(width / (size * CHARACTER)), 1)
    return text if len(text) <= most else f"…{text[len(text) - most + 1 :]}"

"""A picture as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from app.drawing.shapes import LIGHT, Box, Colour, Line, Picture, Shape
from profiles.files import one_line

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def to_svg(picture: Picture, palette: Mapping[Colour, str] | None = None) -> str:
    """The picture as text; an image by its role, with name and description.

    Parameters
    ----------
    picture : Picture
    palette : mapping, optional
        The colours. Without one they are the page's variables ``--plan-text`` and so on, and
        those of `app.drawing.shapes.LIGHT` where it has none.
    """
    # words beside each other stay apart where the text alone is read
    shapes = " ".join(_drawn(shape, palette) for shape in picture.shapes)
    size = f"{picture.width:g} {picture.height:g}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" '
        f'width="{picture.width:g}" style="max-width:100%;height:auto" '
        f'font-family="{escape(FONT)}">'
        f"<title>{_safe(picture.title)}</title><desc>{_safe(picture.description)}</desc>"
        f"{shapes}</svg>"
    )


def _safe(text: str) -> str:
    return escape(one_line(text))


def _colour(name: Colour, palette: Mapping[Colour, str] | None) -> str:
    if name == "none" or palette is not None:
        return (palette or LIGHT)[name]
    return f"var(--plan-{name},{LIGHT[name]})"


def _drawn(shape: Shape, palette: Mapping[Colour, str] | None) -> str:
    if isinstance(shape, Box):
        return (
            f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" '
            f'height="{shape.height:.1f}" rx="{shape.radius:g}" '
            f'style="fill:{_colour(shape.fill, palette)};stroke:{_colour(shape.stroke, palette)};'
            f'stroke-width:{shape.stroke_width:g}"/>'
        )
    if isinstance(shape, Line):
        return (
            f'<line x1="{shape.x1:.1f}" y1="{shape.y1:.1f}" x2="{shape.x2:.1f}" '
            f'y2="{shape.y2:.1f}" style="stroke:{_colour(shape.stroke, palette)};'
            f'stroke-width:{shape.width:g}"/>'
        )
    weight = ' font-weight="600"' if shape.bold else ""
    return (
        f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size:g}" '
        f'text-anchor="{shape.anchor}"{weight} style="fill:{_colour(shape.fill, palette)}">'
        f"{_safe(shape.text)}</text>"
    )

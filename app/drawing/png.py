"""A picture as PNG, drawn without a browser."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

from app.drawing.shapes import LIGHT, Box, Line, Picture, Words
from profiles.files import one_line

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

SCALE = 2
"""Pixels of the file for one of the picture's."""

_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def to_png(picture: Picture, scale: int = SCALE) -> bytes:
    """The picture as a file, on a light ground.

    Parameters
    ----------
    picture : Picture
    scale : int
        Pixels of the file for one of the picture's.
    """
    from PIL import Image, ImageDraw
    from PIL.PngImagePlugin import PngInfo

    size = round(picture.width * scale), round(picture.height * scale)
    image = Image.new("RGB", size, LIGHT["ground"])
    draw = ImageDraw.Draw(image)
    for shape in picture.shapes:
        if isinstance(shape, Box):
            _box(draw, shape, scale)
        elif isinstance(shape, Line):
            ends = [x * scale for x in (shape.x1, shape.y1, shape.x2, shape.y2)]
            draw.line(ends, LIGHT[shape.stroke], max(round(shape.width * scale), 1))
        else:
            _words(draw, shape, scale)
    about = PngInfo()
    about.add_text("Title", picture.title)
    about.add_itxt("Description", picture.description)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True, pnginfo=about)
    return file.getvalue()


def _box(draw: ImageDraw, shape: Box, scale: int) -> None:
    x, y = shape.x * scale, shape.y * scale
    right, lower = x + shape.width * scale - 1, y + shape.height * scale - 1
    if right < x or lower < y:
        return
    draw.rounded_rectangle(
        (x, y, right, lower),
        shape.radius * scale,
        None if shape.fill == "none" else LIGHT[shape.fill],
        None if shape.stroke == "none" else LIGHT[shape.stroke],
        max(round(shape.stroke_width * scale), 1),
    )


def _words(draw: ImageDraw, shape: Words, scale: int) -> None:
    font = _font(shape.size * scale)
    draw.text(
        (shape.x * scale, shape.y * scale),
        _written(shape.text, font),
        LIGHT[shape.fill],
        font,
        anchor=_ANCHORS[shape.anchor],
        stroke_width=scale / 4 if shape.bold else 0,
    )


_FONT = "DejaVuSans.ttf"
_PLAIN = str.maketrans({"×": "x", "µ": "u", "–": "-", "−": "-", "→": ">", "é": "e"})
"""For signs that the letters which come with Pillow do not have."""


@cache
def _font(size: float) -> FreeTypeFont:
    """Letters with every sign, where the system has them, else those that come with Pillow."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype(_FONT, size * _AS_WIDE)
    except OSError:
        font = ImageFont.load_default(size)
        assert isinstance(font, ImageFont.FreeTypeFont)
        return font


_AS_WIDE = 0.9  # DejaVu's letters are wider than those that a browser has


def _written(text: str, font: FreeTypeFont) -> str:
    text = one_line(text)
    return text if "DejaVu" in str(font.getname()[0]) else text.translate(_PLAIN)

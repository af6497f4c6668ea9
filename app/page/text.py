"""Texts for markdown and charts; names and messages that others chose stay text in both."""

from __future__ import annotations

import html
import re

_LONGEST = 80  # characters of a name on a chart
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~$:&])")
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def plain(text: str) -> str:
    """Markdown that shows the text as it is: no link, image, emoji, formula or HTML."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(text.split()))


def said(text: str) -> str:
    """The same for what is read aloud as it stands: only marks that begin markup are escaped."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def label(text: str) -> str:
    """Text for plotly, which reads some HTML: shown as it is, its middle cut when long."""
    if len(text) > _LONGEST:
        half = _LONGEST // 2
        text = f"{text[:half]}…{text[-half:]}"
    return html.escape(text, quote=False)


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 node``, ``4 nodes``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

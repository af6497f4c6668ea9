"""What the glossary says of a label, where the label stands: as Markdown, or in HTML."""

from __future__ import annotations

import html

from app.glossary import explained
from app.page.text import plain

_MARKS = str.maketrans("", "", "`*")
"""Of the glossary's Markdown."""


def hint(*labels: str, first: str | None = None) -> str | None:
    """What the terms in some labels mean, for the ``help`` of what has them; None without any.

    Parameters
    ----------
    *labels : str
    first : str, optional
        Markdown of what this place of the page says beside that.
    """
    lines = (f"**{plain(name)}**: {words}" for name, words in explained(*labels).items())
    return "\n\n".join(filter(None, (first, *lines))) or None


def hinted(element: str, label: str, *about: str) -> str:
    """A label in HTML that says what it means to a pointer, to a screen reader and to keys.

    Parameters
    ----------
    element : str
        Its name, and its attributes.
    label : str
    *about : str
        What it is about without saying so.
    """
    words = "; ".join(f"{name}: {said}" for name, said in explained(label, *about).items())
    words = words.translate(_MARKS)
    shown = f' tabindex="0" title="{html.escape(words)}"' if words else ""
    return f"<{element}{shown}>{html.escape(label)}</{element.split()[0]}>"

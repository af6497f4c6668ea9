"""The one glossary, which the page, the command line and docs/glossary.md have in common."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "texts" / "glossary.md"

_ROW = re.compile(r"^\| (?P<term>[^|]+) \| (?P<meaning>[^|]+) \|$")
_UNIT = re.compile(r"\([^)]*\)")
_WORD = re.compile(r"[^\W_]+|±")
_LINK = re.compile(r" ?\(\[[^\]]+\]\([^)]+\)\)|\[([^\]]+)\]\([^)]+\)")


@cache
def glossary_page() -> str:
    """The page as Markdown."""
    return FILE.read_text(encoding="utf-8")


@cache
def terms() -> dict[str, str]:
    """What each term means, in the order of the page, without links to other pages.

    A row that explains several terms is found by all of them: ``unicast``, ``broadcast``.
    """
    return {name: meaning for row, meaning in _rows().items() for name in row.split(", ")}


def term(name: str) -> str:
    """What a term means; empty where the glossary does not have it."""
    return terms().get(name, "")


def explained(*labels: str) -> dict[str, str]:
    """What the terms in some labels mean.

    Parameters
    ----------
    *labels : str
        As they stand beside figures: ``memory of the fullest node (MB)``. A unit in brackets says
        nothing; where two terms begin with the same word, the longer one is meant.

    Returns
    -------
    dict of str to str
        By the row's terms, the paper's symbol among them, in the order of the labels.
    """
    found: dict[str, str] = {}
    for label in labels:
        words = _words(_UNIT.sub("", label))
        while words:
            lengths = range(min(len(words), _longest()), 0, -1)
            known = next((n for n in lengths if words[:n] in _rows_by_words()), 0)
            if known:
                row = _rows_by_words()[words[:known]]
                found[row] = _rows()[row]
            words = words[max(known, 1) :]
    return found


@cache
def _rows() -> dict[str, str]:
    """Meanings by the terms of a row."""
    found: dict[str, str] = {}
    for line in glossary_page().splitlines()[4:]:
        if row := _ROW.match(line):
            found[row["term"]] = _LINK.sub(lambda link: link[1] or "", row["meaning"])
    return found


@cache
def _rows_by_words() -> dict[tuple[str, ...], str]:
    """Rows by the words of each term; a single letter says too little to be found by."""
    named = ((name, row) for row in _rows() for name in row.split(", "))
    return {_words(name): row for name, row in named if len(name) > 1 or not name.isalpha()}


@cache
def _longest() -> int:
    return max(map(len, _rows_by_words()))


def _words(text: str) -> tuple[str, ...]:
    """Words of a label or a term, one or several of a thing alike."""
    return tuple(
        word.removesuffix("s") if len(word) > 1 else word for word in _WORD.findall(text.casefold())
    )

"""The one glossary, which the page, the command line and docs/glossary.md have in common."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "texts" / "glossary.md"

_ROW = re.compile(r"^\| (?P<term>[^|]+) \| (?P<meaning>[^|]+) \|$")
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
    found: dict[str, str] = {}
    for line in glossary_page().splitlines()[4:]:
        if row := _ROW.match(line):
            meaning = _LINK.sub(lambda link: link[1] or "", row["meaning"])
            found |= dict.fromkeys(row["term"].split(", "), meaning)
    return found


def term(name: str) -> str:
    """What a term means; empty where the glossary does not have it."""
    return terms().get(name, "")

"""What the scripts that build documents share: Markdown tables, and files written or compared."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def table(header: str, rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; ``header`` holds the column names separated by ``|``."""
    names = [name.strip() for name in header.split("|")]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def ms(seconds: float) -> str:
    """Milliseconds with one decimal."""
    return f"{seconds * 1e3:,.1f}"


def command(description: str | None) -> argparse.ArgumentParser:
    """A script's command line, with ``--check``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    return parser


def made(texts: Mapping[str, str], check: bool, docs: Path = DOCS) -> int:
    """Write documents, by their paths below docs/, where they are stale.

    With ``check`` only say so; then 1 where any is.
    """
    stale = False
    for name, text in texts.items():
        path = docs / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale = True
        print(f"{'stale' if check else 'wrote'}: docs/{name}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(check and stale)

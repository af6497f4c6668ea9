"""The pictures of ways and layouts, and the table of what each family of ways gives.

``python benchmarks/ways_pages.py`` writes ``docs/images/layouts.svg``, ``docs/images/ways.svg`` and
the table in ``docs/plan.md``; ``--check`` compares, ``--pictures`` leaves the table alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import planner
from planner.strategies.compare import ComparisonRow

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- made by benchmarks/ways_pages.py -->", "<!-- made until here -->"
NODES = ("#0072B2", "#E69F00")
TEXT, EMPTY = "#222222", "#999999"
SIDE = 44


@dataclass(frozen=True)
class Part:
    """What of a square one node holds, as shares of its sides: x, y, width, height."""

    held: tuple[float, float, float, float] | None = None
    fetched: tuple[float, float, float, float] | None = None
    is_sum: bool = False


ALL, NONE = Part((0, 0, 1, 1)), Part()
LEFT, RIGHT = Part((0, 0, 0.5, 1)), Part((0.5, 0, 0.5, 1))
TOP, BOTTOM = Part((0, 0, 1, 0.5)), Part((0, 0.5, 1, 0.5))
PARTIAL = Part((0, 0, 1, 1), is_sum=True)

LAYOUTS: dict[str, tuple[Part, Part]] = {
    "features": (LEFT, RIGHT),
    "positions": (TOP, BOTTOM),
    "whole": (ALL, ALL),
    "one-node": (ALL, NONE),
    "sums": (PARTIAL, PARTIAL),
}

WAYS_DRAWN: dict[str, tuple[str, tuple[tuple[Part, Part], ...]]] = {
    "features": (
        "gathers the other inputs; some may be dropped",
        (
            (Part((0, 0, 0.5, 1), (0.5, 0, 0.35, 1)), Part((0.5, 0, 0.5, 1), (0.15, 0, 0.35, 1))),
            (TOP, BOTTOM),
            (LEFT, RIGHT),
        ),
    ),
    "positions": (
        "fetches a halo; all weights on every node",
        (
            (Part((0, 0, 1, 0.5), (0, 0.5, 1, 0.14)), Part((0, 0.5, 1, 0.5), (0, 0.36, 1, 0.14))),
            (ALL, ALL),
            (TOP, BOTTOM),
        ),
    ),
    "positions, fused halos": (
        "a wider halo once; what overlaps is made twice",
        (
            (Part((0, 0, 1, 0.5), (0, 0.5, 1, 0.28)), Part((0, 0.5, 1, 0.5), (0, 0.22, 1, 0.28))),
            (Part((0, 0, 1, 0.64)), Part((0, 0.36, 1, 0.64))),
            (TOP, BOTTOM),
        ),
    ),
    "sums": (
        "sends nothing; its parts are added up later",
        ((LEFT, RIGHT), (LEFT, RIGHT), (PARTIAL, PARTIAL)),
    ),
    "outputs": (
        "its own outputs of an input that all hold",
        ((ALL, ALL), (TOP, BOTTOM), (LEFT, RIGHT)),
    ),
    "whole": ("every node does all of it", ((ALL, ALL), (ALL, ALL), (ALL, ALL))),
    "one-node": ("the first node does all of it", ((ALL, NONE), (ALL, NONE), (ALL, NONE))),
}


def opening(width: int, height: int, title: str) -> list[str]:
    """What a picture begins with."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="{TEXT}">',
        f"<title>{title}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        '<defs><pattern id="part" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect width="3" height="6" fill="#ffffff" '
        'fill-opacity="0.8"/></pattern></defs>',
    ]


def text(x: float, y: float, words: str, more: str = "") -> str:
    """Words that begin at a place."""
    return f'<text x="{x:g}" y="{y:g}"{more}>{words}</text>'


def square(x: float, y: float, part: Part, colour: str) -> Iterator[str]:
    """One tensor or weight on one node."""
    for shares, look in (
        (part.held, f'fill="{colour}"'),
        (part.fetched, f'fill="{colour}" fill-opacity="0.3"'),
    ):
        if shares:
            a, b, width, height = (share * SIDE for share in shares)
            yield (
                f'<rect x="{x + a:g}" y="{y + b:g}" width="{width:g}" height="{height:g}" {look}/>'
            )
    if part.is_sum:
        yield f'<rect x="{x:g}" y="{y:g}" width="{SIDE}" height="{SIDE}" fill="url(#part)"/>'
    yield (
        f'<rect x="{x:g}" y="{y:g}" width="{SIDE}" height="{SIDE}" fill="none" stroke="{EMPTY}"/>'
    )


def layouts_picture() -> str:
    """Every layout of a tensor on two nodes."""
    out = opening(640, 176, "Layouts of a tensor on two nodes")
    bold = ' font-weight="bold"'
    for row, name in enumerate(("node 1", "node 2")):
        out.append(text(8, 66 + row * 60, name))
    for column, (name, parts) in enumerate(LAYOUTS.items()):
        x = 70 + column * 92
        out.append(text(x, 26, name, bold))
        for row, part in enumerate(parts):
            out += square(x, 38 + row * 60, part, NODES[row])
    x = 70 + len(LAYOUTS) * 92
    out.append(text(x, 26, "samples", bold))
    for row in range(2):
        for sample in range(2):
            out += square(
                x + sample * 52, 38 + row * 60, ALL if sample == row else NONE, NODES[row]
            )
    out.append(text(70, 168, "across: features; down: positions; hatched: parts of a sum"))
    return "\n".join([*out, "</svg>"]) + "\n"


def ways_picture() -> str:
    """Every way of a layer on two nodes: input, weights, output."""
    width, height = 316, 172
    rows = -(-len(WAYS_DRAWN) // 2)
    out = opening(2 * width, rows * height + 8, "Ways to run a layer on two nodes")
    for index, (name, (about, columns)) in enumerate(WAYS_DRAWN.items()):
        left, top = (index % 2) * width + 12, (index // 2) * height + 8
        out.append(text(left, top + 14, name, ' font-weight="bold"'))
        out.append(text(left, top + 30, about, f' fill="{TEXT}" font-size="11"'))
        middle = "between" if "fused" in name else "weights"
        for column, (title, parts) in enumerate(
            zip(("input", middle, "output"), columns, strict=True)
        ):
            x = left + 54 + column * 74
            out.append(text(x, top + 48, title, ' font-size="11"'))
            for row, part in enumerate(parts):
                out += square(x, top + 54 + row * 52, part, NODES[row])
                if column == 0:
                    out.append(
                        text(left, top + 80 + row * 52, f"node {row + 1}", ' font-size="11"')
                    )
            if column:
                for row in range(2):
                    y = top + 54 + row * 52 + SIDE / 2
                    out.append(text(x - 22, y + 4, "→"))
    last = len(WAYS_DRAWN)
    left, top = (last % 2) * width + 12, (last // 2) * height + 8
    out.append(text(left, top + 14, "samples", ' font-weight="bold"'))
    for line, words in enumerate(
        (
            "as positions without a halo: each node has its",
            "own samples of the batch, and all weights.",
            "",
            "pale: what is fetched before the layer runs;",
            "hatched: parts of a sum that are not added up yet.",
        )
    ):
        out.append(text(left, top + 34 + line * 17, words, ' font-size="11"'))
    return "\n".join([*out, "</svg>"]) + "\n"


MODELS = ("resnet50", "deit-s", "mobilenetv2-224", "swin-t", "gpt2", "llama-3.1-8b")
COUNTS = (2, 4, 8)
COLUMNS: dict[str, tuple[str, ...]] = {
    "dense": ("dense",),
    "rows": ("rows", "tokens"),
    "fused": ("fused-rows",),
    "pairs": ("tensor-parallel",),
    "chosen": ("optimal-lossless",),
}
"""Of the table: rows of a comparison."""


def table() -> str:
    """What each family of ways gives, model by model."""
    lines = [
        f"| model | nodes | one node | {' | '.join(COLUMNS)} |",
        f"|{'---|' * (3 + len(COLUMNS))}",
    ]
    for model in MODELS:
        found = planner.compare(model, "small-nodes", nodes=COUNTS)
        rows = {(row.strategy, row.nodes): row for row in found.rows}
        alone = _cell(rows["single-node", 1])
        for nodes in COUNTS:
            cells = []
            for strategies in COLUMNS.values():
                row = next((rows[x, nodes] for x in strategies if (x, nodes) in rows), None)
                cells.append("–" if row is None else _cell(row))
            lines.append(f"| {model} | {nodes} | {alone} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: ComparisonRow) -> str:
    """Milliseconds; a star where the best plan is not proven."""
    if row.latency_s is None:
        return "–"
    return f"{row.latency_s * 1e3:,.1f}{'' if row.status in (None, 'optimal') else '*'}"


def main() -> int:
    """Write or check; 1 where anything is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--pictures", action="store_true", help="leave the table alone")
    asked = parser.parse_args()
    made = {
        DOCS / "images" / "layouts.svg": layouts_picture(),
        DOCS / "images" / "ways.svg": ways_picture(),
    }
    if not asked.pictures:
        page = (DOCS / "plan.md").read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        after = rest.partition(END)[2]
        made[DOCS / "plan.md"] = f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"
    stale = [
        path
        for path, content in made.items()
        if not path.exists() or path.read_text(encoding="utf-8") != content
    ]
    for path in stale:
        if not asked.check:
            path.write_text(made[path], encoding="utf-8")
        sys.stdout.write(f"{'stale' if asked.check else 'wrote'}: {path.name}\n")
    return 1 if asked.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

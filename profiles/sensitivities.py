"""Read measured sensitivities: ``layer,sparsity,loss``, one row per layer and sparsity.

Lines that begin with ``#`` are comments; ``# metric: …``, ``# dense: …`` and ``# nodes: …`` say
what the losses are points of, the dense model's value, and how many nodes were used
(docs/accuracy.md).
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from planner.accuracy.measured import Sensitivities
from planner.errors import BadInputError
from planner.units import MOST
from profiles.files import one_line, read_text

COLUMNS = ("layer", "sparsity", "loss")
MAX_ROWS = 1_000_000
_FACTS = ("metric", "dense", "nodes")
_SHOWN = 40


def read_sensitivities(path: Path) -> Sensitivities:
    """Measured losses of single layers.

    Raises
    ------
    BadInputError
        One line: the file cannot be read, or which line of it is not of the form above.
    """
    label = one_line(path.name)
    text = read_text(path, what="sensitivities")
    lines = [line.removesuffix("\n") for line in io.StringIO(text, newline=None)]
    if len(lines) > MAX_ROWS:
        raise BadInputError(f"{label}: {len(lines):,} lines; at most {MAX_ROWS:,} are read")
    facts: dict[str, str] = {}
    points: dict[str, dict[float, float]] = {}
    first_lines: dict[str, int] = {}
    header_seen = False
    for number, line in enumerate(lines, start=1):
        where = f"{label}, line {number}"
        if not line.strip():
            continue
        if line.lstrip().startswith("#") and not header_seen:
            _note_fact(line, facts, where)
            continue
        cells = _cells(line, where)
        if not header_seen:
            if tuple(cells) != COLUMNS:
                raise BadInputError(
                    f"{where}: found {_shown(line)}; the first row must be {','.join(COLUMNS)}"
                )
            header_seen = True
            continue
        if len(cells) != len(COLUMNS):
            raise BadInputError(f"{where}: {len(cells)} values; give {','.join(COLUMNS)}")
        layer, sparsity, loss = cells[0], *_numbers(cells, where)
        if sparsity in points.setdefault(layer, {}):
            raise BadInputError(
                f"{where}: {_shown(layer)} at sparsity {sparsity:g} was given before"
            )
        points[layer][sparsity] = loss
        first_lines.setdefault(layer, number)
    if not points:
        raise BadInputError(f"{label}: no rows; give {','.join(COLUMNS)} and a row per measurement")
    return Sensitivities(
        source=label,
        points=points,
        lines=first_lines,
        metric=facts.get("metric", ""),
        dense_value=float(facts["dense"]) if "dense" in facts else None,
        nodes=int(facts["nodes"]) if "nodes" in facts else None,
    )


def _cells(line: str, where: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], strict=True))]
    except csv.Error as error:
        raise BadInputError(f"{where}: found {_shown(line)}; {error}") from error


def _numbers(cells: list[str], where: str) -> tuple[float, float]:
    sparsity, loss = (_number(text) for text in cells[1:])
    if not 0 <= sparsity <= 1:
        raise BadInputError(
            f"{where}, sparsity: found {_shown(cells[1])}; give S_comm from 0 to 1 (0.9, not 90)"
        )
    if not abs(loss) < MOST:
        raise BadInputError(
            f"{where}, loss: found {_shown(cells[2])}; give points of the metric, finite"
        )
    if sparsity == 0 and loss != 0:
        raise BadInputError(
            f"{where}, loss: found {_shown(cells[2])} at sparsity 0; nothing is lost there, give 0"
        )
    return sparsity, loss


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _note_fact(line: str, facts: dict[str, str], where: str) -> None:
    """Keep what a comment before the first row says, if it is one of the known facts."""
    key, colon, value = line.strip().lstrip("#").partition(":")
    key, value = key.strip().lower(), value.strip()
    if not colon or key not in _FACTS:
        return
    if key in facts:
        raise BadInputError(f"{where}: {key} was given before")
    if key == "dense" and not abs(_number(value)) < MOST:
        raise BadInputError(f"{where}, dense: found {_shown(value)}; give a finite number")
    if key == "nodes" and not (
        value.isascii() and value.isdecimal() and 2 <= int(value[:9]) < 10**6
    ):
        raise BadInputError(f"{where}, nodes: found {_shown(value)}; give 2 or more")
    facts[key] = one_line(value)[:200]


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")

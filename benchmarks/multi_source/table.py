"""The results as a table of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_NAMES = {"local": "Local", "ar-mdi": "AR-MDI", "ms-mdi": "MS-MDI"}
_HEAD = (
    "| policy | mean time per input (s): measured | simulated | error | makespan (s): measured "
    "| simulated | error | distributed: measured | simulated |"
)


def markdown(document: Mapping[str, Any]) -> str:
    """A row for every policy; measured figures are means, with half of the range of their turns.

    Parameters
    ----------
    document : mapping
        ``results.json``.
    """
    lines = [_HEAD, "|" + "---|" * (_HEAD.count("|") - 1)]
    for found in document["rows"]:
        turns, said = found["measured"], found["predicted"]
        cells = [_NAMES.get(found["policy"], found["policy"])]
        for key in ("mean_s", "makespan_s"):
            values = [turn[key] for turn in turns]
            cells += [
                f"{_mean(values):.2f} ± {(max(values) - min(values)) / 2:.2f}",
                f"{said[key]:.2f}",
                f"{said[key] / _mean(values) - 1:+.1%}".replace("%", " %").replace("-", "−"),
            ]
        shares = _mean([turn["distributed"] for turn in turns]), said["distributed"]
        cells += [f"{share:.0%}".replace("%", " %") for share in shares]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

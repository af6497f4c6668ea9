"""The results as a table of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_NAMES = {"local": "Local", "ar-mdi": "AR-MDI", "ms-mdi": "MS-MDI"}
_KEYS = {"mean_s": "mean time per input (s)", "makespan_s": "makespan (s)"}
_ROADS = {"predicted": "pieces alone", "predicted_as_run": "pieces as in the run"}


def markdown(document: Mapping[str, Any]) -> str:
    """A row for every policy.

    Measured figures are means with half of the range of all turns. They are followed by the
    simulator's from pieces measured alone, in brackets from those of every repeat by itself, and
    from pieces as they were in the run; and by the errors.

    Parameters
    ----------
    document : mapping
        ``results.json``.
    """
    head = ["policy"]
    for name in _KEYS.values():
        head.append(f"{name}: measured")
        for road in _ROADS.values():
            head += [f"simulated, {road}", "error"]
    head += ["distributed: measured", "simulated"]
    rows = [head, ["---"] * len(head), *map(_cells, document["rows"])]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _cells(found: Mapping[str, Any]) -> list[str]:
    cells = [_NAMES.get(found["policy"], found["policy"])]
    for key in _KEYS:
        values = [turn[key] for turn in found["measured"]]
        by_repeat = [said[key] for said in found["predicted_by_repeat"]]
        mean = _mean(values)
        cells.append(f"{mean:.2f} ± {(max(values) - min(values)) / 2:.2f}")
        for road in _ROADS:
            said = found[road][key]
            noise = f" ({min(by_repeat):.2f} to {max(by_repeat):.2f})" * (road == "predicted")
            cells += [f"{said:.2f}{noise}", _percent(said / mean - 1, "+.1f")]
    shares = _mean([turn["distributed"] for turn in found["measured"]])
    cells += [_percent(share, ".0f") for share in (shares, found["predicted"]["distributed"])]
    return cells


def _percent(share: float, form: str) -> str:
    return f"{100 * share:{form}} %".replace("-", "−")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

"""Measure sensitivities into the file that ``csv:FILE`` reads; a run that was ended goes on."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from planner.case import Case
from planner.errors import BadInputError
from profiles.files import one_line, read_text, write_atomically
from profiles.sensitivities import COLUMNS, read_sensitivities

if TYPE_CHECKING:
    from torch import nn

    from planner.training.sensitivity import Measurement

Progress = Callable[[int, int], None]
"""Takes how many points are measured, and how many there are."""

_SAME_VALUE = 1e-4  # points: what other machines and threads may change in the dense value


def measure_to_file(
    path: Path,
    model: nn.Module,
    case: Case,
    nodes: int,
    evaluate: Callable[[nn.Module], float],
    *,
    metric: str,
    levels: tuple[float, ...] | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Prune one layer at a time, evaluate, and write what it loses (docs/accuracy.md).

    The file is written whole after every measurement. Rows that it holds already are kept and not
    measured again, if they were measured on the same weights, cluster and metric.

    Parameters
    ----------
    path : Path
        The .csv file to write or to go on with.
    model : torch.nn.Module
        Dense and trained; it is not changed.
    case : Case
        The model's profile on a cluster; the first nodes are taken.
    nodes : int
    evaluate : callable
        The metric of a copy of the model that has one sparse layer, more is better.
    metric : str
        Its name.
    levels : tuple of float, optional
        S_comm, above 0 and at most 1; `planner.training.sensitivity.LEVELS` by default.
    progress : callable

    Raises
    ------
    BadInputError
        One line: the file cannot be written, is no such file or was measured otherwise; or as
        `planner.training.sensitivity.measure_sensitivities`.
    """
    from planner.training.sensitivity import (
        LEVELS,
        dense_quality,
        measure_sensitivities,
        sensitivity_points,
    )

    levels = levels or LEVELS
    points = sensitivity_points(case, nodes, levels)
    dense = dense_quality(model, evaluate)
    facts = {
        "metric": one_line(metric),
        "nodes": str(nodes),
        "measured on": _fingerprint(model, case, nodes),
        "dense": repr(dense),
    }
    rows = _known(path, facts) if path.exists() else {}
    if not rows:
        write_atomically(path, _text(facts, rows))  # a path that cannot be written says so now
    before = sum(point in rows for point in points)
    progress(before, len(points))
    found: Iterable[Measurement] = measure_sensitivities(
        model, case, nodes, evaluate, dense, levels=levels, known=rows
    )
    for done, row in enumerate(found, start=before + 1):
        rows[row.layer, row.sparsity] = row.loss
        write_atomically(path, _text(facts, rows))
        progress(done, len(points))


def _known(path: Path, facts: dict[str, str]) -> dict[tuple[str, float], float]:
    """The rows of a file that was measured under the same facts."""
    label = one_line(path.name)
    text = read_text(path, what="sensitivities")
    before = {}
    for line in text.splitlines():
        key, colon, value = line.removeprefix("#").partition(":")
        if line.startswith("#") and colon:
            before[key.strip()] = value.strip()
    for key, value in facts.items():
        found = before.get(key)
        if found is None or not _same(key, found, value):
            raise BadInputError(
                f"{label}: {key} {one_line((found or 'nothing')[:40])!r} is written there, this "
                f"run has {value[:40]!r}; name another file, or delete this one to begin anew"
            )
    if text.rstrip().endswith(",".join(COLUMNS)):  # ended before the first measurement
        return {}
    points = read_sensitivities(path).points
    return {(layer, s): loss for layer, losses in points.items() for s, loss in losses.items()}


def _same(key: str, found: str, value: str) -> bool:
    if key != "dense":
        return found == value
    try:
        return abs(float(found) - float(value)) <= _SAME_VALUE
    except ValueError:
        return False


def _fingerprint(model: nn.Module, case: Case, nodes: int) -> str:
    """Of the weights and of who holds which features: 16 hexadecimal digits."""
    import torch

    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):  # by bytes, since numpy knows no bfloat16
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().tobytes())
    digest.update(case.reference.profile_sha256.encode())
    digest.update(case.group(nodes).model_dump_json().encode())
    digest.update(case.settings.model_dump_json().encode())
    return digest.hexdigest()[:16]


def _text(facts: dict[str, str], rows: dict[tuple[str, float], float]) -> str:
    lines = io.StringIO()
    lines.writelines(f"# {key}: {value}\n" for key, value in facts.items())
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((layer, repr(s), repr(loss)) for (layer, s), loss in rows.items())
    return lines.getvalue()

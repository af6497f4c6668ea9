"""Read what scripts/train_tasks.py wrote, and compare rows over seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as students_t

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """One row less another, seed by seed.

    Attributes
    ----------
    mean : float
    half : float
        Half the width of the interval around the mean, by the paired t-test's distribution.
    above, seeds : int
        In how many seeds the first row is better, of how many.
    """

    mean: float
    half: float
    above: int
    seeds: int

    @property
    def verdict(self) -> str:
        """``above`` or ``below`` where the interval leaves 0 out, else ``not decided``."""
        if self.mean - self.half > 0:
            return "above"
        return "below" if self.mean + self.half < 0 else "not decided"


@dataclass(frozen=True)
class TaskResults:
    """All finished seeds of one task.

    Attributes
    ----------
    name : str
    documents : tuple of dict
        As they were written, by rising seed.
    """

    name: str
    documents: tuple[dict[str, Any], ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that are finished."""
        return tuple(document["seed"] for document in self.documents)

    def values(self, row: str, key: str = "quality") -> list[float]:
        """One row's figure in every seed."""
        return [document["rows"][row][key] for document in self.documents]

    def mean(self, row: str, key: str = "quality") -> float:
        """Mean over the seeds."""
        return float(np.mean(self.values(row, key)))

    def spread(self, row: str) -> float:
        """Standard deviation over the seeds."""
        return float(np.std(self.values(row), ddof=1))

    def difference(self, row: str, other: str) -> Difference:
        """Quality of one row less that of another."""
        return paired(self.values(row), self.values(other))

    def named(self, strategy: str) -> list[str]:
        """Rows ``strategy@…`` in the order in which they were trained."""
        return [row for row in self.documents[0]["rows"] if row.startswith(f"{strategy}@")]


def paired(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare two rows that have the seeds in common.

    Parameters
    ----------
    first, second : sequences of float
        At least two seeds.
    """
    gaps = np.round(np.subtract(first, second), 9)  # equal shares may differ by 1e-15
    seeds = len(gaps)
    quantile = float(students_t.ppf((1 + CONFIDENCE) / 2, seeds - 1))
    half = quantile * float(np.std(gaps, ddof=1)) / sqrt(seeds)
    return Difference(float(gaps.mean()), half, int((gaps > 0).sum()), seeds)


def read_results(folder: Path, task: str, rows: Sequence[str]) -> TaskResults:
    """The seeds of a task that have all rows.

    Raises
    ------
    ValueError
        There are fewer than two, or not all were trained with one budget.
    """
    documents = [
        json.loads(path.read_text(encoding="utf-8")) for path in folder.glob(f"{task}-seed*.json")
    ]
    finished = sorted(
        (found for found in documents if set(rows) <= set(found["rows"])), key=lambda x: x["seed"]
    )
    if len(finished) < 2:
        raise ValueError(f"{task}: {len(finished)} finished seeds; two or more are needed")
    if any(found["budget"] != finished[0]["budget"] for found in finished):
        raise ValueError(f"{task}: the seeds were trained with different budgets")
    return TaskResults(task, tuple(finished))

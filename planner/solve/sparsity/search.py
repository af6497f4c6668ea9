"""A sparsity problem as the bare arrays of `planner.solve.sparsity.multiple_choice`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import SparsityProblem
from planner.solve.sparsity.choice_rows import Floats
from planner.solve.sparsity.layer_groups import LayerGroups, MemoryRow, SumRow
from planner.solve.sparsity.multiple_choice import EFFORT, Choice, choose


def search_sparsity(
    problem: SparsityProblem,
    *,
    cutoff_s: float = np.inf,
    effort: int = EFFORT,
    stop_at: float = np.inf,
    near: Floats | None = None,
    known: NDArray[np.int64] | None = None,
) -> Choice:
    """Lagrangian dual and search on a problem; parameters as of `choose`."""
    return choose(
        problem.objective_s,
        problem.allowed,
        sum_rows(problem),
        memory_rows(problem),
        cutoff=cutoff_s,
        effort=effort,
        stop_at=stop_at,
        near=near,
        known=known,
    )


def groups_of(problem: SparsityProblem) -> LayerGroups:
    """The problem in groups of equal layers."""
    return LayerGroups(
        problem.objective_s, problem.allowed, sum_rows(problem), memory_rows(problem)
    )


def sum_rows(problem: SparsityProblem) -> list[SumRow]:
    """The limits on sums of floats."""
    return [(limit.values, limit.limit) for limit in problem.sum_limits]


def memory_rows(problem: SparsityProblem, more_bytes: int = 0) -> list[MemoryRow]:
    """The limits on memory, with so many bytes more each."""
    return [
        (memory.weight_bytes, memory.live_bytes, memory.limit_bytes + more_bytes)
        for memory in problem.memory_limits
    ]

"""A sparsity problem as the bare arrays of `planner.solve.sparsity.multiple_choice`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.domain.problem import SparsityProblem
from planner.solve.deadline import Deadline
from planner.solve.options.knapsack import Floats, MemoryRow, SumRow
from planner.solve.options.multiple_choice import EFFORT, Pick, choose


def search_sparsity(
    problem: SparsityProblem,
    *,
    cutoff_s: float = np.inf,
    effort: int = EFFORT,
    deadline: Deadline | None = None,
    near: Floats | None = None,
    known: NDArray[np.int64] | None = None,
) -> Pick:
    """Lagrangian dual and search on a problem; parameters as of `choose`."""
    return choose(
        problem.objective_s,
        problem.allowed,
        sum_rows(problem),
        memory_rows(problem),
        cutoff=cutoff_s,
        effort=effort,
        deadline=deadline,
        near=near,
        known=known,
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

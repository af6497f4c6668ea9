"""Why no sparsity fits: which limit binds, and the least relaxation that makes a choice fit."""

from __future__ import annotations

import numpy as np

from planner.domain.problem import SparsityProblem
from planner.solve.options.multiple_choice import Pick, choose
from planner.solve.sparsity.ilp import ilp_explain
from planner.solve.sparsity.search import memory_rows, sum_rows
from planner.solve.verify import limit_binds, memory_binds, memory_bytes


def explain(problem: SparsityProblem) -> str:
    """In words, for an infeasible problem; by the ILP where the search does not close."""
    if problem.memory_limits:
        more, closed = _more_bytes(problem)
        if not closed:
            return ilp_explain(problem)
        if more is not None:
            tightest = min(problem.memory_limits, key=lambda limit: limit.limit_bytes)
            return memory_binds(tightest.name, tightest.limit_bytes, more)
    for name in dict.fromkeys(limit.name for limit in problem.sum_limits):
        mine = [limit for limit in problem.sum_limits if limit.name == name]
        others = [(limit.values, limit.limit) for limit in problem.sum_limits if limit.name != name]
        values = np.stack([limit.values for limit in mine])  # several of one name are alike
        found = choose(values, problem.allowed, others, memory_rows(problem))
        if not found.closed:
            return ilp_explain(problem)
        if found.choice is not None:
            return limit_binds(name, mine[0].limit, found.objective, mine[0].unit, mine[0].exponent)
    return "several limits exclude each other: relaxing one of them alone is not enough"


def _more_bytes(problem: SparsityProblem) -> tuple[int | None, bool]:
    """Least bytes that each memory needs more, None if none help; whether that is proven."""
    found = _with_more(problem, None)
    if found.choice is None:
        return None, found.closed
    low, high = 0, _lacking(problem, found)
    while high - low > 1:  # infeasible with low, feasible with high
        middle = (low + high) // 2
        found = _with_more(problem, middle)
        if found.choice is not None:
            high = _lacking(problem, found)
        elif found.closed:
            low = middle
        else:
            return None, False
    return high, True


def _with_more(problem: SparsityProblem, more: int | None) -> Pick:
    """The choice of least stored bytes beyond the limits; None: with any memory."""
    beyond = np.stack([memory.weight_bytes for memory in problem.memory_limits]).astype(np.float64)
    limits = np.array([float(memory.limit_bytes) for memory in problem.memory_limits])
    beyond[:, 0] += (limits.max() - limits)[:, None]
    rows = [] if more is None else memory_rows(problem, more)
    return choose(beyond, problem.allowed, sum_rows(problem), rows)


def _lacking(problem: SparsityProblem, found: Pick) -> int:
    assert found.choice is not None
    return max(
        memory_bytes(memory.weight_bytes, memory.live_bytes, found.choice) - memory.limit_bytes
        for memory in problem.memory_limits
    )

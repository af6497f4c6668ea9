"""Why no allocation fits: the limit that binds, and the least relaxation that makes one fit."""

from __future__ import annotations

from planner.domain.certificate import AllocationProblem
from planner.solve.allocation.dp import Answer, dp_allocation
from planner.solve.allocation.ilp import explain_by_ilp, explain_by_inspection
from planner.solve.allocation.two_sums import Workers
from planner.solve.check import allocation_times, limit_binds, memory_binds, worker_bytes


class _UndecidedError(Exception):
    """Dynamic programming cannot tell whether a relaxed problem is feasible."""


def explain(problem: AllocationProblem) -> str:
    """Which limit binds and the least relaxation that makes the problem feasible.

    Parameters
    ----------
    problem : AllocationProblem
        An infeasible one that dynamic programming covers.
    """
    try:
        return (
            _memory(problem)
            or _limit(problem, "latency")
            or _limit(problem, "bottleneck")
            or explain_by_inspection(problem)
        )
    except _UndecidedError:
        return explain_by_ilp(problem)


def _plan(problem: AllocationProblem) -> Workers | None:
    answer: Answer = dp_allocation(problem)
    if answer.status == "undecided":
        raise _UndecidedError
    return answer.workers


def _limit(problem: AllocationProblem, name: str) -> str:
    """The least of one limited time, with all other limits; empty where they exclude it."""
    limit_s = getattr(problem, f"max_{name}_s")
    if limit_s is None:
        return ""
    free = problem.model_copy(update={"objective": name, f"max_{name}_s": None})
    workers = _plan(free)
    if workers is None:
        return ""
    least_s = allocation_times(problem, workers)[name == "bottleneck"]
    return limit_binds(name, limit_s, least_s, "s")


def _memory(problem: AllocationProblem) -> str:
    """The least bytes that every limited worker needs more."""
    limits = problem.memory_limit_bytes
    known = [(most, name) for most, name in zip(limits, problem.worker_names, strict=True)]
    limited = [(most, name) for most, name in known if most is not None]
    if not limited:
        return ""

    def more_of(workers: Workers) -> int:
        needed = zip(worker_bytes(problem, workers), limits, strict=True)
        return max(size - most for size, most in needed if most is not None)

    def plan_with(more: int | None) -> Workers | None:
        sizes = tuple(None if most is None or more is None else most + more for most in limits)
        return _plan(
            problem.model_copy(update={"memory_limit_bytes": sizes, "objective": "latency"})
        )

    workers = plan_with(None)
    if workers is None:
        return ""
    short, enough = 0, more_of(workers)
    while enough - short > 1:
        middle = (short + enough) // 2
        workers = plan_with(middle)
        if workers is None:
            short = middle
        else:
            enough = more_of(workers)
    limit, tightest = min(limited)
    return memory_binds(tightest, limit, enough)

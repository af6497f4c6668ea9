"""Exhaustive search: the oracle for small problems, and a solver in its own right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import combinations, permutations, product
from math import comb, perm, prod

import numpy as np

from planner.domain.certificate import AllocationProblem, Certificate, Result, SparsityProblem
from planner.errors import BadInputError
from planner.solve.check import (
    Evaluation,
    allocation_times,
    evaluate_allocation,
    evaluate_sparsity,
)

MAX_CASES = 2_000_000
_ROUNDING = 1e-12  # relative: objectives closer than this are equal


def exhaustive_sparsity(problem: SparsityProblem) -> Result:
    """Try every combination of allowed options.

    Raises
    ------
    BadInputError
        More than two million combinations.
    """
    options = [np.flatnonzero(row) for row in problem.allowed]
    _limit_cases(prod(len(row) for row in options))
    choices = (np.array(choice) for choice in product(*options))
    return _best((choice, evaluate_sparsity(problem, choice)) for choice in choices)


def exhaustive_allocation(problem: AllocationProblem) -> Result:
    """Try every way to cut the chain, empty workers included, in every order that is allowed.

    Among cuts of equal bottleneck the one of least latency is taken.

    Raises
    ------
    BadInputError
        More than two million ways.
    """
    workers, units = problem.compute_s.shape
    orders = permutations if problem.any_order else combinations
    _limit_cases(
        sum(
            comb(units - 1, stages - 1)
            * (perm(workers, stages) if problem.any_order else comb(workers, stages))
            for stages in range(1, min(workers, units) + 1)
        )
    )
    choices = (
        np.repeat(order, np.diff([0, *cuts, units]))
        for stages in range(1, min(workers, units) + 1)
        for cuts in combinations(range(1, units), stages - 1)
        for order in orders(range(workers), stages)
    )
    return _best(
        ((choice, evaluate_allocation(problem, choice)) for choice in choices),
        tie=lambda choice: allocation_times(problem, choice)[0],
    )


def _limit_cases(cases: int) -> None:
    if cases > MAX_CASES:
        raise BadInputError(
            f"--solver exhaustive: {cases:.3g} combinations; at most {MAX_CASES:,} are tried"
        )


def _best(
    evaluated: Iterable[tuple[np.ndarray, Evaluation]],
    tie: Callable[[np.ndarray], float] = lambda choice: 0.0,
) -> Result:
    """The least objective; among those that differ by rounding alone the least ``tie``."""
    start = time.perf_counter()
    best: tuple[float, float, np.ndarray] | None = None
    for choice, evaluation in evaluated:
        objective_s = evaluation.objective_s
        if evaluation.violations or (best and objective_s > best[0] * (1 + _ROUNDING)):
            continue
        second = tie(choice)
        if best is None or objective_s < best[0] * (1 - _ROUNDING) or second < best[1]:
            best = objective_s, second, choice
    certificate = Certificate(
        status="optimal" if best else "infeasible",
        bound=best[0] if best else None,
        gap=0.0 if best else None,
        solver="exhaustive search",
        runtime_s=time.perf_counter() - start,
    )
    if best is None:
        return Result(
            choice=None, objective_s=None, certificate=certificate, binding="no combination fits"
        )
    return Result(choice=best[2], objective_s=best[0], certificate=certificate)

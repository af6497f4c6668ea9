"""Exhaustive search: the oracle for small problems, and a solver in its own right."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from math import comb, prod

import numpy as np

from planner.domain.problem import AllocationProblem, Certificate, Result, SparsityProblem
from planner.errors import BadInputError
from planner.solve.verify import Evaluation, evaluate_allocation, evaluate_sparsity

MAX_CASES = 2_000_000


def exhaustive_sparsity(problem: SparsityProblem) -> Result:
    """Try every combination of allowed options.

    Raises
    ------
    BadInputError
        More than two million combinations.
    """
    options = [np.flatnonzero(row) for row in problem.allowed]
    _limit_cases(prod(len(row) for row in options))
    choices = (np.array(choice) for choice in itertools.product(*options))
    return _best((choice, evaluate_sparsity(problem, choice)) for choice in choices)


def exhaustive_allocation(problem: AllocationProblem) -> Result:
    """Try every way to cut the chain, empty workers included.

    Raises
    ------
    BadInputError
        More than two million ways.
    """
    workers, units = problem.compute_s.shape
    _limit_cases(comb(units + workers - 1, workers - 1))
    choices = (
        np.array(choice)
        for choice in itertools.combinations_with_replacement(range(workers), units)
    )
    return _best((choice, evaluate_allocation(problem, choice)) for choice in choices)


def _limit_cases(cases: int) -> None:
    if cases > MAX_CASES:
        raise BadInputError(
            f"--solver exhaustive: {cases:.3g} combinations; at most {MAX_CASES:,} are tried"
        )


def _best(evaluated: Iterable[tuple[np.ndarray, Evaluation]]) -> Result:
    start = time.perf_counter()
    best: tuple[float, np.ndarray] | None = None
    for choice, evaluation in evaluated:
        if not evaluation.violations and (best is None or evaluation.objective_s < best[0]):
            best = evaluation.objective_s, choice
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
    return Result(choice=best[1], objective_s=best[0], certificate=certificate)

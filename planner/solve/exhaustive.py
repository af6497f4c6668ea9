"""Exhaustive search over structures and options: the oracle, and a solver in its own right."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import comb, prod

import numpy as np

from planner.domain.certificate import Certificate
from planner.errors import BadInputError
from planner.solve.check import evaluate, times_of
from planner.solve.deadline import Deadline
from planner.solve.problem import Choice, Problem, Result

MAX_CASES = 2_000_000
_ROUNDING = 1e-12  # relative: objectives closer than this are equal


def minimise_exhaustively(problem: Problem) -> Result:
    """Try every structure with every combination of allowed options.

    Among choices of equal bottleneck the one of least latency is taken.

    Raises
    ------
    BadInputError
        More than two million combinations.
    """
    clock = Deadline()
    cases = count_choices(problem)
    if cases > MAX_CASES:
        raise BadInputError(
            f"--solver exhaustive: {cases:.3g} combinations; at most {MAX_CASES:,} are tried"
        )
    best: tuple[float, float, Choice] | None = None
    for choice in _choices(problem):
        found = evaluate(problem, choice)
        if found.violations or (best and found.objective_s > best[0] * (1 + _ROUNDING)):
            continue
        latency_s = times_of(problem, choice).latency_s
        if best is None or found.objective_s < best[0] * (1 - _ROUNDING) or latency_s < best[1]:
            best = found.objective_s, latency_s, choice
    return Result(
        choice=best[2] if best else None,
        objective_s=best[0] if best else None,
        certificate=Certificate(
            status="optimal" if best else "infeasible",
            bound=best[0] if best else None,
            gap=0.0 if best else None,
            solver="exhaustive search",
            runtime_s=clock.elapsed_s,
        ),
        binding="" if best else "no combination fits",
    )


def count_choices(problem: Problem) -> int:
    """No fewer than the combinations of structure and options that there are.

    Counting ends where there are more than can be tried.
    """
    options = prod(int(row.max()) for row in problem.allowed.sum(axis=2).T)
    total, cuts = 0, int(problem.cuttable.sum())
    for groups in _sequences(problem):
        total += comb(cuts, len(groups) - 1) * options
        if total > MAX_CASES:
            break
    return total


def _sequences(problem: Problem, before: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Groups that may run one behind the other, those of fewer stages first within each prefix."""
    if before:
        yield before
    if len(before) > int(problem.cuttable.sum()) or (before and problem.single_stage):
        return
    used = problem.uses[list(before)].sum(axis=0)
    for group, row in enumerate(problem.uses):
        total = used + row
        if np.any(total > problem.available) or total.sum() > problem.max_nodes:
            continue
        if not before or problem.follows[before[-1], group]:
            yield from _sequences(problem, (*before, group))


def _choices(problem: Problem) -> Iterator[Choice]:
    units = len(problem.cuttable) + 1
    cuts = [int(cut) + 1 for cut in np.flatnonzero(problem.cuttable)]
    for groups in _sequences(problem):
        for chosen in itertools.combinations(cuts, len(groups) - 1):
            starts = (0, *chosen)
            rows = np.repeat(groups, np.diff([*starts, units]))
            options = [np.flatnonzero(problem.allowed[g, u]) for u, g in enumerate(rows)]
            for picked in itertools.product(*options):
                # the options are whole numbers already: validating each case costs the most
                yield Choice.model_construct(starts=starts, groups=groups, options=np.array(picked))

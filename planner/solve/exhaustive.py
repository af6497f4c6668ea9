"""Exhaustive search over structures and options: the oracle, and a solver in its own right."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import Certificate
from planner.errors import BadInputError
from planner.solve.check import Floats, cap, needed_bytes, sum_losses, sum_second, sum_times
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
    second = problem.second
    for many in _structures(problem):
        latency_s, busiest_s, medium_s = sum_times(problem, many)
        bottleneck_s = np.maximum(busiest_s, medium_s)
        kept = ~(
            _exceed(latency_s, problem.max_latency_s)
            | _exceed(bottleneck_s, problem.max_bottleneck_s)
            | _exceed(sum_losses(problem, many), problem.max_loss)
            | _exceed(sum_second(problem, many), None if second is None else second.most)
        )
        for group, needed in needed_bytes(problem, many):
            kept &= (needed <= problem.memory_limit_bytes[group]).all(axis=-1)
        if not kept.any():
            continue
        objective_s = latency_s if problem.objective == "latency" else bottleneck_s
        least_s = objective_s[kept].min()
        alike = np.flatnonzero(kept & (objective_s <= least_s * (1 + _ROUNDING)))
        first = int(alike[latency_s[alike].argmin()])
        found = float(objective_s[first]), float(latency_s[first])
        if best is None or _is_better(found, best[:2]):
            best = *found, many.model_copy(update={"options": many.options[first]})
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


def _exceed(values: Floats, limit: float | None) -> NDArray[np.bool_]:
    return np.zeros(values.shape, dtype=np.bool_) if limit is None else values > cap(limit)


def _is_better(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether an objective and a latency are better; objectives may differ by rounding alone."""
    if one[0] > other[0] * (1 + _ROUNDING):
        return False
    return one[0] < other[0] * (1 - _ROUNDING) or one[1] < other[1]


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


def _structures(problem: Problem) -> Iterator[Choice]:
    """Every structure with all combinations of its options, shape (combinations, U)."""
    units = len(problem.cuttable) + 1
    cuts = [int(cut) + 1 for cut in np.flatnonzero(problem.cuttable)]
    for groups in _sequences(problem):
        if problem.all_nodes and problem.nodes[list(groups)].sum() < problem.max_nodes:
            continue
        for chosen in itertools.combinations(cuts, len(groups) - 1):
            starts = (0, *chosen)
            rows = np.repeat(groups, np.diff([*starts, units]))
            options = [np.flatnonzero(problem.allowed[g, u]) for u, g in enumerate(rows)]
            all_of_them = np.stack(np.meshgrid(*options, indexing="ij"), axis=-1)
            yield Choice(starts=starts, groups=groups, options=all_of_them.reshape(-1, units))

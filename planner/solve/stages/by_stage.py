"""The least bottleneck of a fixed structure whose stages only share the loss budget.

Within a threshold every stage has a least loss of its own, a multiple choice under one limit on
each of its resources. The threshold fits where these add up to no more than the budget; closing in
on the least one that fits is far easier than all stages at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import FEASIBILITY_TOLERANCE
from planner.solve.check import PROVEN_GAP, exceeds
from planner.solve.deadline import Deadline
from planner.solve.sparsity.multiple_choice import Choice as Pick
from planner.solve.sparsity.multiple_choice import MemoryRow, choose

# a sum within its limit may exceed it by the tolerance; a threshold is meant exactly
_STRICT = 1 / (1 + FEASIBILITY_TOLERANCE)
_FIRST_STEP = 1e-4  # relative to the bound, where the best is expected
_ROUNDING = 1e-14
_ENDS = 1 + 1e-3  # of a width: what rounding leaves of it must not go on for ever


@dataclass(frozen=True)
class StageRows:
    """One stage's units.

    Attributes
    ----------
    busy_s : float array, shape (R, U, K)
    loss : float array, shape (U, K)
    allowed : bool array, shape (U, K)
    memories : sequence of MemoryRow
    """

    busy_s: NDArray[np.float64]
    loss: NDArray[np.float64]
    allowed: NDArray[np.bool_]
    memories: Sequence[MemoryRow]


def close_in_by_stage(
    stages: Sequence[StageRows],
    budget: float,
    known: Pick,
    cutoff_s: float,
    deadline: Deadline,
    effort: int,
    width: float,
) -> Pick:
    """Close in on the least threshold within which the stages' losses fit the budget.

    Parameters
    ----------
    stages : sequence of StageRows
    budget : float
        The most that all losses may add up to.
    known : Pick
        What is known already: a valid bound, and maybe options.
    cutoff_s : float
        Only a bottleneck below is of interest.
    deadline : Deadline
    effort : int
        States that the choice of one stage's options looks at, for one threshold.
    width : float
        Relative distance to the bound within which no better threshold is looked for.
    """
    low = max(known.bound, 0.0)
    best, high = known.choice, min(known.objective, cutoff_s)
    certain, step = True, _FIRST_STEP
    while certain and high - low > width * high * _ENDS and not deadline.passed:
        # from the bound upwards in growing steps, then by halves
        threshold = low * (1 + step) or 1e-9
        if np.isfinite(high):
            threshold = min(threshold, (low + high) / 2)
            threshold = min(max(threshold, low + width * high), high * (1 - width))
        options, certain = _within(stages, budget, threshold, deadline, effort)
        if options is not None:
            best, high, step, certain = options, _busiest(stages, options), _FIRST_STEP, True
        elif certain:
            low, step = threshold * (1 - _ROUNDING), step * 8
    objective = high if best is not None else np.inf
    closed = high - low <= PROVEN_GAP * high * _ENDS
    bound = np.inf if best is None and closed else min(low, objective)
    return Pick(best, objective, bound, closed, known.multipliers)


def _within(
    stages: Sequence[StageRows],
    budget: float,
    threshold: float,
    deadline: Deadline,
    effort: int,
) -> tuple[NDArray[np.int64] | None, bool]:
    """Options of all stages within a threshold and the budget, and whether the answer is sure."""
    chosen, total, least = [], 0.0, 0.0
    for stage in stages:
        sums = [(busy, threshold * _STRICT) for busy in stage.busy_s]
        found = choose(
            stage.loss,
            stage.allowed,
            sums,
            stage.memories,
            effort=effort,
            stop_at=deadline.stop_at,
        )
        least += min(found.bound, found.objective)
        if exceeds(least, budget):
            return None, True
        if found.choice is None:
            return None, found.closed
        chosen.append(found.choice)
        total += found.objective
    if exceeds(total, budget):
        return None, False
    return np.concatenate(chosen), True


def _busiest(stages: Sequence[StageRows], options: NDArray[np.int64]) -> float:
    """Seconds of the busiest resource of any stage."""
    most, start = 0.0, 0
    for stage in stages:
        units = np.arange(len(stage.loss))
        mine = options[start : start + len(units)]
        most = max(most, float(stage.busy_s[:, units, mine].sum(axis=1).max()))
        start += len(units)
    return most

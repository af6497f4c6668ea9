"""The least bottleneck of a fixed structure whose stages only share the loss budget.

Within a threshold every stage has a least loss of its own, a sparsity choice under one limit on
each of its resources. The threshold fits where these add up to no more than the budget; closing in
on the least one that fits is far easier than all stages at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.domain.problem import FEASIBILITY_TOLERANCE
from planner.solve.deadline import Deadline
from planner.solve.options.multiple_choice import MemoryRow, Pick, choose
from planner.solve.verify import exceeds

_STRICT = 1 - FEASIBILITY_TOLERANCE  # a sum within its limit may exceed it by the tolerance
_PROVEN = 5e-10  # relative width at which no better threshold is looked for
_ROUGH = 2e-3  # the same where a plan need not be the structure's best
_FIRST_STEP = 1e-4  # relative to the bound, where the best is expected


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


def least_bottleneck(
    stages: Sequence[StageRows],
    budget: float,
    known: Pick,
    cutoff_s: float,
    deadline: Deadline | None,
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
    deadline : Deadline, optional
        With one the answer is exact, if time allows; without, a rough one will do.
    """
    low = max(known.bound, 0.0)
    best, high = known.choice, min(known.objective, cutoff_s)
    width = _ROUGH if deadline is None else _PROVEN
    certain, step = True, _FIRST_STEP
    while high - low > width * high and not (deadline is not None and deadline.passed):
        # from the bound upwards in growing steps, then by halves
        threshold = (
            min(low * (1 + step), (low + high) / 2)
            if np.isfinite(high)
            else (low * (1 + step) or 1e-9)
        )
        threshold = max(threshold, low + width * high) if np.isfinite(high) else threshold
        threshold = min(threshold, high * (1 - width / 2)) if np.isfinite(high) else threshold
        options, sure = _within(stages, budget, threshold)
        certain &= sure
        if options is None:
            low, step = threshold * _STRICT, step * 8
        else:
            best, high, step = options, _busiest(stages, options), _FIRST_STEP
    objective = high if best is not None else np.inf
    closed = certain and deadline is not None and high - low <= width * high * 2
    bound = min(low if certain else known.bound, objective)
    if best is None and closed:
        bound = np.inf
    return Pick(best, objective, bound, closed, known.multipliers)


def _within(
    stages: Sequence[StageRows], budget: float, threshold: float
) -> tuple[NDArray[np.int64] | None, bool]:
    """Options of all stages within a threshold and the budget, and whether the answer is sure."""
    chosen, total = [], 0.0
    for stage in stages:
        sums = [(busy, threshold * _STRICT) for busy in stage.busy_s]
        found = choose(stage.loss, stage.allowed, sums, stage.memories)
        if found.choice is None or exceeds(total + min(found.objective, found.bound), budget):
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

"""Stages that only share the loss budget: the least loss of each within a threshold.

Within a threshold on the bottleneck every stage has a least loss of its own, a multiple choice
under one limit on each of its resources. A structure is within the threshold where these add up to
no more than the budget, so that its least bottleneck is found by closing in on the threshold; and
structures that have a stage in common have that stage's loss in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import FEASIBILITY_TOLERANCE
from planner.solve.check import PROVEN_GAP, exceeds
from planner.solve.deadline import Deadline
from planner.solve.options.multiple_choice import MemoryRow, Pick, choose
from planner.solve.problem import NO_LIMIT, Problem

Run = tuple[int, int, int]
"""First unit, the unit behind the last one, and group of a stage."""

# a sum within its limit may exceed it by the tolerance; a threshold is meant exactly
_STRICT = 1 / (1 + FEASIBILITY_TOLERANCE)
_THOROUGH, _QUICK = 20_000_000, 50_000  # states that one stage's options take, at one threshold
_ROUGH = 2e-3  # relative distance to the bound that is near enough for a quick answer
_FIRST_STEP = 1e-4  # relative to the bound, where the best is expected
_ROUNDING = 1e-14
_ENDS = 1 + 1e-3  # of a width: what rounding leaves of it must not go on for ever


@dataclass(frozen=True)
class StageLoss:
    """The least loss of a stage within a threshold.

    Attributes
    ----------
    within_s : float
        The threshold.
    options : int array, shape (units of the stage,), optional
        None where none was found.
    loss, least : float
        Of the options, infinite without any, and what no options fall below.
    busy_s : float
        The stage's busiest resource with these options.
    closed : bool
        Whether the options are the best.
    """

    within_s: float
    options: NDArray[np.int64] | None
    loss: float
    least: float
    busy_s: float
    closed: bool

    def tells(self, threshold_s: float) -> bool:
        """Whether the answer is the same within another threshold."""
        return self.closed and self.busy_s <= threshold_s <= self.within_s


class StageLosses:
    """The least losses of a problem's stages, each worked out once for what it tells."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._known: dict[Run, list[StageLoss]] = {}

    def find(self, run: Run, threshold_s: float, deadline: Deadline, exact: bool) -> StageLoss:
        """The least loss of a stage within a threshold.

        Parameters
        ----------
        run : Run
        threshold_s : float
        deadline : Deadline
        exact : bool
            Whether it is worth a long search.
        """
        known = self._known.setdefault(run, [])
        for loss in known:
            if loss.tells(threshold_s):
                return loss
        start, stop, group = run
        units = slice(start, stop)
        problem = self._problem
        busy = problem.busy_s[:, group, units]
        found = choose(
            problem.loss[group, units],
            problem.allowed[group, units],
            [(values, threshold_s * _STRICT) for values in busy],
            limit_memory(problem, run),
            effort=_THOROUGH if exact else _QUICK,
            deadline=deadline,
        )
        busy_s = 0.0
        if found.choice is not None:
            busy_s = float(busy[:, np.arange(stop - start), found.choice].sum(axis=1).max())
        least = min(found.bound, found.objective)
        loss = StageLoss(threshold_s, found.choice, found.objective, least, busy_s, found.closed)
        known.append(loss)
        return loss


def limit_memory(problem: Problem, run: Run) -> list[MemoryRow]:
    """The positions of a stage that could need more than their limit, its own units alone."""
    return [row for _, row in limit_positions(problem, run)]


def limit_positions(problem: Problem, run: Run) -> list[tuple[int, MemoryRow]]:
    """The same with the number of each position."""
    start, stop, group = run
    allowed = problem.allowed[group, start:stop, :, None]
    weights = np.where(allowed, problem.weight_bytes[group, start:stop], 0)
    live = np.where(allowed, problem.live_bytes[group, start:stop], 0)
    limits = problem.memory_limit_bytes[group]
    most = weights.max(axis=1).sum(axis=0) + live.max(axis=(0, 1))
    return [
        (int(p), (weights[..., p], live[..., p], int(limits[p])))
        for p in np.flatnonzero((most > limits) & (limits < NO_LIMIT))
    ]


def close_in_by_stage(
    losses: StageLosses,
    runs: Sequence[Run],
    budget: float,
    known: Pick,
    cutoff_s: float,
    deadline: Deadline,
    exact: bool,
) -> Pick:
    """Close in on the least threshold within which the stages' losses fit the budget.

    Parameters
    ----------
    losses : StageLosses
    runs : sequence of Run
        The stages in order.
    budget : float
        The most that all losses may add up to.
    known : Pick
        What is known already: a valid bound, and maybe options.
    cutoff_s : float
        Only a bottleneck below is of interest.
    deadline : Deadline
    exact : bool
        Whether the best is to be proven; else any good answer will do.
    """
    width = PROVEN_GAP if exact else _ROUGH
    low = bound = max(known.bound, 0.0)
    best, high = known.choice, min(known.objective, cutoff_s)
    certain, step = True, _FIRST_STEP
    while (certain or not exact) and high - low > width * high * _ENDS and not deadline.passed:
        threshold = low * (1 + step) or 1e-9
        if exact and best is None and np.isfinite(high):
            threshold = high  # whether there is anything at all below the cutoff
        elif np.isfinite(high):
            # from the bound upwards in growing steps, then by halves
            threshold = min(threshold, (low + high) / 2)
        if np.isfinite(high):
            threshold = min(max(threshold, low + width * high), high * (1 - width))
        options, certain = _within(losses, runs, budget, threshold, deadline, exact)
        if options is not None:
            best, high, step = options[0], options[1], _FIRST_STEP
            continue
        if certain and bound == low:
            bound = threshold * (1 - _ROUNDING)
        low, step = threshold * (1 - _ROUNDING), step * 8
    objective = high if best is not None else np.inf
    closed = high - bound <= PROVEN_GAP * high * _ENDS
    bound = np.inf if best is None and closed else min(bound, objective)
    return Pick(best, objective, bound, closed, known.multipliers)


def _within(
    losses: StageLosses,
    runs: Sequence[Run],
    budget: float,
    threshold_s: float,
    deadline: Deadline,
    exact: bool,
) -> tuple[tuple[NDArray[np.int64], float] | None, bool]:
    """Options within a threshold and the budget with their bottleneck; whether that is sure."""
    found: list[StageLoss] = []
    for run in runs:
        found.append(losses.find(run, threshold_s, deadline, exact))
        if exceeds(sum(loss.least for loss in found), budget):
            return None, True
    parts = [loss.options for loss in found if loss.options is not None]
    if len(parts) < len(runs) or exceeds(sum(loss.loss for loss in found), budget):
        return None, False
    return (np.concatenate(parts), max(loss.busy_s for loss in found)), True

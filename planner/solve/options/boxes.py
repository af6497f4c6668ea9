"""Boxes of a multiple-choice problem: what the limits leave of one, and where to divide it.

A peak is a largest value, not a sum. Between two heights of it, the options above the upper one are
out and the lower one is deducted from the limit, which turns the peak into a sum that bounds well
(docs/options.md, eq. O10 to O12).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from planner.solve.options.knapsack import ROUNDING, Bools, Classes, Floats, Knapsack, Peaks
from planner.solve.options.lagrangian import LagrangianBound

_RANGES = 64  # of heights that are told apart at a time; boxes are divided again
_ALIKE = 0.5  # heights whose bounds differ less, in reduced costs, stay together


@dataclass(frozen=True)
class Box:
    """Choices of allowed options whose peak of each memory lies between two numbers of bytes.

    Attributes
    ----------
    floor, ceiling : float arrays, shape (M,)
    bound : float
        None of them costs less.
    allowed : bool array, shape (G, K)
    """

    floor: Floats
    ceiling: Floats
    bound: float
    allowed: Bools


def whole(problem: Knapsack) -> Box:
    """The box of all choices."""
    floor = np.zeros(len(problem.live))
    return Box(floor, np.full_like(floor, np.inf), -np.inf, problem.classes.allowed)


def narrowed(problem: Knapsack, box: Box) -> tuple[Classes, Peaks] | None:
    """A box as sums, without options that no choice within the limits takes; None if empty."""
    classes, live = problem.classes, problem.live
    limited = len(classes.limits)
    sums = limited - len(live)
    allowed = box.allowed & (live <= box.ceiling[:, None, None]).all(axis=0)
    least = np.where(allowed, problem.limited, np.inf).min(axis=2)
    if not (least < np.inf).all():
        return None
    # every choice needs the live bytes of the class that can do with least only with more
    floor = np.maximum(least[limited:].max(axis=1, initial=0.0), box.floor)
    limits = classes.limits.copy()
    limits[sums:] -= floor
    least = least[:limited]
    # what a limit leaves when every class takes its least of it
    size = np.abs(least) @ classes.counts + np.abs(classes.limits)
    rounding = ROUNDING * (len(classes.counts) + 8) * size
    slack = limits - least @ classes.counts + rounding
    if (slack < 0).any():
        return None
    extra = classes.values - least[:, :, None]
    raised = np.maximum(live - floor[:, None, None], 0.0)
    extra[sums:] += raised
    allowed &= (extra <= slack[:, None, None]).all(axis=0)
    if not allowed.any(axis=1).all():
        return None
    raising = ((raised > 0) & allowed).any(axis=(1, 2)).nonzero()[0]
    peaks = Peaks(live[raising], sums + raising, floor[raising])
    return classes._replace(allowed=allowed, limits=limits), peaks


def by_peak(
    problem: Knapsack,
    box: Box,
    classes: Classes,
    peaks: Peaks,
    priced: LagrangianBound,
    near: int | None,
) -> list[Box]:
    """Boxes by the peak of one memory: the last around the one of least bound, below and above it.

    Parameters
    ----------
    problem, box, classes, peaks, priced
        The box to divide, narrowed, and prices for it.
    near : int or None
        Heights whose bounds differ by less than half the reduced cost of the ``near``-th
        alternative stay together, and maybe all do; None: divide in any case.
    """
    if not len(peaks.rows):
        return [box]
    # of several peaks the one whose heights the prices tell apart most
    spread = np.where(classes.allowed, peaks.live, 0.0).max(axis=(1, 2)) - peaks.floor
    priced_spread = priced.multipliers[peaks.rows] * spread
    which = int((priced_spread if priced_spread.any() else spread).argmax())
    memory = int(peaks.rows[which]) - len(classes.limits) + len(problem.live)
    lowest, highest, bounds = _bounds_by_height(classes, peaks, priced, which)
    low = high = int(bounds.argmin())
    if near is not None:
        reduced = priced.reduced[priced.reduced > 0]
        at = min(near, len(reduced) - 1)
        alike = bounds[low] + (_ALIKE * np.partition(reduced, at)[at] if at >= 0 else 0.0)
        while low > 0 and bounds[low - 1] <= alike:
            low -= 1
        while high < len(bounds) - 1 and bounds[high + 1] <= alike:
            high += 1
    boxes = []
    for one, other in ((high + 1, len(bounds) - 1), (0, low - 1), (low, high)):
        if one > other:
            continue
        floor, ceiling = box.floor.copy(), box.ceiling.copy()
        floor[memory], ceiling[memory] = lowest[one], highest[other]
        bound = max(box.bound, float(bounds[one : other + 1].min()))
        boxes.append(Box(floor, ceiling, bound, box.allowed))
    return boxes


def _bounds_by_height(
    classes: Classes, peaks: Peaks, priced: LagrangianBound, which: int
) -> tuple[Floats, Floats, Floats]:
    """Ranges that the peak of one memory may lie in, and the bound of each, eq. O12."""
    live, floor = peaks.live[which], peaks.floor[which]
    raising = classes.allowed & (live > floor)
    touched = raising.any(axis=1)
    steps = np.unique(np.append(floor, live[raising]))
    lowest = highest = steps
    if len(steps) > _RANGES:
        starts = np.linspace(0, len(steps), _RANGES, endpoint=False).astype(np.int64)
        lowest, highest = steps[starts], steps[np.append(starts[1:], len(steps)) - 1]
    reduced = priced.reduced[touched].T
    within = highest[:, None, None] >= live[touched].T  # options before layers: long inner loops
    lifted = np.where(within, reduced, np.inf).min(axis=1) @ classes.counts[touched]
    price = priced.multipliers[peaks.rows[which]]
    return lowest, highest, priced.bound + lifted + price * (lowest - floor)


def halves(box: Box, classes: Classes, priced: LagrangianBound) -> list[Box]:
    """The box with one layer's options on either side of the linear relaxation's mixture.

    Empty where all layers that have several options left are counted.
    """
    others = priced.reduced.copy()
    others[np.arange(len(others)), priced.base] = np.inf
    others[classes.counts > 1] = np.inf
    group, other = (int(at) for at in np.unravel_index(others.argmin(), others.shape))
    if others[group, other] == np.inf:
        return []
    taken = priced.multipliers @ classes.values[:, group]
    base = int(priced.base[group])
    low = taken <= (taken[base] + taken[other]) / 2.0
    if low[base] == low[other]:  # alike, or so by rounding
        low = np.arange(len(low)) == base
    boxes = []
    for side in (~low, low):
        allowed = classes.allowed.copy()
        allowed[group] &= side
        boxes.append(replace(box, allowed=allowed))
    return boxes

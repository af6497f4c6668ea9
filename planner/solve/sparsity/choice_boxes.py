"""Parts of a multiple-choice problem: what a box of choices allows, and where to divide it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.solve.sparsity.choice_rows import Floats, Peaks, Relaxation, Rows
from planner.solve.sparsity.layer_groups import LayerGroups, Narrowed

_ROUNDING = 4e-16
_KEPT = 64  # boxes of which it is remembered what they leave
_RANGES = 64  # of peaks that are told apart at a time
_ALIKE = 0.5  # peaks whose bounds differ less, in ``scale``, stay together


@dataclass(frozen=True)
class Box:
    """Choices whose peak of each memory lies between two numbers of bytes.

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
    allowed: NDArray[np.bool_]


def whole(problem: LayerGroups) -> Box:
    """The box of all choices."""
    memories = len(problem.live)
    ceiling = np.full(memories, np.inf)
    return Box(np.zeros(memories), ceiling, -np.inf, problem.rows.allowed)


def narrowed(problem: LayerGroups, box: Box) -> tuple[Rows, Peaks] | None:
    """A box as sums, without options that no choice within the limits takes; None if empty.

    Options with more live bytes than the ceiling are out, the floor is deducted from the limit.
    """
    rows = problem.rows
    if box.allowed is not rows.allowed:
        inside = _inside(problem, box)
    else:  # the same in a similar problem
        key = box.floor.tobytes() + box.ceiling.tobytes()
        inside = problem.narrowed.get(key) or _inside(problem, box)
        if inside is not None and len(problem.narrowed) < _KEPT:
            problem.narrowed[key] = inside
    if inside is None:
        return None
    allowed, limits, peaks = inside
    return rows._replace(allowed=allowed, limits=limits), peaks


def _inside(problem: LayerGroups, box: Box) -> Narrowed | None:
    rows, live = problem.rows, problem.live
    limited = len(rows.limits)
    sums = limited - len(live)
    allowed, floor, limits = box.allowed, box.floor, rows.limits
    if len(live):
        allowed = allowed & (live <= box.ceiling[:, None, None]).all(axis=0)
    least = np.where(allowed, problem.limited, np.inf).min(axis=2)
    if not (least < np.inf).all():
        return None
    if len(live):
        floor = np.maximum(least[limited:].max(axis=1), box.floor)
        limits = limits.copy()
        limits[sums:] -= floor
        least = least[:limited]
    size = np.abs(least) @ rows.counts + np.abs(rows.limits)
    slack = limits - least @ rows.counts + _ROUNDING * (len(rows.counts) + 8) * size
    if (slack < 0).any():
        return None
    extra = rows.values - least[:, :, None]
    raised = live
    if len(live):
        raised = np.maximum(live - floor[:, None, None], 0.0)
        extra[sums:] += raised
    allowed = allowed & (extra <= slack[:, None, None]).all(axis=0)
    if not allowed.any(axis=1).all():
        return None
    raising = ((raised > 0) & allowed).any(axis=(1, 2)).nonzero()[0]
    return allowed, limits, Peaks(live[raising], sums + raising, floor[raising])


def by_peak(
    problem: LayerGroups,
    box: Box,
    rows: Rows,
    peaks: Peaks,
    relaxed: Relaxation,
    scale: float | None,
) -> list[Box]:
    """Boxes by the peak of one memory: the last around the one of least bound, below and above it.

    Parameters
    ----------
    problem, box, rows, peaks, relaxed
        The box to divide, narrowed, and prices for it.
    scale : float or None
        Peaks whose bounds differ by less than half of it stay together, and maybe all do;
        None: divide in any case.
    """
    which = 0
    if len(peaks.rows) > 1:
        prices = relaxed.multipliers[peaks.rows]
        spread = np.where(rows.allowed, peaks.live, 0.0).max(axis=(1, 2)) - peaks.floor
        which = int((prices * spread).argmax()) if prices.any() else int(spread.argmax())
    memory = int(peaks.rows[which]) - len(rows.limits) + len(problem.live)
    lowest, highest, bounds = _profile(rows, peaks, relaxed, which)
    low = high = int(bounds.argmin())
    if scale is not None:
        alike = bounds[low] + _ALIKE * scale
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


def _profile(
    rows: Rows, peaks: Peaks, relaxed: Relaxation, which: int
) -> tuple[Floats, Floats, Floats]:
    """Ranges that the peak of one memory may lie in, and the bound of each at the box's prices."""
    live, floor = peaks.live[which], peaks.floor[which]
    raising = rows.allowed & (live > floor)
    touched = raising.any(axis=1)
    steps = np.append(floor, live[raising])
    steps.sort()
    steps = steps[np.append(steps[1:] > steps[:-1], True)]
    lowest = highest = steps
    if len(steps) > _RANGES:
        starts = np.linspace(0, len(steps), _RANGES, endpoint=False).astype(np.int64)
        lowest, highest = steps[starts], steps[np.append(starts[1:], len(steps)) - 1]
    reduced = np.where(rows.allowed[touched], relaxed.reduced[touched], np.inf).T
    within = highest[:, None, None] >= live[touched].T  # options before layers: long inner loops
    lifted = np.where(within, reduced, np.inf).min(axis=1) @ rows.counts[touched]
    price = relaxed.multipliers[peaks.rows[which]]
    return lowest, highest, relaxed.bound + lifted + price * (lowest - floor)


def halves(box: Box, rows: Rows, relaxed: Relaxation) -> list[Box]:
    """The box with one layer's options on either side of the relaxation's mixture.

    Empty where all layers that have a choice left are counted.
    """
    others = relaxed.reduced.copy()
    others[np.arange(len(others)), relaxed.base] = np.inf
    others[rows.counts > 1] = np.inf
    group, other = (int(at) for at in np.unravel_index(others.argmin(), others.shape))
    if others[group, other] == np.inf:
        return []
    taken = relaxed.multipliers @ rows.values[:, group]
    base = int(relaxed.base[group])
    low = taken <= (taken[base] + taken[other]) / 2.0
    if low[base] == low[other]:  # alike, or so by rounding
        low = np.arange(len(low)) == base
    boxes = []
    for side in (~low, low):
        allowed = rows.allowed.copy()
        allowed[group] &= side
        boxes.append(replace(box, allowed=allowed))
    return boxes

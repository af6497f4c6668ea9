"""A bottleneck that no cut of a chain over a ring goes below: transfers left out."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from planner.solve.ring.contiguous import Floats, Ints

_DIGIT = 1e-15  # of a row's sum: differences of running sums lose what is smaller
_ROUNDS = 200  # halvings, far more than there are digits


def least_load(sums: Floats, start: Ints) -> float:
    """The least time within which workers in ring order can take all units between them.

    Where every worker takes all that it can within a time, the units that it reaches are the most
    that any plan reaches; the times that matter are those of stages.

    Parameters
    ----------
    sums : float array, shape (N, U + 1)
        Running sums of every worker's times.
    start : int array, shape (N, U + 1)
        First start of a stage that ends at each cut (memory).

    Returns
    -------
    float
        Infinite where memory alone prevents it.
    """
    units = sums.shape[1] - 1
    cuts = np.arange(units + 1)
    rows: list[list[float]] = sums.tolist()
    fits = [np.searchsorted(row, cuts, side="right") - 1 if row.any() else None for row in start]
    most = [None if last is None else last.tolist() for last in fits]

    def taken(time_s: float) -> tuple[bool, float, float]:
        """Whether all units are reached, the longest stage, and the next time that reaches more."""
        at, longest, longer = 0, 0.0, np.inf
        for row, last in zip(rows, most, strict=True):
            memory = units if last is None else last[at]
            within = row[at] + time_s + _DIGIT * row[-1]
            end = min(bisect_right(row, within, at) - 1, memory)
            longest = max(longest, row[end] - row[at])
            if end == units:
                return True, longest, longer
            if end < memory:
                longer = min(longer, row[end + 1] - row[at])
            at = end
        return False, longest, longer

    low = float((sums[:, 1:] - sums[:, :-1]).min(axis=0).max())  # the longest unit, where quickest
    high = float(sums[:, -1].max())
    reached, longest, _ = taken(high)
    if not reached:
        return float(np.inf)
    high = longest
    for _ in range(_ROUNDS):
        if low >= high:
            return high
        reached, _, longer = taken(low)
        if reached:
            return low
        low = longer  # nothing changes before
        reached, longest, longer = taken(low + (high - low) / 2)
        if reached:
            high = longest
        else:
            low = longer
    return min(low, high)

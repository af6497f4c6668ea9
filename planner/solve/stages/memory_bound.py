"""What a stage costs at least because its units do not all fit at their cheapest options.

Where units are of few kinds, which of them give way does not matter, only how many do: at least as
many as save enough at a position if those that save most do, and at least at the price of as many
of the cheapest ones. Of units that are alike that is what the best options cost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.solve.problem import NO_LIMIT, Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_KINDS = 8


class MemoryBound:
    """Extra cost of every stage, by first and last unit.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        allowed = problem.allowed[..., None]
        self._weights = np.where(allowed, problem.weight_bytes, NO_LIMIT)
        live = np.where(allowed, problem.live_bytes, NO_LIMIT).min(axis=2)
        self._live = _largest_of_runs(live)
        per_unit = [problem.latency_s, problem.loss, problem.allowed, problem.weight_bytes]
        if problem.second is not None:
            per_unit.append(problem.second.of_units)
        rows = [np.moveaxis(each, 1, 0).reshape(problem.units, -1) for each in per_unit]
        _, self._first, of_unit = np.unique(
            np.concatenate([row.astype(np.float64) for row in rows], axis=1),
            axis=0,
            return_index=True,
            return_inverse=True,
        )
        kinds = np.arange(len(self._first))
        reached = np.pad(np.cumsum(of_unit.reshape(-1) == kinds[:, None], axis=1), ((0, 0), (1, 0)))
        self._counts: Ints = np.maximum(reached[:, None, 1:] - reached[:, :-1, None], 0)

    def extra(self, cost: Floats) -> Floats:
        """What is to be added to the least of some costs of options, shape (G, U, U).

        Parameters
        ----------
        cost : float array, shape (G, U, K)
            Infinite where an option is not allowed.
        """
        problem = self._problem
        found = np.zeros((len(cost), *self._counts.shape[1:]))
        for group, limits in enumerate(problem.memory_limit_bytes):
            mine = cost[group, self._first]
            cheapest = mine.argmin(axis=1)
            for position in np.flatnonzero(limits < NO_LIMIT):
                weights = self._weights[group, self._first, :, position]
                at = np.arange(len(mine)), cheapest
                own, least = weights[at], mine[at]
                over = np.tensordot(own, self._counts, axes=1) - int(limits[position])
                over += self._live[group, ..., position]
                if (over <= 0).all():
                    continue
                smaller = weights < own[:, None]
                price = np.where(smaller, mine - least[:, None], np.inf).min(axis=1)
                saved = np.where(smaller.any(axis=1), own - weights.min(axis=1), 0)
                extra = self._least_price(over, saved, price)
                np.maximum(found[group], extra, out=found[group])
        return found

    def _least_price(self, over: Ints, saved: Ints, price: Floats) -> Floats:
        """Price of the fewest units that save so many bytes, infinite where all do not."""
        left, number = np.maximum(over, 0), np.zeros_like(over)
        for kind in np.argsort(-saved, kind="stable"):
            if saved[kind] > 0:
                moved = np.minimum(-(-left // saved[kind]), self._counts[kind])
                left = np.maximum(left - moved * saved[kind], 0)
                number += moved
        total = np.where(left > 0, np.inf, 0.0)
        for kind in np.argsort(price, kind="stable"):
            if np.isfinite(price[kind]):
                taken = np.minimum(number, self._counts[kind])
                total += taken * price[kind]
                number = number - taken
        return total


def memory_bound(problem: Problem) -> MemoryBound | None:
    """The bound of a problem, where units are of few kinds whose options differ in size."""
    sizes = np.where(problem.allowed[..., None], problem.weight_bytes, -1)
    smallest = np.where(problem.allowed[..., None], problem.weight_bytes, NO_LIMIT).min(axis=2)
    if sizes.shape[2] == 1 or (sizes.max(axis=2) == smallest).all():
        return None
    found = MemoryBound(problem)
    return found if len(found._counts) <= _MOST_KINDS else None


def _largest_of_runs(values: Ints) -> Ints:
    """Largest from every first to every last unit, (G, U, P) to (G, U, U, P); 0 below."""
    units = values.shape[1]
    found = np.zeros((len(values), units, *values.shape[1:]), dtype=np.int64)
    for first in range(units):
        found[:, first, first:] = np.maximum.accumulate(values[:, first:], axis=1)
    return found

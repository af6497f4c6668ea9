"""Dynamic programming over contiguous stages on any subset of workers in any order.

The state is how many workers of each kind are used, and the kind of the last one; workers are of
one kind where swapping them changes nothing. The recurrence is that of `contiguous`
(docs/model.md, eq. 23b).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from numpy.typing import NDArray

from planner.solve.allocation.contiguous import (
    Combine,
    Floats,
    Ints,
    Stages,
    best_start,
    stage_costs,
)

MAX_ENTRIES = 2**25
"""Largest table (used, last, cut) that is built: 256 MiB."""


def kinds_of_workers(rows: NDArray[np.float64], transfer: NDArray[np.float64]) -> NDArray[np.int64]:
    """The kind of every worker: workers that may be swapped without a difference.

    Parameters
    ----------
    rows : float array, shape (N, F)
        All that a worker is by itself: times, memory, ends.
    transfer : float array, shape (N, N, C)
        From worker to worker; the diagonal does not count.

    Returns
    -------
    int array, shape (N,)
        Numbered in order of appearance.
    """
    kinds: list[int] = []
    first: list[int] = []  # the first worker of each kind stands for it
    for worker in range(len(rows)):
        alike = (k for k, other in enumerate(first) if _alike(rows, transfer, worker, other))
        kind = next(alike, len(first))
        if kind == len(first):
            first.append(worker)
        kinds.append(kind)
    return np.array(kinds, dtype=np.int64)


def _alike(rows: Floats, transfer: Floats, one: int, other: int) -> bool:
    if not np.array_equal(rows[one], rows[other]):
        return False
    swapped = np.arange(len(rows))
    swapped[[one, other]] = other, one
    others = (swapped != one) & (swapped != other)
    return (
        np.array_equal(transfer[one, other], transfer[other, one])
        and np.array_equal(transfer[one, others], transfer[other, others])
        and np.array_equal(transfer[others, one], transfer[others, other])
    )


def table_entries(multiplicity: Ints, units: int) -> int:
    """Size of the table that `best_order` builds."""
    return prod(int(count) + 1 for count in multiplicity) * len(multiplicity) * (units + 1)


def best_order(
    stages: Stages,
    multiplicity: Ints,
    combine: Combine,
    every: bool,
    check_time: Callable[[], None] = lambda: None,
) -> tuple[float, list[tuple[int, range]]] | None:
    """The best subset and order of workers and the best cuts.

    Parameters
    ----------
    stages : Stages
        One row per kind; ``cut`` of a kind with itself is between two of its workers.
    multiplicity : int array, shape (K,)
        Workers of each kind.
    combine : {"sum", "max"}
        Whether costs add up (latency) or the largest counts (bottleneck).
    every : bool
        Every worker must be used.
    check_time : callable
        Called now and then; may raise to stop.

    Returns
    -------
    value, stages : float, list of (int, range)
        The cost, and kind and units of every stage in order; None where no plan is allowed.
    """
    table = OrderTable(stages, multiplicity, combine)
    table.fill(check_time)
    return table.end(every)


class OrderTable:
    """The recurrence's table over counts of used workers.

    Attributes
    ----------
    best : float array, shape (states, K, U + 1)
        Best cost of the first units on the workers that a state counts, the last of a kind. A
        state's number has the used workers of each kind as its digits, the first kind's lowest.
    """

    def __init__(self, stages: Stages, multiplicity: Ints, combine: Combine) -> None:
        self._stages = stages
        self._combine: Combine = combine
        self._plus = np.add if combine == "sum" else np.maximum
        self._most = multiplicity
        radix = multiplicity + 1
        self._stride = np.concatenate([[1], np.cumprod(radix[:-1])]).astype(np.int64)
        states = np.arange(int(radix.prod()))
        self._used = states[:, None] // self._stride % radix
        self._total = self._used.sum(axis=1)
        kinds, cuts = stages.sums.shape
        self.best = np.full((len(states), kinds, cuts), np.inf)

    def fill(self, check_time: Callable[[], None] = lambda: None) -> None:
        """Go through all states."""
        for used in range(int(self._most.sum())):
            check_time()
            self._extend(used)

    def _extend(self, used: int) -> None:
        """From all states with so many workers used to those with one more."""
        states = np.flatnonzero(self._total == used)
        for kind in range(len(self._most)):
            free = states[self._used[states, kind] < self._most[kind]]
            if len(free):
                self.best[free + self._stride[kind], kind, 1:] = stage_costs(
                    self._before(free, kind),
                    self._stages.sums[kind],
                    self._stages.start[kind],
                    self._combine,
                )

    def _before(self, states: Ints, kind: int) -> Floats:
        """Best cost of all that comes before a stage of this kind, shape (states, U)."""
        units = self.best.shape[2] - 1
        before = np.full((len(states), units), np.inf)
        if self._total[states[0]] == 0:
            before[:, 0] = self._stages.first[kind]
            return before
        arriving = self._plus(self.best[states, :, 1:units], self._stages.cut[:, kind])
        arriving.min(axis=1, out=before[:, 1:])
        return before

    def end(self, every: bool) -> tuple[float, list[tuple[int, range]]] | None:
        """The best state at the end, and its way back."""
        ends = self._plus(self.best[:, :, -1], self._stages.last)
        if every:
            ends[self._total < self._most.sum()] = np.inf
        state, kind = (int(k) for k in np.unravel_index(ends.argmin(), ends.shape))
        value = float(ends[state, kind])
        return (value, self._stages_to(state, kind)) if np.isfinite(value) else None

    def _stages_to(self, state: int, kind: int) -> list[tuple[int, range]]:
        end = self.best.shape[2] - 1
        found = []
        while True:
            state -= int(self._stride[kind])
            before = self._before(np.array([state]), kind)[0]
            sums, start = self._stages.sums[kind], self._stages.start[kind]
            cut = best_start(before, sums, start, end, self._combine)
            found.append((kind, range(cut, end)))
            if cut == 0:
                return found[::-1]
            arriving = self._plus(self.best[state, :, cut], self._stages.cut[:, kind, cut - 1])
            kind, end = int(arriving.argmin()), cut

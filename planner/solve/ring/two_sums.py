"""The least of one sum over contiguous stages where another sum is limited: exact.

A multiplier on the limited sum gives a bound and a plan in a few passes of dynamic programming
(docs/model.md, eq. 18).
Where these differ, partial plans are extended in the order of what they must cost at least: the
costs to go of both sums, and of the two weighed by the multiplier, leave few of them. The first
complete plan is the best.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from planner.solve.ring.chain import Workers
from planner.solve.ring.contiguous import Floats, Ints, RingPass, RunCosts
from planner.solve.ring.passes import Passes, Weights

MAX_EXTENDED = 30_000
"""Partial plans that are extended before giving up: seconds."""

_CLOSE = 1e-12  # relative: a bound this near to a plan proves it
_ROUNDS = 50


class TooManyError(Exception):
    """More partial plans would have to be looked at than is worth while."""


@dataclass(frozen=True)
class _Partial:
    """The first units on some stages, with what they cost; a chain back to the first stage."""

    worker: int = -1
    end: int = 0
    first: float = 0.0
    second: float = 0.0
    before: _Partial | None = None

    def workers(self) -> Workers:
        """The worker of every unit so far."""
        if self.before is None:
            return np.zeros(0, dtype=np.int64)
        mine = np.full(self.end - self.before.end, self.worker, dtype=np.int64)
        return np.concatenate([self.before.workers(), mine])


def least_within(
    passes: Passes, first: Weights, second: Weights, most: float, threshold_s: float | None
) -> Workers | None:
    """The plan of least first sum among those with a second sum of at most ``most``.

    Parameters
    ----------
    passes : Passes
    first, second : (float, float)
        What the two sums count.
    most : float
    threshold_s : float, optional
        Of every stage and transfer.

    Returns
    -------
    int array, shape (U,), or None
        The worker of every unit; None where no plan keeps the limit.

    Raises
    ------
    TooManyError
    OutOfTimeError
    """

    def best(weights: Weights) -> Workers | None:
        return passes.best(weights, "sum", threshold_s)

    value = passes.sum_s
    over = best(first)
    if over is None or value(over, second) <= most:
        return over
    under = best(second)
    if under is None or value(under, second) > most:
        return None
    known, multiplier, bound = under, 0.0, -np.inf
    for _ in range(_ROUNDS):
        rise = max(value(under, first) - value(over, first), 0.0)
        multiplier = rise / (value(over, second) - value(under, second))
        weighed = _weighed(first, second, multiplier)
        between = best(weighed)
        assert between is not None
        bound = max(bound, value(between, weighed) - multiplier * most)
        if value(between, weighed) >= value(over, weighed) * (1 - _CLOSE):
            break  # no other multiplier gives a better bound
        if value(between, second) <= most:
            under = between
            known = min(known, under, key=lambda plan: value(plan, first))
        else:
            over = between
    least = value(known, first)
    if least <= bound + _CLOSE * abs(least):
        return known
    costs = [
        passes.cost_stages(weights, threshold_s)
        for weights in (first, second, _weighed(first, second, multiplier))
    ]
    better = _search(passes, costs, multiplier, most, least)
    return known if better is None else better


def _weighed(first: Weights, second: Weights, multiplier: float) -> Weights:
    return first[0] + multiplier * second[0], first[1] + multiplier * second[1]


def _search(
    passes: Passes, costs: list[RunCosts], multiplier: float, most: float, known: float
) -> Workers | None:
    """The best plan that is better than a known one, partial plans of least bound first.

    ``costs`` are those of the first sum, of the second, and of both weighed by the multiplier.
    """
    every = passes.ring.every
    rests = [costs_to_go(each, every) for each in costs]
    both = costs[:2]
    workers, units = both[0].sums.shape[0], both[0].sums.shape[1] - 1
    queue = [(0.0, 0, _Partial())]
    seen: dict[tuple[int, int], list[_Partial]] = {}
    count = 0
    for extended in range(MAX_EXTENDED):
        if not queue:
            return None
        if extended % 64 == 0:
            passes.check_time()
        partial = heapq.heappop(queue)[2]
        if partial.end == units:
            return partial.workers()
        alike = seen.setdefault((partial.worker, partial.end), [])
        if any(p.first <= partial.first and p.second <= partial.second for p in alike):
            continue
        alike.append(partial)
        last_worker = min(partial.worker + 2, workers) if every else workers
        for worker in range(partial.worker + 1, last_worker):
            last = int(np.searchsorted(both[0].start[worker], partial.end, side="right"))
            ends = np.arange(partial.end + 1, last)
            one, other = (
                spent + _entering(each, partial, worker) + _loads(each, partial, worker, ends)
                for spent, each in zip((partial.first, partial.second), both, strict=True)
            )
            rest, other_rest, weighed_rest = (table[worker, ends] for table in rests)
            weighed = one + multiplier * other + weighed_rest - multiplier * most
            least = np.maximum(one + rest, weighed)
            # a complete plan costs what it costs, whatever its weighed sum
            least = np.where(ends == units, one + rest, least)
            for at in np.flatnonzero((least < known) & (other + other_rest <= most)):
                count += 1
                longer = _Partial(worker, int(ends[at]), float(one[at]), float(other[at]), partial)
                heapq.heappush(queue, (float(least[at]), count, longer))
    raise TooManyError


def _entering(costs: RunCosts, partial: _Partial, worker: int) -> float:
    if partial.before is None:
        return float(costs.first[worker])
    return float(costs.cut[partial.worker, worker, partial.end - 1])


def _loads(costs: RunCosts, partial: _Partial, worker: int, ends: Ints) -> Floats:
    loads: Floats = costs.sums[worker][ends] - costs.sums[worker, partial.end]
    return loads


def costs_to_go(costs: RunCosts, every: bool) -> Floats:
    """Least cost of all behind a stage of each worker that ends at each cut, shape (N, U + 1).

    The recurrence from the end: the chain and the ring both turned round. Infinite behind cut 0;
    ``every``: no worker behind may stay empty.
    """
    units = costs.sums.shape[1] - 1
    starts = np.arange(units, -1, -1)
    last = [np.searchsorted(row, starts, side="right") - 1 for row in costs.start[::-1]]
    turned = RunCosts(
        sums=costs.sums[::-1, -1:] - costs.sums[::-1, ::-1],
        cut=costs.cut.transpose(1, 0, 2)[::-1, ::-1, ::-1],
        first=costs.last[::-1],
        last=costs.first[::-1],
        start=units - np.stack(last),
    )
    before = RingPass(turned, "sum", every).before[::-1, ::-1]
    return np.pad(before, ((0, 0), (1, 0)), constant_values=np.inf)

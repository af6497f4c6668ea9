"""The least of one sum over contiguous stages where another sum is limited: exact.

A multiplier on the limited sum gives a bound and a plan in a few passes of dynamic programming
(docs/model.md, eq. 23c).
Where these differ, partial plans are extended in the order of what they must cost at least: the
costs to go of both sums, and of the two weighed by the multiplier, leave few of them. The first
complete plan is the best.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from planner.solve.allocation.contiguous import Floats, Ints, Stages

Workers = NDArray[np.int64]
Weights = tuple[float, float]
"""How much of the latency, and of the medium's occupation, a sum counts."""

MAX_EXTENDED = 30_000
"""Partial plans that are extended before giving up: seconds."""

_CLOSE = 1e-12  # relative: a bound this near to a plan proves it
_ROUNDS = 50


class TooManyError(Exception):
    """More partial plans would have to be looked at than is worth while."""


class Order(Protocol):
    """Which worker, or kind of worker, may follow which; a node tells what was used before."""

    def following(self, node: int, worker: int) -> list[tuple[int, int]]:
        """Node and worker of every stage that may come next; -1 and -1 before the first."""

    def costs_to_go(self, stages: Stages) -> Floats:
        """Least cost of all behind a stage, shape (nodes, workers, U + 1)."""


class Sums(Protocol):
    """Passes over a problem under one threshold."""

    order: Order

    def stages(self, weights: Weights) -> Stages:
        """The stages with the cost of given weights."""

    def best(self, weights: Weights) -> Workers | None:
        """The plan of least cost of given weights."""

    def value(self, workers: Workers, weights: Weights) -> float:
        """What a plan costs by given weights."""

    def workers(self, stages: list[tuple[int, range]]) -> Workers:
        """The plan of given workers, or kinds, and units."""

    def check_time(self) -> None:
        """Stop by an exception where the time is over."""


@dataclass(frozen=True)
class _Partial:
    """The first units on some stages, with what they cost; a chain back to the first stage."""

    node: int = -1
    worker: int = -1
    end: int = 0
    first: float = 0.0
    second: float = 0.0
    before: _Partial | None = None

    def stages(self) -> list[tuple[int, range]]:
        """Worker and units of every stage in order."""
        found = []
        at = self
        while at.before is not None:
            found.append((at.worker, range(at.before.end, at.end)))
            at = at.before
        return found[::-1]


def least_within(sums: Sums, first: Weights, second: Weights, most: float) -> Workers | None:
    """The plan of least first sum among those with a second sum of at most ``most``.

    Returns
    -------
    int array, shape (U,), or None
        The worker of every unit; None where no plan keeps the limit.

    Raises
    ------
    TooManyError
    """
    over = sums.best(first)
    if over is None or sums.value(over, second) <= most:
        return over
    under = sums.best(second)
    if under is None or sums.value(under, second) > most:
        return None
    known, multiplier, bound = under, 0.0, -np.inf
    for _ in range(_ROUNDS):
        rise = max(sums.value(under, first) - sums.value(over, first), 0.0)
        multiplier = rise / (sums.value(over, second) - sums.value(under, second))
        weighed = _weighed(first, second, multiplier)
        between = sums.best(weighed)
        assert between is not None
        bound = max(bound, sums.value(between, weighed) - multiplier * most)
        if sums.value(between, weighed) >= sums.value(over, weighed) * (1 - _CLOSE):
            break  # no other multiplier gives a better bound
        if sums.value(between, second) <= most:
            under = between
            known = min(known, under, key=lambda plan: sums.value(plan, first))
        else:
            over = between
    value = sums.value(known, first)
    if value <= bound + _CLOSE * abs(value):
        return known
    better = _search(sums, (first, second), multiplier, most, value)
    return known if better is None else sums.workers(better)


def _weighed(first: Weights, second: Weights, multiplier: float) -> Weights:
    return first[0] + multiplier * second[0], first[1] + multiplier * second[1]


def _search(
    sums: Sums, weights: tuple[Weights, Weights], multiplier: float, most: float, known: float
) -> list[tuple[int, range]] | None:
    """The best plan that is better than a known one, partial plans of least bound first."""
    both = [sums.stages(each) for each in weights]
    rests = [sums.order.costs_to_go(stages) for stages in both]
    rests.append(sums.order.costs_to_go(sums.stages(_weighed(*weights, multiplier))))
    units = both[0].sums.shape[1] - 1
    queue = [(0.0, 0, _Partial())]
    seen: dict[tuple[int, int, int], list[_Partial]] = {}
    count = 0
    for extended in range(MAX_EXTENDED):
        if not queue:
            return None
        if extended % 64 == 0:
            sums.check_time()
        partial = heapq.heappop(queue)[2]
        if partial.end == units:
            return partial.stages()
        alike = seen.setdefault((partial.node, partial.worker, partial.end), [])
        if any(p.first <= partial.first and p.second <= partial.second for p in alike):
            continue
        alike.append(partial)
        for node, worker in sums.order.following(partial.node, partial.worker):
            start = both[0].start[worker]
            last = int(np.searchsorted(start, partial.end, side="right"))
            ends = np.arange(partial.end + 1, last)
            one, other = (
                spent + _entering(stages, partial, worker) + _loads(stages, partial, worker, ends)
                for spent, stages in zip((partial.first, partial.second), both, strict=True)
            )
            rest, other_rest, weighed_rest = (table[node, worker, ends] for table in rests)
            weighed = one + multiplier * other + weighed_rest - multiplier * most
            least = np.maximum(one + rest, weighed)
            done = ends == units  # a complete plan costs what it costs, whatever its weighed sum
            least = np.where(done, one + rest, least)
            for at in np.flatnonzero((least < known) & (other + other_rest <= most)):
                count += 1
                longer = _Partial(
                    node, worker, int(ends[at]), float(one[at]), float(other[at]), partial
                )
                heapq.heappush(queue, (float(least[at]), count, longer))
    raise TooManyError


def _entering(stages: Stages, partial: _Partial, worker: int) -> float:
    if partial.before is None:
        return float(stages.first[worker])
    return float(stages.cut[partial.worker, worker, partial.end - 1])


def _loads(stages: Stages, partial: _Partial, worker: int, ends: Ints) -> Floats:
    loads: Floats = stages.sums[worker][ends] - stages.sums[worker, partial.end]
    return loads

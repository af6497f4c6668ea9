"""One pass of dynamic programming over an allocation problem: the least sum, or the least maximum.

What both of `contiguous` (ring order) and `ordering` (any order) need is made here from a
problem's arrays: costs, windows from memory and from a threshold on every stage and transfer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import AllocationProblem
from planner.errors import InconsistentResultError
from planner.solve.allocation.contiguous import (
    Combine,
    RingPlans,
    Stages,
    load_starts,
    memory_starts,
)
from planner.solve.allocation.costs_to_go import AnyOrder, RingOrder
from planner.solve.allocation.ordering import (
    MAX_ENTRIES,
    best_order,
    kinds_of_workers,
    table_entries,
)
from planner.solve.allocation.stage_bound import least_load
from planner.solve.allocation.two_sums import Order, Weights, Workers, least_within
from planner.solve.check import allocation_loads, allocation_times, medium_s

LATENCY: Weights = (1.0, 0.0)
MEDIUM: Weights = (0.0, 1.0)
"""What a sum counts: all times, or the occupation of the shared medium."""

ROUNDING = 1e-12
"""Relative: times closer than this are equal."""

_CANCELS = 1e4  # a running sum this much above the objective costs it more digits than we have
_CLAIM = 1e-9  # relative difference allowed between the recurrence and the evaluated plan


def is_covered(problem: AllocationProblem) -> bool:
    """Whether the recurrence's table stays small: the ring always, orders of about 14 kinds."""
    if not problem.any_order:
        return True
    multiplicity = np.bincount(_kinds(problem))
    return table_entries(multiplicity, problem.compute_s.shape[1]) <= MAX_ENTRIES


def loses_digits(problem: AllocationProblem, time_s: float) -> bool:
    """Whether a worker's running sums are so large that differences of about a time are noise."""
    return bool(problem.compute_s.sum(axis=1).max() > _CANCELS * time_s)


def is_shared(problem: AllocationProblem) -> bool:
    """Whether the medium's occupation counts beside the transfers."""
    return problem.shared_medium or bool(problem.medium_s.any())


def _kinds(problem: AllocationProblem) -> NDArray[np.int64]:
    limits = [-1 if limit is None else limit for limit in problem.memory_limit_bytes]
    halves = np.array([divmod(limit, 2**31) for limit in limits], dtype=np.float64)  # both exact
    rows = np.column_stack([problem.compute_s, problem.input_s, problem.output_s, halves])
    return kinds_of_workers(rows, problem.transfer_s)


class Passes:
    """Every pass over one problem, with what they share.

    Parameters
    ----------
    problem : AllocationProblem
    check_time : callable
        Called before and during passes; may raise to stop.
    """

    def __init__(
        self, problem: AllocationProblem, check_time: Callable[[], None] = lambda: None
    ) -> None:
        self._problem = problem
        self.check_time = check_time
        workers = np.arange(len(problem.worker_names))
        kinds = _kinds(problem) if problem.any_order else workers
        self._members = [np.flatnonzero(kinds == kind) for kind in range(kinds.max() + 1)]
        self._multiplicity = np.bincount(kinds)
        self._some = np.array([members[0] for members in self._members])
        other = np.array([members[-1] for members in self._members])
        self._transfer_s = problem.transfer_s
        if problem.any_order:  # of one kind to itself: between two of its workers
            self._transfer_s = problem.transfer_s[np.ix_(self._some, self._some)]
            own = np.arange(len(self._some))
            self._transfer_s[own, own] = problem.transfer_s[self._some, other]
        self._longest_s = max(
            self._transfer_s.max(initial=0.0), problem.input_s.max(), problem.output_s.max()
        )
        limits = tuple(problem.memory_limit_bytes[worker] for worker in self._some)
        self._fits = memory_starts(problem.weight_bytes, problem.live_bytes, limits)

    def best(self, weights: Weights, combine: Combine, threshold_s: float | None) -> Workers | None:
        """The best plan with every stage's and transfer's time within a threshold.

        Parameters
        ----------
        weights : (float, float)
            How much of the latency and of the medium's occupation counts.
        combine : {"sum", "max"}
            The sum of these, or the busiest worker or transfer (with `LATENCY`).
        threshold_s : float, optional

        Returns
        -------
        int array, shape (U,), or None
            The worker of every unit; None where no plan fits. Limits on sums are not looked at.

        Raises
        ------
        InconsistentResultError
            The plan does not cost what the recurrence said.
        """
        found = self._run(weights, combine, threshold_s)
        if found is not None and threshold_s is None and weights[0] > 0:
            known_s = self._value_s(found[1], weights, combine) / weights[0]
            if loses_digits(self._problem, known_s):
                # no part of the best plan takes longer: leave out what does
                found = self._run(weights, combine, known_s * (1 + ROUNDING)) or found
        if found is None:
            return None
        claimed_s, workers = found
        value_s = self._value_s(workers, weights, combine)
        if abs(claimed_s - value_s) > _CLAIM * value_s:
            raise InconsistentResultError(
                f"allocation: the recurrence says {claimed_s:.12g} s, "
                f"the plan takes {value_s:.12g} s"
            )
        return workers

    def best_within(
        self, first: Weights, second: Weights, most_s: float, threshold_s: float | None
    ) -> Workers | None:
        """The plan of least first sum within a threshold and a limit on the second sum.

        Raises
        ------
        two_sums.TooManyError
            The limit leaves too many plans to look at.
        """
        return least_within(_Under(self, threshold_s), first, second, most_s)

    def _value_s(self, workers: Workers, weights: Weights, combine: Combine) -> float:
        return self.sum_s(workers, weights) if combine == "sum" else self.largest_s(workers)

    def sum_s(self, workers: Workers, weights: Weights) -> float:
        """Latency and occupation of the medium of a plan, weighed."""
        latency_s = allocation_times(self._problem, workers)[0]
        return weights[0] * latency_s + weights[1] * medium_s(self._problem, workers)

    def largest_s(self, workers: Workers) -> float:
        """The busiest worker or transfer of a plan, the medium left out."""
        loads, transfers = allocation_loads(self._problem, workers)
        return max(float(loads.max()), float(transfers.max()))

    def least_load_s(self) -> float:
        """A bottleneck that no plan in ring order goes below."""
        return least_load(running_sums(self._problem.compute_s), self._fits)

    def every_count(self, combine: Combine) -> RingPlans:
        """`best` of the first 1, 2, ... N workers of the ring, without a threshold."""
        return RingPlans(self.stages(LATENCY, None), combine, self._problem.all_workers)

    def _run(
        self, weights: Weights, combine: Combine, threshold_s: float | None
    ) -> tuple[float, Workers] | None:
        self.check_time()
        stages = self.stages(weights, threshold_s)
        every = self._problem.all_workers
        if not self._problem.any_order:
            ring = RingPlans(stages, combine, every)
            plan = ring.plan(len(ring.values))
            return None if plan is None else (float(ring.values[-1]), plan)
        ordered = best_order(stages, self._multiplicity, combine, every, self.check_time)
        return None if ordered is None else (ordered[0], self.workers(ordered[1]))

    def order(self) -> Order:
        """Which worker or kind may follow which."""
        every = self._problem.all_workers
        if self._problem.any_order:
            return AnyOrder(self._multiplicity, every)
        return RingOrder(len(self._some), every)

    def workers(self, stages: list[tuple[int, range]]) -> Workers:
        """The worker of every unit from kinds and units of stages."""
        free = [list(members) for members in self._members]
        parts = [np.full(len(units), free[kind].pop(0)) for kind, units in stages]
        return np.concatenate(parts).astype(np.int64)

    def stages(self, weights: Weights, threshold_s: float | None) -> Stages:
        """Costs and windows of all stages."""
        problem = self._problem
        compute_s = problem.compute_s[self._some]
        sent_s = (
            self._transfer_s,
            problem.input_s[self._some],
            problem.output_s[self._some],
        )
        start = self._fits
        if threshold_s is not None:
            # longer units end every stage; their own size would only cost digits
            longest = 2 * threshold_s if threshold_s > 0 else 1.0
            compute_s = np.where(compute_s > threshold_s, longest, compute_s)
        sums = running_sums(compute_s)
        if threshold_s is not None:
            start = np.maximum(start, load_starts(sums, threshold_s))
        cut, first, last = sent_s
        if weights != LATENCY:
            sums = weights[0] * sums
            ends = weights[0] + weights[1] * problem.shared_medium
            cut = weights[0] * cut + weights[1] * problem.medium_s
            first, last = ends * first, ends * last
        if threshold_s is not None and threshold_s < self._longest_s:
            cut, first, last = (
                np.where(time_s <= threshold_s, cost, np.inf)
                for time_s, cost in zip(sent_s, (cut, first, last), strict=True)
            )
        return Stages(sums, cut, first, last, start)


class _Under:
    """The passes under one threshold, as `two_sums` wants them."""

    def __init__(self, passes: Passes, threshold_s: float | None) -> None:
        self._passes = passes
        self._threshold_s = threshold_s
        self.order = passes.order()
        self.value = passes.sum_s
        self.workers = passes.workers
        self.check_time = passes.check_time

    def stages(self, weights: Weights) -> Stages:
        return self._passes.stages(weights, self._threshold_s)

    def best(self, weights: Weights) -> Workers | None:
        return self._passes.best(weights, "sum", self._threshold_s)


def running_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the first 0, 1, ... U values of each row, shape (N, U + 1)."""
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)

"""Layer allocation by dynamic programming: which passes answer which problem.

A sum (the latency, a shared medium's occupation) under a threshold on every stage and transfer
is one pass, and so is the bottleneck where no sum counts. Where one does, the threshold is
searched: only times of stages and transfers can be the optimum, and the least sum under each
shows whether it is attained. Two limited sums are weighed against each other by `two_sums`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import FEASIBILITY_TOLERANCE, AllocationProblem
from planner.solve.allocation.contiguous import load_starts
from planner.solve.allocation.passes import (
    LATENCY,
    MEDIUM,
    ROUNDING,
    Passes,
    is_shared,
    loses_digits,
    running_sums,
)
from planner.solve.allocation.two_sums import TooManyError, Workers
from planner.solve.deadline import Deadline
from planner.solve.check import allocation_times, evaluate_allocation, exceeds

_WITHIN = 1 + FEASIBILITY_TOLERANCE / 2  # of a limit: sums in another order keep it as well


class OutOfTimeError(Exception):
    """The time limit has passed."""


@dataclass(frozen=True)
class Answer:
    """What the passes found.

    Attributes
    ----------
    status : str
        ``undecided``: two limited sums leave more plans than are worth looking at.
    workers : int array, shape (U,), optional
    bound_s : float, optional
        No plan has a lower objective.
    """

    status: Literal["optimal", "feasible", "infeasible", "timeout", "undecided"]
    workers: Workers | None = None
    bound_s: float | None = None


def dp_allocation(problem: AllocationProblem, time_limit_s: float | None = None) -> Answer:
    """Solve by dynamic programming; among equal bottlenecks the least latency is taken.

    Parameters
    ----------
    problem : AllocationProblem
        One that `allocation_passes.is_covered`.
    time_limit_s : float, optional
    """
    search = _Search(problem, time_limit_s)
    try:
        if problem.objective == "latency":
            return search.least_latency()
        return search.least_bottleneck()
    except OutOfTimeError:
        return Answer("timeout")
    except TooManyError:
        return Answer("undecided")


def every_count(problem: AllocationProblem) -> tuple[NDArray[np.float64], list[Workers | None]]:
    """The optimum of the first 1, 2, ... N workers of the ring, in one pass.

    Parameters
    ----------
    problem : AllocationProblem
        In ring order, without limits but those on memory, and without a shared medium's
        bottleneck.

    Returns
    -------
    objective_s : float array, shape (N,)
        Infinite where no plan fits.
    workers : list of int array, shape (U,), or None

    Raises
    ------
    ValueError
        The problem has what one pass does not answer.
    """
    limits = problem.max_latency_s, problem.max_bottleneck_s
    medium = problem.objective == "bottleneck" and is_shared(problem)
    if problem.any_order or medium or limits != (None, None):
        raise ValueError("one pass knows the ring's order and memory limits only")
    ring = Passes(problem).every_count("sum" if problem.objective == "latency" else "max")
    if loses_digits(problem, float(ring.values.min())):
        found = [dp_allocation(first_workers(problem, k)) for k in range(1, len(ring.values) + 1)]
        bounds = [np.inf if answer.bound_s is None else answer.bound_s for answer in found]
        return np.array(bounds), [answer.workers for answer in found]
    plans: list[Workers | None] = []
    for count, value in enumerate(ring.values, start=1):
        # another worker that brings nothing leaves the plan as it is
        same = not problem.all_workers and count > 1 and value == ring.values[count - 2]
        plans.append(plans[-1] if same else ring.plan(count))
    return ring.values, plans


def first_workers(problem: AllocationProblem, count: int) -> AllocationProblem:
    """The same problem on the first workers of the ring."""
    return problem.model_copy(
        update={
            "compute_s": problem.compute_s[:count],
            "transfer_s": problem.transfer_s[:count, :count],
            "input_s": problem.input_s[:count],
            "output_s": problem.output_s[:count],
            "memory_limit_bytes": problem.memory_limit_bytes[:count],
            "worker_names": problem.worker_names[:count],
        }
    )


class _Search:
    """The passes that one problem takes."""

    def __init__(self, problem: AllocationProblem, time_limit_s: float | None) -> None:
        self._problem = problem
        self._deadline = Deadline(time_limit_s)
        self._passes = Passes(problem, self._check_time)
        most = problem.max_bottleneck_s
        self._threshold_s = None if most is None else most * _WITHIN

    def _check_time(self) -> None:
        if self._deadline.passed:
            raise OutOfTimeError

    def least_latency(self) -> Answer:
        """Eq. 21 under the limits."""
        workers = self._fastest(self._problem.max_bottleneck_s, _WITHIN)
        if workers is None:
            return Answer("infeasible")
        latency_s = self._passes.sum_s(workers, LATENCY)
        if _over(latency_s, self._problem.max_latency_s):
            return Answer("infeasible")
        return Answer("optimal", workers, latency_s)

    def _fastest(self, bottleneck_s: float | None, slack: float) -> Workers | None:
        """The plan of least latency with at most a given bottleneck."""
        threshold_s = None if bottleneck_s is None else bottleneck_s * slack
        if threshold_s is None or not is_shared(self._problem):
            return self._passes.best(LATENCY, "sum", threshold_s)
        return self._passes.best_within(LATENCY, MEDIUM, threshold_s, threshold_s)

    def least_bottleneck(self) -> Answer:
        """Eq. 23 under the limits; among equals the least latency."""
        problem = self._problem
        at_once = self._at_the_bound()
        if at_once is not None:
            return at_once
        busiest = self._passes.best(LATENCY, "max", self._threshold_s)
        if busiest is None:
            return Answer("infeasible")
        if is_shared(problem) or problem.max_latency_s is not None:
            found = self._search(busiest)
        else:
            found = Answer("optimal", busiest, allocation_times(problem, busiest)[1])
        if found.workers is None or found.bound_s is None:
            return found
        if _over(found.bound_s, problem.max_bottleneck_s):
            return Answer("infeasible")
        if found.status == "feasible":
            return found
        try:
            fastest = self._fastest(found.bound_s, 1 + ROUNDING)
        except (OutOfTimeError, TooManyError):
            return found  # the bottleneck is proven all the same
        plans = [found.workers] if fastest is None else [fastest, found.workers]
        quickest = min(plans, key=lambda workers: self._passes.sum_s(workers, LATENCY))
        return replace(found, workers=quickest)

    def _at_the_bound(self) -> Answer | None:
        """The answer where the loads alone decide, which is often so and quickly found."""
        problem = self._problem
        limits = problem.max_latency_s, problem.max_bottleneck_s
        if problem.any_order or is_shared(problem) or limits != (None, None):
            return None
        bound_s = self._passes.least_load_s()
        workers = self._fastest(bound_s, 1 + ROUNDING) if np.isfinite(bound_s) else None
        return None if workers is None else Answer("optimal", workers, bound_s)

    def _search(self, busiest: Workers) -> Answer:
        """The least bottleneck where the medium counts or the latency is limited.

        Parameters
        ----------
        busiest : int array, shape (U,)
            The best plan if neither did: no plan's busiest worker and transfer take less.
        """
        low = self._passes.largest_s(busiest)
        best, high = self._under(self._threshold_s)
        if best is None:
            return Answer("infeasible")
        threshold: float | None = low
        try:
            while threshold is not None:
                workers, value = self._under(threshold * (1 + ROUNDING))
                if value < high:
                    best, high = workers, value
                if value > threshold * (1 + 3 * ROUNDING):
                    low = threshold
                threshold = self._between(low, high)
        except OutOfTimeError:
            broken = best is None or evaluate_allocation(self._problem, best).violations
            return Answer("timeout") if broken else Answer("feasible", best, low)
        return Answer("optimal", best, high)

    def _under(self, threshold_s: float | None) -> tuple[Workers | None, float]:
        """The plan under a threshold that shows most: of least occupation or least latency."""
        most_s = self._problem.max_latency_s
        if not is_shared(self._problem):
            workers = self._passes.best(LATENCY, "sum", threshold_s)
            if workers is not None and _over(self._passes.sum_s(workers, LATENCY), most_s):
                workers = None
        elif most_s is None:
            workers = self._passes.best(MEDIUM, "sum", threshold_s)
        else:
            workers = self._passes.best_within(MEDIUM, LATENCY, most_s * _WITHIN, threshold_s)
        if workers is None:
            return None, np.inf
        return workers, allocation_times(self._problem, workers)[1]

    def _between(self, low: float, high: float) -> float | None:
        """A time of a stage or transfer about half way; None where there is none between."""
        least, most = low * (1 + 2 * ROUNDING), high * (1 - 5 * ROUNDING)
        middle = low + (high - low) / 2
        sums = running_sums(self._problem.compute_s)
        start = load_starts(sums, middle)
        loads = sums - np.take_along_axis(sums, start, axis=1)
        longer = sums - np.take_along_axis(sums, np.maximum(start - 1, 0), axis=1)
        problem = self._problem
        sent = np.concatenate([problem.transfer_s.ravel(), problem.input_s, problem.output_s])
        below = max(loads.max(), sent[sent <= middle].max(initial=0.0))
        if least < below < most:
            return float(below)
        above = min(longer[start > 0].min(initial=np.inf), sent[sent > middle].min(initial=np.inf))
        return float(above) if least < above < most else None


def _over(value: float, limit: float | None) -> bool:
    return limit is not None and exceeds(value, limit)

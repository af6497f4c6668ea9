"""The best plan of a ring by dynamic programming: which passes answer which problem.

A sum (the latency, a shared medium's occupation) under a threshold on every stage and transfer
is one pass, and so is the bottleneck where no sum counts. Where one does, the threshold is
searched: only times of stages and transfers can be the optimum, and the least sum under each
shows whether it is attained. Two limited sums are weighed against each other by `two_sums`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from planner.domain.certificate import FEASIBILITY_TOLERANCE
from planner.solve.check import evaluate, exceeds
from planner.solve.deadline import Deadline
from planner.solve.ring.chain import Ring, Workers
from planner.solve.ring.contiguous import load_starts
from planner.solve.ring.passes import (
    LATENCY,
    MEDIUM,
    ROUNDING,
    OutOfTimeError,
    Passes,
    running_sums,
)
from planner.solve.ring.two_sums import TooManyError, least_within

_WITHIN = 1 + FEASIBILITY_TOLERANCE / 2  # of a limit: sums in another order keep it as well


@dataclass(frozen=True)
class RingOutcome:
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


def minimise_ring(ring: Ring, deadline: Deadline) -> RingOutcome:
    """The best plan of a ring; among equal bottlenecks the least latency is taken."""
    search = _Search(ring, deadline)
    try:
        if ring.problem.objective == "latency":
            answer = search.least_latency()
        else:
            answer = search.least_bottleneck()
    except OutOfTimeError:
        return RingOutcome("timeout")
    except TooManyError:
        return RingOutcome("undecided")
    if answer.workers is None:
        return answer
    return replace(answer, workers=_towards_source(ring, answer.workers))


def _towards_source(ring: Ring, workers: Workers) -> Workers:
    """The same stages on the first workers of the ring, where that is no worse."""
    packed = np.concatenate([[0], np.cumsum(np.diff(workers) != 0)])
    if np.array_equal(packed, workers):
        return workers
    now, then = ring.times(workers), ring.times(packed)
    same = then.latency_s <= now.latency_s and then.bottleneck_s <= now.bottleneck_s
    fits = same and not evaluate(ring.problem, ring.choice(packed)).violations
    return packed if fits else workers


class _Search:
    """The passes that one ring takes."""

    def __init__(self, ring: Ring, deadline: Deadline) -> None:
        self._ring = ring
        self._problem = ring.problem
        self._passes = Passes(ring, deadline)
        most = ring.problem.max_bottleneck_s
        self._threshold_s = None if most is None else most * _WITHIN

    def least_latency(self) -> RingOutcome:
        """Eq. 22 under the limits."""
        workers = self._fastest(self._problem.max_bottleneck_s, _WITHIN)
        if workers is None:
            return RingOutcome("infeasible")
        latency_s = self._passes.sum_s(workers, LATENCY)
        if exceeds(latency_s, self._problem.max_latency_s):
            return RingOutcome("infeasible")
        return RingOutcome("optimal", workers, latency_s)

    def _fastest(self, bottleneck_s: float | None, slack: float) -> Workers | None:
        """The plan of least latency with at most a given bottleneck."""
        threshold_s = None if bottleneck_s is None else bottleneck_s * slack
        if threshold_s is None or not self._ring.is_shared:
            return self._passes.best(LATENCY, "sum", threshold_s)
        return least_within(self._passes, LATENCY, MEDIUM, threshold_s, threshold_s)

    def least_bottleneck(self) -> RingOutcome:
        """Eq. 23 under the limits; among equals the least latency."""
        problem = self._problem
        at_once = self._at_the_bound()
        if at_once is not None:
            return at_once
        busiest = self._passes.best(LATENCY, "max", self._threshold_s)
        if busiest is None:
            return RingOutcome("infeasible")
        if self._ring.is_shared or problem.max_latency_s is not None:
            found = self._search(busiest)
        else:
            found = RingOutcome("optimal", busiest, self._ring.times(busiest).bottleneck_s)
        if found.workers is None or found.bound_s is None:
            return found
        if exceeds(found.bound_s, problem.max_bottleneck_s):
            return RingOutcome("infeasible")
        if found.status == "feasible":
            return found
        try:
            fastest = self._fastest(found.bound_s, 1 + ROUNDING)
        except (OutOfTimeError, TooManyError):
            return found  # the bottleneck is proven all the same
        plans = [found.workers] if fastest is None else [fastest, found.workers]
        quickest = min(plans, key=lambda workers: self._passes.sum_s(workers, LATENCY))
        return replace(found, workers=quickest)

    def _at_the_bound(self) -> RingOutcome | None:
        """The answer where the loads alone decide, which is often so and quickly found."""
        limits = self._problem.max_latency_s, self._problem.max_bottleneck_s
        if self._ring.is_shared or limits != (None, None):
            return None
        bound_s = self._passes.least_load_s()
        workers = self._fastest(bound_s, 1 + ROUNDING) if np.isfinite(bound_s) else None
        return None if workers is None else RingOutcome("optimal", workers, bound_s)

    def _search(self, busiest: Workers) -> RingOutcome:
        """The least bottleneck where the medium counts or the latency is limited.

        Parameters
        ----------
        busiest : int array, shape (U,)
            The best plan if neither did: no plan's busiest worker and transfer take less.
        """
        low = self._ring.times(busiest).busiest_s
        best, high = self._under(self._threshold_s)
        if best is None:
            return RingOutcome("infeasible")
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
            assert best is not None
            broken = evaluate(self._problem, self._ring.choice(best)).violations
            return RingOutcome("timeout") if broken else RingOutcome("feasible", best, low)
        return RingOutcome("optimal", best, high)

    def _under(self, threshold_s: float | None) -> tuple[Workers | None, float]:
        """The plan under a threshold that shows most: of least occupation or least latency."""
        most_s = self._problem.max_latency_s
        if not self._ring.is_shared:
            workers = self._passes.best(LATENCY, "sum", threshold_s)
            if workers is not None and exceeds(self._passes.sum_s(workers, LATENCY), most_s):
                workers = None
        elif most_s is None:
            workers = self._passes.best(MEDIUM, "sum", threshold_s)
        else:
            workers = least_within(self._passes, MEDIUM, LATENCY, most_s * _WITHIN, threshold_s)
        if workers is None:
            return None, np.inf
        return workers, self._ring.times(workers).bottleneck_s

    def _between(self, low: float, high: float) -> float | None:
        """A time of a stage or transfer about half way; None where there is none between."""
        least, most = low * (1 + 2 * ROUNDING), high * (1 - 5 * ROUNDING)
        middle = low + (high - low) / 2
        ring = self._ring
        sums = running_sums(ring.work_s)
        start = load_starts(sums, middle)
        loads = sums - np.take_along_axis(sums, start, axis=1)
        longer = sums - np.take_along_axis(sums, np.maximum(start - 1, 0), axis=1)
        sent = np.concatenate([ring.transfer_busy_s.ravel(), ring.input_busy_s, ring.output_busy_s])
        below = max(loads.max(), sent[sent <= middle].max(initial=0.0))
        if least < below < most:
            return float(below)
        above = min(longer[start > 0].min(initial=np.inf), sent[sent > middle].min(initial=np.inf))
        return float(above) if least < above < most else None

"""One pass of dynamic programming over a ring: the least sum, or the least maximum.

What `contiguous` passes over is made here from a ring's arrays: costs, and windows from memory and
from a threshold on every stage and transfer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.errors import InconsistentResultError
from planner.solve.deadline import Deadline
from planner.solve.ring.chain import Ring, Workers
from planner.solve.ring.contiguous import Combine, RingPass, RunCosts, load_starts
from planner.solve.ring.stage_bound import least_load

Weights = tuple[float, float]
"""How much of the latency, and of the medium's occupation, a sum counts."""

LATENCY: Weights = (1.0, 0.0)
MEDIUM: Weights = (0.0, 1.0)
"""What a sum counts: all times, or the occupation of the shared medium."""

ROUNDING = 1e-12
"""Relative: times closer than this are equal."""

_CANCELS = 1e4  # a running sum this much above the objective costs it more digits than we have
_CLAIM = 1e-9  # relative difference allowed between the recurrence and the evaluated plan


class OutOfTimeError(Exception):
    """The deadline has passed."""


class Passes:
    """Every pass over one ring, until a deadline."""

    def __init__(self, ring: Ring, deadline: Deadline) -> None:
        self.ring = ring
        self._deadline = deadline
        self._sent_s = ring.transfer_busy_s, ring.input_busy_s, ring.output_busy_s
        self._longest_s = max(seconds.max(initial=0.0) for seconds in self._sent_s)

    def check_time(self) -> None:
        """Stop by an exception where the time is over.

        Raises
        ------
        OutOfTimeError
        """
        if self._deadline.passed:
            raise OutOfTimeError

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
        OutOfTimeError
        """
        found = self._run(weights, combine, threshold_s)
        if found is not None and threshold_s is None and weights[0] > 0:
            known_s = self._value_s(found[1], weights, combine) / weights[0]
            # differences of running sums so large are noise; no part of the best plan takes
            # longer than the plan: leave out what does
            if self.ring.work_s.sum(axis=1).max() > _CANCELS * known_s:
                found = self._run(weights, combine, known_s * (1 + ROUNDING)) or found
        if found is None:
            return None
        claimed_s, workers = found
        value_s = self._value_s(workers, weights, combine)
        if abs(claimed_s - value_s) > _CLAIM * value_s:
            raise InconsistentResultError(
                f"the recurrence says {claimed_s:.12g} s, the plan takes {value_s:.12g} s"
            )
        return workers

    def _run(
        self, weights: Weights, combine: Combine, threshold_s: float | None
    ) -> tuple[float, Workers] | None:
        self.check_time()
        costs = self.cost_stages(weights, threshold_s, combine)
        found = RingPass(costs, combine, self.ring.every)
        plan = found.plan()
        return None if plan is None else (found.value, plan)

    def _value_s(self, workers: Workers, weights: Weights, combine: Combine) -> float:
        if combine == "sum":
            return self.sum_s(workers, weights)
        return self.ring.times(workers).busiest_s

    def sum_s(self, workers: Workers, weights: Weights) -> float:
        """Latency and occupation of the medium of a plan, weighed."""
        times = self.ring.times(workers)
        return weights[0] * times.latency_s + weights[1] * times.medium_s

    def least_load_s(self) -> float:
        """A bottleneck that no plan goes below."""
        return least_load(running_sums(self.ring.work_s), self.ring.fits)

    def cost_stages(
        self, weights: Weights, threshold_s: float | None, combine: Combine = "sum"
    ) -> RunCosts:
        """Costs and windows of all stages; of a maximum, what transfers and ends occupy."""
        ring, start = self.ring, self.ring.fits
        work_s = ring.work_s
        if threshold_s is not None:
            # longer units end every stage; their own size would only cost digits
            longest = 2 * threshold_s if threshold_s > 0 else 1.0
            work_s = np.where(work_s > threshold_s, longest, work_s)
        sums = running_sums(work_s)
        if threshold_s is not None:
            start = np.maximum(start, load_starts(sums, threshold_s))
        cut, first, last = ring.transfer_s, ring.input_s, ring.output_s
        if combine == "max":
            cut, first, last = self._sent_s
        if weights != LATENCY:
            sums = weights[0] * sums + weights[1] * running_sums(ring.medium_s)
            cut = weights[0] * cut + weights[1] * ring.transfer_medium_s
            first = weights[0] * first + weights[1] * ring.input_medium_s
            last = weights[0] * last + weights[1] * ring.output_medium_s
        if not ring.cuttable.all():
            cut = np.where(ring.cuttable, cut, np.inf)
        if threshold_s is not None and threshold_s < self._longest_s:
            cut, first, last = (
                np.where(time_s <= threshold_s, cost, np.inf)
                for time_s, cost in zip(self._sent_s, (cut, first, last), strict=True)
            )
        return RunCosts(sums, cut, first, last, start)


def running_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the first 0, 1, ... U values of each row, shape (N, U + 1)."""
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)

"""Relaxations of the joint problem that a dynamic program solves (docs/model.md, eq. 30, 32)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.solve.problem import NO_LIMIT, JointProblem
from planner.domain.certificate import FEASIBILITY_TOLERANCE
from planner.solve.joint.stage_graph import ROUNDING, Chain, Completions, StageGraph, stage_graph

_SLOPES = 24  # multipliers tried on a stage's busiest resource; more tighten the bound
_CELLS = 2_000_000  # of all stages by first and last unit and slope: fewer slopes on long chains


class Relaxation:
    """Bounds from below over all structures, for one limit on the bottleneck.

    Memory and the bottleneck bind each stage through the least that its units can need; the
    budget of losses through a multiplier.

    Parameters
    ----------
    problem : JointProblem
    graph : StageGraph, optional
        Of this problem, when it is known already.
    """

    def __init__(self, problem: JointProblem, graph: StageGraph | None = None) -> None:
        self.problem = problem
        self.graph = graph or stage_graph(problem)
        self._fits = _longest_that_fit(problem)
        self._latency = np.where(problem.allowed, problem.latency_s, np.inf)
        self._busy = np.where(problem.allowed, problem.busy_s, np.inf)
        self._loss = np.where(problem.allowed, problem.loss, np.inf)
        self._transfer = np.where(problem.cuttable, problem.transfer_s, np.inf)
        self._priced: list[tuple[float, NDArray[np.float64]]] | None = None

    def latency(self, multiplier: float, bottleneck_s: float | None) -> Completions:
        """Least latency plus ``multiplier`` times the loss over all structures (eq. 30)."""
        run = self.options(multiplier)[1]
        return self._completions(run, self._transfer, bottleneck_s, ends=True)

    def options(self, multiplier: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The cheapest option of every unit on every group and its cost, shape (G, U)."""
        cost = self._latency
        if multiplier:
            cost = cost + multiplier * self._loss
        option = cost.argmin(axis=2)
        return option, np.take_along_axis(cost, option[..., None], axis=2)[..., 0]

    def loss(self, bottleneck_s: float | None) -> Completions:
        """Least loss over all structures within a bottleneck (eq. 32)."""
        least = self._loss.min(axis=2)
        transfer = np.where(np.isfinite(self._transfer), 0.0, np.inf)
        if bottleneck_s is None or not self.problem.loss.any():
            return self._completions(least, transfer, bottleneck_s, ends=False)
        stage = self._stage_losses(bottleneck_s)
        return self._completions(least, transfer, bottleneck_s, ends=False, stage=stage)

    def _stage_losses(self, bottleneck_s: float) -> NDArray[np.float64]:
        """Least loss of every stage within a bottleneck, from below, shape (G, U, U).

        For any multiplier the loss of a stage is at least the sum over its units of the least
        loss plus multiplier times busy seconds, less the multiplier times the bottleneck.
        """
        if self._priced is None:
            self._priced = self._price()
        groups, units, _ = self._loss.shape
        least = np.zeros((groups, units, units))
        for slope, prefix in self._priced:
            off = slope * bottleneck_s + ROUNDING * (prefix[:, -1].max() + slope * bottleneck_s)
            bound = prefix[:, None, 1:] - (prefix[:, :-1, None] + off)
            np.maximum(least, bound, out=least)
        return least

    def _price(self) -> list[tuple[float, NDArray[np.float64]]]:
        """Every multiplier with the running sums of the least priced losses, (G, U + 1)."""
        groups, units, _ = self._loss.shape
        count = max(6, min(_SLOPES, _CELLS // (groups * units * units)))
        priced = []
        for busy in self._busy:
            for slope in _slopes(self._loss, busy, count):
                unit = (self._loss + slope * busy).min(axis=2)
                running = np.concatenate([np.zeros((groups, 1)), unit.cumsum(axis=1)], axis=1)
                priced.append((float(slope), running))
        return priced

    def _completions(
        self,
        run: NDArray[np.float64],
        transfer: NDArray[np.float64],
        bottleneck_s: float | None,
        *,
        ends: bool,
        stage: NDArray[np.float64] | None = None,
    ) -> Completions:
        problem = self.problem
        last, first, output = self._fits, problem.input_s, problem.output_s
        if bottleneck_s is not None:
            most = bottleneck_s * (1 + FEASIBILITY_TOLERANCE)
            last = np.minimum(last, _longest_within(self._busy.min(axis=3), most))
            transfer = np.where(problem.transfer_s > most, np.inf, transfer)
            first = np.where(first > most, np.inf, first)
            output = np.where(output > most, np.inf, output)
        if not ends:
            first, output = (np.where(np.isfinite(e), 0.0, np.inf) for e in (first, output))
        return Completions(self.graph, Chain(run, transfer, last, first, output, stage))


def _slopes(
    loss: NDArray[np.float64], busy: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Multipliers from the flattest to the steepest trade of loss for seconds."""
    finite = np.isfinite(loss)
    spread = np.where(finite, busy, 0.0).max(axis=2) - busy.min(axis=2)
    price = np.where(finite, loss, 0.0).max(axis=2)
    trades = (price > 0) & (spread > 0)
    if not trades.any():
        return np.zeros(0)
    ratio = price[trades] / spread[trades]
    return np.geomspace(ratio.min() / 10, ratio.max() * 10, count)


def _longest_within(least_s: NDArray[np.float64], most_s: float) -> NDArray[np.int64]:
    """Last unit of the longest stage within a time, by resource's least, shape (G, U)."""
    _, groups, units = least_s.shape
    last = np.full((groups, units), units - 1, dtype=np.int64)
    for seconds in least_s:
        for group in range(groups):
            reached = np.concatenate([[0.0], np.cumsum(seconds[group])])
            rounding = 1e-12 * reached[-1]
            ends = np.searchsorted(reached, reached[:-1] + most_s + rounding, side="right") - 2
            np.minimum(last[group], ends, out=last[group])
    return last


def _longest_that_fit(problem: JointProblem) -> NDArray[np.int64]:
    """Last unit of the longest stage whose least memory fits every position, shape (G, U)."""
    groups, units, _ = problem.latency_s.shape
    allowed = problem.allowed[..., None]
    weights = np.where(allowed, problem.weight_bytes, NO_LIMIT).min(axis=2)
    live = np.where(allowed, problem.live_bytes, NO_LIMIT).min(axis=2)
    last = np.full((groups, units), units - 1, dtype=np.int64)
    whole = weights.sum(axis=1) + live.max(axis=1)
    for group, position in np.argwhere(whole > problem.memory_limit_bytes):
        limit = int(problem.memory_limit_bytes[group, position])
        stored = np.concatenate([[0], np.cumsum(weights[group, :, position])])
        for start in range(units):
            peak = np.maximum.accumulate(live[group, start:, position])
            needed = stored[start + 1 :] - stored[start] + peak
            longest = start + int(np.searchsorted(needed, limit, side="right")) - 1
            last[group, start] = min(last[group, start], longest)
    return last

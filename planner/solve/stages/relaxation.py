"""Relaxations of the problem that a dynamic program solves (docs/model.md, eq. 25, 27)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import FEASIBILITY_TOLERANCE
from planner.solve.problem import NO_LIMIT, Problem, Structure
from planner.solve.ring.contiguous import load_starts, memory_starts
from planner.solve.stages.memory_bound import memory_bound
from planner.solve.stages.stage_graph import ROUNDING, Chain, Completions, stage_graph

Floats = NDArray[np.float64]

_SLOPES = 24  # multipliers tried on a stage's busiest resource; more tighten the bound
_CELLS = 2_000_000  # of all stages by first and last unit and slope: fewer slopes on long chains
_WEIGHINGS = 8  # of several limited sums against each other
_STEP = 4.0  # how fast the weight of a sum grows that exceeds its limit


@dataclass(frozen=True)
class LimitedSum:
    """A sum over a plan's units, cuts and ends, from below, and the most that it may be."""

    limit: float
    run: Floats
    transfer: Floats
    first: Floats
    output: Floats
    stage: Floats | None = None

    def of(self, structure: Structure) -> float:
        """What a structure needs at least."""
        starts, groups = structure
        stops = [*starts[1:], self.run.shape[1]]
        total = float(self.first[groups[0]] + self.output[groups[-1]])
        for start, stop, group in zip(starts, stops, groups, strict=True):
            if self.stage is None:
                total += float(self.run[group, start:stop].sum())
            else:
                total += float(self.stage[group, start, stop - 1])
        cuts = np.array(starts[1:], dtype=np.int64) - 1
        return total + float(self.transfer[groups[:-1], groups[1:], cuts].sum())


@dataclass(frozen=True)
class Within:
    """What the limited sums, weighed together, leave of the structures within a bottleneck.

    Attributes
    ----------
    completions : Completions
        Of the weighed sums.
    most : float
        What they may add up to; a structure that needs more breaks a limit.
    """

    completions: Completions
    most: float

    @property
    def largest(self) -> float:
        """The most that a structure may cost as it is summed here."""
        return self.most + self.completions.rounding

    @property
    def passes(self) -> bool:
        """Whether any structure may keep all limits."""
        return self.completions.least <= self.largest


class Relaxation:
    """Bounds from below over all structures, for one limit on the bottleneck.

    Memory and the bottleneck bind each stage through the least that its units can need; limited
    sums through multipliers.

    Parameters
    ----------
    problem : Problem
    known_s : float
        Objective of a known plan: what is worse need not be told apart.
    """

    def __init__(self, problem: Problem, known_s: float = np.inf) -> None:
        self.problem = problem
        self.graph = stage_graph(problem)
        self._fits = _longest_that_fit(problem)
        self._memory = memory_bound(problem)
        # a unit that alone takes too long ends a stage; its own size would only cost digits
        least = {"latency": problem.max_latency_s, "bottleneck": problem.max_bottleneck_s}
        most = {name: 2 * (np.inf if s is None else s) for name, s in least.items()}
        most[problem.objective] = 2 * known_s
        latency, busy = (
            np.minimum(values, most[name] or 1.0)
            for name, values in (("latency", problem.latency_s), ("bottleneck", problem.busy_s))
        )
        self._latency = np.where(problem.allowed, latency, np.inf)
        self._busy = np.where(problem.allowed, busy, np.inf)
        self._loss = np.where(problem.allowed, problem.loss, np.inf)
        self.second_price = 0.0
        """What a unit of the second limited sum costs in `latency`."""
        self._priced: list[tuple[float, Floats]] | None = None
        self._stages: tuple[float, Floats] | None = None
        medium = np.where(problem.allowed, problem.medium_s, np.inf).min(axis=2)
        ends = problem.input_medium_s, problem.output_medium_s
        self._medium: LimitedSum | None = None
        if medium.any() or problem.transfer_medium_s.any() or np.any(ends):
            self._medium = LimitedSum(np.inf, medium, problem.transfer_medium_s, *ends)

    def latency(self, multiplier: float, most_s: float | None) -> Completions:
        """Least latency plus ``multiplier`` times the loss over all structures (eq. 25).

        Parameters
        ----------
        multiplier : float
        most_s : float, optional
            The most that any stage, transfer or end takes.
        """
        problem = self.problem
        run = self.options(multiplier)[1]
        between = problem.transfer_s
        if problem.transfer_loss is not None:
            between = between + multiplier * problem.transfer_loss
        if problem.second is not None and self.second_price:
            between = between + self.second_price * problem.second.of_transfers
        stage = self._within_memory(self._priced_options(multiplier))
        if stage is not None and most_s is not None:
            for busy in self._busy:
                least = self._within_memory(busy)
                if least is None:
                    continue
                rounding = ROUNDING * float(busy.min(axis=2).sum(axis=1).max())
                stage = np.where(least > most_s + rounding, np.inf, stage)
        cost = LimitedSum(np.inf, run, between, problem.input_s, problem.output_s, stage)
        return self._completions(cost, most_s)

    def options(self, multiplier: float) -> tuple[NDArray[np.int64], Floats]:
        """The cheapest option of every unit on every group and its cost, shape (G, U)."""
        cost = self._priced_options(multiplier)
        option = cost.argmin(axis=2)
        return option, np.take_along_axis(cost, option[..., None], axis=2)[..., 0]

    def _within_memory(self, cost: Floats) -> Floats | None:
        """Least cost of every stage as far as its memory tells, (G, U, U); None: sums of units."""
        least = cost.min(axis=2)
        if self._memory is None or not np.isfinite(least).all():
            return None
        reached = _running_sums(least)
        stage: Floats = reached[:, None, 1:] - reached[:, :-1, None] + self._memory.extra(cost)
        return stage

    def _priced_options(self, multiplier: float) -> Floats:
        cost = self._latency + multiplier * self._loss if multiplier else self._latency
        if self.problem.second is not None and self.second_price:
            cost = cost + self.second_price * self.problem.second.of_units
        return cost

    def within(self, most_s: float | None) -> Within:
        """The limited sums of all structures within a bottleneck (eq. 27).

        Several are weighed against each other: any weights give a bound, and those grow whose
        sum the cheapest structure exceeds.
        """
        sums = self._limited_sums(most_s)
        scales = np.array([each.limit or float(each.run.max()) or 1.0 for each in sums])
        weights = np.full(len(sums), 1.0 / len(sums))
        best: tuple[float, Within] | None = None
        for _ in range(_WEIGHINGS):
            factors = weights / scales
            weighed = _weigh(sums, factors)
            found = Within(self._completions(weighed, most_s), weighed.limit)
            over = found.completions.least - found.most
            if best is None or over > best[0]:
                best = over, found
            if len(sums) == 1 or not found.passes:
                return found
            structure = found.completions.cheapest()
            shares = np.array([each.of(structure) for each in sums]) / scales
            exceeded = shares - np.array([each.limit for each in sums]) / scales
            if (exceeded <= 0).all():
                break  # it keeps every limit by itself: no weights exclude it
            weights = weights * np.exp(_STEP * exceeded.clip(-1.0, 1.0))
            weights /= weights.sum()
        assert best is not None
        return best[1]

    def _limited_sums(self, most_s: float | None) -> list[LimitedSum]:
        problem, slack = self.problem, 1 + FEASIBILITY_TOLERANCE
        none, no_transfer = np.zeros(len(self._fits)), np.zeros_like(problem.transfer_s)
        between = problem.lost_between
        sums = []
        if problem.max_loss is not None:
            stage = None
            if most_s is not None and problem.loss.any():
                stage = self._stage_losses(most_s)
            run = self._loss.min(axis=2)
            most = problem.max_loss * slack
            sums.append(LimitedSum(most, run, between, none, none, stage))
        if problem.max_latency_s is not None and problem.objective == "bottleneck":
            most, run = problem.max_latency_s * slack, self._latency.min(axis=2)
            ends = problem.input_s, problem.output_s
            sums.append(LimitedSum(most, run, problem.transfer_s, *ends))
        if most_s is not None and self._medium is not None:
            medium = self._medium
            sums.append(
                LimitedSum(most_s, medium.run, medium.transfer, medium.first, medium.output)
            )
        if not sums:
            sums.append(LimitedSum(0.0, np.zeros(self._fits.shape), no_transfer, none, none))
        return sums

    def _stage_losses(self, bottleneck_s: float) -> Floats:
        """Least loss of every stage within a bottleneck, from below, shape (G, U, U).

        For any multiplier the loss of a stage is at least the sum over its units of the least
        loss plus multiplier times busy seconds, less the multiplier times the bottleneck.
        """
        if self._stages is not None and self._stages[0] == bottleneck_s:
            return self._stages[1]
        if self._priced is None:
            self._priced = self._price()
        groups, units, _ = self._loss.shape
        least = np.zeros((groups, units, units))
        for slope, prefix in self._priced:
            off = slope * bottleneck_s + ROUNDING * (prefix[:, -1].max() + slope * bottleneck_s)
            bound = prefix[:, None, 1:] - (prefix[:, :-1, None] + off)
            np.maximum(least, bound, out=least)
        if self._stages is not None and bottleneck_s <= self._stages[0]:
            # what was raised within a wider bottleneck is no less within this one
            np.maximum(least, self._stages[1], out=least)
        self._stages = bottleneck_s, least
        return least

    def raise_stage(self, group: int, start: int, last: int, loss: float) -> None:
        """Take a greater least loss of one stage, within the bottleneck that was asked for last."""
        assert self._stages is not None
        self._stages[1][group, start, last] = max(loss, self._stages[1][group, start, last])

    @property
    def shares_loss_alone(self) -> bool:
        """Whether nothing but the loss budget ties the stages of a structure together."""
        problem = self.problem
        alone = problem.max_latency_s is None and self._medium is None
        alone = alone and not problem.has_software and problem.transfer_loss is None
        return alone and problem.max_loss is not None and bool(problem.loss.any())

    def _price(self) -> list[tuple[float, Floats]]:
        """Every multiplier with the running sums of the least priced losses, (G, U + 1)."""
        groups, units, _ = self._loss.shape
        count = max(6, min(_SLOPES, _CELLS // (groups * units * units)))
        priced = []
        for busy in self._busy:
            for slope in _slopes(self._loss, busy, count):
                unit = (self._loss + slope * busy).min(axis=2)
                priced.append((float(slope), _running_sums(unit)))
        return priced

    def _completions(self, cost: LimitedSum, most_s: float | None) -> Completions:
        problem = self.problem
        last, transfer, first, output = self._fits, cost.transfer, cost.first, cost.output
        transfer = np.where(problem.cuttable, transfer, np.inf)
        if most_s is not None:
            last = np.minimum(last, _longest_within(self._busy.min(axis=3), most_s))
            transfer = np.where(problem.transfer_busy_s > most_s, np.inf, transfer)
            first = np.where(problem.input_busy_s > most_s, np.inf, first)
            output = np.where(problem.output_busy_s > most_s, np.inf, output)
        return Completions(self.graph, Chain(cost.run, transfer, last, first, output, cost.stage))


def _weigh(sums: list[LimitedSum], factors: Floats) -> LimitedSum:
    """Sums and limits, each times its factor, added up."""
    total = [
        sum(factor * getattr(each, name) for factor, each in zip(factors, sums, strict=True))
        for name in ("limit", "run", "transfer", "first", "output")
    ]
    stage: Floats | None = None
    if any(each.stage is not None for each in sums):
        groups, units = sums[0].run.shape
        stage = np.zeros((groups, units, units))
        for factor, each in zip(factors, sums, strict=True):
            if each.stage is None:
                reached = _running_sums(each.run)
                stage += factor * (reached[:, None, 1:] - reached[:, :-1, None])
            else:
                stage += factor * each.stage
    limit, run, transfer, first, output = total
    return LimitedSum(limit, run, transfer, first, output, stage)


def _slopes(loss: Floats, busy: Floats, count: int) -> Floats:
    """Multipliers from the flattest to the steepest trade of loss for seconds."""
    finite = np.isfinite(loss)
    spread = np.where(finite, busy, 0.0).max(axis=2) - busy.min(axis=2)
    price = np.where(finite, loss, 0.0).max(axis=2)
    trades = (price > 0) & (spread > 0)
    if not trades.any():
        return np.zeros(0)
    ratio = price[trades] / spread[trades]
    return np.geomspace(ratio.min() / 10, ratio.max() * 10, count)


def _running_sums(values: Floats) -> Floats:
    return np.pad(values.cumsum(axis=1), ((0, 0), (1, 0)))


def _longest_within(least_s: Floats, most_s: float) -> NDArray[np.int64]:
    """Last unit of the longest stage within a time, by resource's least, shape (G, U)."""
    last = np.full(least_s.shape[1:], least_s.shape[2] - 1, dtype=np.int64)
    for seconds in least_s:
        sums = _running_sums(seconds)
        starts = [load_starts(row[None], most_s + ROUNDING * row[-1])[0] for row in sums]
        np.minimum(last, _last_units(np.stack(starts)), out=last)
    return last


def _longest_that_fit(problem: Problem) -> NDArray[np.int64]:
    """Last unit of the longest stage whose least memory fits every position, shape (G, U)."""
    groups, units, _ = problem.latency_s.shape
    allowed = problem.allowed[..., None]
    weights = np.where(allowed, problem.weight_bytes, NO_LIMIT).min(axis=2)
    live = np.where(allowed, problem.live_bytes, NO_LIMIT).min(axis=2)
    last = np.full((groups, units), units - 1, dtype=np.int64)
    tight = weights.sum(axis=1) + live.max(axis=1) > problem.memory_limit_bytes
    for position in np.flatnonzero(tight.any(axis=0)):
        mine = np.flatnonzero(tight[:, position])
        limits = problem.memory_limit_bytes[mine, position]
        starts = memory_starts(weights[mine, :, position], live[mine, :, position], limits)
        last[mine] = np.minimum(last[mine], _last_units(starts))
    return last


def _last_units(starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Last unit of the longest stage from every unit on, from the first start for every end."""
    units = np.arange(starts.shape[1] - 1)
    return np.stack([np.searchsorted(row, units, side="right") - 2 for row in starts])

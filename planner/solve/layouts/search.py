"""The exact search over layouts: a multiplier, a dynamic program, labels within the gap.

Without a limit that binds, the dynamic program's cheapest way is the answer. With one, the best
multipliers give a bound on every plan, and the labels between that bound and a little above it
are searched completely; where none of them is a plan, a little more is allowed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from planner.errors import InconsistentResultError
from planner.solve.check import PROVEN_GAP, Evaluation, evaluate, loss_of, times_of
from planner.solve.deadline import Deadline
from planner.solve.layout_problem import Floats, Ints, LayoutProblem
from planner.solve.layouts.bounds import Capacity, Charges, Completions, Network, charges_of
from planner.solve.layouts.check import most
from planner.solve.layouts.labels import (
    MAX_LABELS,
    Bound,
    Caps,
    LabelSearch,
    TooManyLabelsError,
)
from planner.solve.layouts.stage_rest import StageRest
from planner.solve.problem import NO_LIMIT, Choice

_MULTIPLIERS = 40
_FIRST = 1e-2  # of a known bottleneck: where the search for a smaller one begins
_GIVEN_UP = 2  # bottlenecks that may be left undecided, each below the one before
_CLOSE = 1e-3  # relative: nearer than this, only the next smaller one is asked for
_ROUNDING = 1e-12
_OTHERS = 6
"""Bounds at other prices of loss that are kept beside the best."""
_BEAM = 1000
"""Labels of the first, quick search for a good plan."""
_GAPS = (1e-7, 1e-6, 4e-6, 1.6e-5, 6.4e-5, 2.5e-4, 1e-3, 4e-3, 1.6e-2, 6.4e-2, 0.25, 1.0, np.inf)
"""Relative to the bound, how far above it plans are looked for, one after the other."""


@dataclass(eq=False)
class Found:
    """The best plan so far, and what is known of all others.

    Attributes
    ----------
    choice : Choice, optional
    objective_s, bound_s : float
    closed : bool
        Nothing is better than the best; without one, there is none.
    """

    problem: LayoutProblem
    deadline: Deadline
    choice: Choice | None = None
    objective_s: float = np.inf
    bound_s: float = 0.0
    closed: bool = False

    def offer(self, choice: Choice) -> Evaluation:
        """Take a plan if it keeps all limits and is the best; what it is worth."""
        found = evaluate(self.problem, choice)
        if not found.violations and found.objective_s < self.objective_s:
            self.choice, self.objective_s = choice, found.objective_s
        return found

    def close(self) -> None:
        """Nothing better exists."""
        self.closed = True
        self.bound_s = self.objective_s


def minimise(problem: LayoutProblem, found: Found) -> None:
    """Minimise the latency or the bottleneck of a problem.

    Parameters
    ----------
    problem : LayoutProblem
    found : Found
        May hold a plan already; takes what is found. Open where time was up.
    """
    alone = _as_latency(problem) if problem.objective == "bottleneck" else None
    if alone is not None:
        of_stage = Found(alone, found.deadline)
        if found.choice is not None:
            of_stage.offer(found.choice)
        minimise(alone, of_stage)
        if of_stage.choice is not None:
            found.offer(of_stage.choice)
        found.bound_s, found.closed = max(found.bound_s, of_stage.bound_s), of_stage.closed
        return
    network = Network.of(problem)
    with contextlib.suppress(TooManyLabelsError):
        if problem.objective == "latency":
            _minimise_latency(network, found)
        else:
            _minimise_bottleneck(network, found)


def _as_latency(problem: LayoutProblem) -> LayoutProblem | None:
    """The same where the bottleneck is one stage's busy time: a sum, as the latency is one.

    None where anything else may be the bottleneck, or the latency is limited by itself.
    """
    one_resource = all(len(arcs.busy_s) == 1 for arcs in problem.arcs)
    if not (problem.single_stage and one_resource) or problem.max_latency_s is not None:
        return None
    busy = [arcs.busy_s[0] for arcs in problem.arcs]
    if any(
        (arcs.medium_s > seconds).any() for arcs, seconds in zip(problem.arcs, busy, strict=True)
    ):
        return None
    ends = problem.output_s, problem.output_busy_s, problem.output_medium_s
    if problem.input_s.any() or any(end[np.isfinite(end)].any() for end in ends):
        return None
    return problem.but(
        objective="latency",
        arcs=tuple(
            replace(arcs, latency_s=seconds)
            for arcs, seconds in zip(problem.arcs, busy, strict=True)
        ),
        max_latency_s=problem.max_bottleneck_s,
        max_bottleneck_s=None,
    )


def _minimise_latency(network: Network, found: Found) -> None:
    problem = network.problem
    free = Completions(network, _charges(problem, 0.0, None))
    if not np.isfinite(free.least):
        found.close()
        return
    found.bound_s = max(found.bound_s, free.least * (1 - _ROUNDING))
    if not found.offer(free.cheapest()).violations:
        found.close()
        return
    caps = _caps(problem)
    bounds = [Bound(free), *_loss_bound(network, caps)]
    if bounds[-1].completions.least > bounds[-1].most(caps):
        found.close()
        return
    priced = _Priced(network, found, free)
    priced.improve()
    bounds += [*priced.others, priced.best]
    found.bound_s = max(found.bound_s, min(priced.bound_s * (1 - _ROUNDING), found.objective_s))
    rest = StageRest(network)
    wide = Caps(caps.latency_s, caps.bottleneck_s, caps.loss)
    near, _ = _search(network, wide, bounds, found, rest, _beam(problem))
    if near is not None:
        found.offer(near)
    for gap in _GAPS:
        level_s = min(max(priced.bound_s, free.least) * (1 + gap), found.objective_s)
        level_s = min(level_s, caps.latency_s)
        within = Caps(level_s * (1 + _ROUNDING), caps.bottleneck_s, caps.loss)
        search = LabelSearch(network, within, bounds, found.deadline, rest)
        choice = search.best()
        if choice is not None:
            found.offer(choice)
        elif np.isfinite(level_s):
            found.bound_s = min(max(found.bound_s, level_s), found.objective_s)
        if choice is not None or level_s >= min(found.objective_s, caps.latency_s) or gap == np.inf:
            found.close()
            return


def _loss_bound(network: Network, caps: Caps) -> list[Bound]:
    """The bound on the loss alone, where that is limited."""
    if not np.isfinite(caps.loss):
        return []
    least = Completions(network, charges_of(network.problem, loss=1.0))
    return [Bound(least, latency=0.0, loss=1.0, allowance=caps.loss)]


def _minimise_bottleneck(network: Network, found: Found) -> None:
    """Smaller and smaller bottlenecks until there is no plan below the last."""
    problem = network.problem
    free = Completions(network, _charges(problem, 0.0, None))
    if not np.isfinite(free.least):
        found.close()
        return
    found.offer(free.cheapest())
    low_s = found.bound_s
    caps = _caps(problem)
    bounds = [Bound(free), *_loss_bound(network, caps)]
    if bounds[-1].completions.least > bounds[-1].most(caps):
        found.close()
        return
    for bound in _bottleneck_bounds(network, found, caps):
        bounds.append(bound)
        least = bound.completions.least - bound.allowance
        low_s = max(low_s, least / bound.seconds_of_bottleneck * (1 - _ROUNDING))
    if low_s > caps.bottleneck_s:
        found.close()
        return
    found.bound_s = max(found.bound_s, min(low_s, found.objective_s))
    high_s = min(found.objective_s, caps.bottleneck_s)
    rest = StageRest(network)
    open_s = np.inf  # of what was asked and given up, the least
    given_up = 0
    while given_up < _GIVEN_UP:
        if found.objective_s <= 0:  # nothing is faster than no time at all
            found.close()
            return
        top_s = min(high_s, open_s)
        if found.choice is None and np.isinf(open_s):  # is there any plan at all?
            asked_s = min(high_s, float(np.finfo(np.float64).max))
        elif low_s >= top_s * (1 - _CLOSE):
            if open_s <= high_s:
                return
            asked_s = high_s * (1 - PROVEN_GAP)
        else:
            asked_s = float(np.sqrt(max(low_s, top_s * _FIRST) * top_s))
        within = Caps(caps.latency_s, asked_s, caps.loss)
        choice, complete = _look_within(network, within, bounds, found, rest)
        if choice is not None:
            value = found.offer(choice)
            if value.violations or value.objective_s > asked_s * (1 + _ROUNDING):
                raise InconsistentResultError(f"labels below {asked_s:.9g} s end in {value}")
            high_s = found.objective_s
        elif not complete:
            open_s, given_up = asked_s, given_up + 1
        else:
            low_s = max(low_s, asked_s)
            found.bound_s = min(max(found.bound_s, asked_s), found.objective_s)
            sure = np.isinf(open_s) or open_s > high_s
            if sure and (found.choice is None or asked_s >= high_s * (1 - 2 * PROVEN_GAP)):
                found.close()
                return


def _bottleneck_bounds(network: Network, found: Found, caps: Caps) -> list[Bound]:
    """Bounds on what the nodes' time and the medium are used for, at the best price of loss.

    Every node works for a bottleneck's time at most, and the medium is occupied for so long at
    most: so is any weighted sum of both.
    """
    problem = network.problem
    capacity = Capacity.of(problem)
    occupied = [a.medium_s for a in problem.arcs] + [c.medium_s for c in problem.cut_costs]
    shared = any(item.any() for item in occupied)
    bounds: list[Bound] = []
    for medium in (0.0, capacity.of_all) if shared else (0.0,):
        best: Bound | None = None

        def line_at(price: float, medium: float = medium) -> _Line | None:
            """Of the least bottleneck at a price of loss."""
            nonlocal best
            charges = charges_of(problem, loss=price, medium=medium, capacity=capacity)
            completions = Completions(network, charges)
            if not np.isfinite(completions.least):
                return None
            allowance = price * caps.loss if price else 0.0
            bound = Bound(completions, 0.0, price, None, allowance, medium, capacity)
            choice = completions.cheapest()
            found.offer(choice)
            value = completions.least - allowance
            if best is None or value > best.completions.least - best.allowance:
                best = bound
            excess = 0.0 if np.isinf(caps.loss) else loss_of(problem, choice) - caps.loss
            return _Line(value, excess, value - price * excess)

        _climb(line_at, 0.0, found.deadline)
        if best is not None:
            bounds.append(best)
    return bounds


def _climb(line_at: Callable[[float], _Line | None], first: float, deadline: Deadline) -> float:
    """The price at which a bound is highest: next to try is where the lines of two plans meet."""
    low, high = line_at(0.0), None
    if low is None or low.excess <= 0:
        return 0.0
    best, best_price = low.value, 0.0
    price = first or low.base / low.excess * 1e-2
    for _ in range(_MULTIPLIERS):
        line = None if deadline.passed else line_at(price)
        if line is None:
            break
        if line.value > best:
            best, best_price = line.value, price
        if line.excess <= 0:
            high = line
        else:
            low = line
        if high is None:
            price *= 8
            if price > low.base * 1e30:  # nothing keeps this limit
                break
            continue
        if low.excess <= high.excess:
            break
        price = (high.base - low.base) / (low.excess - high.excess)
        if low.base + price * low.excess <= best * (1 + 1e-9):
            break
    return best_price


def _look_within(
    network: Network, within: Caps, bounds: list[Bound], found: Found, rest: StageRest
) -> tuple[Choice | None, bool]:
    """A plan within the caps, and whether there is none if none was found.

    Where there are too many labels, the most promising of them are followed.
    """
    choice, complete = _search(network, within, bounds, found, rest, None)
    if complete:
        return choice, True
    choice, _ = _search(network, within, bounds, found, rest, _beam(network.problem))
    return choice, choice is not None


def _search(
    network: Network,
    within: Caps,
    bounds: list[Bound],
    found: Found,
    rest: StageRest,
    beam: int | None,
) -> tuple[Choice | None, bool]:
    """A plan within the caps, and whether the search came to its end."""
    with contextlib.suppress(TooManyLabelsError):
        return LabelSearch(network, within, bounds, found.deadline, rest, beam).best(), True
    return None, False


def _beam(problem: LayoutProblem) -> int:
    """Labels to go on with before each layer in a quick search, half of all that may be at most."""
    return min(_BEAM, MAX_LABELS // (2 * problem.layers))


def take_fastest_of_equals(problem: LayoutProblem, found: Found, deadline: Deadline) -> None:
    """Among plans of the best bottleneck one of small latency: the best of a quick search.

    Plans of one stage that are equally busy differ in delays at most.
    """
    if found.choice is None or _as_latency(problem) is not None:
        return
    most_s = times_of(problem, found.choice).bottleneck_s
    second = problem.but(objective="latency", max_bottleneck_s=most_s)
    other = Found(second, deadline)
    other.offer(found.choice)
    network, caps = Network.of(second), _caps(second)
    free = Completions(network, _charges(second, 0.0, None))
    other.offer(free.cheapest())
    bounds = [*_loss_bound(network, caps), Bound(free)]
    rest = StageRest(network)
    near, _ = _search(network, caps, bounds, other, rest, _beam(second))
    if near is not None:
        other.offer(near)
    if other.choice is not None:
        found.choice = other.choice


def _charges(problem: LayoutProblem, loss: float, entry: Floats | None) -> Charges:
    return charges_of(problem, 1.0, loss, entry)


def _caps(problem: LayoutProblem) -> Caps:
    return Caps(most(problem.max_latency_s), most(problem.max_bottleneck_s), most(problem.max_loss))


class _Priced:
    """Prices of loss and of stored bytes whose bound is the highest that was found."""

    def __init__(self, network: Network, found: Found, free: Completions) -> None:
        self._network, self._found = network, found
        self._problem = problem = network.problem
        positions = problem.arcs[0].weight_bytes.shape[2]
        limits = problem.memory_limit_bytes[:, :positions]
        limited = limits < NO_LIMIT
        # what weights alone may take, and a unit in which all limited nodes count alike
        room = np.maximum(limits - self._least_live(), 0)
        self._room = np.where(limited, room, 0).astype(np.float64)
        self._unit = np.where(limited, 1.0 / np.maximum(limits, 1), 0.0)
        self.bound_s = free.least
        self.best = Bound(free)
        self.others: list[Bound] = []
        self._prices = [0.0, 0.0]

    def _least_live(self) -> Ints:
        """The least that each node holds beside weights at the fullest layer."""
        live = [
            np.where(arcs.allowed[..., None], arcs.live_bytes, NO_LIMIT).min(axis=1)
            for arcs in self._problem.arcs
        ]
        # a stage need not have every layer: only what any layer needs is certain
        least: Ints = np.min(live, axis=0)
        return np.where(least >= NO_LIMIT, 0, least)

    def improve(self) -> None:
        """Raise the bound by the price of loss, then by that of memory, and both once more."""
        limited = [self._problem.max_loss is not None, bool((self._unit > 0).any())]
        for _ in range(2 if all(limited) else 1):
            for which in np.flatnonzero(limited):
                self._raise(int(which))

    def _raise(self, which: int) -> None:
        """The best of one price."""
        prices = list(self._prices)

        def line_at(price: float) -> _Line | None:
            prices[which] = price
            return self._line(prices[0], prices[1], which)

        self._prices[which] = _climb(line_at, self._prices[which], self._found.deadline)

    def _line(self, loss: float, memory: float, which: int) -> _Line | None:
        """The bound at some prices, and its cheapest way as a line over one of them."""
        problem = self._problem
        prices = memory * self._unit
        charges = _charges(problem, loss, -(prices * self._room).sum(axis=1))
        if memory:
            stored = [
                np.einsum("gp,gop->go", prices, arcs.weight_bytes.astype(np.float64))
                for arcs in problem.arcs
            ]
            options = tuple(a + b for a, b in zip(charges.options, stored, strict=True))
            charges = replace(charges, options=options)
        completions = Completions(self._network, charges)
        if not np.isfinite(completions.least):
            return None
        allowance = loss * (problem.max_loss or 0.0)
        value = completions.least - allowance
        choice = completions.cheapest()
        self._found.offer(choice)
        bound = Bound(completions, 1.0, loss, prices if memory else None, allowance)
        if value > self.bound_s:
            self.bound_s, bound, self.best = value, self.best, bound
        if bound.memory is None and bound.loss:
            # where plans lose much less or more than the best price's, another price bounds better
            self.others = [bound, *self.others][:_OTHERS]
        price, excess = (
            (loss, loss_of(problem, choice) - (problem.max_loss or 0.0)),
            (memory, self._stored_too_much(choice)),
        )[which]
        return _Line(value, excess, value - price * excess)

    def _stored_too_much(self, choice: Choice) -> float:
        """How far the weights of all stages are above their room, in the common unit."""
        problem, total = self._problem, 0.0
        for start, last, group in choice.runs():
            stored = np.zeros(self._unit.shape[1])
            for layer in range(start, last + 1):
                stored += problem.arc(layer).weight_bytes[group, problem.option(choice, layer)]
            total += float((self._unit[group] * (stored - self._room[group])).sum())
        return total


@dataclass(frozen=True)
class _Line:
    """A bound, and that of its plan at other prices: ``base + price · excess``."""

    value: float
    excess: float
    base: float

"""The exact search for the least latency: a multiplier, a dynamic program, structures by bound.

The loss budget moves into the objective with a multiplier (eq. 25); a dynamic program then finds
the best structure in one pass, and the best multiplier gives a bound on every plan. Structures are
taken in the order of their bounds, each is completed exactly, and the first bound that reaches the
best plan found ends the search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.domain.certificate import FEASIBILITY_TOLERANCE
from planner.solve.check import PROVEN_GAP, exceeds, sum_second
from planner.solve.options.multiple_choice import Pick
from planner.solve.problem import Choice, Problem, Structure
from planner.solve.stages.fixed_stages import NOTHING_BELOW, FixedStages
from planner.solve.stages.relaxation import Relaxation
from planner.solve.stages.search import Search
from planner.solve.stages.stage_graph import Completions, by_cost

_MAX_MULTIPLIERS = 60
_MAX_PRICES = 24


def minimise_latency(
    problem: Problem, search: Search, known: tuple[Structure, ...] = (), gap: float = PROVEN_GAP
) -> None:
    """Minimise the latency of a problem, its own latency limit apart.

    Parameters
    ----------
    problem : Problem
    search : Search
        May hold a plan already; takes what is found.
    known : tuple of Structure
        Those of similar problems' plans, which are completed first.
    gap : float
        Relative distance to the bound at which the search ends.
    """
    relaxation = Relaxation(problem, search.objective_s)
    for like in known:
        _try(problem, like, search, gap)
    multiplier, completions = _best_multiplier(problem, relaxation, search, gap)
    if problem.second is not None and completions is not None:
        multiplier, completions = _price_second(problem, relaxation, search, gap)
    if completions is None:
        search.closed = True  # not even the relaxation has a plan
        return
    allowance = _allowance(problem, relaxation, multiplier) + completions.rounding
    complete = True
    for cost, structure in by_cost(completions, search.deadline):
        bound = cost - allowance
        if complete:
            search.bound_s = max(search.bound_s, bound)
        if bound >= search.objective_s * (1 - gap) or exceeds(bound, problem.max_latency_s):
            break
        if structure is None or search.must_stop:
            search.bound_s = min(search.bound_s, search.objective_s)
            return
        complete &= _try(problem, structure, search, gap, exact=True)
    search.closed = complete
    search.bound_s = min(search.bound_s, search.objective_s * (1 - gap))
    if complete and gap <= PROVEN_GAP:
        search.bound_s = search.objective_s


def _try(
    problem: Problem, structure: Structure, search: Search, gap: float, exact: bool = False
) -> bool:
    """Complete a structure; whether nothing in it is better than the best by more than the gap."""

    def complete(fixed: FixedStages) -> tuple[Pick, float]:
        if exceeds(fixed.slowest_s, problem.max_bottleneck_s):
            return NOTHING_BELOW, np.inf
        better = search.objective_s * (1 - gap) - fixed.fixed_s
        found = fixed.find_fastest(better, search.deadline, exact)
        return found, found.objective + fixed.fixed_s

    return search.attempt(problem, structure, complete, exact)


def _best_multiplier(
    problem: Problem, relaxation: Relaxation, search: Search, gap: float
) -> tuple[float, Completions | None]:
    """The multiplier of the loss budget with the greatest bound, and its dynamic program.

    The bound is concave and piecewise linear: where the lines of two multipliers meet lies the
    next one to try, until the bound there is on the lines. The structures met on the way are
    completed, which gives first plans.
    """
    limit, most_s = problem.max_loss, _most_s(problem)
    completions = relaxation.latency(0.0, most_s)
    if not np.isfinite(completions.least):
        return 0.0, None
    low = _line(problem, relaxation, completions, 0.0)
    _try(problem, low.structure, search, gap)
    if limit is None or low.loss <= limit:
        return 0.0, completions
    if not relaxation.within(most_s).passes:
        return 0.0, None
    best = -np.inf, 0.0, completions
    high: _Line | None = None
    multiplier = max(low.seconds, 1e-12) / max(low.loss, 1e-12)
    for _ in range(_MAX_MULTIPLIERS):
        if search.deadline.passed and high is not None:
            break
        completions = relaxation.latency(multiplier, most_s)
        line = _line(problem, relaxation, completions, multiplier)
        _try(problem, line.structure, search, gap)
        value = line.at(multiplier, limit)
        if value > best[0]:
            best = value, multiplier, completions
        if high is None and line.loss > limit:
            low, multiplier = line, multiplier * 8
            continue
        if line.loss > limit:
            low = line
        else:
            high = line
        assert high is not None
        if low.loss <= high.loss:
            break
        multiplier = (high.seconds - low.seconds) / (low.loss - high.loss)
        if multiplier <= 0:  # what memory adds is no part of a line's loss
            break
        meeting = low.at(multiplier, limit)
        if meeting <= best[0] + 1e-12 * abs(best[0]):
            break
    return best[1], best[2]


def _allowance(problem: Problem, relaxation: Relaxation, multiplier: float) -> float:
    """What priced limits take off the cost of a structure, for a bound on its latency."""
    second = 0.0 if problem.second is None else problem.second.most
    slack = 1 + FEASIBILITY_TOLERANCE
    return slack * (multiplier * (problem.max_loss or 0.0) + relaxation.second_price * second)


def _price_second(
    problem: Problem, relaxation: Relaxation, search: Search, gap: float
) -> tuple[float, Completions | None]:
    """The prices of both limited sums with the greatest bound, and their dynamic program.

    With the best multiplier of the loss for every price of the second sum the bound is concave in
    that price: it grows until the cheapest structure keeps the second limit, then by halves.
    """
    assert problem.second is not None
    best: tuple[float, float, float] = (-np.inf, 0.0, 0.0)
    low, high, price = 0.0, np.inf, 0.0
    largest = problem.second.most or float(problem.second.of_units.max()) or 1.0
    for _ in range(_MAX_PRICES):
        relaxation.second_price = price
        multiplier, completions = _best_multiplier(problem, relaxation, search, gap)
        if completions is None:
            return 0.0, None
        bound = completions.least - _allowance(problem, relaxation, multiplier)
        if bound > best[0]:
            best = bound, price, multiplier
        structure = completions.cheapest()
        options = relaxation.options(multiplier)[0]
        rows = np.repeat(structure[1], np.diff([*structure[0], options.shape[1]]))
        choice = Choice(
            starts=structure[0],
            groups=structure[1],
            options=options[rows, np.arange(len(rows))],
        )
        if float(sum_second(problem, choice)) <= problem.second.most:
            high = price
        else:
            low = price
        if high == 0.0 or search.deadline.passed or exceeds(bound, problem.max_latency_s):
            break
        if np.isfinite(high):
            price = (low + high) / 2
        else:
            price = price * 4 or max(completions.least, 1e-12) / (16 * largest)
    _, relaxation.second_price, multiplier = best
    return multiplier, relaxation.latency(multiplier, _most_s(problem))


def _most_s(problem: Problem) -> float | None:
    most_s = problem.max_bottleneck_s
    return None if most_s is None else most_s * (1 + FEASIBILITY_TOLERANCE)


@dataclass(frozen=True)
class _Line:
    """Bound of one structure with its options, as a line over the multiplier."""

    structure: Structure
    seconds: float
    loss: float

    def at(self, multiplier: float, limit: float) -> float:
        return self.seconds + multiplier * (self.loss - limit)


def _line(
    problem: Problem, relaxation: Relaxation, completions: Completions, multiplier: float
) -> _Line:
    structure = completions.cheapest()
    options = relaxation.options(multiplier)[0]
    rows = np.repeat(structure[1], np.diff([*structure[0], options.shape[1]]))
    units = np.arange(len(rows))
    loss = float(problem.loss[rows, units, options[rows, units]].sum())
    loss += problem.lost_at(*structure)
    return _Line(structure, completions.least - multiplier * loss, loss)

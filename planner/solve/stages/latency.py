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
from planner.solve.check import PROVEN_GAP, exceeds
from planner.solve.options.multiple_choice import Pick
from planner.solve.problem import Problem, Structure
from planner.solve.stages.fixed_stages import NOTHING_BELOW, FixedStages
from planner.solve.stages.relaxation import Relaxation
from planner.solve.stages.search import Search
from planner.solve.stages.stage_graph import Completions, by_cost

_MAX_MULTIPLIERS = 60


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
    if completions is None:
        search.closed = True  # not even the relaxation has a plan
        return
    allowance = multiplier * (problem.max_loss or 0.0) + completions.rounding
    complete = True
    for cost, structure in by_cost(completions, search.deadline):
        bound = cost - allowance
        if complete:
            search.bound_s = max(search.bound_s, bound)
        if bound >= search.objective_s * (1 - gap):
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
    limit, most_s = problem.max_loss, problem.max_bottleneck_s
    if most_s is not None:
        most_s *= 1 + FEASIBILITY_TOLERANCE
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
        meeting = low.at(multiplier, limit)
        if meeting <= best[0] + 1e-12 * abs(best[0]):
            break
    return best[1], best[2]


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

"""The exact search for the least bottleneck: a threshold that no plan is within.

A threshold asks whether any plan is within it and keeps the limited sums. The relaxation answers
from below by dynamic programs; structures that it lets pass are completed exactly. A threshold
just under the best plan that no structure passes is the proof.
"""

from __future__ import annotations

import numpy as np

from planner.domain.certificate import FEASIBILITY_TOLERANCE
from planner.solve.check import PROVEN_GAP, exceeds
from planner.solve.options.multiple_choice import Pick
from planner.solve.problem import Problem, Structure
from planner.solve.stages.by_stage import StageLosses
from planner.solve.stages.fixed_stages import FixedStages
from planner.solve.stages.relaxation import Relaxation
from planner.solve.stages.search import Search
from planner.solve.stages.stage_graph import by_cost

_HALVINGS = 60
_COARSE = 1e-2  # relative width at which halving gives way to the search for a proof


def minimise_bottleneck(
    problem: Problem, search: Search, known: tuple[Structure, ...] = (), gap: float = PROVEN_GAP
) -> None:
    """Minimise the bottleneck of a problem.

    Parameters
    ----------
    problem : Problem
        Its limits on loss, memory and latency hold; one on the bottleneck as well.
    search : Search
        May hold a plan already; takes what is found.
    known : tuple of Structure
        Those of similar problems' plans, which are completed first.
    gap : float
        Relative distance to the bound at which the search ends.
    """
    relaxation = Relaxation(problem, search.objective_s)
    largest = _largest_bottleneck(problem)
    if problem.max_bottleneck_s is not None:
        largest = min(largest, problem.max_bottleneck_s * (1 + FEASIBILITY_TOLERANCE))
    if search.choice is None:
        widest = relaxation.within(largest)
        if not widest.passes:
            search.closed = True
            return
        _try(problem, widest.completions.cheapest(), search)
    for structure in known:
        _try(problem, structure, search)
    # one tolerance: what is better by less than the gap is neither looked for nor let pass
    threshold = min(largest, search.objective_s * (1 - gap))
    if search.choice is not None and not relaxation.within(threshold).passes:
        search.bound_s = threshold  # a plan that was known is the best
    else:
        _halve(problem, relaxation, search, min(largest, search.objective_s))
    while True:
        threshold = min(largest, search.objective_s * (1 - gap))
        if search.choice is not None and threshold <= search.bound_s:
            search.closed = True
            search.bound_s = search.objective_s if gap <= PROVEN_GAP else search.bound_s
            return
        if search.must_stop:
            return
        before = search.objective_s
        if relaxation.shares_loss_alone:
            certain = _raise_stages(problem, relaxation, search, threshold)
        else:
            certain = _complete_all(problem, relaxation, search, threshold)
        if search.objective_s < before:
            continue  # a lower threshold lets fewer structures pass
        search.closed = certain
        if certain and search.choice is not None:
            search.bound_s = search.objective_s if gap <= PROVEN_GAP else threshold
        return


def _complete_all(
    problem: Problem, relaxation: Relaxation, search: Search, threshold: float
) -> bool:
    """Complete structures that the relaxation lets pass until one is better.

    Returns whether it is certain that none is.
    """
    certain = True
    before = search.objective_s
    relaxed = relaxation.within(threshold)
    for _, structure in by_cost(relaxed.completions, search.deadline, relaxed.largest):
        if structure is None or search.must_stop:
            return False
        certain &= _try(problem, structure, search, exact=True)
        if search.objective_s < before:
            return False
    return certain


def _raise_stages(
    problem: Problem, relaxation: Relaxation, search: Search, threshold: float
) -> bool:
    """Work out the losses of the stages of the structure that needs least until one is better.

    Where only the budget ties stages together, a structure that needs least with its stages' own
    least losses is the best within the threshold. Returns whether it is certain that none is.
    """
    search.losses = losses = search.losses or StageLosses(problem)
    while True:
        relaxed = relaxation.within(threshold)
        if not relaxed.passes:
            return True
        structure = relaxed.completions.cheapest()
        runs = FixedStages(problem, structure, losses).runs
        found = [losses.find(run, threshold, search.deadline, exact=True) for run in runs]
        for (start, stop, group), loss in zip(runs, found, strict=True):
            relaxation.raise_stage(group, start, stop - 1, loss.least)
        if search.deadline.passed:
            return False
        if not exceeds(sum(loss.least for loss in found), problem.max_loss):
            # its best is below the threshold, or what is not certain is the program's to settle
            before = search.objective_s
            certain = _try(problem, structure, search, exact=True)
            if search.objective_s < before or not certain:
                return False
            return _complete_all(problem, relaxation, search, threshold)


def _halve(problem: Problem, relaxation: Relaxation, search: Search, largest: float) -> None:
    """Close in on the least threshold that the relaxation lets pass, taking plans on the way.

    Where these plans are as good as their thresholds, the relaxation is exact and this goes on to
    the proof; else it ends once the threshold is known coarsely.
    """
    low, high = 0.0, largest
    for _ in range(_HALVINGS):
        attained = search.objective_s <= high
        width = PROVEN_GAP if attained else _COARSE
        if high - low <= width * high or search.deadline.passed:
            break
        middle = (low + high) / 2
        relaxed = relaxation.within(middle)
        if not relaxed.passes:
            low = middle
            continue
        _try(problem, relaxed.completions.cheapest(), search)
        high = min(middle, search.objective_s)
    search.bound_s = max(search.bound_s, low)


def _try(problem: Problem, structure: Structure, search: Search, exact: bool = False) -> bool:
    """Complete a structure; whether its best options are known, or no better than the best."""

    def complete(fixed: FixedStages) -> tuple[Pick, float]:
        found = fixed.find_least_bottleneck(search.objective_s, search.deadline, exact)
        objective = max(found.objective, fixed.slowest_s)
        return found, np.inf if exceeds(objective, problem.max_bottleneck_s) else objective

    return search.attempt(problem, structure, complete, exact)


def _largest_bottleneck(problem: Problem) -> float:
    """Seconds that no plan's bottleneck exceeds."""
    busy = np.where(problem.allowed, problem.busy_s, 0.0).max(axis=3).sum(axis=2).max()
    medium = np.where(problem.allowed, problem.medium_s, 0.0).max(axis=(0, 2)).sum()
    medium += problem.transfer_medium_s.max(axis=(0, 1), initial=0.0).sum()
    ends = problem.input_busy_s.max() + problem.output_busy_s.max()
    ends += problem.input_medium_s.max() + problem.output_medium_s.max()
    transfers = np.where(problem.follows[..., None], problem.transfer_busy_s, 0.0)
    return float(max(busy, transfers.max(initial=0.0), medium + ends, ends)) or 1.0

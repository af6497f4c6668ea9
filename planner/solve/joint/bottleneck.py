"""The joint problem's exact fast path for throughput: a threshold on the bottleneck.

A threshold asks for the least loss of all plans within it. The relaxation answers from below by
one dynamic program; structures that it lets pass are completed exactly. A threshold just under the
best plan that no structure passes is the proof.
"""

from __future__ import annotations

import numpy as np

from planner.domain.joint import JointProblem
from planner.solve.deadline import Deadline
from planner.solve.joint.fixed_stages import FixedStages, Structure
from planner.solve.joint.latency import by_bound
from planner.solve.joint.relaxation import Relaxation
from planner.solve.joint.search import PROVEN_GAP, Search
from planner.solve.joint.stage_graph import Completions
from planner.solve.options.multiple_choice import Pick
from planner.solve.verify import exceeds

_HALVINGS = 60
_COARSE = 1e-2  # relative width at which halving gives way to the search for a proof


def least_bottleneck(
    problem: JointProblem,
    deadline: Deadline,
    max_structures: int,
    known: tuple[Structure, ...] = (),
    gap: float = PROVEN_GAP / 2,
) -> Search:
    """Minimise the bottleneck of a joint problem.

    Parameters
    ----------
    problem : JointProblem
        Its limits on loss, memory and latency hold; one on the bottleneck as well.
    deadline : Deadline
    max_structures : int
        Structures that are completed at most.
    known : tuple of Structure
        Those of a similar problem's plans, which are completed first.
    gap : float
        Relative distance to the bound at which the search ends.
    """
    relaxation = Relaxation(problem)
    search = Search()
    largest = _largest_bottleneck(problem)
    if problem.max_bottleneck_s is not None:
        largest = min(largest, problem.max_bottleneck_s)
    widest = relaxation.loss(largest)
    if not _passes(problem, widest):
        search.closed = True
        return search
    _try(problem, widest.cheapest(), search, largest)  # a plan to begin with
    for like in known:
        _try(problem, like, search, largest)
    _halve(problem, relaxation, search, min(largest, search.objective_s), deadline)
    while True:
        threshold = min(largest, search.objective_s * (1 - gap))
        if search.stages is not None and threshold <= search.bound_s:
            search.closed = True
            return search
        before = search.objective_s
        certain = True
        completions = relaxation.loss(threshold)
        for loss, structure in by_bound(completions, deadline):
            if _over_budget(problem, loss - completions.rounding):
                break
            if structure is None or deadline.passed or len(search.tried) >= max_structures:
                return search
            certain &= _try(problem, structure, search, largest, deadline)
            if search.objective_s < before:
                break  # a lower threshold lets fewer structures pass
        if search.objective_s == before:
            search.closed = certain
            if certain and search.stages is not None:
                search.bound_s = max(search.bound_s, threshold)
            return search


def _halve(
    problem: JointProblem,
    relaxation: Relaxation,
    search: Search,
    largest: float,
    deadline: Deadline,
) -> None:
    """Close in on the least threshold that the relaxation lets pass, taking plans on the way."""
    low, high = 0.0, largest
    for _ in range(_HALVINGS):
        if high - low <= _COARSE * high or deadline.passed:
            break
        middle = (low + high) / 2
        completions = relaxation.loss(middle)
        if _passes(problem, completions):
            high = middle
            _try(problem, completions.cheapest(), search, largest)
            high = min(high, search.objective_s)
        else:
            low = middle
    search.bound_s = low


def _passes(problem: JointProblem, completions: Completions) -> bool:
    return bool(np.isfinite(completions.least)) and not _over_budget(
        problem, completions.least - completions.rounding
    )


def _over_budget(problem: JointProblem, loss: float) -> bool:
    return problem.max_loss is not None and exceeds(loss, problem.max_loss)


def _try(
    problem: JointProblem,
    structure: Structure,
    search: Search,
    largest: float,
    deadline: Deadline | None = None,
) -> bool:
    """Complete a structure; whether its best options are known, or no better than the best."""

    def complete(fixed: FixedStages) -> tuple[Pick, float]:
        found = fixed.least_bottleneck(search.objective_s, deadline)
        objective = max(found.objective, fixed.slowest_s)
        return found, np.inf if exceeds(objective, largest) else objective

    return search.attempt(problem, structure, complete, deadline)


def _largest_bottleneck(problem: JointProblem) -> float:
    """Seconds that no plan's bottleneck exceeds."""
    busy = np.where(problem.allowed, problem.busy_s, 0.0).max(axis=3).sum(axis=2).max()
    medium = np.where(problem.allowed, problem.medium_s, 0.0).max(axis=(0, 2)).sum()
    medium += problem.transfer_medium_s.max(axis=(0, 1), initial=0.0).sum()
    ends = problem.input_s.max() + problem.output_s.max()
    transfers = np.where(problem.follows[..., None], problem.transfer_s, 0.0)
    return float(max(busy, transfers.max(initial=0.0), medium + ends, ends)) or 1.0

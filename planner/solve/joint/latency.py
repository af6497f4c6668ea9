"""The joint problem's exact fast path for latency: a multiplier, a DP, and a search to the proof.

The loss budget moves into the objective with a multiplier (eq. 30); a dynamic program then finds
the best structure in one pass, and the best multiplier gives a bound on every plan. Structures are
taken in the order of their bounds, each is completed exactly, and the first bound that reaches the
best plan found ends the search.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from planner.domain.joint import JointProblem
from planner.solve.deadline import Deadline
from planner.solve.joint.fixed_stages import NOTHING_BELOW, FixedStages, Structure
from planner.solve.joint.relaxation import Relaxation
from planner.solve.joint.search import PROVEN_GAP, Search
from planner.solve.joint.stage_graph import Completions
from planner.solve.options.multiple_choice import Pick
from planner.solve.verify import exceeds

_MAX_MULTIPLIERS = 60


def least_latency(
    problem: JointProblem,
    deadline: Deadline,
    max_structures: int,
    known: tuple[Structure, ...] = (),
    gap: float = PROVEN_GAP,
) -> Search:
    """Minimise the latency of a joint problem, its own latency limit apart.

    Parameters
    ----------
    problem : JointProblem
    deadline : Deadline
        Ends the search early; the best plan and a valid bound remain.
    max_structures : int
        Structures that are completed at most.
    known : tuple of Structure
        Those of a similar problem's plans, which are completed first.
    gap : float
        Relative distance to the bound at which the search ends.
    """
    relaxation = Relaxation(problem)
    search = Search()
    for like in known:
        _try(problem, like, search, gap)
    multiplier, completions = _best_multiplier(problem, relaxation, search, gap)
    if completions is None:
        search.closed = True  # not even the relaxation has a plan
        return search
    allowance = multiplier * (problem.max_loss or 0.0) + completions.rounding
    complete = True
    for bound, structure in by_bound(completions, deadline):
        if complete:
            search.bound_s = max(search.bound_s, bound - allowance)
        if bound - allowance >= search.objective_s * (1 - gap):
            break
        if structure is None or deadline.passed or len(search.tried) >= max_structures:
            search.bound_s = min(search.bound_s, search.objective_s)
            return search
        complete &= _try(problem, structure, search, gap, deadline)
    search.closed = complete
    search.bound_s = min(search.bound_s, search.objective_s * (1 - gap))
    if complete and gap <= PROVEN_GAP:
        search.bound_s = search.objective_s
    return search


def _try(
    problem: JointProblem,
    structure: Structure,
    search: Search,
    gap: float,
    deadline: Deadline | None = None,
) -> bool:
    """Complete a structure; whether nothing in it is better than the best by more than the gap."""
    limit = problem.max_bottleneck_s

    def complete(fixed: FixedStages) -> tuple[Pick, float]:
        if limit is not None and exceeds(fixed.slowest_s, limit):
            return NOTHING_BELOW, np.inf
        better = search.objective_s * (1 - gap) - fixed.fixed_s
        found = fixed.fastest(limit, better, deadline)
        return found, found.objective + fixed.fixed_s

    return search.attempt(problem, structure, complete, deadline)


def _best_multiplier(
    problem: JointProblem, relaxation: Relaxation, search: Search, gap: float
) -> tuple[float, Completions | None]:
    """The multiplier of the loss budget with the greatest bound, and its dynamic program.

    The bound is concave and piecewise linear: where the lines of two multipliers meet lies the
    next one to try, until the bound there is on the lines. The structures met on the way are
    completed, which gives first plans.
    """
    limit = problem.max_loss
    completions = relaxation.latency(0.0, problem.max_bottleneck_s)
    if not np.isfinite(completions.least):
        return 0.0, None
    low = _line(problem, relaxation, completions, 0.0)
    _try(problem, low.structure, search, gap)
    if limit is None or low.loss <= limit:
        return 0.0, completions
    sparing = relaxation.loss(problem.max_bottleneck_s)
    if exceeds(sparing.least - sparing.rounding, limit):
        return 0.0, None
    best = -np.inf, 0.0, completions
    high: _Line | None = None
    multiplier = max(low.seconds, 1e-12) / max(low.loss, 1e-12)
    for _ in range(_MAX_MULTIPLIERS):
        completions = relaxation.latency(multiplier, problem.max_bottleneck_s)
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
    problem: JointProblem, relaxation: Relaxation, completions: Completions, multiplier: float
) -> _Line:
    structure = completions.cheapest()
    options = relaxation.options(multiplier)[0]
    rows = np.repeat(structure[1], np.diff([*structure[0], options.shape[1]]))
    chosen = options[rows, np.arange(options.shape[1])]
    loss = float(problem.loss[rows, np.arange(len(rows)), chosen].sum())
    return _Line(structure, completions.least - multiplier * loss, loss)


def by_bound(
    completions: Completions, deadline: Deadline
) -> Iterator[tuple[float, Structure | None]]:
    """All structures in the order of their costs, least first, made as they are asked for.

    When time is up, a last bound on all that remain comes with no structure.
    """
    units = completions.chain.run.shape[1]
    tie = itertools.count(0, -1)  # of equal bounds the latest first: it is nearer to its end
    heap: list[tuple[float, int, float, int, tuple[int, ...], tuple[int, ...]]] = []
    graph = completions.graph
    for state, cost in zip(graph.starts, completions.first_costs(), strict=True):
        if np.isfinite(cost):
            group = int(graph.group[state])
            begun = float(completions.chain.first[group])
            heap.append((float(cost), next(tie), begun, int(state), (0,), (group,)))
    heapq.heapify(heap)
    while heap:
        bound, _, before, state, starts, groups = heapq.heappop(heap)
        if state < 0:
            yield bound, (starts, groups)
            continue
        if deadline.passed:
            yield bound, None
            return
        begin = starts[-1]
        costs = before + completions.stage_costs(state, begin)
        if begin + len(costs) == units and graph.final[state]:
            total = float(costs[-1] + completions.after[state, units - 1])
            heapq.heappush(heap, (total, next(tie), total, -1, starts, groups))
        for last in range(begin, min(begin + len(costs), units - 1)):
            if not np.isfinite(completions.after[state, last]):
                continue
            targets, rest = completions.edge_costs(state, last)
            for target, more in zip(targets, rest, strict=True):
                if np.isfinite(more):
                    here = float(costs[last - begin])
                    begun = here + float(more - completions.rest[target, last + 1])
                    group = int(graph.group[target])
                    entry = (here + float(more), next(tie), begun, int(target))
                    heapq.heappush(heap, (*entry, (*starts, last + 1), (*groups, group)))

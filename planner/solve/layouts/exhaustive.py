"""Every plan of a small layered problem, one after the other: the oracle of the other searches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from planner.errors import BadInputError
from planner.solve.check import evaluate, times_of
from planner.solve.layout_problem import ALONE, START, LayoutProblem
from planner.solve.problem import Choice

MAX_PLANS = 300_000
_ROUNDING = 1e-12


def minimise_exhaustively(problem: LayoutProblem) -> Choice | None:
    """The best of all plans; of equal bottlenecks that of least latency.

    Raises
    ------
    BadInputError
        More plans than can be tried.
    """
    best: tuple[float, float, Choice] | None = None
    for count, choice in enumerate(_plans(problem)):
        if count >= MAX_PLANS:
            raise BadInputError(
                f"--solver exhaustive: more than {MAX_PLANS:,} plans; that is the most that are "
                "tried"
            )
        found = evaluate(problem, choice)
        if found.violations:
            continue
        latency_s = times_of(problem, choice).latency_s
        if best is None or (
            found.objective_s < best[0] * (1 - _ROUNDING)
            or (found.objective_s <= best[0] * (1 + _ROUNDING) and latency_s < best[1])
        ):
            best = found.objective_s, latency_s, choice
    return None if best is None else best[2]


def _plans(problem: LayoutProblem) -> Iterator[Choice]:
    for group, row in enumerate(problem.uses):
        if np.any(row > problem.available) or row.sum() > problem.max_nodes:
            continue
        state = ALONE if problem.nodes[group] == 1 else START
        yield from _behind(problem, 0, state, (0,), (group,), (), fresh=True)


def _behind(
    problem: LayoutProblem,
    layer: int,
    state: int,
    starts: tuple[int, ...],
    groups: tuple[int, ...],
    options: tuple[int, ...],
    *,
    fresh: bool,
) -> Iterator[Choice]:
    """All ways on; a stage that is fresh has no layer yet."""
    if layer == problem.layers:
        used = int(problem.nodes[list(groups)].sum())
        if not problem.all_nodes or used == problem.max_nodes:
            yield Choice(starts=starts, groups=groups, options=np.array(options))
        return
    arcs, group = problem.arc(layer), groups[-1]
    open_arcs = (arcs.before == state) & arcs.allowed[group, arcs.option]
    for arc in np.flatnonzero(open_arcs).tolist():
        after = int(arcs.after[arc])
        more = (*options, arc)
        yield from _behind(problem, layer + 1, after, starts, groups, more, fresh=False)
    if fresh or layer == 0 or problem.single_stage or problem.cut_kind[layer - 1] < 0:
        return
    costs = problem.cut_costs[int(problem.cut_kind[layer - 1])]
    used_types = problem.uses[list(groups)].sum(axis=0)
    for following in np.flatnonzero(problem.follows[group]).tolist():
        total = used_types + problem.uses[following]
        if np.any(total > problem.available) or total.sum() > problem.max_nodes:
            continue
        if problem.nodes[group] > 1:
            mains = [int(costs.main[state])]
        elif problem.nodes[following] > 1:
            mains = list(range(len(costs.arrival)))
        else:
            mains = [0]
        for main in mains:
            arrival = -1 if main < 0 else problem.arrival(following, costs, main)
            if arrival >= 0:
                yield from _behind(
                    problem, layer, arrival, (*starts, layer), (*groups, following), options,
                    fresh=True,
                )  # fmt: skip

"""Weights that several layers read, in a search over stages: each node stores them once.

What a stage stores is then no sum over its layers, as all problems have it. Three problems of sums
stand around the true one. Where every layer stores its own, each plan that fits does so in truth.
Where nobody stores what is shared, each plan that fits in truth does so: the best of these bounds
all, and is the best itself where it fits. And where every stage stores all that is shared once,
whoever reads it, plans fit whose stages all read it: such as those of a block that is used again
and again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from planner.case import Case
from planner.cost.memory import shared_parts
from planner.solve.check import PROVEN_GAP
from planner.solve.deadline import Deadline
from planner.solve.problem import NO_LIMIT, Result
from planner.strategies.problem_of import GroupCosts
from planner.strategies.ways.problem import LayoutCosts

Costs = GroupCosts | LayoutCosts
Solve = Callable[[Costs, Deadline], Result]

_SHARE = 0.5  # of the time that is left, for each of the searches before the last


def may_store_twice(case: Case, costs: Costs, single_stage: bool) -> bool:
    """Whether sums over layers may ask for more memory than nodes need, and some have a limit."""
    if single_stage and isinstance(costs, GroupCosts):
        return False  # its sums are those of all layers together
    limited = bool((costs.memory_limit_bytes < NO_LIMIT).any())
    return limited and any(layer.shared_bytes for layer in case.profile.layers)


def solve_stored_once(
    case: Case, costs: Costs, solve: Solve, fits: Callable[[Result], bool], deadline: Deadline
) -> Result:
    """The best plan where a node stores a weight once for all its layers that read it.

    Parameters
    ----------
    case : Case
    costs : GroupCosts or LayoutCosts
        Where every layer stores its own.
    solve : callable
        Solves the problem of some costs.
    fits : callable
        Whether the plan of a result fits in truth.
    deadline : Deadline

    Returns
    -------
    Result
        ``timeout`` where no plan was found and none was proven not to be there.
    """
    parts, once_bytes = shared_parts(case.profile)
    unshared = costs.without_shared(parts)
    least = solve(unshared, deadline.share(_SHARE))
    if least.choice is not None and fits(least):
        return least
    apart = solve(costs, deadline.share(_SHARE))
    if least.certificate.status == "infeasible":
        return apart
    charged = solve(_charged(unshared, once_bytes), deadline.share(1.0))
    found = [apart, *([charged] if charged.choice is not None and fits(charged) else [])]
    best = min(found, key=lambda one: np.inf if one.objective_s is None else one.objective_s)
    bound = least.certificate.bound
    certificate = best.certificate.model_copy(
        update={"runtime_s": deadline.elapsed_s, "bound": bound, "gap": None}
    )
    if best.objective_s is None:
        return best.model_copy(
            update={
                "certificate": certificate.model_copy(update={"status": "timeout"}),
                "binding": f"{best.binding}, if every layer stores its own weights; whether a plan "
                "fits whose layers share them was not found out",
            }
        )
    gap = None if bound is None else max(1 - bound / (best.objective_s or 1.0), 0.0)
    proven = gap is not None and gap <= PROVEN_GAP
    certificate = certificate.model_copy(
        update={"status": "optimal" if proven else "feasible", "gap": gap}
    )
    return best.model_copy(update={"certificate": certificate})


def _charged(costs: Costs, once_bytes: int) -> Costs:
    """All nodes without the room for what is shared, as large a share of it as of any layer."""
    limits = costs.memory_limit_bytes.copy()
    for group, table in enumerate(costs.tables):
        here = slice(len(table.node_names))
        own = table.weight_bytes.max(axis=1)
        share = (own / np.maximum(own.sum(axis=1, keepdims=True), 1)).max(axis=0)
        left = limits[group, here] - np.ceil(once_bytes * share).astype(np.int64)
        unlimited = limits[group, here] >= NO_LIMIT
        limits[group, here] = np.where(unlimited, NO_LIMIT, np.maximum(left, 0))
    return replace(costs, memory_limit_bytes=limits)

"""Published ways to split every layer, one row each in a comparison; nothing is dropped.

Each is the fastest plan of one stage in which layers run in its ways alone; what none of them can
run gathers features. See docs/plan.md for whose they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from planner.case import Case
from planner.domain.layouts import Way
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.solve.deadline import Deadline
from planner.solve.problem import NO_LIMIT
from planner.solve.solver import solve
from planner.strategies.costed import cost_plan
from planner.strategies.groups import first_nodes
from planner.strategies.ways.problem import (
    cost_in_layouts,
    layout_problem_of,
    layout_stages_of,
)


@dataclass(frozen=True)
class Split:
    """A published way to split a network.

    Attributes
    ----------
    name : str
    ways, mixing_ways : tuple of Way
        Of layers that leave features apart, and of those that mix them.
    fuses : bool
        Halos of several layers may be fetched at once.
    """

    name: str
    ways: tuple[Way, ...]
    mixing_ways: tuple[Way, ...]
    fuses: bool = False


def splits_of(case: Case) -> Iterator[Split]:
    """Those that make sense for a model."""
    profile = case.profile
    rows = not any(layer.op in ("attention", "matmul") for layer in profile.layers)
    if any(layer.positions is not None and layer.positions.parts for layer in profile.layers):
        yield Split("rows" if rows else "tokens", ("positions",), ("positions",))
        if rows:
            yield Split("fused-rows", ("positions",), ("positions",), fuses=True)
        else:
            yield Split("sequence-parallel", ("features", "positions"), ("outputs", "sums"))
    yield Split("tensor-parallel", ("features", "outputs", "whole"), ("outputs", "sums"))
    if any(layer.samples is not None and layer.samples.parts for layer in profile.layers):
        yield Split("data-parallel", ("samples",), ("samples",))


def split_plan(case: Case, nodes: int, split: Split, deadline: Deadline) -> Plan | None:
    """The fastest plan of a split on the first nodes, whatever memory it needs.

    None where time was up before there was one.
    """
    return case.once(
        ("split", split, nodes),
        lambda: _split_plan(case, nodes, split, deadline),
        keep=lambda plan: plan is not None,
    )


def _split_plan(case: Case, nodes: int, split: Split, deadline: Deadline) -> Plan | None:
    groups = first_nodes(case, nodes)
    tables = {0: case.table(case.names(nodes), case.levels[:1])}
    costs = cost_in_layouts(
        case, groups, tables, split.ways, True, deadline, split.mixing_ways, split.fuses
    )
    request = Request(max_nodes=nodes, parallelism="within-layer", exactly=True)
    problem = layout_problem_of(case, costs, request)
    free = np.full_like(problem.memory_limit_bytes, NO_LIMIT)
    result = solve(problem.but(memory_limit_bytes=free), deadline=deadline)
    if result.choice is None:
        return None
    return cost_plan(case, layout_stages_of(case, costs, result.choice), split.name)

"""From a case, groups and a request to the layered problem, and from its choice back to stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.interface import loss_limit
from planner.case import Case
from planner.cost.handover import Crossings
from planner.cost.table import CostTable
from planner.domain.layouts import LAYOUTS, Holding, Layout, Way
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.request import Request
from planner.solve.deadline import Deadline, OutOfTimeError
from planner.solve.layouts.problem import CutCosts, LayerArcs, LayoutProblem
from planner.solve.problem import NO_LIMIT, Choice
from planner.strategies.costed import layer_plans
from planner.strategies.groups import Groups, describe
from planner.strategies.ways.costs import PlannedArcs, cost_arcs
from planner.strategies.ways.states import LayoutGraph, layer_kinds, layout_graph
from planner.structure import last_uses


@dataclass(frozen=True, eq=False)
class LayoutCosts:
    """The costs of a family of groups in all ways, whatever the objective and the limits."""

    groups: Groups
    names: list[tuple[str, ...]]
    tables: list[CostTable]
    graph: LayoutGraph
    planned: list[PlannedArcs]
    arcs: list[LayerArcs]
    cut_costs: list[CutCosts]
    cut_kind: NDArray[np.int64]
    input_s: NDArray[np.float64]
    input_medium_s: NDArray[np.float64]
    output_s: NDArray[np.float64]
    output_medium_s: NDArray[np.float64]
    memory_limit_bytes: NDArray[np.int64]
    complete: bool


def cost_in_layouts(
    case: Case,
    groups: Groups,
    tables: dict[int, CostTable],
    ways: Sequence[Way],
    single_stage: bool,
    deadline: Deadline,
) -> LayoutCosts:
    """Cost every layer in every way on every group, and every change of group.

    Parameters
    ----------
    case : Case
    groups : Groups
    tables : dict of int to CostTable
        Of the groups that were costed in time, by their numbers; one has two nodes or more.
    ways : sequence of Way
    single_stage : bool
        No change of group is needed.
    deadline : Deadline
    """
    complete = len(tables) == len(groups.uses)
    if not complete:
        groups = groups.keep(sorted(tables))
    ordered = [tables[group] for group in sorted(tables)]
    names = [groups.members((group,))[0] for group in range(len(ordered))]
    shares = {id(s): s for s in (case.shares(group) for group in names)}
    kinds = layer_kinds(case.profile, [s.kind for s in shares.values()])
    several = next(group for group in names if len(group) > 1)
    graph = layout_graph(case.profile, case.layouts(several), ways, kinds)
    limits = _memory_limits(case, names)
    binds = bool((limits < most_bytes(case)).any())
    arcs, planned = cost_arcs(case, names, ordered, graph, kinds, binds)
    between = groups.without_handovers() if single_stage else groups
    try:
        cut_costs, cut_kind = _cuts(case, between, graph, kinds, deadline)
    except OutOfTimeError:
        complete, groups = False, groups.without_handovers(largest=1)
        cut_costs, cut_kind = _cuts(case, groups, graph, kinds, Deadline())
    output_s, output_medium_s = _outputs(case, names, graph)
    ends = np.array([case.ends_s(group) for group in names])
    ends_medium = np.array([case.ends_medium_s(group) for group in names])
    return LayoutCosts(
        groups=groups,
        names=names,
        tables=ordered,
        graph=graph,
        planned=planned,
        arcs=arcs,
        cut_costs=cut_costs,
        cut_kind=cut_kind,
        input_s=ends[:, 0],
        input_medium_s=ends_medium[:, 0],
        output_s=output_s,
        output_medium_s=output_medium_s,
        memory_limit_bytes=limits if binds else np.full_like(limits, NO_LIMIT),
        complete=complete,
    )


def most_bytes(case: Case) -> int:
    """More than any node can need of any plan: all weights, and live tensors thrice over."""
    profile, last = case.profile, last_uses(case.profile)
    sizes = {spec.name: spec.bytes for spec in profile.inputs}
    live, largest = sum(sizes.values()), 0
    for row, layer in enumerate(profile.layers):
        sizes[layer.name] = layer.output_bytes
        live += layer.output_bytes
        largest = max(largest, live + layer.input_bytes)
        gone = {name for name in (*layer.inputs, layer.name) if 0 <= last[name] <= row}
        live -= sum(sizes[name] for name in gone)
    return profile.totals.param_bytes + 3 * largest


def _memory_limits(case: Case, names: list[tuple[str, ...]]) -> NDArray[np.int64]:
    nodes = {node.name: node for node in case.cluster.nodes}
    limits = np.full((len(names), max(map(len, names))), NO_LIMIT, dtype=np.int64)
    for group, members in enumerate(names):
        limits[group, : len(members)] = [nodes[n].memory_bytes or NO_LIMIT for n in members]
    return limits


def _main(holding: Holding) -> Layout:
    return next(layout for layout in LAYOUTS if layout in holding)


def _cuts(
    case: Case, groups: Groups, graph: LayoutGraph, kinds: NDArray[np.int64], deadline: Deadline
) -> tuple[list[CutCosts], NDArray[np.int64]]:
    """Costs of changes of group, and which of them each place between two layers has."""
    row = {layer.name: index for index, layer in enumerate(case.profile.layers)}
    count = len(groups.uses)
    pairs = np.argwhere(groups.may_follow())
    found: list[CutCosts] = []
    numbers: dict[object, int] = {}
    kind = np.full(len(case.profile.layers) - 1, -1, dtype=np.int64)
    crossings = case.crossings()
    for unit in case.units[1:] if len(pairs) else ():
        layer = unit.start
        live, states = graph.live[layer], graph.states[layer]
        cut = case.units.index(unit) - 1
        crossing = case.crossing(cut)
        key = (
            tuple(int(kinds[row[name]]) for name in live),
            tuple(name for name in crossing if name not in row),
            states,
        )
        if key not in numbers:
            numbers[key] = len(found)
            found.append(_cut(case, groups, pairs, count, live, states, crossing, crossings))
            deadline.check()
        kind[layer - 1] = numbers[key]
    return found, kind


def _cut(
    case: Case,
    groups: Groups,
    pairs: NDArray[np.int64],
    count: int,
    live: tuple[str, ...],
    states: tuple[tuple[Holding, ...], ...],
    crossing: list[str],
    crossings: Crossings,
) -> CutCosts:
    mains: dict[tuple[Layout, ...], int] = {}
    main = np.full(len(states) + 1, -1, dtype=np.int64)
    for number, state in enumerate(states, start=1):
        if all("sums" not in holding for holding in state):
            lies = tuple(_main(holding) for holding in state)
            main[number] = mains.setdefault(lies, len(mains))
    by_state = {state: number for number, state in enumerate(states, start=1)}
    arrival = np.array(
        [by_state.get(tuple(frozenset((x,)) for x in lies), -1) for lies in mains] or [-1],
        dtype=np.int64,
    )
    seconds, medium = (np.full((count, count, max(len(mains), 1)), np.inf) for _ in range(2))
    inputs = [name for name in crossing if name not in live]
    for sender, receiver in pairs.tolist():
        members = groups.members((sender, receiver))
        tensors = []
        for lies in mains or [()]:
            has, needs = (
                ["whole" if len(group) == 1 else layout for layout in lies] for group in members
            )
            tensors.append(
                [*zip(live, has, needs, strict=True), *((name, "whole", "whole") for name in inputs)]
            )
        seconds[sender, receiver], medium[sender, receiver] = crossings.cost(*members, tensors)
    return CutCosts(main, arrival, seconds, np.where(np.isfinite(medium), medium, 0.0))


def _outputs(
    case: Case, names: list[tuple[str, ...]], graph: LayoutGraph
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Collecting the output from every group, by the state behind the last layer, (G, S)."""
    live, states = graph.live[-1], graph.states[-1]
    seconds, medium = (np.zeros((len(names), len(states) + 1)) for _ in range(2))
    for index, group in enumerate(names):
        if len(group) == 1:
            seconds[index], medium[index] = case.ends_s(group)[1], case.ends_medium_s(group)[1]
            continue
        for number, state in enumerate(states, start=1):
            if any("sums" in holding for holding in state):
                seconds[index, number] = np.inf
                continue
            lies = {name: _main(holding) for name, holding in zip(live, state, strict=True)}
            outputs = {name: lies.get(name, "whole") for name in case.profile.outputs}
            seconds[index, number], medium[index, number] = case.collect_s(group, outputs)
    return seconds, medium


def layout_problem_of(case: Case, costs: LayoutCosts, request: Request) -> LayoutProblem:
    """The arrays of a request.

    Raises
    ------
    BadInputError
        A limit on a loss without a model that counts in it.
    """
    limits, rate = request.limits, request.limits.min_throughput_per_s
    most = loss_limit(limits, case.loss_model, case.profile.name)
    devices = {node.name: node.device_type for node in case.cluster.nodes}
    groups = costs.groups
    return LayoutProblem(
        objective="latency" if request.objective == "latency" else "bottleneck",
        group_names=tuple(describe(names, devices) for names in costs.names),
        arcs=tuple(costs.arcs),
        kind=costs.graph.kind,
        states=np.array([len(states) + 1 for states in costs.graph.states]),
        cut_costs=tuple(costs.cut_costs),
        cut_kind=costs.cut_kind,
        memory_limit_bytes=costs.memory_limit_bytes,
        input_s=costs.input_s,
        output_s=costs.output_s,
        input_medium_s=costs.input_medium_s,
        output_medium_s=costs.output_medium_s,
        uses=groups.uses,
        available=groups.available,
        follows=groups.follows,
        max_nodes=request.max_nodes,
        all_nodes=request.exactly,
        single_stage=request.parallelism == "within-layer",
        max_loss=None if most is None else most.limit,
        loss_name="loss" if most is None else most.name,
        loss_unit="" if most is None else most.unit,
        loss_exponent=1 if most is None else most.exponent,
        max_latency_s=limits.max_latency_s,
        max_bottleneck_s=None if rate is None else 1.0 / rate,
    )


def layout_stages_of(case: Case, costs: LayoutCosts, choice: Choice) -> tuple[StagePlan, ...]:
    """The stages with their nodes by name, and the way of each layer."""
    members = costs.groups.members(choice.groups)
    layers = case.profile.layers
    plans = []
    for (start, last, group), names in zip(choice.runs(), members, strict=True):
        if len(names) == 1:
            alone = tuple(
                LayerPlan(name=layer.name, nodes=1) for layer in layers[start : last + 1]
            )
            plans.append(StagePlan(nodes=names, layers=alone))
            continue
        table = costs.tables[group]
        levels = np.zeros(len(layers), dtype=np.int64)
        for row in range(start, last + 1):
            planned = costs.planned[int(costs.graph.kind[row])]
            levels[row] = planned.level[choice.options[row]]
        as_features = layer_plans(table, levels, slice(start, last + 1))
        found = [
            _in_way(costs, row, int(choice.options[row]), layers[row].inputs, plan)
            for row, plan in enumerate(as_features, start=start)
        ]
        arrives: tuple[tuple[str, Layout], ...] = ()
        if start:
            planned = costs.planned[int(costs.graph.kind[start])]
            state = int(planned.arcs.before[planned.base[choice.options[start]]])
            holdings = costs.graph.states[start][state - 1]
            arrives = tuple(
                (name, _main(holding))
                for name, holding in zip(costs.graph.live[start], holdings, strict=True)
            )
        plans.append(StagePlan(nodes=names, layers=tuple(found), arrives=arrives))
    return tuple(plans)


def _in_way(
    costs: LayoutCosts, row: int, arc: int, inputs: Sequence[str], plan: LayerPlan
) -> LayerPlan:
    """A layer's plan in its way; kept features only where features are gathered."""
    option = costs.planned[int(costs.graph.kind[row])].option(arc)
    assert option is not None
    update: dict[str, object] = {
        "way": option.way,
        "layout": option.makes,
        "conversions": option.planned(inputs),
    }
    if option.way != "features":
        update |= {"kept_features": None, "sparsity": None}
    return plan.model_copy(update=update)

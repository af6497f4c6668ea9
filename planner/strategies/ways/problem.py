"""From a case, groups and a request to the layered problem, and from its choice back to stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.cost.handover import Crossings
from planner.cost.memory import shared_parts
from planner.cost.table import CostTable
from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import LAYOUTS, WHOLE, Holding, Layout, Way, main_layout
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.request import Request
from planner.solve.deadline import Deadline, OutOfTimeError
from planner.solve.layout_problem import ALONE, CutCosts, LayerArcs, LayoutProblem
from planner.solve.problem import NO_LIMIT, Choice
from planner.strategies.costed import layer_plans
from planner.strategies.family import (
    FamilyCosts,
    costed_groups,
    inputs_of,
    memory_limits,
    outputs_of,
    what_is_asked,
)
from planner.strategies.groups import Groups
from planner.strategies.ways.arcs import Arcs, Boundary
from planner.strategies.ways.costs import cost_arcs
from planner.strategies.ways.options import Option
from planner.strategies.ways.runs import Run, crowded_out, runs_that_pay
from planner.strategies.ways.states import LayoutGraph, layer_kinds, layout_graph
from planner.structure import last_uses

MAX_RUNS = 12
"""Runs of fused halos over any place between two layers, at most; the shortest are offered."""


@dataclass(frozen=True, eq=False)
class LayoutCosts(FamilyCosts):
    """The costs of a family of groups in all ways; see `planner.solve.layout_problem`.

    Attributes
    ----------
    graph : LayoutGraph
        What the numbers of states, arcs and options stand for.
    """

    graph: LayoutGraph
    arcs: list[LayerArcs]
    cut_costs: list[CutCosts]
    cut_kind: NDArray[np.int64]

    def at_first_level(self) -> LayoutCosts:
        """The same where nothing is dropped."""
        kinds, arcs = [], []
        for kind, of_kind in zip(self.graph.kinds, self.arcs, strict=True):
            dense = np.array([item is None or item[1] == 0 for item in kind.options])
            kept = dense[kind.option]
            chosen = {name: getattr(kind, name)[kept] for name in _OF_ARCS}
            kinds.append(replace(kind, **chosen))
            arcs.append(replace(of_kind, **chosen))
        return replace(self, graph=replace(self.graph, kinds=tuple(kinds)), arcs=arcs)

    def without_shared(self, parts: NDArray[np.float64]) -> LayoutCosts:
        """The same where such parts of every layer's bytes, shape (L,), are stored by nobody."""
        arcs = [
            replace(of, weight_bytes=of.weight_bytes - np.ceil(of.weight_bytes * part).astype(int))
            for of, part in zip(self.arcs, parts[[k.row for k in self.graph.kinds]], strict=True)
        ]
        return replace(self, arcs=arcs)


_OF_ARCS = ("before", "after", "option", "rest")


def cost_in_layouts(
    case: Case,
    groups: Groups,
    tables: dict[int, CostTable],
    ways: Sequence[Way],
    single_stage: bool,
    deadline: Deadline,
    mixing_ways: Sequence[Way] | None = None,
    fuses: bool = True,
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
    mixing_ways : sequence of Way, optional
        Of layers that mix features, where these are not the same.
    fuses : bool
        Whether runs of fused halos may be taken.
    """
    complete = len(tables) == len(groups.uses)
    groups, names, ordered = costed_groups(groups, tables)
    shares = {id(s): s for s in (case.shares(group) for group in names)}
    # layers that are alike in all else may lose unlike
    losses = np.concatenate([case.loss(table) for table in ordered], axis=1)
    _, by_loss = np.unique(losses, axis=0, return_inverse=True)
    # and of layers that are alike some share their weights
    _, by_part = np.unique(shared_parts(case.profile)[0], return_inverse=True)
    numberings = [*(s.kind for s in shares.values()), by_loss.ravel(), by_part.ravel()]
    kinds = layer_kinds(case.profile, numberings)
    several = [group for group in names if len(group) > 1]
    larger = [table for table in ordered if len(table.node_names) > 1]
    allowed = np.any([t.allowed & t.sparsifiable[:, None] for t in larger], axis=0)
    allowed[:, 0] = True

    def levels_of(row: int) -> Sequence[int]:
        levels: list[int] = np.flatnonzero(allowed[row]).tolist()
        return levels

    runs: list[Run] = []
    if fuses and "positions" in ways:
        runs = runs_that_pay(case, several, kinds)
        runs = crowded_out(runs, len(case.profile.layers), MAX_RUNS)
    graph = case.once(
        (
            "layout graph",
            tuple(ways),
            None if mixing_ways is None else tuple(mixing_ways),
            kinds.tobytes(),
            allowed.tobytes(),
            tuple((run.start, run.stop) for run in runs),
        ),
        lambda: layout_graph(
            case.profile, case.layouts(several[0]), ways, kinds, levels_of, runs, mixing_ways
        ),
    )
    limits = memory_limits(case, names)
    binds = bool((limits < most_bytes(case)).any())
    arcs = cost_arcs(case, names, ordered, graph, kinds, binds)
    between = groups.without_handovers() if single_stage else groups
    try:
        cut_costs, cut_kind = _cuts(case, between, graph, kinds, deadline)
    except OutOfTimeError:
        complete, groups = False, groups.without_handovers(largest=1)
        cut_costs, cut_kind = _cuts(case, groups, graph, kinds, Deadline())
    return LayoutCosts(
        groups=groups,
        names=names,
        tables=ordered,
        graph=graph,
        arcs=arcs,
        cut_costs=cut_costs,
        cut_kind=cut_kind,
        **inputs_of(case, names),
        **outputs_of(_outputs(case, names, graph)),
        memory_limit_bytes=limits if binds else np.full_like(limits, NO_LIMIT),
        complete=complete,
    )


def most_bytes(case: Case) -> int:
    """No node of any plan needs more: all weights, live tensors in three layouts, what arrives.

    Of one tensor that is not more than all nodes send: their parts of a sum, whole each.
    """
    profile, last = case.profile, last_uses(case.profile)
    sizes = {spec.name: spec.bytes for spec in profile.inputs}
    live, largest = sum(sizes.values()), 0
    for row, layer in enumerate(profile.layers):
        sizes[layer.name] = layer.output_bytes
        live += layer.output_bytes
        largest = max(largest, live + layer.input_bytes)
        gone = {name for name in (*layer.inputs, layer.name) if 0 <= last[name] <= row}
        live -= sum(sizes[name] for name in gone)
    return profile.totals.param_bytes + (3 + len(case.cluster.nodes)) * largest


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
        boundary = graph.boundaries[layer]
        cut = case.units.index(unit) - 1
        crossing = case.crossing(cut)
        key = (
            tuple(int(kinds[row[name]]) for name in boundary.live),
            tuple(name for name in crossing if name not in row),
            boundary.groups,
            boundary.universes,
            boundary.total,  # states inside of runs are none to hand over in
        )
        if key not in numbers:
            numbers[key] = len(found)
            found.append(_cut(groups, pairs, count, boundary, crossing, crossings))
            deadline.check()
        kind[layer - 1] = numbers[key]
    return found, kind


def _cut(
    groups: Groups,
    pairs: NDArray[np.int64],
    count: int,
    boundary: Boundary,
    crossing: list[str],
    crossings: Crossings,
) -> CutCosts:
    mains: dict[tuple[Layout, ...], int] = {}
    main = np.full(boundary.total, -1, dtype=np.int64)  # inside of a run no stage ends
    arrives: list[int] = []
    for number in range(1, boundary.count):
        if not boundary.is_added_up(number):
            continue
        holdings = boundary.holdings(number)
        state = [holdings[name] for name in boundary.live]
        lies = tuple(main_layout(holding) for holding in state)
        main[number] = mains.setdefault(lies, len(mains))
        if len(mains) > len(arrives):
            arrives.append(-1)
        if all(len(holding) == 1 for holding in state):
            arrives[main[number]] = number
    arrival = np.array(arrives or [-1], dtype=np.int64)
    costs = np.full((5, count, count, len(arrival)), np.inf)
    inputs = [name for name in crossing if name not in boundary.live]
    codes = [[LAYOUTS.index(layout) for layout in lies] for lies in mains or [()]]
    lying = np.array(codes, dtype=np.int64).reshape(len(arrival), len(boundary.live))
    for sender, receiver in pairs.tolist():
        first, second = groups.members((sender, receiver))
        found = crossings.cost(first, second, boundary.live, lying, inputs)
        costs[:, sender, receiver] = found.columns
    seconds, busy, *others = costs
    medium, send, receive = np.where(np.isfinite(others), others, 0.0)
    return CutCosts(main, arrival, seconds, busy, medium, send, receive)


def _outputs(case: Case, names: list[tuple[str, ...]], graph: LayoutGraph) -> NDArray[np.float64]:
    """Collecting the output from every group, by the state behind the last layer, (3, G, S)."""
    boundary = graph.boundaries[-1]
    costs = np.zeros((3, len(names), boundary.count))
    for index, group in enumerate(names):
        if len(group) == 1:
            costs[:, index] = np.array(case.ends(group)[1].at_an_end)[:, None]
            continue
        for number in range(1, boundary.count):
            if not boundary.is_added_up(number):
                costs[:2, index, number] = np.inf
                continue
            if not case.settings.count_output:
                continue
            lies = boundary.holdings(number)
            outputs = {name: main_layout(lies.get(name, WHOLE)) for name in case.profile.outputs}
            costs[:, index, number] = case.collect(group, outputs).at_an_end
    return costs


def layout_problem_of(
    case: Case, costs: LayoutCosts, request: Request, cuts: NDArray[np.bool_] | None = None
) -> LayoutProblem:
    """The arrays of a request; behind units that ``cuts`` leaves out, (U - 1,), no stage ends.

    Raises
    ------
    BadInputError
        A limit on a loss without a model that counts in it.
    """
    cut_kind = costs.cut_kind.copy()
    for unit, may_cut in zip(case.units[1:], () if cuts is None else cuts.tolist(), strict=False):
        if not may_cut:
            cut_kind[unit.start - 1] = -1
    return LayoutProblem(
        **what_is_asked(case, costs, request),
        arcs=tuple(costs.arcs),
        kind=costs.graph.kind,
        states=np.array([boundary.total for boundary in costs.graph.boundaries]),
        cut_costs=tuple(costs.cut_costs),
        cut_kind=cut_kind,
    )


def layout_stages_of(case: Case, costs: LayoutCosts, choice: Choice) -> tuple[StagePlan, ...]:
    """The stages with their nodes by name, and the way of each layer."""
    members = costs.groups.members(choice.groups)
    layers = case.profile.layers
    plans = []
    for (start, last, group), names in zip(choice.runs(), members, strict=True):
        if len(names) == 1:
            alone = tuple(LayerPlan(name=layer.name, nodes=1) for layer in layers[start : last + 1])
            plans.append(StagePlan(nodes=names, layers=alone))
            continue
        table = costs.tables[group]
        chosen = [_option(costs, row, choice) for row in range(start, last + 1)]
        levels = np.zeros(len(layers), dtype=np.int64)
        levels[start : last + 1] = [level for _, level in chosen]
        as_features = layer_plans(table, levels, slice(start, last + 1))
        found = tuple(
            _in_way(option, layers[row].inputs, _end_of_run(costs, layers, row, option), plan)
            for row, ((option, _), plan) in enumerate(
                zip(chosen, as_features, strict=True), start=start
            )
        )
        plans.append(StagePlan(nodes=names, layers=found, arrives=_arrives(costs, start, choice)))
    return tuple(plans)


def gathering_choice(
    costs: LayoutCosts,
    starts: Sequence[int],
    groups: Sequence[int],
    levels: Sequence[NDArray[np.int64]],
) -> Choice | None:
    """The choice of a plan whose layers all gather features; None where that is no choice here.

    Parameters
    ----------
    costs : LayoutCosts
    starts, groups : sequence of int
        First layer and group of every stage.
    levels : sequence of int arrays, shape (L,)
        For every stage each layer's option of its group's cost table.
    """
    options: list[int] = []
    stops = [*starts[1:], len(costs.graph.kind)]
    for start, stop, group, level in zip(starts, stops, groups, levels, strict=True):
        alone = len(costs.names[group]) == 1
        state = ALONE if alone else _by_features(costs.graph.boundaries[start])
        for row in range(start, stop):
            arcs = costs.graph.kinds[int(costs.graph.kind[row])]
            found = None if state is None else _gathers(arcs, state, int(level[row]))
            if found is None:
                return None
            options.append(found)
            state = int(arcs.after[found])
    return Choice(starts=tuple(starts), groups=tuple(groups), options=np.array(options))


def _by_features(boundary: Boundary) -> int | None:
    """The state in which all live tensors lie by features."""
    place: Holding = frozenset(("features",))
    if not all(place in universe for universe in boundary.universes):
        return None
    at = zip(boundary.universes, boundary.strides, strict=True)
    return 1 + sum(universe.index(place) * stride for universe, stride in at)


def _gathers(arcs: Arcs, state: int, level: int) -> int | None:
    """The arc from a state on which a layer gathers features at a level, without conversions."""
    for arc in np.flatnonzero(arcs.before == state).tolist():
        chosen = arcs.options[int(arcs.option[arc])]
        if chosen is None:
            return int(arc)
        option, at = chosen
        whole = option.reads[0] == "whole"
        if option.way == "features" and not option.conversions and (at == level or whole):
            return int(arc)
    return None


def _option(costs: LayoutCosts, row: int, choice: Choice) -> tuple[Option, int]:
    """The option and the level of sparsity of a layer on several nodes."""
    arcs = costs.graph.kinds[int(costs.graph.kind[row])]
    chosen = arcs.options[int(arcs.option[choice.options[row]])]
    assert chosen is not None
    return chosen


def _arrives(costs: LayoutCosts, start: int, choice: Choice) -> tuple[tuple[str, Layout], ...]:
    """How the live tensors lie where a stage on several nodes begins."""
    arcs = costs.graph.kinds[int(costs.graph.kind[start])]
    boundary = costs.graph.boundaries[start]
    holdings = boundary.holdings(int(arcs.before[choice.options[start]]))
    return tuple((name, main_layout(holdings[name])) for name in boundary.live)


def _end_of_run(
    costs: LayoutCosts, layers: Sequence[LayerProfile], row: int, option: Option
) -> str | None:
    """The last layer of the run of fused halos that a layer is part of."""
    if option.run is None:
        return None
    like = costs.graph.kinds[int(costs.graph.kind[row])].row
    return layers[row + option.run.stop - 1 - like].name


def _in_way(option: Option, inputs: Sequence[str], until: str | None, plan: LayerPlan) -> LayerPlan:
    """A layer's plan in its way; kept features only where features are gathered."""
    update: dict[str, object] = {
        "way": option.way,
        "layout": option.makes,
        "conversions": option.planned(inputs),
        "until": until,
    }
    if option.way != "features":
        update |= {"kept_features": None, "sparsity": None}
    return plan.model_copy(update=update)

"""From a case and a request to the solver's bare arrays, and from its choice back to stages."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.cost.handover import Transfers
from planner.cost.memory import stored_twice
from planner.cost.overlap import busy_s
from planner.cost.table import CostTable
from planner.domain.layouts import Way
from planner.domain.plan import StagePlan
from planner.domain.request import Request
from planner.solve.deadline import Deadline, OutOfTimeError
from planner.solve.layout_problem import AnyProblem
from planner.solve.problem import NO_LIMIT, Choice, Problem
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
from planner.strategies.ways.problem import (
    LayoutCosts,
    cost_in_layouts,
    gathering_choice,
    layout_problem_of,
    layout_stages_of,
)
from planner.structure import cuts_between_blocks

_COSTING_SHARE = 0.4  # of a time limit: groups that are not costed by then are left out


@dataclass(frozen=True, eq=False)
class GroupCosts(FamilyCosts):
    """The costs of a family of groups whose layers gather features, over U units and K options.

    Attributes
    ----------
    row : int array, shape (L,)
        The unit in which each layer is counted.
    unknown : bool array, shape (G, U, K)
        Options of which the loss model knows nothing.
    """

    row: NDArray[np.int64]
    cuttable: NDArray[np.bool_]
    allowed: NDArray[np.bool_]
    latency_s: NDArray[np.float64]
    busy_s: NDArray[np.float64]
    medium_s: NDArray[np.float64]
    loss: NDArray[np.float64]
    unknown: NDArray[np.bool_]
    weight_bytes: NDArray[np.int64]
    live_bytes: NDArray[np.int64]
    transfer_s: NDArray[np.float64]
    transfer_busy_s: NDArray[np.float64]
    send_s: NDArray[np.float64]
    receive_s: NDArray[np.float64]
    transfer_medium_s: NDArray[np.float64]

    def without_shared(self, parts: NDArray[np.float64]) -> GroupCosts:
        """The same where such parts of every layer's bytes, shape (L,), are stored by nobody."""
        _, units, options, _ = self.weight_bytes.shape
        into, left = _Units(self.row, units, options), self.weight_bytes.copy()
        for group, table in enumerate(self.tables):
            shared = np.ceil(table.weight_bytes * parts[:, None, None]).astype(np.int64)
            into.fill(np.subtract, left[group, ..., : len(table.node_names)], shared)
        return replace(self, weight_bytes=left)


def cost_groups(
    case: Case,
    groups: Groups,
    levels: tuple[float, ...],
    single_stage: bool,
    deadline: Deadline,
) -> GroupCosts:
    """Cost every unit on every group, and every change of group.

    Parameters
    ----------
    case : Case
    groups : Groups
    levels : tuple of float
        S_comm of the options; the first is the only one of a node alone.
    single_stage : bool
        No change of group is needed.
    deadline : Deadline
        Where it passes first, the groups that are costed by then are all that there is; where it
        passes before their handovers are, only those of one node follow each other.
    """
    tables = _tables(case, groups, levels, deadline)
    complete = len(tables) == len(groups.uses)
    groups, names, ordered = costed_groups(groups, tables)
    row, cuttable = _unit_rows(case, ordered)
    into = _Units(row, len(case.units), len(levels))
    busy = [
        busy_s(table.wire_s, table.software_s, table.compute_s, case.settings.overlap)
        for table in ordered
    ]
    losses = [case.loss(table) for table in ordered]
    limits = memory_limits(case, names)
    weights, live = _memory(case, ordered, into, limits.shape[1], single_stage)
    between = groups.without_handovers() if single_stage else groups
    try:
        transfers = _transfers(case, between, deadline)
    except OutOfTimeError:
        complete, groups = False, groups.without_handovers(largest=1)
        transfers = _transfers(case, groups, Deadline())  # quick: all alike
    outputs = np.array([case.ends(group)[1].at_an_end for group in names], dtype=np.float64).T
    return GroupCosts(
        groups=groups,
        names=names,
        tables=ordered,
        row=row,
        cuttable=cuttable,
        allowed=into.allowed([table.allowed for table in ordered]),
        latency_s=into.add([table.latency_s for table in ordered]),
        busy_s=np.stack([into.add(list(resource)) for resource in zip(*busy, strict=True)]),
        medium_s=into.add([table.medium_s for table in ordered]),
        loss=into.add([np.where(np.isfinite(loss), loss, 0.0) for loss in losses]),
        unknown=into.add([np.isinf(loss).astype(float) for loss in losses]) > 0,
        memory_limit_bytes=limits,
        weight_bytes=weights,
        live_bytes=live,
        transfer_s=transfers.seconds,
        transfer_busy_s=transfers.busy_s,
        transfer_medium_s=transfers.medium_s,
        send_s=transfers.send_s,
        receive_s=transfers.receive_s,
        **inputs_of(case, names),
        **outputs_of(outputs),
        complete=complete,
    )


def _tables(
    case: Case, groups: Groups, levels: tuple[float, ...], deadline: Deadline
) -> dict[int, CostTable]:
    """Tables by group as far as time allows: single nodes first, then the largest groups.

    The node with the most memory begins, the fastest of several: it can run everything if any can.
    """
    nodes = {node.name: node for node in case.cluster.nodes}

    def turn(group: int) -> tuple[float, ...]:
        first, *others = groups.members((group,))[0]
        if others:
            return 1, -len(others)
        return 0, -(nodes[first].memory_bytes or NO_LIMIT), -nodes[first].macs_per_s

    order = sorted(range(len(groups.uses)), key=turn)
    found: dict[int, CostTable] = {}
    for group in order:
        if found and deadline.passed:
            break
        found[group] = case.table(groups.members((group,))[0], levels)
    return found


def _unit_rows(case: Case, tables: list[CostTable]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The unit that each layer counts in, and the cuts between units that may be used.

    Layers that share a transmission take one option, in the unit of their first reader, and stay
    in one stage.
    """
    units = case.units
    row = np.repeat(np.arange(len(units)), [len(unit) for unit in units])
    cuttable = np.ones(len(units) - 1, dtype=np.bool_)
    decisions = max(tables, key=lambda table: len(table.node_names)).decisions
    for tied in (np.flatnonzero(decisions == d) for d in np.unique(decisions)):
        if len(tied) > 1:
            cuttable[row[tied[0]] : row[tied[-1]]] = False
            row[tied] = row[tied[0]]
    return row, cuttable


@dataclass(frozen=True)
class _Units:
    """Arrays over layers and options as arrays over units; a node alone has one option only."""

    row: NDArray[np.int64]
    units: int
    options: int

    def add(self, layers: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Sums over the layers of each unit, shape (G, U, K)."""
        total = np.zeros((len(layers), self.units, self.options))
        for group, values in enumerate(layers):
            np.add.at(total[group], self.row, np.broadcast_to(values, self._shape(values)))
        return total

    def allowed(self, layers: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Options that any layer of a unit may take; the first where none has a choice."""
        found = np.zeros((len(layers), self.units, self.options), dtype=np.bool_)
        for group, values in enumerate(layers):
            np.logical_or.at(found[group, :, : values.shape[1]], self.row, values)
        found[..., 0] |= ~found.any(axis=2)
        return found

    def fill(self, add: np.ufunc, into: NDArray[np.int64], values: NDArray[np.int64]) -> None:
        """Gather values of shape (L, K, n) in an array of shape (U, K, n)."""
        add.at(into, self.row, np.broadcast_to(values, self._shape(values)))

    def _shape(self, values: NDArray[np.generic]) -> tuple[int, ...]:
        return (len(values), self.options, *values.shape[2:])


def _memory(
    case: Case, tables: list[CostTable], into: _Units, positions: int, single_stage: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Stored weights and live bytes, shape (G, U, K, P).

    Weights that layers share are stored once where all layers are in one stage; a stage of some
    layers is taken to store them for each, so that what units need adds up.
    """
    shape = (len(tables), into.units, into.options, positions)
    weights, live = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for group, table in enumerate(tables):
        here = slice(len(table.node_names))
        stored = table.weight_bytes
        if single_stage:
            stored = stored - stored_twice(case.profile, stored)
        into.fill(np.add, weights[group, ..., here], stored)
        into.fill(np.maximum, live[group, ..., here], table.live_bytes)
    return weights, live


def _transfers(case: Case, groups: Groups, deadline: Deadline) -> Transfers:
    """Every change of group, shape (G, G, U - 1).

    Raises
    ------
    OutOfTimeError
    """
    count, cuts = len(groups.uses), len(case.units) - 1
    every = Transfers.none((count, count, cuts))
    pairs = np.argwhere(groups.may_follow())
    if cuts and len(pairs):
        members = [groups.members(pair) for pair in pairs.tolist()]
        found = case.transfers([(sender, receiver) for sender, receiver in members], deadline.check)
        for into, column in zip(every.columns, found.columns, strict=True):
            into[pairs[:, 0], pairs[:, 1]] = column
    return every


def problem_of(case: Case, costs: GroupCosts | LayoutCosts, request: Request) -> AnyProblem:
    """The arrays of a request.

    Raises
    ------
    BadInputError
        A limit on a loss without a model that counts in it.
    """
    cuts = np.ones(len(case.units) - 1, dtype=np.bool_)
    if request.cut_at == "blocks":
        cuts = cuts_between_blocks(case.profile)
    if isinstance(costs, LayoutCosts):
        return layout_problem_of(case, costs, request, cuts)
    asked = what_is_asked(case, costs, request)
    return Problem(
        **asked,
        latency_s=costs.latency_s,
        busy_s=costs.busy_s,
        medium_s=costs.medium_s,
        allowed=costs.allowed if asked["max_loss"] is None else costs.allowed & ~costs.unknown,
        loss=costs.loss,
        weight_bytes=costs.weight_bytes,
        live_bytes=costs.live_bytes,
        transfer_s=costs.transfer_s,
        transfer_busy_s=costs.transfer_busy_s,
        transfer_medium_s=costs.transfer_medium_s,
        send_s=costs.send_s if costs.send_s.any() else None,
        receive_s=costs.receive_s if costs.receive_s.any() else None,
        cuttable=costs.cuttable & cuts,
        ring=costs.groups.ring,
    )


def stages_of(case: Case, costs: GroupCosts | LayoutCosts, choice: Choice) -> tuple[StagePlan, ...]:
    """The stages with their nodes by name and what each layer exchanges."""
    if isinstance(costs, LayoutCosts):
        return layout_stages_of(case, costs, choice)
    members = costs.groups.members(choice.groups)
    picked = np.asarray(choice.options)[costs.row]
    plans = []
    for (start, last, group), names in zip(choice.runs(), members, strict=True):
        rows = slice(case.units[start].start, case.units[last].stop)
        table = costs.tables[group]
        options = np.where(_has_option(table, picked), picked, 0)
        plans.append(StagePlan(nodes=names, layers=layer_plans(table, options, rows)))
    return tuple(plans)


def in_layouts(costs: LayoutCosts, of: GroupCosts, case: Case, choice: Choice) -> Choice | None:
    """A choice among plans that gather features, as one among plans in all ways."""
    if not (costs.complete and of.complete):
        return None  # groups may have other numbers
    picked = np.asarray(choice.options)[of.row]
    tables = [of.tables[group] for group in choice.groups]
    levels = [np.where(_has_option(table, picked), picked, 0) for table in tables]
    starts = [case.units[unit].start for unit in choice.starts]
    return gathering_choice(costs, starts, choice.groups, levels)


def _has_option(table: CostTable, picked: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Layers that have the option of their unit at all: those that follow take their only one."""
    known = table.allowed.any(axis=1) & (picked < table.allowed.shape[1])
    has: NDArray[np.bool_] = known & (table.sparsifiable | (picked == 0))
    return has


def costs_of(
    case: Case, groups: Groups, request: Request, deadline: Deadline
) -> GroupCosts | LayoutCosts:
    """The costs of a family of groups for a request, kept in the case where all are known."""
    levels = levels_of(case, request)
    several = bool((groups.uses.sum(axis=1) > 1).any())
    ways = _ways_of(case, request) if several else ("features",)
    if ways == ("features",):
        return _keep(
            case,
            ("group costs", groups.scope, request.parallelism, levels),
            lambda: cost_groups(
                case, groups, levels, request.parallelism == "within-layer", _part(deadline)
            ),
        )
    # who asks for the best plan without training will be told the best with it as well
    told = case.loss_model is not None and request.max_sparsity is None
    all_levels = case.levels if told else levels
    wide = ("layout costs", groups.scope, ways, all_levels)
    single = request.parallelism == "within-layer" and case.known((*wide, False)) is None
    found = _keep(
        case,
        (*wide, single),
        lambda: _cost_in_layouts(case, groups, all_levels, ways, single, _part(deadline)),
    )
    if len(levels) == len(all_levels) or not isinstance(found, LayoutCosts):
        return found
    return case.once(
        ("lossless costs", groups.scope, ways, single), lambda: found.at_first_level(),
        keep=lambda costs: costs.complete,
    )  # fmt: skip


def _part(deadline: Deadline) -> Deadline:
    return deadline.share(_COSTING_SHARE)


def _keep(
    case: Case, key: Hashable, make: Callable[[], GroupCosts | LayoutCosts]
) -> GroupCosts | LayoutCosts:
    return case.once(key, make, keep=lambda costs: costs.complete)


def _cost_in_layouts(
    case: Case,
    groups: Groups,
    levels: tuple[float, ...],
    ways: tuple[Way, ...],
    single: bool,
    deadline: Deadline,
) -> GroupCosts | LayoutCosts:
    """Costs in all ways; where only nodes alone were costed in time, there are none."""
    tables = _tables(case, groups, levels, deadline)
    if all(len(table.node_names) == 1 for table in tables.values()):
        return cost_groups(case, groups, levels, single, deadline)
    return cost_in_layouts(case, groups, tables, ways, single, deadline)


def levels_of(case: Case, request: Request) -> tuple[float, ...]:
    """S_comm that layers may choose from: 0 alone where nothing may be dropped."""
    if request.parallelism == "pipeline" or not request.may_drop:
        return case.levels[:1]
    most = request.max_sparsity
    return case.levels if most is None else tuple(s for s in case.levels if s <= most)


def _ways_of(case: Case, request: Request) -> tuple[Way, ...]:
    """Layers that share a transmission gather features: conversions are shared anyway."""
    return ("features",) if case.settings.share_inputs else request.ways

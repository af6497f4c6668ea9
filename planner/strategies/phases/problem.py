"""From a language case, costs and a goal to the solver's bare arrays, and back to stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.cost.handover import Transfers
from planner.domain.plan import StagePlan
from planner.domain.request import Request
from planner.domain.workload import Workload
from planner.solve.problem import NO_LIMIT, Choice, Problem, SecondSum
from planner.strategies.family import memory_limits
from planner.strategies.groups import Groups, describe
from planner.strategies.phases.costs import CHUNK, LanguageCase, Phase, PhaseCosts
from planner.strategies.phases.ways import experts_of, rows_of_units, stage_of


@dataclass(frozen=True)
class Weights:
    """How often each phase counts: ``prompt`` and ``step`` of one request, or of a batch."""

    prompt: float
    step: float
    chunk: float = 0.0

    def total(self, of: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """What all phases take together."""
        total = self.prompt * of["prompt"] + self.step * of["step"]
        return total + self.chunk * of[CHUNK] if self.chunk else total


def weights_of_goal(workload: Workload) -> Weights:
    """What the goal adds up (docs/model.md, eq. 47)."""
    if workload.goal == "first-token":
        return Weights(1.0, 0.0)
    if workload.goal == "token":
        return Weights(0.0, 1.0)
    return Weights(1.0, float(workload.steps))


def problem_of_phases(
    case: LanguageCase,
    groups: Groups,
    costs: PhaseCosts,
    request: Request,
    weights: Weights,
    occupied: Weights | None = None,
) -> Problem:
    """The arrays of a goal: which group runs a unit, how, and where its experts lie.

    The objective is the latency; a limit on the bottleneck may be set on what is returned. That
    counts the phases as ``occupied`` says, by default as the latency does.
    """
    units = case.unit_of_small
    rows = np.array([option.group for option in costs.options])
    alone = np.array([option.alone for option in costs.options])
    latency = weights.total(costs.latency_s)[:, units]
    occupied = occupied or weights
    transfers = _between(costs, weights, len(units))
    busy = transfers if occupied is weights else _between(costs, occupied, len(units))
    step = case.cases(1, "equal")["step"]
    limits, kinds = _memories(step, costs)
    devices = {node.name: node.device_type for node in case.cluster.nodes}
    several = len(costs.options)
    nothing = np.zeros(several)
    may_follow = groups.follows[np.ix_(rows, rows)] & ~alone[:, None] & ~alone
    names = tuple(
        f"{describe(members, devices)} ({option.variant.name})"
        if len(members) > 1
        else describe(members, devices)
        for option, members in zip(costs.options, costs.names, strict=True)
    )
    return Problem(
        objective="latency",
        group_names=names,
        node_kinds=kinds,
        latency_s=latency,
        busy_s=occupied.total(costs.busy_s)[:, :, units],
        medium_s=occupied.total(costs.medium_s)[:, units],
        allowed=costs.allowed[:, units],
        weight_bytes=costs.weight_bytes[:, units],
        live_bytes=costs.live_bytes[:, units],
        memory_limit_bytes=limits,
        transfer_s=transfers.seconds,
        transfer_busy_s=busy.busy_s,
        transfer_medium_s=busy.medium_s,
        send_s=busy.send_s if busy.send_s.any() else None,
        receive_s=busy.receive_s if busy.receive_s.any() else None,
        cuttable=case.cuttable,
        input_s=nothing,
        output_s=nothing,
        input_busy_s=nothing,
        output_busy_s=nothing,
        input_medium_s=nothing,
        output_medium_s=nothing,
        uses=groups.uses[rows],
        available=groups.available,
        ring=groups.ring,
        follows=may_follow,
        max_nodes=request.max_nodes,
        all_nodes=request.exactly,
        **_limited(case.workload, costs, units),
        single_stage=request.parallelism == "within-layer",
    )


def _memories(
    case: Case, costs: PhaseCosts
) -> tuple[NDArray[np.int64], tuple[tuple[str, ...], ...]]:
    """Every position's limit, and what a reader calls it: nodes, and behind them their hosts."""
    limits = memory_limits(case, costs.names)
    width = limits.shape[1]
    nodes = {node.name: node for node in case.cluster.nodes}
    rows = [[nodes[name] for name in members] for members in costs.names]
    kinds = [[node.device_type for node in row] + [""] * (width - len(row)) for row in rows]
    if costs.weight_bytes.shape[3] > width:
        hosts = np.full_like(limits, NO_LIMIT)
        for group, row in enumerate(rows):
            hosts[group, : len(row)] = [
                node.host.memory_bytes if node.host else NO_LIMIT for node in row
            ]
            kinds[group] += [f"the host of {node.device_type}" for node in row]
            kinds[group] += [""] * (width - len(row))
        limits = np.concatenate([limits, hosts], axis=1)
    return limits, tuple(map(tuple, kinds))


def limits_of(workload: Workload) -> tuple[list[tuple[Weights, float, str]], float | None]:
    """What is limited beside the goal: sums over a plan, and its latency.

    Of two limits one is the loss of eq. 14; the other is on the latency itself where that is the
    goal, else a second sum, and both together limit the latency of a whole answer.
    """
    found = [
        (phase, most, name)
        for phase, most, name in (
            ("prompt", workload.max_first_token_s, "time to the first token"),
            ("step", workload.max_token_s, "time per token"),
        )
        if most is not None
    ]
    goals = {"first-token": "prompt", "token": "step"}
    latency_s: float | None = None
    if len(found) == 2 and workload.goal in goals:
        own = next(row for row in found if row[0] == goals[workload.goal])
        found.remove(own)
        latency_s = own[1]
    elif len(found) == 2:
        weights = weights_of_goal(workload)
        (_, first, _), (_, token, _) = found
        latency_s = weights.prompt * first + weights.step * token
    alone = {"prompt": Weights(1.0, 0.0), "step": Weights(0.0, 1.0)}
    return [(alone[phase], most, name) for phase, most, name in found], latency_s


def _limited(workload: Workload, costs: PhaseCosts, units: NDArray[np.int64]) -> dict[str, Any]:
    """Fields of a problem that say what is limited beside the goal."""
    found, latency_s = limits_of(workload)
    fields: dict[str, Any] = {"loss": np.zeros(costs.allowed[:, units].shape)}
    if latency_s is not None:
        fields["max_latency_s"] = latency_s
    for at, (one, most, name) in enumerate(found):
        of_units = one.total(costs.latency_s)[:, units]
        of_transfers = _between(costs, one, len(units)).seconds
        if at == 0:
            fields |= {
                "loss": of_units,
                "transfer_loss": of_transfers,
                "max_loss": most,
                "loss_name": name,
                "loss_unit": "s",
            }
        else:
            fields["second"] = SecondSum(
                of_units=of_units, of_transfers=of_transfers, most=most, name=name, unit="s"
            )
    return fields


def _between(costs: PhaseCosts, weights: Weights, units: int) -> Transfers:
    """Changes of group at every cut, (O, O, U - 1): alike behind all blocks."""
    columns = []
    for block, head in zip(*(moved(costs, weights, at).columns for at in (0, 1)), strict=True):
        column = np.repeat(block[:, :, None], units - 1, axis=2)
        column[:, :, -1] = head
        columns.append(column)
    return Transfers(*columns)


def moved(costs: PhaseCosts, weights: Weights, at: int) -> Transfers:
    """What all phases hand over in one of the places of `PhaseCosts.transfers`, (O, O)."""
    return Transfers(
        *(
            weights.total({phase: of[at].columns[column] for phase, of in costs.transfers.items()})
            for column in range(len(Transfers.none().columns))
        )
    )


def stages_of_phases(
    case: LanguageCase,
    groups: Groups,
    costs: PhaseCosts,
    choice: Choice,
    batch: int,
    in_ring: bool = False,
) -> dict[Phase, tuple[StagePlan, ...]]:
    """Every phase's stages, layer by layer of the whole model; in a ring the head behind them."""
    options = [costs.options[group] for group in choice.groups]
    members = groups.members([option.group for option in options])
    found: dict[Phase, tuple[StagePlan, ...]] = {}
    for phase in case.phases:
        profile = case.cases_of((), batch)[phase].profile
        rows = rows_of_units(profile)
        stages = []
        for (first, last, _), names, option in zip(choice.runs(), members, options, strict=True):
            layers = range(rows[first].start, rows[last].stop)
            hosted = [
                row
                for unit in range(first, last + 1)
                if choice.options[unit]
                for row in experts_of(profile, rows[unit])
            ]
            manner = option.variant.manner(phase)
            stages.append(stage_of(profile, names, manner, layers, hosted))
        if in_ring:
            manner = options[0].variant.manner(phase)
            stages.append(stage_of(profile, members[0], manner, rows[-1]))
        found[phase] = tuple(stages)
    return found

"""Stages on groups of nodes: the joint choice of cuts, groups and sparsity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.interface import loss_limit
from planner.domain.cost_table import CostTable
from planner.domain.plan import Plan, StagePlan
from planner.domain.settings import NO_LIMITS, Limits, Objective, Parallelism
from planner.solve.deadline import Deadline
from planner.solve.problem import NO_LIMIT, Choice, Problem, Result
from planner.solve.solver import solve
from planner.strategies.evaluation import evaluated_plan, layer_plans
from planner.strategies.groups import Groups, candidate_groups, described
from planner.strategies.study import Study, kept_in_study
from planner.structure import allocation_units


class JointCosts:
    """The arrays of a joint problem, whatever its objective and limits.

    Parameters
    ----------
    study : Study
    parallelism : Parallelism
    max_nodes : int
    """

    def __init__(self, study: Study, parallelism: Parallelism, max_nodes: int) -> None:
        self.study = study
        self.known: list[Choice] = []
        self.groups: Groups = candidate_groups(study, parallelism, max_nodes)
        self.single_stage = parallelism == "within-layer"
        alone = [self.groups.members((group,))[0] for group in range(len(self.groups.uses))]
        self.names = alone
        levels = study.levels if parallelism != "pipeline" else study.levels[:1]
        self.tables = [study.table_on(names, levels) for names in alone]
        self.units = allocation_units(study.profile)
        self._row, self.cuttable = self._unit_rows()
        self.allowed = self._allowed()
        self.latency_s = self._per_unit([table.latency_s for table in self.tables])
        self.busy_s = self.latency_s[None]
        if study.settings.overlap:
            parts = [t.comm_s for t in self.tables], [t.compute_s for t in self.tables]
            self.busy_s = np.stack([self._per_unit(part) for part in parts])
        self.medium_s = self._per_unit([table.medium_s for table in self.tables])
        losses = [study.loss(table) for table in self.tables]
        self.loss = self._per_unit([np.where(np.isfinite(loss), loss, 0.0) for loss in losses])
        self.unknown = self._per_unit([np.isinf(loss).astype(float) for loss in losses]) > 0
        self.memory_limit_bytes, self.weight_bytes, self.live_bytes = self._memory()
        self.transfer_s, self.transfer_medium_s = self._transfers()
        ends = np.array([study.ends_s(names) for names in alone])
        self.input_s, self.output_s = ends[:, 0], ends[:, 1]

    def _unit_rows(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The unit that each layer counts in, and the cuts between units that may be used.

        Layers that share a transmission take one option, in the unit of their first reader, and
        stay in one stage.
        """
        row = np.repeat(np.arange(len(self.units)), [len(unit) for unit in self.units])
        cuttable = np.ones(len(self.units) - 1, dtype=np.bool_)
        decisions = max(self.tables, key=lambda table: len(table.node_names)).decisions
        for tied in (np.flatnonzero(decisions == d) for d in np.unique(decisions)):
            if len(tied) > 1:
                cuttable[row[tied[0]] : row[tied[-1]]] = False
                row[tied] = row[tied[0]]
        return row, cuttable

    def _per_unit(self, layers: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        total = np.zeros((len(layers), len(self.units), *layers[0].shape[1:]))
        for group, values in enumerate(layers):
            np.add.at(total[group], self._row, values)
        return total

    def _allowed(self) -> NDArray[np.bool_]:
        first = self.tables[0].allowed
        allowed = np.zeros((len(self.tables), len(self.units), first.shape[1]), dtype=np.bool_)
        for group, table in enumerate(self.tables):
            np.logical_or.at(allowed[group], self._row, table.allowed)
        allowed[..., 0] |= ~allowed.any(axis=2)
        return allowed

    def _memory(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        nodes = {node.name: node for node in self.study.cluster.nodes}
        positions = max(len(names) for names in self.names)
        limits = np.full((len(self.names), positions), NO_LIMIT, dtype=np.int64)
        shape = (*self.allowed.shape, positions)
        weights, live = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for group, (names, table) in enumerate(zip(self.names, self.tables, strict=True)):
            for position, name in enumerate(names):
                limits[group, position] = nodes[name].memory_bytes or NO_LIMIT
            np.add.at(weights[group, ..., : len(names)], self._row, table.weight_bytes)
            np.maximum.at(live[group, ..., : len(names)], self._row, table.live_bytes)
        return limits, weights, live

    def _transfers(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        groups, cuts = len(self.names), len(self.units) - 1
        seconds = np.zeros((groups, groups, cuts))
        medium = np.zeros((groups, groups, cuts))
        if self.single_stage or cuts == 0:
            return seconds, medium
        for group in range(groups):
            for following in range(groups):
                if self.groups.may_follow(group, following):
                    names = self.groups.members((group, following))
                    found = self.study.transfers(*names)
                    seconds[group, following] = found.seconds
                    medium[group, following] = found.medium_s
        return seconds, medium

    def _ring(self) -> NDArray[np.int64] | None:
        """Type of every node in ring order; None where neighbours are grouped."""
        type_of = {name: kind for kind, names in enumerate(self.groups.types) for name in names}
        ring = self.study.names(len(self.study.cluster.nodes))
        return np.array([type_of[name] for name in ring]) if type_of else None

    def kinds(self) -> list[list[str]]:
        """For every group and position the kind of node there, in words; "" beyond the group."""
        devices = {node.name: node.device_type for node in self.study.cluster.nodes}
        words: dict[str, str] = {}
        for names in self.groups.types or tuple((name,) for name in devices):
            word = described(names, devices)
            words |= dict.fromkeys(names, word if len(names) == 1 else f"each of {word}")
        width = self.memory_limit_bytes.shape[1]
        return [
            [*(words[name] for name in names), *[""] * (width - len(names))] for names in self.names
        ]

    def problem(
        self, objective: Objective, limits: Limits, max_nodes: int, all_nodes: bool
    ) -> Problem:
        """The joint problem of a request.

        Raises
        ------
        BadInputError
            A limit on a loss without a model that counts in it.
        """
        study, rate = self.study, limits.min_throughput_per_s
        most = loss_limit(limits, study.accuracy, study.profile.name)
        devices = {node.name: node.device_type for node in study.cluster.nodes}
        return Problem(
            objective="latency" if objective == "latency" else "bottleneck",
            group_names=tuple(described(names, devices) for names in self.names),
            latency_s=self.latency_s,
            busy_s=self.busy_s,
            medium_s=self.medium_s,
            allowed=self.allowed if most is None else self.allowed & ~self.unknown,
            loss=self.loss,
            max_loss=None if most is None else most.limit,
            loss_name="loss" if most is None else most.name,
            loss_unit="" if most is None else most.unit,
            loss_exponent=1 if most is None else most.exponent,
            weight_bytes=self.weight_bytes,
            live_bytes=self.live_bytes,
            memory_limit_bytes=self.memory_limit_bytes,
            transfer_s=self.transfer_s,
            transfer_medium_s=self.transfer_medium_s,
            cuttable=self.cuttable,
            input_s=self.input_s,
            output_s=self.output_s,
            shared_medium=study.medium == "shared",
            uses=self.groups.uses,
            available=self.groups.available,
            ring=self._ring(),
            type_names=tuple(names[0] for names in self.groups.types),
            follows=self.groups.follows,
            max_nodes=max_nodes,
            all_nodes=all_nodes,
            single_stage=self.single_stage,
            max_latency_s=limits.max_latency_s,
            max_bottleneck_s=None if rate is None else 1.0 / rate,
        )

    def stage_plans(self, stages: Choice) -> tuple[StagePlan, ...]:
        """The stages with their nodes by name and what each layer exchanges."""
        members = self.groups.members(stages.groups)
        choice = np.asarray(stages.options)[self._row]
        plans = []
        for (start, last, group), names in zip(stages.runs(), members, strict=True):
            rows = slice(self.units[start].start, self.units[last].stop)
            table = self.tables[group]
            options = np.where(table.allowed.any(axis=1) & _may(table, choice), choice, 0)
            plans.append(StagePlan(nodes=names, layers=layer_plans(table, options, rows)))
        return tuple(plans)


def _may(table: CostTable, choice: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Layers that have the option at all: followers of a layer take their only one."""
    may: NDArray[np.bool_] = table.sparsifiable | (choice == 0)
    return may


@kept_in_study
def joint_costs(study: Study, parallelism: Parallelism, max_nodes: int) -> JointCosts:
    """The costs of all groups, kept in the study."""
    return JointCosts(study, parallelism, max_nodes)


@kept_in_study
def optimal_stages(
    study: Study,
    max_nodes: int,
    parallelism: Parallelism = "hybrid",
    objective: Objective = "latency",
    limits: Limits = NO_LIMITS,
    all_nodes: bool = False,
    solver: str = "auto",
    time_limit_s: float | None = None,
) -> tuple[Plan | None, Result]:
    """The best stages, groups and sparsities; no plan when the result has none.

    Structures of plans that the study has found before are tried first.
    """
    costs = joint_costs(study, parallelism, len(study.cluster.nodes))
    problem = costs.problem(objective, limits, max_nodes, all_nodes)
    result = solve(problem, solver, Deadline(time_limit_s), tuple(costs.known))
    if result.choice is None:
        return None, result
    costs.known.append(result.choice)
    stages = costs.stage_plans(result.choice)
    plan = evaluated_plan(study, stages, _shape(stages))
    bound = result.certificate.bound
    if bound is not None and objective == "throughput":
        bound = 1.0 / bound if bound > 0 else None
    certificate = result.certificate.model_copy(
        update={"bound": bound, "scope": _scope(study, costs, parallelism, max_nodes, all_nodes)}
    )
    return plan.model_copy(
        update={"certificate": certificate, "objective": objective, "limits": limits}
    ), result


def _shape(stages: tuple[StagePlan, ...]) -> str:
    """What the optimum turned out to be."""
    if all(len(stage.nodes) == 1 for stage in stages):
        return "single-node" if len(stages) == 1 else "optimal-allocation"
    return "optimal-sparsity" if len(stages) == 1 else "optimal-hybrid"


def _scope(
    study: Study, costs: JointCosts, parallelism: Parallelism, max_nodes: int, all_nodes: bool
) -> str:
    """The set of plans that a certificate speaks of."""
    what = {
        "within-layer": "one stage",
        "pipeline": "contiguous stages of one node each",
        "hybrid": "contiguous stages, each on one node or on several",
    }[parallelism]
    used = f"{'exactly' if all_nodes else 'at most'} {max_nodes}"
    levels = (
        ""
        if parallelism == "pipeline"
        else f"; {len(study.levels)} levels of sparsity per layer on groups of two or more"
    )
    return f"{what}; {used} of {costs.groups.scope}{levels}"

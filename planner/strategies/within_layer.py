"""Within-layer parallelism (DISCO) and its baselines as choices of one option per layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.interface import loss_limit
from planner.accuracy.scores import independent_layers
from planner.domain.cost_table import CostTable
from planner.domain.plan import Plan, StagePlan
from planner.domain.problem import (
    Certificate,
    MemoryLimit,
    Result,
    SparsityProblem,
    SumLimit,
    infeasible,
)
from planner.domain.settings import NO_LIMITS, Limits, Objective
from planner.solve.check import exceeds
from planner.solve.exhaustive import exhaustive_sparsity
from planner.solve.sparsity.solver import solve_sparsity
from planner.strategies.evaluation import evaluated_plan, layer_plans
from planner.strategies.study import Study, kept_in_study
from planner.structure import block_groups

_DENSE_OR_CUT = (0.0, 1.0)


def plan_of_choice(
    study: Study, table: CostTable, choice: NDArray[np.int64], strategy: str
) -> Plan:
    """A plan from one option per layer, evaluated."""
    stages = (StagePlan(nodes=table.node_names, layers=layer_plans(table, choice)),)
    return evaluated_plan(study, stages, strategy)


def uniform(study: Study, nodes: int, sparsity: float, strategy: str = "disco-uniform") -> Plan:
    """The same S_comm in every layer that exchanges features."""
    table = study.table(nodes, (sparsity,))
    return plan_of_choice(study, table, np.zeros(len(table.layer_names), np.int64), strategy)


def single_node(study: Study) -> Plan:
    """Everything on the source."""
    return uniform(study, 1, 0.0, "single-node")


def dense(study: Study, nodes: int) -> Plan:
    """Every node gets every feature."""
    return uniform(study, nodes, 0.0, "dense")


def independent_branches(study: Study, nodes: int) -> Plan:
    """Nothing is exchanged: N networks side by side."""
    return uniform(study, nodes, 1.0, "independent-branches")


def split_boundaries(study: Study, nodes: int) -> list[int]:
    """Numbers of independent block groups for which the split baselines exist."""
    return list(range(1, len(_groups(study, study.table(nodes, _DENSE_OR_CUT)))))


def split_baseline(study: Study, nodes: int, strategy: str, groups: int) -> Plan:
    """Dense up to a block-group boundary and independent behind it, or the other way round.

    Parameters
    ----------
    strategy : {"dense-then-split", "split-then-aggregate"}
    groups : int
        How many block groups are independent: the last ones, or the first.
    """
    table = study.table(nodes, _DENSE_OR_CUT)
    cut = independent_layers(strategy, _groups(study, table), groups, table.sparsifiable)
    return plan_of_choice(study, table, cut.astype(np.int64), f"{strategy}@{groups}")


def _groups(study: Study, table: CostTable) -> list[range]:
    return block_groups(study.profile, table.sparsifiable, study.split_points)


def sparsity_problem(
    study: Study, nodes: int, objective: Objective, limits: Limits
) -> SparsityProblem:
    """The choice of one sparsity level per layer, as arrays.

    Raises
    ------
    BadInputError
        A limit on a loss without a model that counts in it.
    """
    table = study.table(nodes)
    ends = sum(study.ends_s(table.node_names))
    sums = []
    allowed = table.allowed
    most = loss_limit(limits, study.accuracy, study.profile.name)
    if most is not None:
        loss = study.loss(table)
        known = np.isfinite(loss)
        allowed = allowed & known
        loss = np.where(known, loss, 0.0)
        sums.append(
            SumLimit(
                name=most.name,
                values=loss,
                limit=most.limit,
                unit=most.unit,
                exponent=most.exponent,
            )
        )
    if limits.max_latency_s is not None:
        sums.append(
            SumLimit(
                name="latency",
                values=_with(ends, table.latency_s),
                limit=limits.max_latency_s,
                unit="s",
            )
        )
    resources = _resources(study, table)
    if limits.min_throughput_per_s is not None:
        most_s = 1.0 / limits.min_throughput_per_s
        sums += [
            SumLimit(name="throughput", values=values, limit=most_s, unit="s per input")
            for values in resources
        ]
    busy = resources if objective == "throughput" else [table.latency_s]
    return SparsityProblem(
        objective_s=np.stack(busy),
        allowed=allowed,
        sum_limits=tuple(sums),
        memory_limits=tuple(
            MemoryLimit(
                name=node.name,
                weight_bytes=table.weight_bytes[:, :, index],
                live_bytes=table.live_bytes[:, :, index],
                limit_bytes=node.memory_bytes,
            )
            for index, node in enumerate(study.group(nodes).nodes)
            if node.memory_bytes is not None
        ),
    )


def tied(problem: SparsityProblem, decisions: NDArray[np.int64]) -> SparsityProblem:
    """The problem with one row per decision, where several layers take one option together.

    Parameters
    ----------
    problem : SparsityProblem
    decisions : int array, shape (L,)
        Number of the decision that each layer belongs to, from 0.
    """
    count = int(decisions.max()) + 1
    if count == len(decisions):
        return problem

    def added(values: NDArray[np.generic]) -> NDArray[np.generic]:
        total = np.zeros((count, *values.shape[1:]), dtype=values.dtype)
        np.add.at(total, decisions, values)
        return total

    def largest(values: NDArray[np.int64]) -> NDArray[np.int64]:
        most = np.zeros((count, *values.shape[1:]), dtype=np.int64)
        np.maximum.at(most, decisions, values)
        return most

    return SparsityProblem(
        objective_s=np.stack([added(values) for values in problem.objective_s]),
        allowed=largest(problem.allowed.astype(np.int64)) > 0,
        sum_limits=tuple(
            limit.model_copy(update={"values": added(limit.values)}) for limit in problem.sum_limits
        ),
        memory_limits=tuple(
            limit.model_copy(
                update={
                    "weight_bytes": added(limit.weight_bytes),
                    "live_bytes": largest(limit.live_bytes),
                }
            )
            for limit in problem.memory_limits
        ),
    )


def _resources(study: Study, table: CostTable) -> list[NDArray[np.float64]]:
    """What is busy per input: the stage, with overlap links and nodes apart, a shared medium."""
    stage = [table.comm_s, table.compute_s] if study.settings.overlap else [table.latency_s]
    ends = sum(study.ends_s(table.node_names))
    if study.medium == "shared" and ends > 0:  # without ends the stage is busier than the medium
        return [*stage, _with(ends, table.medium_s)]
    return stage


def _with(seconds: float, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of which every choice of options sums up to so many seconds more."""
    more = values.copy()
    more[0] += seconds
    return more


@kept_in_study
def optimal_sparsity(
    study: Study,
    nodes: int,
    objective: Objective = "latency",
    limits: Limits = NO_LIMITS,
    solver: str = "auto",
    time_limit_s: float | None = None,
) -> tuple[Plan | None, Result]:
    """The best sparsity per layer on the first nodes; no plan when the result has none."""
    table = study.table(nodes)
    late = _ends_too_late(study, table, limits)
    if late:
        return None, infeasible(late)
    problem = tied(sparsity_problem(study, nodes, objective, limits), table.decisions)
    if solver == "exhaustive":
        result = exhaustive_sparsity(problem)
    else:
        result = solve_sparsity(problem, time_limit_s)
    if result.choice is None:
        return None, result
    choice = result.choice[table.decisions]
    plan = plan_of_choice(study, table, choice, "optimal-sparsity")
    certificate = _certificate(study, result, objective, nodes)
    return plan.model_copy(
        update={"certificate": certificate, "objective": objective, "limits": limits}
    ), result


def _ends_too_late(study: Study, table: CostTable, limits: Limits) -> str:
    """Why no choice can help when the input's or the output's transfer alone is too slow."""
    rate = limits.min_throughput_per_s
    slowest = max(study.ends_s(table.node_names))
    if rate is None or not exceeds(slowest, 1.0 / rate):
        return ""
    return (
        f"throughput binds: the limit is {rate:.6g} inputs/s, and handing over input or output "
        f"allows at most {1.0 / slowest:.6g}"
    )


def _certificate(study: Study, result: Result, objective: Objective, nodes: int) -> Certificate:
    """The solver's certificate in units of the objective, with its scope in words."""
    ends = study.ends_s(study.names(nodes))
    bound = result.certificate.bound
    if bound is not None:
        if objective == "latency":
            bound += sum(ends)
        else:
            slowest = max(bound, *ends)
            bound = 1.0 / slowest if slowest > 0 else None
    scope = f"{len(study.levels)} levels of sparsity per layer on the first {nodes} nodes"
    if nodes == 1:
        scope = "the whole model on the source"
    return result.certificate.model_copy(update={"bound": bound, "scope": scope})

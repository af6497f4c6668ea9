"""Layer allocation: contiguous stages, one node each (AR-MDI and its optimum)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.domain.cluster import Node
from planner.domain.plan import LayerPlan, Plan, StagePlan
from planner.domain.problem import AllocationProblem, Result
from planner.domain.settings import NO_LIMITS, Limits, Objective
from planner.solve.allocation import solve_allocation
from planner.solve.exhaustive import exhaustive_allocation
from planner.solve.shares import ar_mdi_shares, cut_at_shares
from planner.strategies.evaluation import evaluated_plan
from planner.strategies.study import Study, kept_in_study


def plan_of_workers(study: Study, nodes: int, workers: NDArray[np.int64], strategy: str) -> Plan:
    """A plan from one worker per unit, evaluated; a single worker is one stage."""
    chain = study.chain(nodes)
    names = [node.name for node in study.group(nodes).nodes]
    layers = study.profile.layers
    stages = []
    for worker in np.unique(workers):
        mine = [chain.units[unit] for unit in np.flatnonzero(workers == worker)]
        run = layers[mine[0].start : mine[-1].stop]
        stages.append(
            StagePlan(
                nodes=(names[worker],),
                layers=tuple(LayerPlan(name=layer.name, nodes=1) for layer in run),
            )
        )
    return evaluated_plan(study, tuple(stages), strategy)


def pipeline_equal(study: Study, nodes: int) -> Plan:
    """Equal MACs for every node, each cut at the nearest place between two blocks."""
    chain = study.chain(nodes)
    shares = np.full(nodes, chain.macs.sum() / nodes)
    workers = cut_at_shares(chain.macs, shares, chain.single_tensor)
    return plan_of_workers(study, nodes, workers, "pipeline-equal")


def ar_mdi(study: Study, nodes: int) -> Plan:
    """AR-MDI: shares of the parameters by each worker's delay per parameter, equation (1)."""
    params = study.chain(nodes).params
    gamma = np.array([_seconds_per_param(study, node) for node in study.group(nodes).nodes])
    shares = ar_mdi_shares(int(params.sum()), gamma)
    return plan_of_workers(study, nodes, cut_at_shares(params, shares), "ar-mdi")


def _seconds_per_param(study: Study, node: Node) -> float:
    """γ as the worker measured it, or the model's average at the node's speed."""
    if node.seconds_per_param is not None:
        return node.seconds_per_param
    totals = study.profile.totals
    return totals.macs / node.macs_per_s / max(totals.params, 1)


def allocation_problem(
    study: Study, nodes: int, objective: Objective, limits: Limits, all_workers: bool
) -> AllocationProblem:
    """The cut of the chain over the first nodes, as arrays."""
    chain = study.chain(nodes)
    ring = study.group(nodes).nodes
    rate = limits.min_throughput_per_s
    return AllocationProblem(
        objective="latency" if objective == "latency" else "bottleneck",
        compute_s=chain.compute_s,
        transfer_s=chain.transfer_s,
        medium_s=chain.medium_s,
        input_s=chain.input_s,
        output_s=chain.output_s,
        shared_medium=study.medium == "shared",
        weight_bytes=chain.weight_bytes,
        live_bytes=chain.live_bytes,
        memory_limit_bytes=tuple(node.memory_bytes for node in ring),
        worker_names=tuple(node.name for node in ring),
        all_workers=all_workers,
        max_latency_s=limits.max_latency_s,
        max_bottleneck_s=None if rate is None else 1.0 / rate,
    )


@kept_in_study
def optimal_allocation(
    study: Study,
    nodes: int,
    objective: Objective = "latency",
    limits: Limits = NO_LIMITS,
    all_workers: bool = False,
    solver: str = "auto",
    time_limit_s: float | None = None,
) -> tuple[Plan | None, Result]:
    """The best cut of the layers over the first nodes; no plan when the result has none.

    Among cuts of equal bottleneck the one of least latency is taken.
    """
    problem = allocation_problem(study, nodes, objective, limits, all_workers)
    if solver == "exhaustive":
        result = exhaustive_allocation(problem)
    else:
        result = solve_allocation(problem, time_limit_s)
    if result.choice is None:
        return None, result
    workers = result.choice
    if objective == "throughput" and result.certificate.status == "optimal":
        second = problem.model_copy(
            update={"objective": "latency", "max_bottleneck_s": result.objective_s}
        )
        tie_break = solve_allocation(second, time_limit_s)
        workers = workers if tie_break.choice is None else tie_break.choice
    plan = plan_of_workers(study, nodes, workers, "optimal-allocation")
    bound = result.certificate.bound
    if bound is not None and objective == "throughput":
        bound = 1.0 / bound if bound > 0 else None
    certificate = result.certificate.model_copy(
        update={
            "bound": bound,
            "scope": f"contiguous cuts before layers with MACs, over the first {nodes} nodes "
            "in ring order",
        }
    )
    return plan.model_copy(
        update={"certificate": certificate, "objective": objective, "limits": limits}
    ), result

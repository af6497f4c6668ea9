"""Layer allocation: contiguous stages, one node each (AR-MDI and its optimum)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.case import Case, kept_in_case
from planner.domain.plan import LayerPlan, Plan, StagePlan
from planner.domain.problem import AllocationProblem, Result
from planner.domain.settings import NO_LIMITS, Limits, Objective
from planner.solve.allocation.shares import ar_mdi_workers, cut_at_shares
from planner.solve.allocation.solver import solve_allocation
from planner.solve.exhaustive import exhaustive_allocation
from planner.strategies.evaluation import evaluated_plan

_AT = 5e-4  # relative: closer than this is "at"


def plan_of_workers(case: Case, nodes: int, workers: NDArray[np.int64], strategy: str) -> Plan:
    """A plan from one worker per unit, evaluated; a single worker is one stage."""
    chain = case.chain(nodes)
    names = [node.name for node in case.group(nodes).nodes]
    layers = case.profile.layers
    stages = []
    for worker in dict.fromkeys(workers.tolist()):
        mine = [chain.units[unit] for unit in np.flatnonzero(workers == worker)]
        run = layers[mine[0].start : mine[-1].stop]
        stages.append(
            StagePlan(
                nodes=(names[worker],),
                layers=tuple(LayerPlan(name=layer.name, nodes=1) for layer in run),
            )
        )
    return evaluated_plan(case, tuple(stages), strategy)


def pipeline_equal(case: Case, nodes: int) -> Plan:
    """Equal MACs for every node, each cut at the nearest place between two blocks."""
    chain = case.chain(nodes)
    shares = np.full(nodes, chain.macs.sum() / nodes)
    workers = cut_at_shares(chain.macs, shares, chain.single_tensor)
    return plan_of_workers(case, nodes, workers, "pipeline-equal")


def ar_mdi(case: Case, nodes: int) -> Plan:
    """AR-MDI: shares of the parameters by each worker's delay per parameter, equation (1)."""
    workers = ar_mdi_workers(case.chain(nodes).params, seconds_per_param(case, nodes))
    return plan_of_workers(case, nodes, workers, "ar-mdi")


def ar_mdi_macs(case: Case, nodes: int) -> Plan:
    """AR-MDI with shares of the MACs by each worker's delay per MAC (ours)."""
    totals = case.profile.totals
    gamma = seconds_per_param(case, nodes) * (max(totals.params, 1) / max(totals.macs, 1))
    workers = ar_mdi_workers(case.chain(nodes).macs, gamma)
    return plan_of_workers(case, nodes, workers, "ar-mdi-macs")


def seconds_per_param(case: Case, nodes: int) -> NDArray[np.float64]:
    """γ of every worker as it measured it, or the model's average at its speed, shape (N,)."""
    totals = case.profile.totals
    average = totals.macs / max(totals.params, 1)
    return np.array(
        [
            average / node.macs_per_s if node.seconds_per_param is None else node.seconds_per_param
            for node in case.group(nodes).nodes
        ]
    )


@dataclass(frozen=True)
class Distance:
    """How far a plan is from the best allocations, 0.12 for 12 % more or less.

    Attributes
    ----------
    latency : float
        Above the least latency; negative where only a plan that breaks a limit is below.
    throughput : float
        Below the largest throughput.
    proven : bool
        Whether both of these are optima, not only the best that was found in time.
    """

    latency: float
    throughput: float
    proven: bool

    def in_words(self) -> str:
        """For a reader."""
        best = "best" if self.proven else "best known"
        return (
            f"{_percent(self.latency, 'above', 'below')} the {best} allocation's latency, "
            f"{_percent(self.throughput, 'below', 'above')} its throughput"
        )


def _percent(share: float, positive: str, negative: str) -> str:
    if abs(share) < _AT:
        return "at"
    return f"{abs(share) * 100:.3g} % {positive if share > 0 else negative}"


def distance_to_optimum(
    case: Case, nodes: int, plan: Plan, time_limit_s: float | None = None
) -> Distance | None:
    """A plan against the best contiguous allocations over the first nodes, one per objective.

    These keep every node's memory and no other limit; None where no allocation does.
    """
    fastest, _ = optimal_allocation(case, nodes, "latency", time_limit_s=time_limit_s)
    busiest, _ = optimal_allocation(case, nodes, "throughput", time_limit_s=time_limit_s)
    if fastest is None or busiest is None:
        return None
    known = [best.certificate.status for best in (fastest, busiest) if best.certificate]
    return Distance(
        latency=plan.predicted.latency_s / fastest.predicted.latency_s - 1,
        throughput=1 - plan.predicted.throughput_per_s / busiest.predicted.throughput_per_s,
        proven=known == ["optimal", "optimal"],
    )


def allocation_problem(
    case: Case,
    nodes: int,
    objective: Objective,
    limits: Limits,
    all_workers: bool,
    any_order: bool = False,
) -> AllocationProblem:
    """The cut of the chain over the first nodes, as arrays."""
    chain = case.chain(nodes)
    ring = case.group(nodes).nodes
    rate = limits.min_throughput_per_s
    return AllocationProblem(
        objective="latency" if objective == "latency" else "bottleneck",
        compute_s=chain.compute_s,
        transfer_s=chain.transfer_s,
        medium_s=chain.medium_s,
        input_s=chain.input_s,
        output_s=chain.output_s,
        shared_medium=case.medium == "shared",
        weight_bytes=chain.weight_bytes,
        live_bytes=chain.live_bytes,
        memory_limit_bytes=tuple(node.memory_bytes for node in ring),
        worker_names=tuple(node.name for node in ring),
        all_workers=all_workers,
        any_order=any_order,
        max_latency_s=limits.max_latency_s,
        max_bottleneck_s=None if rate is None else 1.0 / rate,
    )


@kept_in_case
def optimal_allocation(
    case: Case,
    nodes: int,
    objective: Objective = "latency",
    limits: Limits = NO_LIMITS,
    all_workers: bool = False,
    solver: str = "auto",
    time_limit_s: float | None = None,
    any_order: bool = False,
) -> tuple[Plan | None, Result]:
    """The best cut of the layers over the first nodes; no plan when the result has none.

    Among cuts of equal bottleneck the one of least latency is taken. The nodes are used in ring
    order, or in the best of all orders.
    """
    problem = allocation_problem(case, nodes, objective, limits, all_workers, any_order)
    if solver == "exhaustive":
        result = exhaustive_allocation(problem)
    else:
        result = solve_allocation(problem, time_limit_s, solver)
    if result.choice is None:
        return None, result
    plan = plan_of_workers(case, nodes, result.choice, "optimal-allocation")
    bound = result.certificate.bound
    if bound is not None and objective == "throughput":
        bound = 1.0 / bound if bound > 0 else None
    certificate = result.certificate.model_copy(
        update={
            "bound": bound,
            "scope": f"contiguous cuts before layers with MACs, over the first {nodes} nodes "
            f"in {'any' if any_order else 'ring'} order",
        }
    )
    return plan.model_copy(
        update={"certificate": certificate, "objective": objective, "limits": limits}
    ), result

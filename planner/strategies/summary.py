"""What a list of plans shows of each: figures and certificate, and the plan itself in memory."""

from __future__ import annotations

from pydantic import Field

from planner.domain.arrays import Frozen
from planner.domain.certificate import Certificate
from planner.domain.cluster import Origin
from planner.domain.plan import Plan


class PlanSummary(Frozen):
    """One plan in a line."""

    latency_s: float
    comm_s: float
    compute_s: float
    throughput_per_s: float
    accuracy_drop: float | None = Field(description="points of the task's metric")
    energy_loss: float | None
    nodes: int
    strategy: str
    mean_comm_sparsity: float | None
    origin: dict[str, Origin]
    certificate: Certificate
    plan: Plan = Field(exclude=True)


def summary_of(plan: Plan) -> PlanSummary:
    """The summary of a plan that was optimised."""
    predicted = plan.predicted
    assert plan.certificate is not None
    return PlanSummary(
        latency_s=predicted.latency_s,
        comm_s=predicted.comm_s,
        compute_s=predicted.compute_s,
        throughput_per_s=predicted.throughput_per_s,
        accuracy_drop=predicted.accuracy_drop,
        energy_loss=predicted.energy_loss,
        nodes=plan.node_count,
        strategy=plan.strategy,
        mean_comm_sparsity=predicted.mean_comm_sparsity,
        origin=predicted.origin,
        certificate=plan.certificate,
        plan=plan,
    )

"""Every strategy of the papers and the optimum, side by side under one cost model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from planner.accuracy.published import Published, published_split, published_uniform
from planner.domain.arrays import Frozen
from planner.domain.certificate import Status
from planner.domain.cluster import Origin
from planner.domain.plan import Plan
from planner.domain.settings import NO_LIMITS, Limits, Objective
from planner.errors import InfeasibleError, SolverStoppedError
from planner.strategies.optimise import Request, optimise
from planner.strategies.pipeline import (
    ar_mdi,
    ar_mdi_macs,
    distance_to_optimum,
    optimal_allocation,
    pipeline_equal,
)
from planner.strategies.study import Study
from planner.strategies.within_layer import (
    dense,
    independent_branches,
    optimal_sparsity,
    single_node,
    split_baseline,
    split_boundaries,
    uniform,
)
from planner.units import format_bytes


class ComparisonRow(Frozen):
    """One strategy on one number of nodes; without numbers where no such plan exists."""

    strategy: str
    nodes: int
    nominal_sparsity: float | None = None
    latency_s: float | None = None
    comm_s: float | None = None
    compute_s: float | None = None
    throughput_per_s: float | None = None
    memory_bytes: dict[str, int] = Field(default_factory=dict)
    mean_comm_sparsity: float | None = None
    mean_comp_sparsity: float | None = None
    accuracy: float | None = None
    accuracy_drop: float | None = None
    accuracy_origin: Origin | None = None
    energy_loss: float | None = None
    status: Status | None = Field(default=None, description="of the rows that were optimised")
    fits: bool = True
    note: str = ""


class Comparison(Frozen):
    """The rows of one model on one cluster."""

    schema_version: Literal[1] = 1
    model: str
    cluster: str
    metric: str | None
    objective: Objective
    limits: Limits
    rows: tuple[ComparisonRow, ...]


def compare(
    study: Study,
    node_counts: tuple[int, ...],
    sparsities: tuple[float, ...] = (0.8, 0.9),
    objective: Objective = "latency",
    limits: Limits = NO_LIMITS,
    time_limit_s: float | None = None,
) -> Comparison:
    """Evaluate every strategy on every node count.

    Parameters
    ----------
    study : Study
    node_counts : tuple of int
    sparsities : tuple of float
        S_comm of the uniform and the random rows.
    objective, limits
        What the optimised rows minimise or maximise and respect; the papers' baselines are
        shown as they are, with a note where they break a limit.
    """
    rows = [_row(study, single_node(study), limits)]
    for nodes in sorted(set(node_counts)):
        if nodes > 1:
            rows += _baselines(study, nodes, sparsities, limits)
            rows += _shares(study, nodes, limits, time_limit_s)
            rows += _optimised(study, nodes, objective, limits, time_limit_s)
    rows.append(_best(study, node_counts, objective, limits, time_limit_s))
    return Comparison(
        model=study.profile.name,
        cluster=study.cluster.name,
        metric=study.curve.metric if study.curve else None,
        objective=objective,
        limits=limits,
        rows=tuple(rows),
    )


def _baselines(
    study: Study, nodes: int, sparsities: tuple[float, ...], limits: Limits
) -> Iterator[ComparisonRow]:
    curve = study.curve

    def published(sparsity: float, random: bool = False) -> Published | None:
        return published_uniform(curve, nodes, sparsity, random=random) if curve else None

    yield _row(study, dense(study, nodes), limits, nominal=0.0, accuracy=published(0.0))
    for sparsity in sparsities:
        plan = uniform(study, nodes, sparsity)
        yield _row(study, plan, limits, nominal=sparsity, accuracy=published(sparsity))
        plan = plan.model_copy(update={"strategy": "random"})
        chosen_at_random = published(sparsity, random=True)
        yield _row(study, plan, limits, nominal=sparsity, accuracy=chosen_at_random, modelled=False)
    for strategy in ("dense-then-split", "split-then-aggregate"):
        for groups in split_boundaries(study, nodes):
            value = published_split(curve, nodes, strategy, groups) if curve else None
            plan = split_baseline(study, nodes, strategy, groups)
            yield _row(study, plan, limits, accuracy=value)
    yield _row(
        study, independent_branches(study, nodes), limits, nominal=1.0, accuracy=published(1.0)
    )
    yield _row(study, pipeline_equal(study, nodes), limits)


def _shares(
    study: Study, nodes: int, limits: Limits, time_limit_s: float | None
) -> Iterator[ComparisonRow]:
    """AR-MDI with γ per parameter and per MAC, and how far each is from the optimum."""
    for plan in (ar_mdi(study, nodes), ar_mdi_macs(study, nodes)):
        row = _row(study, plan, limits)
        distance = distance_to_optimum(study, nodes, plan, time_limit_s)
        notes = [row.note, distance.in_words() if distance else ""]
        yield row.model_copy(update={"note": "; ".join(filter(None, notes))})


def _optimised(
    study: Study, nodes: int, objective: Objective, limits: Limits, time_limit_s: float | None
) -> Iterator[ComparisonRow]:
    for strategy, (plan, result) in (
        (
            "optimal-allocation",
            optimal_allocation(study, nodes, objective, limits, time_limit_s=time_limit_s),
        ),
        (
            "optimal-sparsity",
            optimal_sparsity(study, nodes, objective, limits, time_limit_s=time_limit_s),
        ),
    ):
        if plan is None:
            yield ComparisonRow(
                strategy=strategy,
                nodes=nodes,
                status=result.certificate.status,
                fits=False,
                note=result.binding,
            )
        else:
            yield _row(study, plan, limits)


def _best(
    study: Study,
    node_counts: tuple[int, ...],
    objective: Objective,
    limits: Limits,
    time_limit_s: float | None,
) -> ComparisonRow:
    most = max(node_counts)
    request = Request(most, objective=objective, limits=limits, time_limit_s=time_limit_s)
    try:
        plan = optimise(study, request)
    except (InfeasibleError, SolverStoppedError) as error:
        status: Status = "infeasible" if isinstance(error, InfeasibleError) else "timeout"
        return ComparisonRow(
            strategy="optimal", nodes=most, status=status, fits=False, note=str(error)
        )
    row = _row(study, plan, limits)
    return row.model_copy(update={"strategy": "optimal", "note": f"is {plan.strategy}"})


def _row(
    study: Study,
    plan: Plan,
    limits: Limits,
    *,
    nominal: float | None = None,
    accuracy: Published | None = None,
    modelled: bool = True,
) -> ComparisonRow:
    """A plan's row; a published accuracy replaces the modelled one, random ones have no model."""
    predicted = plan.predicted
    value, drop, origin = (
        (predicted.accuracy, predicted.accuracy_drop, predicted.origin["accuracy"])
        if modelled
        else (None, None, predicted.origin["accuracy"])
    )
    if accuracy is not None and study.curve is not None:
        value, origin = accuracy
        drop = study.curve.dense - value
    energy = predicted.energy_loss if modelled else None
    notes = _broken(plan, limits, drop, energy)
    return ComparisonRow(
        strategy=plan.strategy,
        nodes=plan.node_count,
        nominal_sparsity=nominal,
        latency_s=predicted.latency_s,
        comm_s=predicted.comm_s,
        compute_s=predicted.compute_s,
        throughput_per_s=predicted.throughput_per_s,
        memory_bytes=predicted.memory_bytes,
        mean_comm_sparsity=predicted.mean_comm_sparsity,
        mean_comp_sparsity=predicted.mean_comp_sparsity,
        accuracy=value,
        accuracy_drop=drop,
        accuracy_origin=origin if value is not None else None,
        energy_loss=energy,
        status=plan.certificate.status if plan.certificate else None,
        fits=not notes,
        note="; ".join(notes),
    )


def _broken(plan: Plan, limits: Limits, drop: float | None, energy: float | None) -> list[str]:
    """The limits that a baseline breaks, in words."""
    notes = []
    for node in plan.cluster.nodes:
        needed = plan.predicted.memory_bytes.get(node.name, 0)
        if node.memory_bytes is not None and needed > node.memory_bytes:
            notes.append(
                f"{node.name} needs {format_bytes(needed)}, has {format_bytes(node.memory_bytes)}"
            )
            break
    most = limits.max_accuracy_drop
    if most is not None and drop is not None and drop > most + 1e-9:
        notes.append("over the accuracy limit")
    most = limits.max_energy_loss
    if most is not None and energy is not None and energy > most + 1e-9:
        notes.append("over the energy limit")
    latency = limits.max_latency_s
    if latency is not None and plan.predicted.latency_s > latency * (1 + 1e-9):
        notes.append("over the latency limit")
    rate = limits.min_throughput_per_s
    if rate is not None and plan.predicted.throughput_per_s < rate * (1 - 1e-9):
        notes.append("under the throughput limit")
    return notes

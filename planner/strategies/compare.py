"""Every strategy of the papers and the optimum, side by side under one cost model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from planner.accuracy.published import Published, published_split, published_uniform
from planner.case import Case
from planner.domain.arrays import Frozen
from planner.domain.certificate import Status
from planner.domain.cluster import Origin
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import NO_LIMITS, Limits, Objective
from planner.errors import InfeasibleError, SolverStoppedError
from planner.solve.deadline import Deadline
from planner.strategies.baselines import (
    ar_mdi,
    ar_mdi_macs,
    dense,
    independent_branches,
    pipeline_equal,
    single_node,
    split_baseline,
    split_boundaries,
    uniform,
)
from planner.strategies.limits import find_broken_limits
from planner.strategies.optimise import (
    optimal_allocation,
    optimal_lossless,
    optimal_sparsity,
    optimise,
)
from planner.strategies.splits import split_plan, splits_of

DEFAULT_SPARSITIES = (0.8, 0.9)
"""S_comm of the uniform rows; DISCO's own operating points."""

_AT = 5e-4  # relative: closer than this is "at"


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
    case: Case,
    request: Request,
    node_counts: tuple[int, ...],
    sparsities: tuple[float, ...] = DEFAULT_SPARSITIES,
) -> Comparison:
    """Evaluate every strategy on every node count.

    Parameters
    ----------
    case : Case
    request : Request
        What the optimised rows minimise or maximise and respect, in what time; the papers'
        baselines are shown as they are, with a note where they break a limit. Its number of nodes
        is replaced.
    node_counts : tuple of int
    sparsities : tuple of float
        S_comm of the uniform and the random rows.
    """
    deadline = Deadline(request.time_limit_s)
    limits = request.limits
    several = [nodes for nodes in sorted(set(node_counts)) if nodes > 1]
    rows = [_row(case, single_node(case), limits)]
    for done, nodes in enumerate(several):
        part = deadline.share(1.0 / (len(several) + 1 - done))
        rows += _baselines(case, nodes, sparsities, limits)
        rows += _splits(case, nodes, limits, part)
        rows += _shares(case, nodes, limits, part)
        rows += _optimised(case, request, nodes, part)
    rows.append(_best(case, request, max(node_counts), deadline))
    return Comparison(
        model=case.profile.name,
        cluster=case.cluster.name,
        metric=case.curve.metric if case.curve else None,
        objective=request.objective,
        limits=limits,
        rows=tuple(rows),
    )


def _baselines(
    case: Case, nodes: int, sparsities: tuple[float, ...], limits: Limits
) -> Iterator[ComparisonRow]:
    curve = case.curve

    def published(sparsity: float, random: bool = False) -> Published | None:
        return published_uniform(curve, nodes, sparsity, random=random) if curve else None

    yield _row(case, dense(case, nodes), limits, nominal=0.0, accuracy=published(0.0))
    for sparsity in sparsities:
        plan = uniform(case, nodes, sparsity)
        yield _row(case, plan, limits, nominal=sparsity, accuracy=published(sparsity))
        plan = plan.model_copy(update={"strategy": "random"})
        chosen_at_random = published(sparsity, random=True)
        yield _row(case, plan, limits, nominal=sparsity, accuracy=chosen_at_random, modelled=False)
    for strategy in ("dense-then-split", "split-then-aggregate"):
        for groups in split_boundaries(case, nodes):
            value = published_split(curve, nodes, strategy, groups) if curve else None
            plan = split_baseline(case, nodes, strategy, groups)
            yield _row(case, plan, limits, accuracy=value)
    yield _row(
        case, independent_branches(case, nodes), limits, nominal=1.0, accuracy=published(1.0)
    )
    yield _row(case, pipeline_equal(case, nodes), limits)


def _splits(case: Case, nodes: int, limits: Limits, deadline: Deadline) -> Iterator[ComparisonRow]:
    """Published ways to split a layer without loss."""
    if case.settings.share_inputs:  # then layers gather features alone
        return
    for split in splits_of(case):
        plan = split_plan(case, nodes, split, deadline)
        if plan is not None:
            yield _row(case, plan, limits)


def _shares(case: Case, nodes: int, limits: Limits, deadline: Deadline) -> Iterator[ComparisonRow]:
    """AR-MDI with γ per parameter and per MAC, and how far each is from the optimum."""
    for plan in (ar_mdi(case, nodes), ar_mdi_macs(case, nodes)):
        row = _row(case, plan, limits)
        distance = distance_to_optimum(case, nodes, plan, deadline)
        notes = [row.note, distance.in_words() if distance else ""]
        yield row.model_copy(update={"note": "; ".join(filter(None, notes))})


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
    case: Case, nodes: int, plan: Plan, deadline: Deadline | None = None
) -> Distance | None:
    """A plan against the best contiguous allocations over the first nodes, one per objective.

    These keep every node's memory and no other limit; None where no allocation does.
    """
    free = Request(max_nodes=nodes, limits=NO_LIMITS)
    fastest, _ = optimal_allocation(case, free, deadline)
    busiest, _ = optimal_allocation(case, replace(free, objective="throughput"), deadline)
    if fastest is None or busiest is None:
        return None
    known = [best.certificate.status for best in (fastest, busiest) if best.certificate]
    return Distance(
        latency=plan.predicted.latency_s / fastest.predicted.latency_s - 1,
        throughput=1 - plan.predicted.throughput_per_s / busiest.predicted.throughput_per_s,
        proven=known == ["optimal", "optimal"],
    )


def _optimised(
    case: Case, request: Request, nodes: int, deadline: Deadline
) -> Iterator[ComparisonRow]:
    for strategy, find in (
        ("optimal-allocation", optimal_allocation),
        ("optimal-sparsity", optimal_sparsity),
        ("optimal-lossless", optimal_lossless),
    ):
        asked = replace(request, max_nodes=nodes, exactly=False)
        plan, result = find(case, asked, deadline)
        if plan is None:
            yield ComparisonRow(
                strategy=strategy,
                nodes=nodes,
                status=result.certificate.status,
                fits=False,
                note=result.binding,
            )
        else:
            yield _row(case, plan, request.limits)


def _best(case: Case, request: Request, most: int, deadline: Deadline) -> ComparisonRow:
    asked = replace(
        request, max_nodes=most, time_limit_s=deadline.left_s, alternatives=False, exactly=False
    )
    try:
        plan = optimise(case, asked)
    except (InfeasibleError, SolverStoppedError) as error:
        status: Status = "infeasible" if isinstance(error, InfeasibleError) else "timeout"
        return ComparisonRow(
            strategy="optimal", nodes=most, status=status, fits=False, note=str(error)
        )
    row = _row(case, plan, request.limits)
    return row.model_copy(update={"strategy": "optimal", "note": f"is {plan.strategy}"})


def _row(
    case: Case,
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
    if accuracy is not None and case.curve is not None:
        value, origin = accuracy
        drop = case.curve.dense - value
    energy = predicted.energy_loss if modelled else None
    notes = list(find_broken_limits(predicted, plan.cluster, limits, drop, energy))
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

"""What each layer of a plan exchanges and costs, as the charts show it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.page.question import Answer
from app.tables import Table, plan_summary_table
from planner.domain.cost_table import CostTable
from planner.domain.plan import KeptFeatures, Plan, StagePlan
from planner.strategies.study import Study

_COSTS = ("comm. (ms)", "comp. (ms)", "handed over (ms)")


@dataclass(frozen=True)
class LayerPoint:
    """One layer that computes or exchanges something.

    ``kept_features`` and ``sparsity`` are null where the layer exchanges no features.
    """

    name: str
    op: str
    macs: int
    comm_s: float
    compute_s: float
    sparsity: float | None = None
    kept_features: KeptFeatures | None = None


@dataclass(frozen=True)
class StageView:
    """A stage of a plan.

    Attributes
    ----------
    nodes : tuple of str
        Who runs it.
    points : tuple of LayerPoint
    received_s : float
        Time of what it takes over from the stage before; 0 for the first.
    """

    nodes: tuple[str, ...]
    points: tuple[LayerPoint, ...]
    received_s: float = 0.0


def plan_stages(answer: Answer) -> tuple[StageView, ...]:
    """The answer's plan, stage by stage, without layers that neither compute nor exchange."""
    return tuple(_stages(answer.study, answer.plan))


def uniform_stage(answer: Answer, sparsity: float) -> StageView:
    """Every exchange at one S_comm on all nodes, without layers that do nothing."""
    nodes = answer.question.nodes
    table = answer.study.table(nodes, (sparsity,))
    points = (
        _point(answer.study, table, row, 0, None) for row in range(len(answer.profile.layers))
    )
    return StageView(answer.study.names(nodes), _busy(points))


def stage_table(answer: Answer) -> Table:
    """Who runs which layers, and what each stage costs in milliseconds."""
    table = plan_summary_table(answer.plan)
    costs = [
        (
            sum(point.comm_s for point in stage.points) * 1e3,
            sum(point.compute_s for point in stage.points) * 1e3,
            stage.received_s * 1e3 if number else None,
        )
        for number, stage in enumerate(plan_stages(answer))
    ]
    return replace(
        table,
        columns=(*table.columns[:3], *_COSTS, *table.columns[3:]),
        rows=tuple(
            (*row[:3], *cost, *row[3:]) for row, cost in zip(table.rows, costs, strict=True)
        ),
        footer="comm., comp.: communication and computation inside the stage; handed over: the "
        "move of all live tensors from the stage before",
    )


def _stages(study: Study, plan: Plan) -> Iterator[StageView]:
    start = 0
    before: StagePlan | None = None
    for stage in plan.stages:
        received_s = 0.0
        if before is not None:
            received_s, _ = study.handover_s(before.nodes, stage.nodes, start)
        yield StageView(stage.nodes, _busy(_planned(study, stage, start)), received_s)
        before, start = stage, start + len(stage.layers)


def _planned(study: Study, stage: StagePlan, start: int) -> Iterator[LayerPoint]:
    """A stage's layers, looked up in the costs that they were chosen from."""
    table = study.table_on(stage.nodes)
    for row, layer in enumerate(stage.layers, start=start):
        option = 0
        if layer.sparsity is not None:
            option = int(np.argmin(np.abs(table.comm_sparsity[row] - layer.sparsity)))
        yield _point(study, table, row, option, layer.kept_features)


def _point(
    study: Study, table: CostTable, row: int, option: int, kept: KeptFeatures | None
) -> LayerPoint:
    layer = study.profile.layers[row]
    exchanges = len(table.node_names) > 1 and table.sparsifiable[row]
    return LayerPoint(
        name=layer.name,
        op=layer.op,
        macs=layer.macs,
        comm_s=float(table.comm_s[row, option]),
        compute_s=float(table.compute_s[row, option]),
        sparsity=float(table.comm_sparsity[row, option]) if exchanges else None,
        kept_features=kept,
    )


def _busy(points: Iterator[LayerPoint]) -> tuple[LayerPoint, ...]:
    return tuple(point for point in points if point.macs or point.comm_s or point.compute_s)


def numbered(stages: Sequence[StageView]) -> list[tuple[StageView, int, int]]:
    """Every stage with the numbers of its first and its last layer on the charts, from 1."""
    ends = [0, *itertools.accumulate(len(stage.points) for stage in stages)]
    return [(s, a + 1, b) for s, (a, b) in zip(stages, itertools.pairwise(ends), strict=True)]

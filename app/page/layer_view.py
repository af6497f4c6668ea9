"""What each layer of a plan exchanges and costs, as the charts show it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from app.page.question import Answer
from planner.domain.cost_table import CostTable
from planner.domain.plan import KeptFeatures, Plan, StagePlan
from planner.strategies.study import Study


@dataclass(frozen=True)
class LayerPoint:
    """One layer, or in a pipeline one unit of layers that run as one.

    ``kept_features`` and ``sparsity`` are null where the layer exchanges no features.
    """

    name: str
    op: str
    macs: int
    comm_s: float
    compute_s: float
    sparsity: float | None = None
    kept_features: KeptFeatures | None = None


def plan_points(answer: Answer) -> list[LayerPoint]:
    """The answer's plan, without layers that neither compute nor exchange anything."""
    plan = answer.plan
    if all(len(stage.nodes) == 1 for stage in plan.stages):
        points = _pipeline_points(answer.study, plan)
    else:
        points = _group_points(answer.study, plan.stages[0])
    return [point for point in points if point.macs or point.comm_s]


def uniform_points(answer: Answer, sparsity: float) -> list[LayerPoint]:
    """Every exchange at one S_comm on all nodes, without layers that do nothing."""
    table = answer.study.table(answer.question.nodes, (sparsity,))
    points = _points(answer.study, table, np.zeros(len(table.layer_names), np.int64))
    return [point for point in points if point.macs or point.comm_s]


def _group_points(study: Study, stage: StagePlan) -> Iterator[LayerPoint]:
    """A group's layers, looked up in the table of costs that they were chosen from."""
    table = study.table(len(stage.nodes))
    options = [
        0
        if layer.sparsity is None
        else int(np.argmin(np.abs(table.comm_sparsity[row] - layer.sparsity)))
        for row, layer in enumerate(stage.layers)
    ]
    kept = [layer.kept_features for layer in stage.layers]
    return _points(study, table, np.array(options), kept)


def _points(
    study: Study,
    table: CostTable,
    options: np.ndarray[tuple[int], np.dtype[np.int64]],
    kept: list[KeptFeatures | None] | None = None,
) -> Iterator[LayerPoint]:
    exchanges = table.sparsifiable
    for row, (layer, option) in enumerate(zip(study.profile.layers, options, strict=True)):
        yield LayerPoint(
            name=layer.name,
            op=layer.op,
            macs=layer.macs,
            comm_s=float(table.comm_s[row, option]),
            compute_s=float(table.compute_s[row, option]),
            sparsity=float(table.comm_sparsity[row, option]) if exchanges[row] else None,
            kept_features=kept[row] if kept else None,
        )


def _pipeline_points(study: Study, plan: Plan) -> Iterator[LayerPoint]:
    """A pipeline's units; one that begins a stage pays for the move to its node."""
    chain = study.chain(len(study.cluster.nodes))
    ring = [node.name for node in study.group(len(study.cluster.nodes)).nodes]
    worker_of_layer = {
        layer.name: ring.index(stage.nodes[0]) for stage in plan.stages for layer in stage.layers
    }
    before: int | None = None
    for index, unit in enumerate(chain.units):
        layers = study.profile.layers[unit.start : unit.stop]
        heaviest = max(layers, key=lambda layer: layer.macs)
        worker = worker_of_layer[heaviest.name]
        moved = before is not None and before != worker
        yield LayerPoint(
            name=heaviest.name,
            op=heaviest.op,
            macs=int(chain.macs[index]),
            comm_s=float(chain.transfer_s[before, worker, index - 1]) if moved else 0.0,
            compute_s=float(chain.compute_s[worker, index]),
        )
        before = worker

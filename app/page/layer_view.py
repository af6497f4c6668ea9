"""What each layer of a plan exchanges and costs, as the charts show it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.page.answer import Answer
from app.tables import Cell, Table, plan_summary_table
from planner.case import Case
from planner.domain.cost_table import CostTable
from planner.domain.plan import KeptFeatures, Plan
from planner.strategies.evaluation import exchanges

_COSTS = ("comm. (ms)", "comp. (ms)", "handed over (ms)")


@dataclass(frozen=True)
class LayerPoint:
    """One layer that computes or exchanges something.

    ``kept_features`` and ``sparsity`` are null where the layer exchanges no features;
    ``executed_macs`` and ``wire_bytes`` are sums over the nodes.
    """

    name: str
    op: str
    macs: int
    comm_s: float
    compute_s: float
    sparsity: float | None = None
    kept_features: KeptFeatures | None = None
    executed_macs: int = 0
    wire_bytes: int = 0


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
    return tuple(_stages(answer.case, answer.plan))


def uniform_stage(answer: Answer, sparsity: float) -> StageView:
    """Every exchange at one S_comm on all nodes, without layers that do nothing."""
    nodes = answer.request.max_nodes
    table = answer.case.table(nodes, (sparsity,))
    points = (_point(answer.case, table, row, None) for row in range(len(answer.profile.layers)))
    return StageView(answer.case.names(nodes), _busy(points))


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


def _stages(case: Case, plan: Plan) -> Iterator[StageView]:
    start = 0
    before: tuple[str, ...] = ()
    for stage, exchange in zip(plan.stages, exchanges(case, plan.stages), strict=True):
        received_s = 0.0
        if before:
            received_s, _ = case.handover_s(before, stage.nodes, start)
        points = (
            _point(case, exchange.table, row, layer.kept_features)
            for row, layer in enumerate(stage.layers, start=start)
        )
        yield StageView(stage.nodes, _busy(points), received_s)
        before, start = stage.nodes, start + len(stage.layers)


def _point(case: Case, table: CostTable, row: int, kept: KeptFeatures | None) -> LayerPoint:
    """A layer of a table that has one option."""
    layer = case.profile.layers[row]
    exchanged = len(table.node_names) > 1 and table.sparsifiable[row]
    return LayerPoint(
        name=layer.name,
        op=layer.op,
        macs=layer.macs,
        comm_s=float(table.comm_s[row, 0]),
        compute_s=float(table.compute_s[row, 0]),
        sparsity=float(table.comm_sparsity[row, 0]) if exchanged else None,
        kept_features=kept,
        executed_macs=int(table.macs[row, 0].sum()),
        wire_bytes=int(table.wire_bytes[row, 0]),
    )


def _busy(points: Iterator[LayerPoint]) -> tuple[LayerPoint, ...]:
    return tuple(point for point in points if point.macs or point.comm_s or point.compute_s)


def numbered(stages: Sequence[StageView]) -> list[tuple[StageView, int, int]]:
    """Every stage with the numbers of its first and its last layer on the charts, from 1."""
    ends = [0, *itertools.accumulate(len(stage.points) for stage in stages)]
    return [(s, a + 1, b) for s, (a, b) in zip(stages, itertools.pairwise(ends), strict=True)]


def layer_table(stages: Sequence[StageView]) -> Table:
    """Every layer of the charts with its numbers, as they are drawn."""
    rows: list[tuple[Cell, ...]] = []
    comm_s = compute_s = 0.0
    for number, (stage, first, _) in enumerate(numbered(stages), start=1):
        comm_s += stage.received_s
        for index, point in enumerate(stage.points, start=first):
            comm_s += point.comm_s
            compute_s += point.compute_s
            kept = point.kept_features
            rows.append(
                (
                    index,
                    point.name,
                    point.op,
                    number,
                    point.comm_s * 1e3,
                    point.compute_s * 1e3,
                    comm_s * 1e3,
                    compute_s * 1e3,
                    point.executed_macs,
                    point.wire_bytes,
                    point.sparsity,
                    kept if isinstance(kept, int | None) else str(kept),
                )
            )
    return Table("layers", _COLUMNS, tuple(rows))


_COLUMNS = (
    "number",
    "layer",
    "op",
    "stage",
    "comm. (ms)",
    "comp. (ms)",
    "comm. so far (ms)",
    "comp. so far (ms)",
    "MACs of all nodes",
    "bytes on the wire",
    "S_comm",
    "kept features",
)

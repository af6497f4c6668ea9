"""What each layer of a plan exchanges and costs, as the charts show it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.page.answer import Answer
from app.tables import (
    Cell,
    Table,
    conversion_words,
    layout_of,
    plan_summary_table,
    tabulate,
    way_of,
)
from planner.case import Case
from planner.cost.table import CostTable
from planner.domain.layouts import Conversion, Layout, Way
from planner.domain.plan import KeptFeatures, LayerPlan, Plan
from planner.strategies.costed import cost_stages

_COSTS = ("comm. (ms)", "comp. (ms)", "handed over (ms)")


@dataclass(frozen=True)
class Converted:
    """A tensor that is brought to another layout, and how much is sent for that."""

    tensor: str
    source: Layout
    target: Layout
    moved_bytes: int


@dataclass(frozen=True)
class LayerPoint:
    """One layer that computes or exchanges something.

    ``kept_features`` and ``sparsity`` are null where the layer gathers no features, ``way`` and
    ``layout`` where its stage has one node, ``until`` outside of runs of fused halos;
    ``executed_macs`` and ``wire_bytes`` are sums over the nodes.
    """

    name: str
    op: str
    macs: int
    comm_s: float
    compute_s: float
    latency_s: float
    sparsity: float | None = None
    kept_features: KeptFeatures | None = None
    executed_macs: int = 0
    wire_bytes: int = 0
    way: Way | None = None
    layout: Layout | None = None
    conversions: tuple[Converted, ...] = ()
    until: str | None = None


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
    return tuple(_stages(answer.planned, answer.plan))


def uniform_stage(answer: Answer, sparsity: float) -> StageView:
    """Every exchange at one S_comm on all nodes, without layers that do nothing."""
    nodes = answer.request.max_nodes
    table = answer.case.table(answer.case.names(nodes), (sparsity,))
    gathers = (
        LayerPlan(name=layer.name, nodes=nodes, way="features") for layer in answer.profile.layers
    )
    points = (_point(answer.case, table, row, layer) for row, layer in enumerate(gathers))
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
    costed = cost_stages(case, plan.stages)
    received = (0.0, *(float(each.seconds) for each in costed.handovers))
    for stage, costs, received_s in zip(plan.stages, costed.stages, received, strict=True):
        points = (
            _point(case, costs.table, row, layer)
            for row, layer in enumerate(stage.layers, start=costs.rows.start)
        )
        yield StageView(stage.nodes, _busy(points), received_s)


def _point(case: Case, table: CostTable, row: int, planned: LayerPlan) -> LayerPoint:
    """A layer of a table that has one option."""
    layer = case.profile.layers[row]
    way = way_of(planned)
    exchanged = way == "features" and table.sparsifiable[row]
    return LayerPoint(
        name=layer.name,
        op=layer.op,
        macs=layer.macs,
        comm_s=float(table.comm_s[row, 0]),
        compute_s=float(table.compute_s[row, 0]),
        latency_s=float(table.latency_s[row, 0]),
        sparsity=float(table.comm_sparsity[row, 0]) if exchanged else None,
        kept_features=planned.kept_features,
        executed_macs=int(table.macs[row, 0].sum()),
        wire_bytes=int(table.wire_bytes[row, 0]),
        way=way,
        layout=layout_of(planned),
        until=planned.until,
        conversions=tuple(_converted(case, table.node_names, x) for x in planned.conversions),
    )


def _converted(case: Case, nodes: tuple[str, ...], item: Conversion) -> Converted:
    """A conversion with its bytes, those of every receiver."""
    found = case.layouts(nodes).conversion(item.tensor, item.source, item.target)
    moved = 0 if found is None else int(found.pairs.sum())
    return Converted(item.tensor, item.source, item.target, moved)


def _busy(points: Iterator[LayerPoint]) -> tuple[LayerPoint, ...]:
    return tuple(point for point in points if point.macs or point.comm_s or point.compute_s)


def numbered(stages: Sequence[StageView]) -> list[tuple[StageView, int, int]]:
    """Every stage with the numbers of its first and its last layer on the charts, from 1."""
    ends = [0, *itertools.accumulate(len(stage.points) for stage in stages)]
    return [(s, a + 1, b) for s, (a, b) in zip(stages, itertools.pairwise(ends), strict=True)]


def layer_table(stages: Sequence[StageView]) -> Table:
    """Every layer of the charts with its numbers, as they are drawn."""
    found: list[tuple[int, int, LayerPoint, float, float]] = []
    comm_s = compute_s = 0.0
    for number, (stage, first, _) in enumerate(numbered(stages), start=1):
        comm_s += stage.received_s
        for index, point in enumerate(stage.points, start=first):
            comm_s += point.comm_s
            compute_s += point.compute_s
            found.append((index, number, point, comm_s, compute_s))
    return tabulate(
        "layers",
        found,
        {
            "number": lambda x: x[0],
            "layer": lambda x: x[2].name,
            "op": lambda x: x[2].op,
            "stage": lambda x: x[1],
            "comm. (ms)": lambda x: x[2].comm_s * 1e3,
            "comp. (ms)": lambda x: x[2].compute_s * 1e3,
            "comm. so far (ms)": lambda x: x[3] * 1e3,
            "comp. so far (ms)": lambda x: x[4] * 1e3,
            "MACs of all nodes": lambda x: x[2].executed_macs,
            "bytes on the wire": lambda x: x[2].wire_bytes,
            "way": lambda x: x[2].way,
            "output lies": lambda x: x[2].layout,
            "fused up to": lambda x: x[2].until,
            "conversions": lambda x: conversion_words(x[2]),
            "conversion bytes": lambda x: sum(c.moved_bytes for c in x[2].conversions) or None,
            "S_comm": lambda x: x[2].sparsity,
            "kept features": lambda x: _kept(x[2].kept_features),
        },
    )


def _kept(kept: KeptFeatures | None) -> Cell:
    return kept if isinstance(kept, int | None) else str(kept)

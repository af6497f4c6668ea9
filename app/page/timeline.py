"""When each node computes, sends and waits while one input passes through a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from app.page.answer import Answer
from app.page.layer_view import StageView, plan_stages
from app.tables import Table
from planner.cost.table import CostTable
from planner.strategies.evaluation import times_of_nodes

Kind = Literal["computation", "communication", "handed over"]


@dataclass(frozen=True)
class Span:
    """One node's time on one thing; ``stage`` counts from 1."""

    node: str
    stage: int
    kind: Kind
    what: str
    start_s: float
    end_s: float


def timeline(answer: Answer) -> tuple[Span, ...]:
    """Every node's spans for one input, from its arrival to the output.

    A layer exchanges and then computes; with overlap it does both at once and ends with the
    longer. Nodes of a stage wait for the slowest; what each is busy with is drawn.
    """
    return tuple(_spans(answer))


def _spans(answer: Answer) -> Iterator[Span]:
    stages = plan_stages(answer)
    overlap = answer.study.settings.overlap
    first = answer.study.ends_s(stages[0].nodes)[0]
    last = answer.study.ends_s(stages[-1].nodes)[1]
    times = [_by_layer(answer, found) for found in times_of_nodes(answer.study, answer.plan.stages)]
    now = 0.0
    if first:
        yield from _all(stages[0].nodes, 1, "handed over", "the input", now, now + first)
        now += first
    for number, stage in enumerate(stages, start=1):
        if stage.received_s:
            nodes = (*stages[number - 2].nodes, *stage.nodes)
            end = now + stage.received_s
            yield from _all(nodes, number, "handed over", f"to stage {number}", now, end)
            now = end
        yield from _stage(stage, number, now, overlap, times[number - 1])
        now += sum(_length(p.comm_s, p.compute_s, overlap) for p in stage.points)
    if last:
        yield from _all(stages[-1].nodes, len(stages), "handed over", "the output", now, now + last)


def _length(comm_s: float, compute_s: float, overlap: bool) -> float:
    return max(comm_s, compute_s) if overlap else comm_s + compute_s


Seconds = dict[str, tuple[list[float], list[float]]]
"""By layer: for how long each node of a stage communicates, and for how long it computes."""


def _by_layer(answer: Answer, times: CostTable) -> Seconds:
    names = (layer.name for layer in answer.profile.layers)
    rows = zip(times.node_comm_s[:, 0].tolist(), times.node_compute_s[:, 0].tolist(), strict=True)
    return dict(zip(names, rows, strict=True))


def _stage(
    stage: StageView, number: int, start_s: float, overlap: bool, seconds: Seconds
) -> Iterator[Span]:
    now = start_s
    for point in stage.points:
        begin = now if overlap else now + point.comm_s
        for node, comm_s, compute_s in zip(stage.nodes, *seconds[point.name], strict=True):
            if comm_s:
                yield Span(node, number, "communication", point.name, now, now + comm_s)
            if compute_s:
                yield Span(node, number, "computation", point.name, begin, begin + compute_s)
        now += _length(point.comm_s, point.compute_s, overlap)


def _all(
    nodes: tuple[str, ...], stage: int, kind: Kind, what: str, start_s: float, end_s: float
) -> Iterator[Span]:
    for node in dict.fromkeys(nodes):
        yield Span(node, stage, kind, what, start_s, end_s)


def timeline_table(spans: tuple[Span, ...]) -> Table:
    """One row per span."""
    return Table(
        "timeline",
        ("node", "stage", "what", "of", "start (ms)", "end (ms)"),
        tuple((s.node, s.stage, s.kind, s.what, s.start_s * 1e3, s.end_s * 1e3) for s in spans),
    )

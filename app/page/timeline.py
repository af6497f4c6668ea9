"""When each node computes, sends and waits while one input passes through a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from app.page.answer import Answer
from app.page.layer_view import StageView, plan_stages
from app.tables import Table

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
    longer. Nodes of a stage wait for the slowest, so that they are drawn alike.
    """
    return tuple(_spans(answer))


def _spans(answer: Answer) -> Iterator[Span]:
    stages = plan_stages(answer)
    overlap = answer.study.settings.overlap
    first = answer.study.ends_s(stages[0].nodes)[0]
    last = answer.study.ends_s(stages[-1].nodes)[1]
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
        yield from _stage(stage, number, now, overlap)
        now += sum(_length(p.comm_s, p.compute_s, overlap) for p in stage.points)
    if last:
        yield from _all(stages[-1].nodes, len(stages), "handed over", "the output", now, now + last)


def _length(comm_s: float, compute_s: float, overlap: bool) -> float:
    return max(comm_s, compute_s) if overlap else comm_s + compute_s


def _stage(stage: StageView, number: int, start_s: float, overlap: bool) -> Iterator[Span]:
    now = start_s
    for point in stage.points:
        begin = now if overlap else now + point.comm_s
        if point.comm_s:
            end = now + point.comm_s
            yield from _all(stage.nodes, number, "communication", point.name, now, end)
        if point.compute_s:
            end = begin + point.compute_s
            yield from _all(stage.nodes, number, "computation", point.name, begin, end)
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

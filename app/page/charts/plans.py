"""Plans beside each other: strategies, on more nodes, along a frontier, over a quantity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from app.page.charts.style import (
    COMMUNICATION,
    COMPUTATION,
    HANDOVER,
    LEGEND,
    LIMIT,
    MS,
    NEUTRAL,
    PRESENT,
    SPARSITY,
    add_present_plan,
    finish,
    log_axis,
)
from app.page.text import label
from app.what_if import QUANTITIES, quantity_words
from app.words import dropped_words
from planner.domain.plan import Plan
from planner.strategies.compare import Comparison, ComparisonRow
from planner.strategies.what_if.frontier import ParetoFrontier
from planner.strategies.what_if.quantities import Value
from planner.strategies.what_if.sweep import Sweep
from planner.units import format_bytes, format_rate, format_seconds

_LINES = {  # strategy: colour, marker and dash; also told apart without colours
    "optimal": (SPARSITY, "star", "solid"),
    "optimal-lossless": (SPARSITY, "star-triangle-up", "dash"),
    "disco-uniform": (COMMUNICATION, "circle", "dot"),
    "dense": (COMPUTATION, "square", "dash"),
    "independent-branches": (LIMIT, "triangle-up", "dashdot"),
    "pipeline-equal": (NEUTRAL, "x", "dot"),
    "ar-mdi": (HANDOVER, "diamond", "dash"),
    "optimal-allocation": (PRESENT, "cross", "solid"),
    "rows": (PRESENT, "square", "dot"),
    "tokens": (PRESENT, "square", "dot"),
    "fused-rows": (PRESENT, "pentagon", "dash"),
    "tensor-parallel": (LIMIT, "hexagon", "dot"),
    "sequence-parallel": (HANDOVER, "bowtie", "dot"),
    "data-parallel": (NEUTRAL, "hourglass", "dash"),
}
_UNIFORM = (("circle", "dot"), ("diamond-tall", "longdash"), ("star-square", "longdashdot"))
"""Marker and dash of uniform sparsities, the lowest first."""
_MEASURES = {
    "latency": "time per input (ms)",
    "throughput": "inputs per second",
    "accuracy drop": "points lost",
    "memory": "memory of the fullest node (MB)",
}


def by_nodes(comparisons: Mapping[int, Comparison], measure: str) -> go.Figure:
    """One line per strategy over the numbers of nodes; hollow where a limit is broken.

    Parameters
    ----------
    comparisons : mapping
        By number of nodes.
    measure : str
        One of `_MEASURES`.
    """
    lines: dict[tuple[str, float | None], list[tuple[int, float, ComparisonRow]]] = {}
    for nodes, comparison in sorted(comparisons.items()):
        for row in comparison.rows:
            value = amount(row, measure)
            if row.strategy in _LINES and value is not None:
                level = row.nominal_sparsity if row.strategy == "disco-uniform" else None
                lines.setdefault((row.strategy, level), []).append((nodes, value, row))
    figure = go.Figure()
    levels = sorted(level for _, level in lines if level is not None)
    for (strategy, level), points in lines.items():
        color, symbol, dash = _LINES[strategy]
        if level is not None:
            symbol, dash = _UNIFORM[levels.index(level) % len(_UNIFORM)]
        name = strategy if level is None else f"{strategy} {level:.0%}"
        figure.add_scatter(
            name=label(name),
            x=[nodes for nodes, _, _ in points],
            y=[value for _, value, _ in points],
            mode="lines+markers",
            line={"color": color, "dash": dash, "width": 2},
            marker={
                "symbol": [symbol if row.fits else f"{symbol}-open" for _, _, row in points],
                "size": 10,
                "color": color,
            },
            customdata=[_under_pointer(row) for _, _, row in points],
            hovertemplate=f"<b>{label(name)}</b><br>%{{x}} nodes: %{{y:.4g}}%{{customdata}}"
            "<extra></extra>",
        )
    counts = sorted(comparisons)
    values = [value for points in lines.values() for _, value, _ in points]
    upright: dict[str, Any] = {"title": _MEASURES[measure], "rangemode": "tozero"}
    if measure != "accuracy drop":
        upright = log_axis(values, _MEASURES[measure])
    return finish(
        figure,
        height=340,
        xaxis={"type": "log", "title": "nodes", "tickvals": counts, "ticktext": counts},
        yaxis=upright,
    )


def _under_pointer(row: ComparisonRow) -> str:
    return "".join(f"<br>{x}" for x in (_lost(row), "" if row.fits else "breaks a limit") if x)


def amount(row: ComparisonRow, measure: str) -> float | None:
    """A row's number for a measure, in the unit of the chart."""
    if measure == "latency":
        return None if row.latency_s is None else row.latency_s * 1e3
    if measure == "throughput":
        return row.throughput_per_s
    if measure == "accuracy drop":
        return row.accuracy_drop
    return max(row.memory_bytes.values()) / 1e6 if row.memory_bytes else None


_PALE = 0.35  # opacity of a strategy that breaks a limit
_ROOM = 1.9  # right of the bars, for the numbers at their ends on a phone
_MORE_ROOM, _LONG_END = 2.6, 30  # the same where one has more characters than so many
_SECONDS_FROM = 10.0  # bars as long as this are labelled in seconds


def strategies(comparison: Comparison) -> go.Figure:
    """Time per input of every strategy, communication and computation stacked, the best on top.

    Best by the comparison's objective; where that is the throughput, it stands at the bar's end.
    Choosing features at random costs the same time as choosing them well, so those rows are
    left to the table.
    """
    rows = [r for r in comparison.rows if r.latency_s is not None and r.strategy != "random"]
    by_rate = comparison.objective == "throughput"
    rows.sort(key=lambda row: (row.throughput_per_s if by_rate else -(row.latency_s or 0.0)) or 0.0)
    names = _unique([_row_name(row) for row in rows])
    ends = [_bar_end(row, by_rate) for row in rows]
    room = _MORE_ROOM if max(map(len, ends), default=0) > _LONG_END else _ROOM
    parts = [(row.comm_s or 0.0, row.compute_s or 0.0) for row in rows]
    longest = max(map(sum, parts), default=1.0)
    unit, scale = ("s", 1.0) if longest >= _SECONDS_FROM else ("ms", MS)
    figure = go.Figure()
    for index, (name, color) in enumerate(
        (("communication", COMMUNICATION), ("computation", COMPUTATION))
    ):
        figure.add_bar(
            name=name,
            orientation="h",
            y=names,
            x=[part[index] * scale for part in parts],
            marker={
                "color": color,
                "opacity": [1.0 if row.fits else _PALE for row in rows],
                "line": {"width": 0},
            },
            customdata=[
                [format_seconds(part[index]), _note(row)]
                for part, row in zip(parts, rows, strict=True)
            ],
            hovertemplate=f"<b>%{{y}}</b><br>{name} %{{customdata[0]}}%{{customdata[1]}}"
            "<extra></extra>",
        )
    figure.add_scatter(
        x=[sum(part) * scale for part in parts],
        y=names,
        mode="text",
        text=ends,
        textposition="middle right",
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
    return finish(
        figure,
        barmode="stack",
        height=90 + 24 * len(rows),
        margin={"l": 0, "r": 0, "t": 36, "b": 0},
        bargap=0.3,
        legend=LEGEND | {"traceorder": "normal"},
        xaxis={"title": f"time per input ({unit})", "range": [0, longest * scale * room]},
        yaxis={"type": "category", "automargin": True, "ticksuffix": " "},
    )


def _bar_end(row: ComparisonRow, by_rate: bool) -> str:
    """What the bars are ordered by, and what it costs in accuracy and memory."""
    rate, seconds = format_rate(row.throughput_per_s or 0.0), format_seconds(row.latency_s or 0.0)
    parts = [f"{rate} /s" if by_rate else seconds]
    if lost := _lost(row):
        parts.append(lost)
    if row.memory_bytes:
        parts.append(format_bytes(max(row.memory_bytes.values())))
    return f" {' · '.join(parts)}"


def _lost(row: ComparisonRow) -> str:
    return dropped_words(row.mean_comm_sparsity, row.accuracy_drop, row.energy_loss)


def _row_name(row: ComparisonRow) -> str:
    level = row.nominal_sparsity
    at = f" {level:.0%}" if level is not None and row.strategy == "disco-uniform" else ""
    return f"{row.strategy}{at} ({row.nodes})"


def _unique(names: list[str]) -> list[str]:
    """Bars of one name would be stacked on each other."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return found


def _note(row: ComparisonRow) -> str:
    return f"<br>{label(row.note)}" if row.note else ""


POINTS = 0
"""The trace that holds the points, in their order."""


def frontier_chart(found: ParetoFrontier, plan: Plan) -> go.Figure:
    """Every point of a frontier, and where the present plan stands."""
    points = found.points
    figure = go.Figure()
    figure.add_scatter(
        name="best plans",
        x=[loss_or_rate(found, p.accuracy_drop, p.energy_loss, p.throughput_per_s) for p in points],
        y=[point.latency_s * MS for point in points],
        mode="lines+markers",
        line={"color": COMMUNICATION, "width": 2, "shape": "vh"},
        marker={"size": 12, "color": COMMUNICATION},
        cliponaxis=False,
        unselected={"marker": {"opacity": 1}},  # the star tells which one was clicked
        customdata=[
            [
                label(point.strategy),
                point.nodes,
                format_seconds(point.latency_s),
                format_rate(point.throughput_per_s),
                point.certificate.status,
            ]
            for point in points
        ],
        hovertemplate="<b>%{customdata[0]} on %{customdata[1]}</b><br>%{customdata[2]}, "
        "%{customdata[3]} inputs/s<br>%{customdata[4]}<extra>click: make it the plan</extra>",
    )
    predicted = plan.predicted
    here = loss_or_rate(
        found, predicted.accuracy_drop, predicted.energy_loss, predicted.throughput_per_s
    )
    add_present_plan(figure, here, predicted.latency_s)
    title = "throughput (inputs/s)"
    if found.trade == "accuracy":
        energy = any(point.energy_loss is not None for point in points)
        title = "share of the weights' energy pruned" if energy else "points lost"
    return finish(
        figure,
        height=400,
        clickmode="event+select",
        hovermode="closest",
        xaxis={"title": title, "rangemode": "tozero"},
        yaxis={"title": "time per input (ms)"},
    )


def loss_or_rate(
    found: ParetoFrontier, drop: float | None, energy: float | None, rate: float
) -> float | None:
    """What is traded against the latency."""
    if found.trade == "throughput":
        return rate
    return drop if energy is None else energy


def sweep_chart(found: Sweep, here: Value | None, plan: Plan) -> go.Figure:
    """Time of the best plan and its parts at every value, and where the present plan stands."""
    title, scale = QUANTITIES[found.over].axis, QUANTITIES[found.over].scale
    points = [(point.value * scale, point) for point in found.points]
    solved = [(x, point, point.best) for x, point in points if point.best is not None]
    figure = go.Figure()
    for name, color, dash, values in (
        ("time per input", SPARSITY, "solid", [best.latency_s for _, _, best in solved]),
        ("communication", COMMUNICATION, "dot", [best.comm_s for _, _, best in solved]),
        ("computation", COMPUTATION, "dash", [best.compute_s for _, _, best in solved]),
    ):
        figure.add_scatter(
            name=name,
            x=[x for x, _, _ in solved],
            y=[value * MS or None for value in values],
            mode="lines+markers",
            line={"color": color, "dash": dash, "width": 2},
            marker={"size": 7, "color": color},
            customdata=[
                [
                    quantity_words(found.over, point.value),
                    label(best.strategy),
                    best.nodes,
                    format_seconds(value),
                ]
                for (_, point, best), value in zip(solved, values, strict=True)
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]} on %{customdata[2]}"
            f"<br>{name} %{{customdata[3]}}<extra></extra>",
        )
    if here is not None:
        add_present_plan(figure, here * scale, plan.predicted.latency_s)
    axis: dict[str, Any] = {"title": title, "dtick": 1}
    if found.over != "nodes":
        axis = log_axis([x for x, _ in points], title)
    drawn = [value * MS for _, _, best in solved for value in (best.comm_s, best.compute_s)]
    drawn += [best.latency_s * MS for _, _, best in solved]
    return finish(figure, height=380, xaxis=axis, yaxis=log_axis(drawn, "time (ms)"))

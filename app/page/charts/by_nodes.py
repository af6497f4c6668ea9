"""How strategies fare on more nodes."""

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
    MARGIN,
    NEUTRAL,
    PRESENT,
    SPARSITY,
    log_axis,
)
from app.page.text import label
from planner.strategies.compare import Comparison, ComparisonRow

_SHOWN = {  # strategy: colour, marker and dash; also told apart without colours
    "optimal": (SPARSITY, "star", "solid"),
    "disco-uniform": (COMMUNICATION, "circle", "dot"),
    "dense": (COMPUTATION, "square", "dash"),
    "independent-branches": (LIMIT, "triangle-up", "dashdot"),
    "pipeline-equal": (NEUTRAL, "x", "dot"),
    "ar-mdi": (HANDOVER, "diamond", "dash"),
    "optimal-allocation": (PRESENT, "cross", "solid"),
}
_TITLES = {
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
        One of `app.page.parameters.MEASURES`.
    """
    lines: dict[tuple[str, float | None], list[tuple[int, float, bool]]] = {}
    for nodes, comparison in sorted(comparisons.items()):
        for row in comparison.rows:
            value = amount(row, measure)
            if row.strategy in _SHOWN and value is not None:
                level = row.nominal_sparsity if row.strategy == "disco-uniform" else None
                lines.setdefault((row.strategy, level), []).append((nodes, value, row.fits))
    figure = go.Figure()
    for (strategy, level), points in lines.items():
        color, symbol, dash = _SHOWN[strategy]
        name = strategy if level is None else f"{strategy} {level:.0%}"
        figure.add_scatter(
            name=label(name),
            x=[nodes for nodes, _, _ in points],
            y=[value for _, value, _ in points],
            mode="lines+markers",
            line={"color": color, "dash": dash, "width": 2},
            marker={
                "symbol": [symbol if fits else f"{symbol}-open" for _, _, fits in points],
                "size": 10,
                "color": color,
            },
            customdata=["" if fits else "<br>breaks a limit" for _, _, fits in points],
            hovertemplate=f"<b>{label(name)}</b><br>%{{x}} nodes: %{{y:.4g}}%{{customdata}}"
            "<extra></extra>",
        )
    counts = sorted(comparisons)
    values = [value for points in lines.values() for _, value, _ in points]
    upright: dict[str, Any] = {"title": _TITLES[measure], "rangemode": "tozero"}
    if measure != "accuracy drop":
        upright = log_axis(values, _TITLES[measure])
    figure.update_layout(
        height=340,
        margin=MARGIN,
        legend=LEGEND,
        xaxis={"type": "log", "title": "nodes", "tickvals": counts, "ticktext": counts},
        yaxis=upright,
    )
    return figure


def amount(row: ComparisonRow, measure: str) -> float | None:
    """A row's number for a measure, in the unit of the chart."""
    if measure == "latency":
        return None if row.latency_s is None else row.latency_s * 1e3
    if measure == "throughput":
        return row.throughput_per_s
    if measure == "accuracy drop":
        return row.accuracy_drop
    return max(row.memory_bytes.values()) / 1e6 if row.memory_bytes else None

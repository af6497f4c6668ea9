"""The frontier: what a loss or a latency buys."""

from __future__ import annotations

import plotly.graph_objects as go

from app.page.charts.style import COMMUNICATION, LEGEND, LIMIT, MARGIN, MS
from app.page.text import label
from planner.domain.plan import Plan
from planner.strategies.what_if.frontier import ParetoFrontier
from planner.units import format_rate, format_seconds

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
    figure.add_scatter(
        name="the present plan",
        x=[here],
        y=[predicted.latency_s * MS],
        mode="markers",
        marker={"size": 18, "symbol": "star-open", "color": LIMIT, "line": {"width": 3}},
        unselected={"marker": {"opacity": 1}},
        hovertemplate="the present plan: %{y:.4g} ms<extra></extra>",
    )
    title = "throughput (inputs/s)"
    if found.trade == "accuracy":
        energy = any(point.energy_loss is not None for point in points)
        title = "share of the weights' energy pruned" if energy else "points lost"
    figure.update_layout(
        height=400,
        margin=MARGIN,
        legend=LEGEND,
        clickmode="event+select",
        hovermode="closest",
        xaxis={"title": title, "rangemode": "tozero"},
        yaxis={"title": "time per input (ms)"},
    )
    return figure


def loss_or_rate(
    found: ParetoFrontier, drop: float | None, energy: float | None, rate: float
) -> float | None:
    """What is traded against the latency."""
    if found.trade == "throughput":
        return rate
    return drop if energy is None else energy

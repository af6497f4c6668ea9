"""The best plan over a hardware quantity."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from app.page.charts.style import (
    COMMUNICATION,
    COMPUTATION,
    LEGEND,
    LIMIT,
    MARGIN,
    MS,
    SPARSITY,
    log_axis,
)
from app.page.text import label
from app.what_if_words import quantity_words
from planner.domain.plan import Plan
from planner.strategies.what_if.quantities import Value
from planner.strategies.what_if.sweep import Sweep
from planner.units import format_seconds

_TITLES = {
    "bandwidth": ("bandwidth B of every link (MB/s)", 1e-6),
    "compute": ("computing speed C of every node (GMAC/s)", 1e-9),
    "nodes": ("nodes, at most", 1.0),
    "link-latency": ("delay of a message (ms)", 1e3),
    "memory": ("memory of every node (MB)", 1e-6),
}


def sweep_chart(found: Sweep, here: Value | None, plan: Plan) -> go.Figure:
    """Time of the best plan and its parts at every value, and where the present plan stands."""
    title, scale = _TITLES[found.over]
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
        figure.add_scatter(
            name="the present plan",
            x=[here * scale],
            y=[plan.predicted.latency_s * MS],
            mode="markers",
            marker={"size": 18, "symbol": "star-open", "color": LIMIT, "line": {"width": 3}},
            hovertemplate="the present plan: %{y:.4g} ms<extra></extra>",
        )
    axis: dict[str, Any] = {"title": title, "dtick": 1}
    if found.over != "nodes":
        axis = log_axis([x for x, _ in points], title)
    drawn = [value * MS for _, _, best in solved for value in (best.comm_s, best.compute_s)]
    drawn += [best.latency_s * MS for _, _, best in solved]
    figure.update_layout(
        height=380,
        margin=MARGIN,
        legend=LEGEND,
        xaxis=axis,
        yaxis=log_axis(drawn, "time (ms)"),
    )
    return figure

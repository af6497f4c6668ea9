"""What becomes of inputs over time under each policy."""

from __future__ import annotations

import plotly.graph_objects as go

from app.page.charts.style import (
    COMMUNICATION,
    COMPUTATION,
    HANDOVER,
    LEGEND,
    LIMIT,
    NEUTRAL,
    PRESENT,
    SPARSITY,
    finish,
    log_axis,
)
from app.page.text import label
from planner.simulation.result import PolicyResult, SimulationResult

_STYLES = {  # colour and dash: also told apart without colours
    "local": (NEUTRAL, "dot"),
    "ddi": (COMMUNICATION, "dash"),
    "ar-mdi": (HANDOVER, "dashdot"),
    "ms-mdi": (COMPUTATION, "solid"),
    "balance": (SPARSITY, "solid"),
    "rehearsed": (PRESENT, "dash"),
}


def completed(result: SimulationResult) -> go.Figure:
    """Inputs that are done, over time; the limit, where it is known."""
    figure = go.Figure()
    for row in result.policies:
        _line(figure, row, row.completed_by.times_s, row.completed_by.values[0])
    limit = result.limit.makespan_s
    if limit is not None:
        figure.add_vline(x=limit, line={"color": LIMIT, "dash": "dot", "width": 2})
        figure.add_annotation(
            x=limit, y=1, yref="paper", yanchor="bottom", showarrow=False, text="limit"
        )
    return finish(
        figure,
        height=360,
        legend=LEGEND | {"y": 1.08},
        xaxis={"title": "time (s)", "rangemode": "tozero"},
        yaxis={"title": "inputs done", "rangemode": "tozero"},
    )


def spread(result: SimulationResult) -> go.Figure:
    """Share of the inputs that are done within a time of their coming."""
    figure = go.Figure()
    times: list[float] = []
    for row in result.policies:
        times += [t for t in row.spread.times_s if t > 0]
        shares = [100 * share for share in row.spread.values[0]]
        _line(figure, row, row.spread.times_s, shares)
    return finish(
        figure,
        height=320,
        xaxis=log_axis(times, "time of an input, waiting included (s)"),
        yaxis={"title": "inputs (%)", "range": [0, 102]},
    )


def queues(row: PolicyResult) -> go.Figure:
    """What waits where, under one policy."""
    figure = go.Figure()
    for name, values in zip(row.queues.names, row.queues.values, strict=True):
        if any(values):
            figure.add_scatter(
                name=label(name),
                x=row.queues.times_s,
                y=values,
                mode="lines",
                line={"width": 1.5, "shape": "hv"},
            )
    return finish(
        figure,
        height=320,
        showlegend=True,
        colorway=[COMMUNICATION, COMPUTATION, SPARSITY, HANDOVER, LIMIT, NEUTRAL],
        xaxis={"title": "time (s)", "rangemode": "tozero"},
        yaxis={"title": "inputs that wait", "rangemode": "tozero"},
    )


def _line(figure: go.Figure, row: PolicyResult, x: object, y: object) -> None:
    color, dash = _STYLES.get(row.policy, (LIMIT, "solid"))
    figure.add_scatter(
        name=label(row.policy),
        x=x,
        y=y,
        mode="lines",
        line={"color": color, "dash": dash, "width": 2},
    )

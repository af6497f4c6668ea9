"""The strip below a chart of layers: how each of them runs, and how what it makes lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from app.page.charts.style import FAINT, NEUTRAL
from app.page.layer_view import LayerPoint, StageView
from app.page.text import label
from planner.domain.layouts import EXPERT_WAYS, LAYOUTS, WAYS, Layout
from planner.units import format_bytes

ALONE = "a stage of one node"
COLORS = {
    "features": "#0072B2",
    "positions": "#009E73",
    "samples": "#56B4E9",
    "sums": "#E69F00",
    "outputs": "#CC79A7",
    "whole": "#F0E442",
    "one-node": "#D55E00",
    "experts": "#000000",
    "expert-sums": "#E69F00",
    ALONE: FAINT,
}
"""By way, and by the layout that it makes: Okabe and Ito's eight."""

_WAY, _LAYOUT = (0.42, 0.58), (0.0, 0.28)  # base and height of the two rows
_MARK = 0.35  # between them


def runs_in_ways(stages: Sequence[StageView]) -> bool:
    """Whether any layer runs on several nodes, so that there is a strip to draw."""
    return any(point.way for stage in stages for point in stage.points)


def add_strip(figure: go.Figure, stages: Sequence[StageView], yaxis: str, legend: str) -> None:
    """Draw the strip on an axis from 0 to 1: ways above, layouts below, conversions between."""
    points = [point for stage in stages for point in stage.points]
    numbered = list(enumerate(points, start=1))
    for way in (*WAYS, *EXPERT_WAYS, ALONE):
        for fused in (False, True):
            mine = [
                (x, p)
                for x, p in numbered
                if ((p.way or ALONE), p.until is not None) == (way, fused)
            ]
            name = f"{way}{', fused halos' * fused}"
            more: dict[str, Any] = {"name": name, "yaxis": yaxis, "legend": legend}
            _row(figure, COLORS[way], mine, _WAY, more | {"marker_pattern_shape": "/" * fused})
    lying = [(x, p, p.layout) for x, p in numbered if p.layout]
    for layout in LAYOUTS:
        same = [(x, p) for x, p, found in lying if found == layout]
        row = {"name": layout, "yaxis": yaxis, "showlegend": False}
        _row(figure, COLORS[layout], same, _LAYOUT, row)
    brought = [(x, p) for x, p in numbered if p.conversions]
    if brought:
        figure.add_scatter(
            name="conversion before it",
            x=[x - 0.5 for x, _ in brought],
            y=[_MARK] * len(brought),
            mode="markers",
            marker={"symbol": "triangle-down", "size": 8, "color": NEUTRAL},
            customdata=[[label(p.name), _conversions(p)] for _, p in brought],
            hovertemplate="before <b>%{customdata[0]}</b>%{customdata[1]}<extra></extra>",
            yaxis=yaxis,
            legend=legend,
        )


def strip_axis(**more: Any) -> dict[str, Any]:
    """The axis of a strip."""
    return {
        "range": [0, 1.02],
        "tickvals": [_LAYOUT[1] / 2, _WAY[0] + _WAY[1] / 2],
        "ticktext": ["output", "way"],
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    } | more


def _row(
    figure: go.Figure,
    color: str,
    points: Sequence[tuple[int, LayerPoint]],
    place: tuple[float, float],
    more: dict[str, Any],
) -> None:
    if not points:
        return
    base, height = place
    figure.add_bar(
        x=[x for x, _ in points],
        y=[height] * len(points),
        base=[base] * len(points),
        width=1,
        marker={"color": color, "line": {"width": 0}, "pattern": {"size": 5}},
        customdata=[
            [label(p.name), label(p.op), _way(p), _lies(p.layout), _conversions(p)]
            for _, p in points
        ],
        hovertemplate="<b>%{customdata[0]}</b><br>layer %{x}: %{customdata[1]}"
        "<br>way: %{customdata[2]}%{customdata[3]}%{customdata[4]}<extra></extra>",
        **more,
    )


def _way(point: LayerPoint) -> str:
    fused = f", halos fused up to {label(point.until)}" if point.until else ""
    return f"{point.way or ALONE}{fused}"


def _lies(layout: Layout | None) -> str:
    return f"<br>its output lies: {layout}" if layout else ""


def _conversions(point: LayerPoint) -> str:
    lines = (
        f"<br>{label(x.tensor)}: {x.source}→{x.target}, {format_bytes(x.moved_bytes)} sent"
        for x in point.conversions
    )
    return "".join(lines)

"""What half and twice of each quantity does to the best plan, as bars from where it stands now."""

from __future__ import annotations

import plotly.graph_objects as go

from app.page.charts.style import COMMUNICATION, COMPUTATION, MS, NEUTRAL, finish
from app.what_if import SWUNG
from planner.strategies.what_if.swings import Swings
from planner.units import format_rate, format_seconds

_ROW_PX = 44


def tornado(found: Swings) -> go.Figure:
    """Two bars for each quantity, the one that changes most on top; no bar where no plan fits."""
    by_rate = found.objective == "throughput"
    scale = 1.0 if by_rate else MS

    def measure(plan: object) -> float:
        value: float = getattr(plan, "throughput_per_s" if by_rate else "latency_s")
        return value * scale

    here = measure(found.best)
    names = [SWUNG[swing.of] for swing in found.swings]
    figure = go.Figure()
    for side, color, pattern in (("half", COMPUTATION, "/"), ("double", COMMUNICATION, "")):
        points = [getattr(swing, side) for swing in found.swings]
        ends = [None if point.best is None else measure(point.best) for point in points]
        figure.add_bar(
            name="half as much" if side == "half" else "twice as much",
            orientation="h",
            y=names,
            base=here,
            x=[0 if end is None else end - here for end in ends],
            marker={"color": color, "pattern": {"shape": pattern}, "line": {"width": 0}},
            customdata=[
                [_said(end, by_rate) if end is not None else f"no plan: {point.failure}"]
                for end, point in zip(ends, points, strict=True)
            ],
            hovertemplate="<b>%{y}</b><br>%{fullData.name}: %{customdata[0]}<extra></extra>",
        )
    figure.add_vline(x=here, line={"color": NEUTRAL, "width": 2})
    return finish(
        figure,
        height=96 + _ROW_PX * len(names),
        barmode="group",
        bargap=0.25,
        hovermode="closest",
        xaxis={"title": "inputs per second" if by_rate else "time per input (ms)"},
        yaxis={"type": "category", "autorange": "reversed", "automargin": True, "ticksuffix": " "},
    )


def _said(end: float, by_rate: bool) -> str:
    return f"{format_rate(end)} /s" if by_rate else format_seconds(end / MS)

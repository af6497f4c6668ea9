"""Where the time goes: summed up layer by layer, and against the rooflines of link and node."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from app.page.charts.style import (
    COMMUNICATION,
    COMPUTATION,
    LEGEND,
    MARGIN,
    MS,
    NEUTRAL,
    layer_axis,
    log_axis,
)
from app.page.layer_view import LayerPoint, StageView
from app.page.text import label
from planner.units import format_seconds, format_si


def cumulative(stages: Sequence[StageView]) -> go.Figure:
    """Communication (with what is handed over) and computation so far, stacked."""
    points = [point for stage in stages for point in stage.points]
    firsts = {id(stage.points[0]): stage.received_s for stage in stages if stage.points}
    comm, compute = [0.0], [0.0]
    for point in points:
        comm.append(comm[-1] + point.comm_s + firsts.get(id(point), 0.0))
        compute.append(compute[-1] + point.compute_s)
    names = ["start", *(label(point.name) for point in points)]
    figure = go.Figure()
    for name, color, values in (
        ("computation", COMPUTATION, compute),
        ("communication", COMMUNICATION, comm),
    ):
        figure.add_scatter(
            name=name,
            x=list(range(len(values))),
            y=[value * MS for value in values],
            mode="lines",
            line={"color": color, "width": 2, "shape": "hv"},
            stackgroup="time",
            customdata=[
                [text, format_seconds(value)] for text, value in zip(names, values, strict=True)
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>"
            f"{name} so far: %{{customdata[1]}}<extra></extra>",
        )
    figure.update_layout(
        height=280,
        margin=MARGIN,
        legend=LEGEND | {"traceorder": "reversed"},
        xaxis=layer_axis(len(points)) | {"range": [0, len(points)]},
        yaxis={"title": "time so far (ms)", "rangemode": "tozero"},
    )
    return figure


def roofed(stages: Sequence[StageView]) -> list[LayerPoint]:
    """Layers that both exchange and compute: no link can hold back the others."""
    points = [point for stage in stages for point in stage.points]
    return [p for p in points if p.wire_bytes and p.executed_macs and p.comm_s and p.compute_s]


def roofline(points: Sequence[LayerPoint], overlap: bool) -> go.Figure:
    """What each layer reaches against the roofs of the nodes' links and of their processors.

    The roofs are the best that the cost model grants to any layer: bytes on the wire per second of
    communication, MACs per second of computation.

    Parameters
    ----------
    points : sequence of LayerPoint
        As `roofed` chooses them, one at least.
    overlap : bool
        Whether a layer takes the longer of the two times, or their sum.
    """
    x = [p.executed_macs / p.wire_bytes for p in points]
    y = [
        p.executed_macs / (max(p.comm_s, p.compute_s) if overlap else p.comm_s + p.compute_s) / 1e9
        for p in points
    ]
    bandwidth = max(p.wire_bytes / p.comm_s for p in points)
    speed = max(p.executed_macs / p.compute_s for p in points)
    ridge = speed / bandwidth
    low, high = min([*x, ridge]) / 2, max([*x, ridge]) * 2
    figure = go.Figure()
    figure.add_scatter(
        name="roof",
        x=[low, ridge, high],
        y=[low * bandwidth / 1e9, speed / 1e9, speed / 1e9],
        mode="lines",
        line={"color": NEUTRAL, "width": 2},
        hoverinfo="skip",
    )
    for name, color, symbol, chosen in (
        ("link holds it back", COMMUNICATION, "circle", [p.comm_s > p.compute_s for p in points]),
        (
            "processor holds it back",
            COMPUTATION,
            "diamond",
            [p.comm_s <= p.compute_s for p in points],
        ),
    ):
        mine = [index for index, is_mine in enumerate(chosen) if is_mine]
        figure.add_scatter(
            name=name,
            x=[x[index] for index in mine],
            y=[y[index] for index in mine],
            mode="markers",
            marker={"color": color, "size": 8, "symbol": symbol},
            customdata=[
                [
                    label(points[index].name),
                    format_si(points[index].executed_macs, "MAC"),
                    format_si(points[index].wire_bytes, "B"),
                ]
                for index in mine
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}, %{customdata[2]} sent"
            "<br>%{x:.3g} MAC per byte, %{y:.3g} GMAC/s<extra></extra>",
        )
    figure.update_layout(
        height=320,
        margin=MARGIN,
        legend=LEGEND,
        hovermode="closest",
        xaxis=log_axis([low, high], "MACs per byte on the wire"),
        yaxis=log_axis([*y, speed / 1e9], "GMAC/s of all nodes"),
    )
    return figure

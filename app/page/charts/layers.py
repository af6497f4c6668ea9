"""Charts of a plan's layers: their times, what they send, and where the time goes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from app.blocks import Block
from app.page.charts.style import (
    COMMUNICATION,
    COMPUTATION,
    FAINT,
    HANDOVER,
    LEGEND,
    MS,
    NEUTRAL,
    SHADE,
    SPARSITY,
    finish,
    layer_axis,
    log_axis,
    ticks,
)
from app.page.charts.ways import add_strip, runs_in_ways, strip_axis
from app.page.layer_view import LayerPoint, StageView, numbered
from app.page.text import label
from planner.domain.plan import KeptFeatures
from planner.units import format_seconds, format_si

_WIDE = 0.16  # share of the layers from which a stage's mark is spelled out
_MARKS_PX = 34  # height of the stages' marks above a chart
_STRIP, _GAP = 0.19, 0.11  # shares of a chart's height for the strip and for its legend
_NAME = 18  # characters of a block's name below the axis
_UNDER = 3.0  # how far below the least time a zero is drawn, as a factor


def has_zeros(points: Sequence[LayerPoint]) -> bool:
    """Whether the chart needs its line for zeros."""
    return any(not point.comm_s or not point.compute_s for point in points)


def layer_times(stages: Sequence[StageView], blocks: Sequence[Block] = ()) -> go.Figure:
    """Communication against computation of every layer, on a log scale, below a strip of ways.

    A log axis has no zero: zeros are hollow markers on a line of their own below the rest. What
    is handed from one stage to the next stands between their layers. The strip is there where any
    layer runs on several nodes.

    Parameters
    ----------
    stages : sequence of StageView
    blocks : sequence of Block
        Of the same layers; lines part them, and their names stand below.
    """
    points = [point for stage in stages for point in stage.points]
    moves = [stage.received_s for stage in stages]
    times = [t for point in points for t in (point.comm_s, point.compute_s)]
    positive = [t for t in (*times, *moves) if t > 0]
    lowest, highest = min(positive, default=1e-3) * MS, max(positive, default=1e-3) * MS
    floor = lowest / _UNDER
    figure = go.Figure()
    joined_x, joined_y = _joined(points, floor)
    figure.add_scatter(
        x=joined_x,
        y=joined_y,
        mode="lines",
        line={"color": FAINT, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    for name, color, symbol, seconds in (
        ("communication", COMMUNICATION, "circle", [p.comm_s for p in points]),
        ("computation", COMPUTATION, "diamond", [p.compute_s for p in points]),
    ):
        _times_trace(figure, points, seconds, (name, color, symbol), floor)
    _handovers(figure, stages)
    _mark_stages(figure, stages)
    room = _MARKS_PX if len(stages) > 1 else 0
    legend_y = LEGEND["y"] + room / 280
    shown_ticks = [floor, *ticks(lowest, highest)]
    has_strip = runs_in_ways(stages)
    if has_strip:
        add_strip(figure, stages, "y2", "legend2")
        figure.update_layout(
            barmode="overlay",
            yaxis_domain=[0, 1 - _STRIP - _GAP],
            yaxis2=strip_axis(domain=[1 - _STRIP, 1]),
            legend2=LEGEND | {"y": legend_y},
        )
        legend_y = 1 - _STRIP - _GAP + 0.01
    return finish(
        figure,
        height=520 if has_strip else 400,
        margin={"l": 0, "r": 0, "t": 36 + room, "b": 0},
        legend=LEGEND | {"y": legend_y},
        hovermode="closest",
        dragmode="zoom",
        xaxis=layer_axis(len(points)) | _part_blocks(figure, points, blocks),
        yaxis={
            "type": "log",
            "title": "time per input (ms)",
            "range": [math.log10(floor) - 0.1, math.log10(highest) + 0.1],
            "tickvals": shown_ticks,
            "ticktext": ["0", *(f"{tick:g}" for tick in shown_ticks[1:])],
            "fixedrange": True,
        },
    )


def _part_blocks(
    figure: go.Figure, points: Sequence[LayerPoint], blocks: Sequence[Block]
) -> dict[str, object]:
    """Draw lines between blocks; what the axis of the layers then says."""
    numbers = {point.name: number for number, point in enumerate(points, start=1)}
    names = _without_common_part([block.name for block in blocks])
    spans = []
    for name, block in zip(names, blocks, strict=True):
        mine = [numbers[layer] for layer in block.layers if layer in numbers]
        if mine:
            spans.append((label(name), min(mine), max(mine)))
    if len(spans) < 2:
        return {}
    for _, first, _ in spans[1:]:
        figure.add_shape(
            type="line",
            xref="x",
            yref="paper",
            x0=first - 0.5,
            x1=first - 0.5,
            y0=0,
            y1=1,
            line={"color": FAINT, "width": 1, "dash": "dot"},
            layer="below",
        )
    return {
        "title": "blocks of layers, in order",
        "tickmode": "array",
        "tickvals": [(first + last) / 2 for _, first, last in spans],
        "ticktext": [name for name, _, _ in spans],
        "showgrid": False,
    }


def _without_common_part(names: Sequence[str]) -> list[str]:
    """Names as short as an axis needs them: without what all begin with, and cut in front."""
    parts = [name.split(".") for name in names]
    shared = 0
    for together in zip(*(part[:-1] for part in parts), strict=False):
        if len(set(together)) > 1:
            break
        shared += 1
    shown = (".".join(part[shared:]) for part in parts)
    return [name if len(name) <= _NAME else f"…{name[1 - _NAME :]}" for name in shown]


def _handovers(figure: go.Figure, stages: Sequence[StageView]) -> None:
    """What a stage takes over from the one before, between their layers."""
    moves = [
        (first - 0.5, number, stage)
        for number, (stage, first, _) in enumerate(numbered(stages), start=1)
        if stage.received_s > 0
    ]
    if moves:
        figure.add_scatter(
            name="handed over",
            x=[x for x, _, _ in moves],
            y=[stage.received_s * MS for _, _, stage in moves],
            mode="markers",
            marker={"color": HANDOVER, "size": 11, "symbol": "triangle-right"},
            customdata=[
                [number - 1, number, format_seconds(stage.received_s)] for _, number, stage in moves
            ],
            hovertemplate="<b>from stage %{customdata[0]} to stage %{customdata[1]}</b>"
            "<br>all live tensors: %{customdata[2]}<extra></extra>",
        )


def _mark_stages(figure: go.Figure, stages: Sequence[StageView]) -> None:
    """Shade every second stage and number all; one stage needs no mark."""
    if len(stages) == 1:
        return
    layers = sum(len(stage.points) for stage in stages)
    for number, (stage, first, last) in enumerate(numbered(stages), start=1):
        low, high = first - 0.5, last + 0.5
        if number % 2 == 0:
            figure.add_shape(
                type="rect",
                xref="x",
                yref="paper",
                x0=low,
                x1=high,
                y0=0,
                y1=1,
                fillcolor=SHADE,
                line_width=0,
                layer="below",
            )
        wide = (high - low) >= _WIDE * layers
        nodes = f"{len(stage.nodes)} node{'s' * (len(stage.nodes) > 1)}"
        figure.add_annotation(
            x=(low + high) / 2,
            y=1,
            xref="x",
            yref="paper",
            yanchor="bottom",
            showarrow=False,
            text=f"stage {number}<br>{nodes}" if wide else f"{number}",
            hovertext=f"stage {number}: {label(', '.join(stage.nodes))}",
        )


def _joined(
    points: Sequence[LayerPoint], floor: float
) -> tuple[list[int | None], list[float | None]]:
    """One thin line per layer between its two times."""
    x: list[int | None] = []
    y: list[float | None] = []
    for index, point in enumerate(points, start=1):
        x += [index, index, None]
        y += [point.comm_s * MS or floor, point.compute_s * MS or floor, None]
    return x, y


def _times_trace(
    figure: go.Figure,
    points: Sequence[LayerPoint],
    seconds: Sequence[float],
    style: tuple[str, str, str],
    floor: float,
) -> None:
    """Markers of one kind of time; zeros, if any, hollow and on the floor."""
    name, color, symbol = style
    for zero in (False, True):
        chosen = [i for i, value in enumerate(seconds) if (value == 0) == zero]
        if not chosen:
            continue
        figure.add_scatter(
            name=f"no {name}" if zero else name,
            x=[index + 1 for index in chosen],
            y=[floor if zero else seconds[index] * MS for index in chosen],
            mode="markers",
            marker={"color": color, "size": 8, "symbol": f"{symbol}-open" if zero else symbol},
            customdata=[
                [label(point.name), label(point.op), _macs(point.macs), format_seconds(value)]
                for point, value in ((points[index], seconds[index]) for index in chosen)
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>layer %{x}: %{customdata[1]}, "
            f"%{{customdata[2]}}<br>{name} %{{customdata[3]}}<extra></extra>",
        )


def layer_sparsity(stages: Sequence[StageView]) -> go.Figure:
    """S_comm of every layer that exchanges features; the layers are numbered as in the times."""
    points = [point for stage in stages for point in stage.points]
    exchanging = [(i, p) for i, p in enumerate(points, start=1) if p.sparsity is not None]
    figure = go.Figure()
    x = [index for index, _ in exchanging]
    y = [(point.sparsity or 0.0) * 100 for _, point in exchanging]
    figure.add_scatter(
        x=[value for index in x for value in (index, index, None)],
        y=[value for top in y for value in (0, top, None)],
        mode="lines",
        line={"color": SPARSITY, "width": 3},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"color": SPARSITY, "size": 7},
        cliponaxis=False,
        customdata=[[label(p.name), label(p.op), _kept(p.kept_features)] for _, p in exchanging],
        hovertemplate="<b>%{customdata[0]}</b><br>layer %{x}: %{customdata[1]}"
        "<br>S_comm %{y:.1f} %<br>%{customdata[2]}<extra></extra>",
    )
    _mark_stages(figure, stages)
    return finish(
        figure,
        height=260,
        margin={"l": 0, "r": 0, "t": 12 + (_MARKS_PX if len(stages) > 1 else 0), "b": 0},
        showlegend=False,
        xaxis=layer_axis(len(points)),
        yaxis={"title": "S_comm (%)", "range": [0, 102]},
    )


def _macs(macs: int) -> str:
    return format_si(macs, "MAC")


def _kept(kept: KeptFeatures | None) -> str:
    """How many features each node sends to each other one."""
    if kept is None:
        return "nothing to exchange"
    if isinstance(kept, int):
        return f"{kept:,} {'feature' if kept == 1 else 'features'} to each other node"
    counts = [c for i, row in enumerate(kept) for j, c in enumerate(row) if i != j]
    return f"{min(counts):,} to {max(counts):,} features to each other node"


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
    return finish(
        figure,
        height=280,
        legend=LEGEND | {"traceorder": "reversed"},
        xaxis=layer_axis(len(points)) | {"range": [0, len(points)]},
        yaxis={"title": "time so far (ms)", "rangemode": "tozero"},
    )


def roofed(stages: Sequence[StageView]) -> list[LayerPoint]:
    """Layers that both exchange and compute: no link can hold back the others."""
    points = [point for stage in stages for point in stage.points]
    return [p for p in points if p.wire_bytes and p.executed_macs and p.comm_s and p.compute_s]


def roofline(points: Sequence[LayerPoint]) -> go.Figure:
    """What each layer reaches against the roofs of the nodes' links and of their processors.

    The roofs are the best that the cost model grants to any layer: bytes on the wire per second of
    communication, MACs per second of computation.

    Parameters
    ----------
    points : sequence of LayerPoint
        As `roofed` chooses them, one at least.
    """
    x = [p.executed_macs / p.wire_bytes for p in points]
    y = [p.executed_macs / p.latency_s / 1e9 for p in points]
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
    return finish(
        figure,
        height=320,
        hovermode="closest",
        xaxis=log_axis([low, high], "MACs per byte on the wire"),
        yaxis=log_axis([*y, speed / 1e9], "computing speed of all nodes (GMAC/s)"),
    )

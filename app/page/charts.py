"""The page's charts. Colours are Okabe and Ito's, legible on light and dark alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from app.page.layer_view import LayerPoint
from app.page.text import label
from planner.domain.plan import KeptFeatures
from planner.strategies.compare import Comparison, ComparisonRow
from planner.units import format_seconds, format_si

COMMUNICATION = "#0072B2"
COMPUTATION = "#D55E00"
SPARSITY = "#009E73"
_FAINT = "rgba(128, 128, 128, 0.45)"
_MS = 1e3
_PALE = 0.35  # opacity of a strategy that breaks a limit
_UNDER = 3.0  # how far below the least time a zero is drawn, as a factor
_LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"}


def has_zeros(points: Sequence[LayerPoint]) -> bool:
    """Whether the chart needs its line for zeros."""
    return any(not point.comm_s or not point.compute_s for point in points)


def layer_times(points: Sequence[LayerPoint]) -> go.Figure:
    """Communication against computation of every layer, on a log scale.

    A log axis has no zero: zeros are hollow triangles on a line of their own below the rest.
    """
    times = [t for point in points for t in (point.comm_s, point.compute_s) if t > 0]
    lowest, highest = min(times, default=1e-3) * _MS, max(times, default=1e-3) * _MS
    floor = lowest / _UNDER
    figure = go.Figure()
    joined_x, joined_y = _joined(points, floor)
    figure.add_scatter(
        x=joined_x,
        y=joined_y,
        mode="lines",
        line={"color": _FAINT, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    for name, color, symbol, seconds in (
        ("communication", COMMUNICATION, "circle", [p.comm_s for p in points]),
        ("computation", COMPUTATION, "diamond", [p.compute_s for p in points]),
    ):
        _times_trace(figure, points, seconds, name, color, symbol, floor)
    decades = math.log10(highest / floor)
    figure.update_layout(
        height=380,
        margin={"l": 0, "r": 0, "t": 36, "b": 0},
        legend=_LEGEND,
        hovermode="closest",
        xaxis={"title": "layer, in order", "rangemode": "tozero", "zeroline": False},
        yaxis={
            "type": "log",
            "title": "time per input (ms)",
            "range": [math.log10(floor) - 0.15, math.log10(highest) + 0.15],
            "dtick": 1 if decades > 1.5 else "D2",
            "tickformat": "~g",
            "exponentformat": "none",
        },
    )
    return figure


def _joined(
    points: Sequence[LayerPoint], floor: float
) -> tuple[list[int | None], list[float | None]]:
    """One thin line per layer between its two times."""
    x: list[int | None] = []
    y: list[float | None] = []
    for index, point in enumerate(points, start=1):
        x += [index, index, None]
        y += [point.comm_s * _MS or floor, point.compute_s * _MS or floor, None]
    return x, y


def _times_trace(
    figure: go.Figure,
    points: Sequence[LayerPoint],
    seconds: Sequence[float],
    name: str,
    color: str,
    symbol: str,
    floor: float,
) -> None:
    figure.add_scatter(
        name=name,
        x=list(range(1, len(points) + 1)),
        y=[value * _MS or floor for value in seconds],
        mode="markers",
        marker={
            "color": color,
            "size": 8,
            "symbol": [symbol if value else "triangle-down-open" for value in seconds],
        },
        customdata=[
            [label(point.name), label(point.op), _macs(point.macs), format_seconds(value)]
            for point, value in zip(points, seconds, strict=True)
        ],
        hovertemplate="<b>%{customdata[0]}</b><br>layer %{x}: %{customdata[1]}, %{customdata[2]}"
        f"<br>{name} %{{customdata[3]}}<extra></extra>",
    )


def layer_sparsity(points: Sequence[LayerPoint]) -> go.Figure:
    """S_comm of every layer that exchanges features; the layers are numbered as in the times."""
    exchanging = [(i, p) for i, p in enumerate(points, start=1) if p.sparsity is not None]
    figure = go.Figure()
    x = [index for index, _ in exchanging]
    y = [(point.sparsity or 0.0) * 100 for _, point in exchanging]
    figure.add_bar(x=x, y=y, marker={"color": SPARSITY, "line": {"width": 0}}, hoverinfo="skip")
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
    figure.update_layout(
        height=260,
        margin={"l": 0, "r": 0, "t": 12, "b": 0},
        bargap=0.6,
        showlegend=False,
        xaxis={"title": "layer, in order", "range": [0, len(points) + 1], "zeroline": False},
        yaxis={"title": "S_comm (%)", "range": [0, 102]},
    )
    return figure


def strategies(comparison: Comparison) -> go.Figure:
    """Time per input of every strategy, communication and computation stacked, best on top.

    Choosing features at random costs the same time as choosing them well, so those rows are
    left to the table.
    """
    rows = [r for r in comparison.rows if r.latency_s is not None and r.strategy != "random"]
    rows.sort(key=lambda row: -(row.latency_s or 0.0))
    names = _unique([_row_name(row) for row in rows])
    figure = go.Figure()
    for name, color, seconds in (
        ("communication", COMMUNICATION, [row.comm_s or 0.0 for row in rows]),
        ("computation", COMPUTATION, [row.compute_s or 0.0 for row in rows]),
    ):
        figure.add_bar(
            name=name,
            orientation="h",
            y=names,
            x=[value * _MS for value in seconds],
            marker={
                "color": color,
                "opacity": [1.0 if row.fits else _PALE for row in rows],
                "line": {"width": 0},
            },
            customdata=[[format_seconds(v), _note(r)] for v, r in zip(seconds, rows, strict=True)],
            hovertemplate=f"<b>%{{y}}</b><br>{name} %{{customdata[0]}}%{{customdata[1]}}"
            "<extra></extra>",
        )
    stacked = [max((r.comm_s or 0.0) + (r.compute_s or 0.0), r.latency_s or 0.0) for r in rows]
    figure.add_scatter(
        x=[value * _MS for value in stacked],
        y=names,
        mode="text",
        text=[f" {format_seconds(row.latency_s or 0.0)}" for row in rows],
        textposition="middle right",
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
    figure.update_layout(
        barmode="stack",
        height=90 + 24 * len(rows),
        margin={"l": 0, "r": 0, "t": 36, "b": 0},
        bargap=0.3,
        legend=_LEGEND | {"traceorder": "normal"},
        xaxis={"title": "time per input (ms)", "range": [0, max(stacked, default=1) * _MS * 1.16]},
        yaxis={"type": "category", "automargin": True, "ticksuffix": " "},
    )
    return figure


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

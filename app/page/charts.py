"""The page's charts. Colours are Okabe and Ito's, legible on light and dark alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from app.page.layer_view import LayerPoint
from app.page.text import label
from planner.domain.plan import KeptFeatures
from planner.strategies.compare import Comparison, ComparisonRow
from planner.units import format_rate, format_seconds, format_si

COMMUNICATION = "#0072B2"
COMPUTATION = "#D55E00"
SPARSITY = "#009E73"
_FAINT = "rgba(128, 128, 128, 0.45)"
_MS = 1e3
_PALE = 0.35  # opacity of a strategy that breaks a limit
_ROOM = 1.35  # right of the bars, for the numbers at their ends on a phone
_SECONDS_FROM = 10.0  # bars as long as this are labelled in seconds
_UNDER = 3.0  # how far below the least time a zero is drawn, as a factor
_LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"}


def has_zeros(points: Sequence[LayerPoint]) -> bool:
    """Whether the chart needs its line for zeros."""
    return any(not point.comm_s or not point.compute_s for point in points)


def layer_times(points: Sequence[LayerPoint]) -> go.Figure:
    """Communication against computation of every layer, on a log scale.

    A log axis has no zero: zeros are hollow markers on a line of their own below the rest.
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
        _times_trace(figure, points, seconds, (name, color, symbol), floor)
    ticks = [floor, *_ticks(lowest, highest)]
    figure.update_layout(
        height=380,
        margin={"l": 0, "r": 0, "t": 36, "b": 0},
        legend=_LEGEND,
        hovermode="closest",
        xaxis=_layer_axis(points),
        yaxis={
            "type": "log",
            "title": "time per input (ms)",
            "range": [math.log10(floor) - 0.1, math.log10(highest) + 0.1],
            "tickvals": ticks,
            "ticktext": ["0", *(f"{tick:g}" for tick in ticks[1:])],
        },
    )
    return figure


def _ticks(lowest: float, highest: float) -> list[float]:
    """Round values in a range: only powers of ten in a wide one, more in a narrow one."""
    decades = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    steps: tuple[float, ...] = (1, 2, 5) if len(decades) > 2 else (1, 1.5, 2, 3, 4, 5, 6, 8)
    if len(decades) > 4:
        steps = (1,)
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return [tick for tick in ticks if lowest * 0.9 <= tick <= highest * 1.1]


def _layer_axis(points: Sequence[LayerPoint]) -> dict[str, object]:
    """The layers' numbers; both charts of layers have this axis."""
    return {
        "title": "layer, in order",
        "range": [0.5 - 0.02 * len(points), 0.5 + 1.02 * len(points)],
        "zeroline": False,
        "dtick": max(1, 10 ** round(math.log10(max(len(points), 1) / 8))),
        "tick0": 0,
    }


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
    style: tuple[str, str, str],
    floor: float,
) -> None:
    """Markers of one kind of time; zeros, if any, hollow and on the floor."""
    name, color, symbol = style
    for zero in (False, True):
        chosen = [i for i, value in enumerate(seconds) if (value == 0) == zero]
        if zero and not chosen:
            continue
        figure.add_scatter(
            name=f"no {name}" if zero else name,
            x=[index + 1 for index in chosen],
            y=[floor if zero else seconds[index] * _MS for index in chosen],
            mode="markers",
            marker={"color": color, "size": 8, "symbol": f"{symbol}-open" if zero else symbol},
            customdata=[
                [label(point.name), label(point.op), _macs(point.macs), format_seconds(value)]
                for point, value in ((points[index], seconds[index]) for index in chosen)
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>layer %{x}: %{customdata[1]}, "
            f"%{{customdata[2]}}<br>{name} %{{customdata[3]}}<extra></extra>",
        )


def layer_sparsity(points: Sequence[LayerPoint]) -> go.Figure:
    """S_comm of every layer that exchanges features; the layers are numbered as in the times."""
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
    figure.update_layout(
        height=260,
        margin={"l": 0, "r": 0, "t": 12, "b": 0},
        showlegend=False,
        xaxis=_layer_axis(points),
        yaxis={"title": "S_comm (%)", "range": [0, 102]},
    )
    return figure


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
    parts = [(row.comm_s or 0.0, row.compute_s or 0.0) for row in rows]
    longest = max(map(sum, parts), default=1.0)
    unit, scale = ("s", 1.0) if longest >= _SECONDS_FROM else ("ms", _MS)
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
        text=[_bar_end(row, by_rate) for row in rows],
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
        xaxis={"title": f"time per input ({unit})", "range": [0, longest * scale * _ROOM]},
        yaxis={"type": "category", "automargin": True, "ticksuffix": " "},
    )
    return figure


def _bar_end(row: ComparisonRow, by_rate: bool) -> str:
    """What the bars are ordered by."""
    if by_rate:
        return f" {format_rate(row.throughput_per_s or 0.0)} /s"
    return f" {format_seconds(row.latency_s or 0.0)}"


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

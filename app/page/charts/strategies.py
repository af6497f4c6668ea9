"""The page's chart of strategies."""

from __future__ import annotations

import plotly.graph_objects as go

from app.page.charts.style import COMMUNICATION, COMPUTATION, LEGEND, MS
from app.page.text import label
from planner.strategies.compare import Comparison, ComparisonRow
from planner.units import format_rate, format_seconds

_PALE = 0.35  # opacity of a strategy that breaks a limit
_ROOM = 1.35  # right of the bars, for the numbers at their ends on a phone
_SECONDS_FROM = 10.0  # bars as long as this are labelled in seconds


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
    unit, scale = ("s", 1.0) if longest >= _SECONDS_FROM else ("ms", MS)
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
        legend=LEGEND | {"traceorder": "normal"},
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

"""The Gantt chart of a plan: every node's sending, computing and waiting for one input."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from app.page.charts.style import (
    COMMUNICATION,
    COMPUTATION,
    FAINT,
    HANDOVER,
    MS,
    NEUTRAL,
    finish,
)
from app.page.text import label
from app.tables import Table
from planner.strategies.timeline import Cause, Kind, Span
from planner.units import format_seconds

_LANES: dict[Kind, tuple[float, str, float]] = {  # offset in a node's row, colour and width
    "waiting": (0.18, NEUTRAL, 3),
    "communication": (-0.18, COMMUNICATION, 13),
    "handed over": (-0.18, HANDOVER, 13),
    "computation": (0.18, COMPUTATION, 13),
}
_WHY: dict[Cause, str] = {
    "": "",
    "messages": "<br>for messages that are on their way",
    "nodes": "<br>for slower nodes of its stage",
    "stages": "<br>while other stages work",
}
_ROW_PX = 46
_MOST_ARROWS = 400  # more than can be told apart


def gantt(spans: Sequence[Span], nodes: Sequence[str]) -> go.Figure:
    """One row per node: its link above, its processor below; arrows join those that exchange.

    Parameters
    ----------
    spans : sequence of Span
    nodes : sequence of str
        All nodes of the cluster; those without work stay empty.
    """
    rows = {node: index for index, node in enumerate(nodes)}
    figure = go.Figure()
    for kind, (offset, color, width) in _LANES.items():
        mine = [span for span in spans if span.kind == kind]
        if not mine:
            continue
        x: list[float | None] = []
        y: list[float | None] = []
        texts: list[str | None] = []
        for span in mine:
            row = rows[span.node] + offset
            x += [span.start_s * MS, span.end_s * MS, None]
            y += [row, row, None]
            words = (
                f"<b>{label(span.what)}</b><br>{label(span.node)}, stage {span.stage}<br>{kind} "
                f"{format_seconds(span.end_s - span.start_s)}{_WHY[span.cause]}"
            )
            texts += [words, words, None]
        figure.add_scatter(
            name=kind,
            x=x,
            y=y,
            mode="lines",
            line={"color": color, "width": width},
            text=texts,
            hovertemplate="%{text}<extra></extra>",
            connectgaps=False,
        )
    _arrows(figure, spans, rows)
    for row in range(1, len(nodes)):
        figure.add_shape(
            type="line",
            xref="paper",
            x0=0,
            x1=1,
            y0=row - 0.5,
            y1=row - 0.5,
            line={"color": FAINT, "width": 1},
        )
    end = max((span.end_s for span in spans), default=1e-3) * MS
    return finish(
        figure,
        height=90 + _ROW_PX * len(nodes),
        hovermode="closest",
        xaxis={"title": "time since the input arrived (ms)", "range": [0, end * 1.01]},
        yaxis={
            "tickvals": list(rows.values()),
            "ticktext": [label(node) for node in nodes],
            "range": [len(nodes) - 0.5, -0.5],
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
            "fixedrange": True,
        },
    )


def _arrows(figure: go.Figure, spans: Sequence[Span], rows: dict[str, int]) -> None:
    """One double arrow for each exchange, from the first to the last node that takes part."""
    exchanges: dict[tuple[int, str, float], list[Span]] = {}
    for span in spans:
        if span.kind in ("communication", "handed over"):
            exchanges.setdefault((span.stage, span.what, span.start_s), []).append(span)
    drawn = [part for part in exchanges.values() if len(part) > 1]
    if not 0 < len(drawn) <= _MOST_ARROWS:
        return
    x: list[float | None] = []
    y: list[float | None] = []
    for part in drawn:
        middle = (part[0].start_s + max(span.end_s for span in part)) / 2 * MS
        ends = [rows[span.node] for span in part]
        x += [middle, middle, None]
        y += [min(ends) - 0.18, max(ends) - 0.18, None]
    figure.add_scatter(
        name="exchange",
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": COMMUNICATION, "width": 1},
        marker={"symbol": ["triangle-up", "triangle-down", "circle"] * len(drawn), "size": 7},
        hoverinfo="skip",
    )


def timeline_table(spans: Sequence[Span]) -> Table:
    """One row per span."""
    return Table(
        "timeline",
        ("node", "stage", "what", "of", "start (ms)", "end (ms)", "waits for"),
        tuple(
            (s.node, s.stage, s.kind, s.what, s.start_s * MS, s.end_s * MS, s.cause or None)
            for s in spans
        ),
    )


def memory(needed: dict[str, int], limits: dict[str, int | None]) -> go.Figure:
    """Bytes that every node needs, and the limits that are known."""
    names = [label(node) for node in needed]
    figure = go.Figure()
    figure.add_bar(
        name="memory needed",
        orientation="h",
        y=names,
        x=[value / 1e6 for value in needed.values()],
        marker={"color": COMMUNICATION},
        hovertemplate="%{y}: %{x:.4g} MB needed<extra></extra>",
    )
    known = [(label(node), limit) for node in needed if (limit := limits.get(node)) is not None]
    if known:
        figure.add_scatter(
            name="limit",
            mode="markers",
            y=[name for name, _ in known],
            x=[limit / 1e6 for _, limit in known],
            marker={"symbol": "line-ns", "size": 20, "line": {"width": 4, "color": COMPUTATION}},
            hovertemplate="%{y}: limit %{x:.4g} MB<extra></extra>",
        )
    return finish(
        figure,
        height=90 + 26 * len(names),
        showlegend=True,
        bargap=0.35,
        xaxis={"title": "memory (MB)", "rangemode": "tozero"},
        yaxis={"type": "category", "autorange": "reversed", "automargin": True, "ticksuffix": " "},
    )

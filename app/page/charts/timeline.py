"""The Gantt chart of a plan: every node's communication and computation for one input."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from app.page.charts.style import COMMUNICATION, COMPUTATION, FAINT, HANDOVER, MS, finish
from app.page.layer_view import Kind, Span
from app.page.text import label
from planner.units import format_seconds

_LANES: dict[Kind, tuple[float, str]] = {  # offset in a node's row, and colour
    "communication": (-0.18, COMMUNICATION),
    "handed over": (-0.18, HANDOVER),
    "computation": (0.18, COMPUTATION),
}
_ROW_PX = 46


def gantt(spans: Sequence[Span], nodes: Sequence[str]) -> go.Figure:
    """One row per node: its link above, its processor below.

    Parameters
    ----------
    spans : sequence of Span
    nodes : sequence of str
        All nodes of the cluster; those without work stay empty.
    """
    rows = {node: index for index, node in enumerate(nodes)}
    figure = go.Figure()
    for kind, (offset, color) in _LANES.items():
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
                f"{format_seconds(span.end_s - span.start_s)}"
            )
            texts += [words, words, None]
        figure.add_scatter(
            name=kind,
            x=x,
            y=y,
            mode="lines",
            line={"color": color, "width": 13},
            text=texts,
            hovertemplate="%{text}<extra></extra>",
            connectgaps=False,
        )
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
        },
    )


def memory(needed: dict[str, int], limits: dict[str, int | None]) -> go.Figure:
    """Bytes that every node needs, and the limits that are known."""
    names = [label(node) for node in needed]
    figure = go.Figure()
    figure.add_bar(
        name="needed",
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

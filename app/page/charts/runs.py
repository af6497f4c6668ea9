"""Predicted beside measured, as two lanes on one axis of time."""

from __future__ import annotations

import plotly.graph_objects as go

from app.page.charts.style import COMMUNICATION, COMPUTATION, MS, finish
from app.page.text import label
from planner.run.measured import Measured
from planner.units import format_seconds

_MOST_GROUPS = 400
"""Drawn one by one; beyond, neighbours are drawn together."""


def lanes(found: Measured) -> go.Figure:
    """Layers from one exchange to the next, one behind the other, in both lanes.

    In each lane what was computed lies before what was waited or sent for.
    """
    step = -(-len(found.groups) // _MOST_GROUPS)
    groups = [found.groups[at : at + step] for at in range(0, len(found.groups), step)]
    names = [label(part[0].layers[0]) for part in groups]
    predicted = [sum(group.predicted_s for group in part) for part in groups]
    measured = [sum(group.measured.median_s for group in part) for part in groups]
    computing = [sum(group.predicted_compute_s for group in part) for part in groups]
    computed = [sum(group.compute.median_s for group in part) for part in groups]
    figure = go.Figure()
    for name, color in (("computation", COMPUTATION), ("exchange and waiting", COMMUNICATION)):
        bases: list[float] = []
        lengths: list[float] = []
        lane: list[str] = []
        texts: list[str] = []
        for which, wholes, works in (
            ("predicted", predicted, computing),
            ("measured", measured, computed),
        ):
            at = 0.0
            for title, whole, work in zip(names, wholes, works, strict=True):
                work = min(work, whole)
                begin, length = (at, work) if name == "computation" else (at + work, whole - work)
                bases.append(begin * MS)
                lengths.append(length * MS)
                lane.append(which)
                texts.append(f"<b>{title}</b><br>{which}: {name} {format_seconds(length)}")
                at += whole
        figure.add_bar(
            name=name,
            orientation="h",
            y=lane,
            x=lengths,
            base=bases,
            marker={"color": color, "line": {"width": 0}},
            text=None,
            hovertext=texts,
            hovertemplate="%{hovertext}<extra></extra>",
        )
    return finish(
        figure,
        height=220,
        barmode="overlay",
        hovermode="closest",
        showlegend=True,
        bargap=0.25,
        xaxis={"title": "time since the input arrived (ms)", "rangemode": "tozero"},
        yaxis={"type": "category", "autorange": "reversed", "automargin": True, "ticksuffix": " "},
    )

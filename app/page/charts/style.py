"""Colours, names and numbers that all charts share.

The colours are Okabe and Ito's, which colour-blind readers tell apart, on light and dark alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go

COMMUNICATION = "#0072B2"
COMPUTATION = "#D55E00"
SPARSITY = "#009E73"
HANDOVER = "#CC79A7"
LIMIT = "#E69F00"
PRESENT = "#56B4E9"
NEUTRAL = "rgba(128, 128, 128, 0.75)"
FAINT = "rgba(128, 128, 128, 0.45)"
SHADE = "rgba(128, 128, 128, 0.13)"
MS = 1e3
LEGEND: dict[str, Any] = {
    "orientation": "h",
    "x": 0,
    "y": 1.02,
    "xanchor": "left",
    "yanchor": "bottom",
}
MARGIN = {"l": 0, "r": 0, "t": 36, "b": 0}


def finish(figure: go.Figure, **layout: Any) -> go.Figure:
    """The chart with its layout; margins and legend are those of all charts unless it says so."""
    return figure.update_layout(**{"margin": MARGIN, "legend": LEGEND} | layout)


def add_present_plan(figure: go.Figure, x: float | None, latency_s: float) -> None:
    """A star where the present plan stands; a click on another point leaves it as it is."""
    figure.add_scatter(
        name="the present plan",
        x=[x],
        y=[latency_s * MS],
        mode="markers",
        cliponaxis=False,
        marker={"size": 18, "symbol": "star-open", "color": LIMIT, "line": {"width": 3}},
        unselected={"marker": {"opacity": 1}},
        hovertemplate="the present plan: %{y:.4g} ms<extra></extra>",
    )


def ticks(lowest: float, highest: float) -> list[float]:
    """Round values in a range: only powers of ten in a wide one, more in a narrow one."""
    decades = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    steps: tuple[float, ...] = (1, 2, 5) if len(decades) > 2 else (1, 1.5, 2, 3, 4, 5, 6, 8)
    if len(decades) > 4:
        steps = (1,)
    found = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return [tick for tick in found if lowest * 0.9 <= tick <= highest * 1.1]


def log_axis(values: Iterable[float], title: str) -> dict[str, Any]:
    """A logarithmic axis for values above 0, with round numbers beside it."""
    shown = [value for value in values if value > 0]
    lowest, highest = min(shown, default=1.0), max(shown, default=1.0)
    marks = ticks(lowest, highest)
    room = 0.06 * math.log10(highest / lowest) + 0.03
    return {
        "type": "log",
        "title": title,
        "tickvals": marks,
        "ticktext": [f"{mark:g}" for mark in marks],
        "range": [math.log10(lowest) - room, math.log10(highest) + room],
    }


def layer_axis(layers: int, title: str = "layer, in order") -> dict[str, Any]:
    """The layers' numbers; all charts of layers have this axis."""
    return {
        "title": title,
        "range": [0.5 - 0.02 * layers, 0.5 + 1.02 * layers],
        "zeroline": False,
        "dtick": max(1, 10 ** round(math.log10(max(layers, 1) / 8))),
        "tick0": 0,
    }

"""A model's layers: their work and bytes, and the graph that joins them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from app.page.charts.style import (
    COMMUNICATION,
    COMPUTATION,
    FAINT,
    HANDOVER,
    LIMIT,
    SPARSITY,
    finish,
    layer_axis,
)
from app.page.text import label
from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.units import format_bytes, format_si

_ARC_STEPS = 12  # points of a skip connection's arc
_FLOW_COLORS = {"mixing": COMPUTATION, "grouped": HANDOVER, "one-node": LIMIT, "concat": SPARSITY}
_OTHER = "local and the rest"


def work(layers: Sequence[tuple[int, LayerProfile]]) -> go.Figure:
    """MACs, parameters' bytes and outputs' bytes of every layer, on log scales.

    Parameters
    ----------
    layers : sequence of (int, LayerProfile)
        With their numbers, from 1.
    """
    figure = go.Figure()
    for name, color, symbol, values, axis in (
        ("MACs", COMPUTATION, "diamond", [x.macs for _, x in layers], "y"),
        ("bytes of outputs", COMMUNICATION, "circle", [x.output_bytes for _, x in layers], "y2"),
        ("bytes of weights", SPARSITY, "square", [x.param_bytes for _, x in layers], "y2"),
    ):
        shown = [(layer, value) for layer, value in zip(layers, values, strict=True) if value]
        unit = "MAC" if name == "MACs" else "B"
        figure.add_scatter(
            name=name,
            x=[number for (number, _), _ in shown],
            y=[value for _, value in shown],
            yaxis=axis,
            mode="markers",
            marker={"color": color, "size": 7, "symbol": symbol},
            customdata=[
                [label(x.name), label(x.op), format_si(value, unit)] for (_, x), value in shown
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>layer %{x}: %{customdata[1]}"
            f"<br>{name} %{{customdata[2]}}<extra></extra>",
        )
    total = max((number for number, _ in layers), default=1)
    axis_style = {"type": "log", "exponentformat": "SI", "dtick": 1, "showgrid": True}
    return finish(
        figure,
        height=420,
        hovermode="closest",
        xaxis=layer_axis(total, "layer, in order (all are counted)") | {"anchor": "y2"},
        yaxis=axis_style | {"title": "MACs", "domain": [0.54, 1]},
        yaxis2=axis_style | {"title": "bytes", "domain": [0, 0.46], "anchor": "x"},
    )


def graph(profile: ModelProfile) -> go.Figure:
    """The layers in order on a line; what is read further on leaves in an arc above it."""
    index = {spec.name: 0 for spec in profile.inputs}
    index.update({layer.name: number for number, layer in enumerate(profile.layers, start=1)})
    x: list[float | None] = []
    y: list[float | None] = []
    highest = 1.0
    for number, layer in enumerate(profile.layers, start=1):
        for producer in layer.inputs:
            begin = index[producer]
            if number - begin > 1:
                height = math.sqrt(number - begin)
                highest = max(highest, height)
                xs, ys = _arc(begin, number, height)
                x += [*xs, None]
                y += [*ys, None]
    figure = go.Figure()
    figure.add_scatter(
        name="read further on",
        x=x,
        y=y,
        mode="lines",
        line={"color": COMMUNICATION, "width": 1.5},
        hoverinfo="skip",
        showlegend=bool(x),
    )
    figure.add_scatter(
        x=[0, len(profile.layers)],
        y=[0, 0],
        mode="lines",
        line={"color": FAINT, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    _nodes(figure, profile)
    return finish(
        figure,
        height=260,
        hovermode="closest",
        xaxis=layer_axis(len(profile.layers)) | {"range": [-0.5, len(profile.layers) + 0.5]},
        yaxis={"visible": False, "range": [-0.12 * highest - 0.4, highest * 1.06]},
    )


def _arc(begin: int, end: int, height: float) -> tuple[list[float], list[float]]:
    """Half an ellipse between two places on the line."""
    angles = [math.pi * step / _ARC_STEPS for step in range(_ARC_STEPS + 1)]
    middle, radius = (begin + end) / 2, (end - begin) / 2
    return (
        [middle - radius * math.cos(angle) for angle in angles],
        [height * math.sin(angle) for angle in angles],
    )


def _nodes(figure: go.Figure, profile: ModelProfile) -> None:
    """One marker per layer, coloured by how its outputs depend on its inputs."""
    most = max((layer.macs for layer in profile.layers), default=1) or 1
    numbered = list(enumerate(profile.layers, start=1))
    kinds = {layer.feature_flow: _FLOW_COLORS.get(layer.feature_flow) for _, layer in numbered}
    groups = [*(flow for flow in _FLOW_COLORS if flow in kinds), _OTHER]
    for group in groups:
        mine = [
            (number, layer)
            for number, layer in numbered
            if (layer.feature_flow if layer.feature_flow in _FLOW_COLORS else _OTHER) == group
        ]
        if not mine:
            continue
        figure.add_scatter(
            name=group,
            x=[number for number, _ in mine],
            y=[0] * len(mine),
            mode="markers",
            marker={
                "color": _FLOW_COLORS.get(group, FAINT),
                "size": [5 + 11 * math.sqrt(layer.macs / most) for _, layer in mine],
                "line": {"width": 0},
            },
            customdata=[
                [
                    label(layer.name),
                    label(layer.op),
                    format_si(layer.macs, "MAC"),
                    format_bytes(layer.output_bytes),
                    label(", ".join(layer.inputs)),
                ]
                for _, layer in mine
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>layer %{x}: %{customdata[1]}, "
            "%{customdata[2]}, makes %{customdata[3]}<br>reads %{customdata[4]}<extra></extra>",
        )

"""The block picture of a layer's mask, as DISCO draws it."""

from __future__ import annotations

import itertools

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.page.charts.style import COMMUNICATION, NEUTRAL, SPARSITY, finish
from app.page.text import label
from planner.domain.owners import REPLICATED
from planner.weights.masks import LayerMask

PRUNED, SENT, OWN, HELD_BY_ALL = range(4)
WORDS = ("pruned", "kept: sent by its owner", "kept: the node's own", "held by all nodes")
_COLORS = ("rgba(128, 128, 128, 0.12)", COMMUNICATION, SPARSITY, NEUTRAL)


def blocks(layer: LayerMask) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """What becomes of the sub-row of every input feature at every node.

    Returns
    -------
    states : int array, shape (I, n)
        ``PRUNED`` and so on; input features are ordered by their owner, nodes are receivers.
    order : int array, shape (I,)
        The input feature of each row.
    """
    owners = layer.input_owners
    order = np.argsort(owners, kind="stable")
    states = np.full((len(owners), len(layer.nodes)), PRUNED, dtype=np.int8)
    for receiver in range(len(layer.nodes)):
        for of_sender in layer.sent:
            states[of_sender[receiver], receiver] = SENT
        states[owners == receiver, receiver] = OWN
    states[owners == REPLICATED] = HELD_BY_ALL
    return states[order], order


def mask_picture(layer: LayerMask) -> go.Figure:
    """Input features against the nodes that compute outputs, blocks as wide as their outputs."""
    states, order = blocks(layer)
    widths = [int((layer.output_owners == node).sum()) for node in range(len(layer.nodes))]
    edges = [0, *np.cumsum(widths).tolist()]
    last = len(WORDS) - 1
    scale = [
        [bound, color]
        for state, color in enumerate(_COLORS)
        for bound in (state / (last + 1), (state + 1) / (last + 1))
    ]
    figure = go.Figure()
    figure.add_heatmap(
        x=edges,
        y=np.arange(len(order) + 1),
        z=states,
        zmin=-0.5,
        zmax=last + 0.5,
        colorscale=scale,
        showscale=False,
        customdata=[
            [[int(feature), label(node), WORDS[state]] for node, state in _cells(layer, row)]
            for feature, row in zip(order, states, strict=True)
        ],
        hovertemplate="input feature %{customdata[0]}, outputs of %{customdata[1]}"
        "<br>%{customdata[2]}<extra></extra>",
    )
    for state in np.unique(states).tolist():
        figure.add_scatter(
            name=WORDS[state],
            x=[None],
            y=[None],
            mode="markers",
            marker={"symbol": "square", "size": 12, "color": _COLORS[state]},
        )
    _lines(figure, layer, edges, len(order))
    middles = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    return finish(
        figure,
        height=480,
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={
            "title": "output features, by the node that computes them",
            "tickvals": middles,
            "ticktext": [label(node) for node in layer.nodes],
            "showgrid": False,
            "range": [0, edges[-1]],
        },
        yaxis={
            "title": "input features, by the node that holds them",
            "range": [len(order), 0],
            "showgrid": False,
            "zeroline": False,
        },
    )


def _cells(layer: LayerMask, row: NDArray[np.int8]) -> list[tuple[str, int]]:
    return list(zip(layer.nodes, row.tolist(), strict=True))


def _lines(figure: go.Figure, layer: LayerMask, edges: list[int], rows: int) -> None:
    """The blocks' edges."""
    line = {"color": NEUTRAL, "width": 1}
    for edge in edges[1:-1]:
        figure.add_shape(type="line", x0=edge, x1=edge, y0=0, y1=rows, line=line)
    counts = np.bincount(np.sort(layer.input_owners - layer.input_owners.min()))
    for edge in np.cumsum(counts)[:-1].tolist():
        figure.add_shape(type="line", x0=0, x1=edges[-1], y0=edge, y1=edge, line=line)

"""MACs and computing time of every node (docs/model.md, eq. 6 and 8)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.cost.ownership import KindShares
from planner.cost.sparsity import Count
from planner.domain.cluster import Node
from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile


def column(layers: Sequence[LayerProfile], field: str) -> NDArray[np.int64]:
    """One number of every layer, shape (D,)."""
    return np.array([getattr(layer, field) for layer in layers], dtype=np.int64)


def available_inputs(shares: KindShares, kept: NDArray[Count]) -> NDArray[Count]:
    """Input features that node j reads: I_j + Σ k_ij + what all hold. Shape (C, n)."""
    available: NDArray[Count] = shares.owned + shares.replicated[:, None] + kept.sum(axis=1)
    return available


def node_macs(
    layers: Sequence[LayerProfile], shares: KindShares, kept: NDArray[Count]
) -> NDArray[Count]:
    """MACs of node j: M · O_j/O · (I_j + Σ k_ij)/I, exactly for whole counts.

    Layers without cross-feature weights execute M · O_j/O.

    Parameters
    ----------
    layers : sequence of LayerProfile
        C of them.
    shares : KindShares
    kept : int or float array, shape (C, n, n)

    Returns
    -------
    array of the type of ``kept``, shape (C, n)
    """
    macs, inputs, outputs = (
        column(layers, field) for field in ("macs", "in_features", "out_features")
    )
    per_pair = np.where(shares.mixing, macs // (inputs * outputs), 0)
    mixing = per_pair[:, None] * shares.outputs * available_inputs(shares, kept)
    whole, rest = np.divmod(macs, outputs)
    local = whole[:, None] * shares.outputs + -(-rest[:, None] * shares.outputs // outputs[:, None])
    return np.where(shares.mixing[:, None], mixing, local)


def node_compute_s(
    layers: Sequence[LayerProfile],
    nodes: tuple[Node, ...],
    shares: KindShares,
    macs: NDArray[Count],
    weight_bytes: NDArray[Count],
    kept: NDArray[Count],
) -> NDArray[np.float64]:
    """L_comp of every node: max(MACs / C, bytes touched / memory bandwidth) + overhead.

    The slowest one's is the layer's (`work_s`).

    Parameters
    ----------
    layers : sequence of LayerProfile
        C of them.
    nodes : tuple of Node
    shares : KindShares
    macs, weight_bytes : int or float array, shape (C, n)
    kept : int or float array, shape (C, n, n)

    Returns
    -------
    float array, shape (C, n)
    """
    inputs, outputs = column(layers, "in_features"), column(layers, "out_features")
    input_bytes, output_bytes = column(layers, "input_bytes"), column(layers, "output_bytes")
    output_share = shares.outputs / outputs[:, None]
    read = np.where(
        shares.mixing[:, None],
        available_inputs(shares, kept) * (input_bytes // inputs)[:, None],
        input_bytes[:, None] * output_share,
    )
    used = np.array([layer.read_share for layer in layers])[:, None]
    touched = weight_bytes * used + read + output_bytes[:, None] * output_share
    return work_s(layers, nodes, macs, touched, output_share)


def work_s(
    layers: Sequence[LayerProfile],
    nodes: tuple[Node, ...],
    macs: NDArray[Count],
    touched: NDArray[np.float64],
    share: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Seconds of every node for so many MACs and bytes of a layer (eq. 8).

    C and the memory bandwidth are those of the layer's kind of operator. A layer without MACs
    touches its bytes where the node's memory bandwidth is known, unless it is a view; else it is
    fused with its producer and takes no time, unless its time was measured.

    Parameters
    ----------
    layers : sequence of LayerProfile
        C of them.
    nodes : tuple of Node
    macs : int or float array, shape (C, n)
    touched : int or float array, shape (C, n)
        Bytes of weights, inputs and outputs.
    share : float array, shape (C, n)
        Of the whole layer's work, where it has no MACs to say so.

    Returns
    -------
    float array, shape (C, n)
    """
    kinds = [layer.kind for layer in layers]
    moves = np.array([kind == "element-wise" for kind in kinds], dtype=np.bool_)
    seconds = np.zeros(macs.shape)
    for index, node in enumerate(nodes):
        rates = np.array([node.macs_per_s if kind is None else node.rate(kind) for kind in kinds])
        starting_s = np.array([0.0 if kind is None else node.overhead_s(kind) for kind in kinds])
        mine = macs[..., index]
        arithmetic = mine / rates
        memory_rates = [
            node.memory_bytes_per_s if kind is None else node.memory_rate(kind) for kind in kinds
        ]
        if any(memory_rates):
            memory = touched[..., index] / np.array([rate or np.inf for rate in memory_rates])
            arithmetic = np.where((mine > 0) | moves, np.maximum(arithmetic, memory), 0.0)
        runs = (mine > 0) | (moves & (share[..., index] > 0))
        seconds[..., index] = arithmetic + np.where(runs, starting_s, 0.0)
        _override_measured(layers, node, macs, share, seconds, index)
    return seconds


def takes_time(layer: LayerProfile, nodes: Sequence[Node]) -> bool:
    """Whether any of these nodes may need time for a layer."""
    if layer.macs or layer.measured_s:
        return True
    return layer.kind is not None and moves_bytes(nodes)


def moves_bytes(nodes: Sequence[Node]) -> bool:
    """Whether layers without MACs take any of these nodes time."""
    return any(
        node.memory_rate("element-wise") is not None or node.overhead_s("element-wise")
        for node in nodes
    )


def any_measured(profile: ModelProfile, nodes: tuple[Node, ...]) -> bool:
    """Whether any layer's time on any of these nodes was measured."""
    types = {node.device_type for node in nodes}
    return any(types & layer.measured_s.keys() for layer in profile.layers)


def _override_measured(
    layers: Sequence[LayerProfile],
    node: Node,
    macs: NDArray[Count],
    output_share: NDArray[np.float64],
    seconds: NDArray[np.float64],
    index: int,
) -> None:
    """Replace analytic by measured time, in proportion to the node's share of the work."""
    for row, layer in enumerate(layers):
        measured = layer.measured_s.get(node.device_type)
        if measured is not None:
            whole = macs[row, index] / layer.macs if layer.macs else output_share[row, index]
            seconds[row, index] = measured * whole

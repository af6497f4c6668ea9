"""MACs, weights and computing time of every node (docs/model.md, eq. 6 to 8)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.cost.ownership import FeatureShares
from planner.cost.sparsity import Count
from planner.domain.cluster import Node
from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile


def _column(profile: ModelProfile, field: str) -> NDArray[np.int64]:
    column: NDArray[np.int64] = np.array(
        [getattr(layer, field) for layer in profile.layers], dtype=np.int64
    )
    return column


def available_inputs(shares: FeatureShares, kept: NDArray[Count]) -> NDArray[Count]:
    """Input features that node j reads: I_j + Σ k_ij + what all hold. Shape (L, K, n)."""
    held = shares.owned + shares.replicated[:, None]
    available: NDArray[Count] = held[:, None, :] + kept.sum(axis=2)
    return available


def node_macs(profile: ModelProfile, shares: FeatureShares, kept: NDArray[Count]) -> NDArray[Count]:
    """MACs of node j: M · O_j/O · (I_j + Σ k_ij)/I, exactly for whole counts.

    Layers without cross-feature weights execute M · O_j/O.

    Returns
    -------
    array of the type of ``kept``, shape (L, K, n)
    """
    macs, inputs, outputs = (
        _column(profile, field) for field in ("macs", "in_features", "out_features")
    )
    per_pair = np.where(shares.mixing, macs // (inputs * outputs), 0)
    mixing = per_pair[:, None, None] * shares.outputs[:, None, :] * available_inputs(shares, kept)
    whole, rest = np.divmod(macs, outputs)
    local = whole[:, None] * shares.outputs + -(-rest[:, None] * shares.outputs // outputs[:, None])
    return np.where(shares.mixing[:, None, None], mixing, local[:, None, :])


def node_weight_bytes(
    profile: ModelProfile, shares: FeatureShares, kept: NDArray[Count]
) -> NDArray[Count]:
    """Bytes of parameters that node j stores: O_j·(I_j + Σ k_ij)·kh·kw weights and its biases.

    Bytes that do not divide by the output features are rounded up.

    Returns
    -------
    array of the type of ``kept``, shape (L, K, n)
    """
    inputs, outputs, weights, params, total_bytes = (
        _column(profile, field)
        for field in ("in_features", "out_features", "weight_params", "params", "param_bytes")
    )
    param_bytes = np.where(params > 0, total_bytes // np.maximum(params, 1), 0)
    weight_bytes = np.where(shares.mixing, weights * param_bytes, 0)
    other_bytes = total_bytes - weight_bytes
    pairs = shares.outputs[:, None, :] * available_inputs(shares, kept)
    mixing = -(-(weight_bytes // (inputs * outputs))[:, None, None] * pairs)
    other = -(-(other_bytes[:, None] * shares.outputs) // outputs[:, None])
    stored: NDArray[Count] = mixing + other[:, None, :]
    return stored


def node_compute_s(
    profile: ModelProfile,
    nodes: tuple[Node, ...],
    shares: FeatureShares,
    macs: NDArray[Count],
    weight_bytes: NDArray[Count],
    kept: NDArray[Count],
) -> NDArray[np.float64]:
    """L_comp of every node: max(MACs / C, bytes touched / memory bandwidth) + overhead.

    The slowest one's is the layer's. A layer without MACs is fused with its producer and takes no
    time of its own, unless its time was measured.

    Parameters
    ----------
    macs, weight_bytes : int or float array, shape (L, K, n)
    kept : int or float array, shape (L, K, n, n)

    Returns
    -------
    float array, shape (L, K, n)
    """
    inputs, outputs = _column(profile, "in_features"), _column(profile, "out_features")
    input_bytes, output_bytes = _column(profile, "input_bytes"), _column(profile, "output_bytes")
    output_share = shares.outputs / outputs[:, None]
    read = np.where(
        shares.mixing[:, None, None],
        available_inputs(shares, kept) * (input_bytes // inputs)[:, None, None],
        (input_bytes[:, None] * output_share)[:, None, :],
    )
    touched = weight_bytes + read + (output_bytes[:, None] * output_share)[:, None, :]
    works = macs > 0
    seconds = np.zeros(macs.shape)
    for index, node in enumerate(nodes):
        arithmetic = macs[..., index] / node.macs_per_s
        if node.memory_bytes_per_s is not None:
            memory = touched[..., index] / node.memory_bytes_per_s
            arithmetic = np.where(works[..., index], np.maximum(arithmetic, memory), 0.0)
        seconds[..., index] = arithmetic + np.where(works[..., index], node.layer_overhead_s, 0.0)
        _override_measured(profile.layers, node, macs, output_share, seconds, index)
    return seconds


def any_measured(profile: ModelProfile, nodes: tuple[Node, ...]) -> bool:
    """Whether any layer's time on any of these nodes was measured."""
    types = {node.device_type for node in nodes}
    return any(types & layer.measured_s.keys() for layer in profile.layers)


def _override_measured(
    layers: tuple[LayerProfile, ...],
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
            whole = macs[row, :, index] / layer.macs if layer.macs else output_share[row, index]
            seconds[row, :, index] = measured * whole

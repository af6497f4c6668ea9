"""Bytes that every node must have room for (docs/model.md, eq. 7 and 11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.cost.ownership import FeatureShares, KindShares
from planner.cost.sparsity import Count
from planner.cost.work import available_inputs, column
from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import Way
from planner.domain.model_profile import ModelProfile
from planner.structure import last_uses, tensor_bytes


def node_weight_bytes(
    layers: Sequence[LayerProfile], shares: KindShares, kept: NDArray[Count]
) -> NDArray[Count]:
    """Bytes of parameters that node j stores: its part of the weights, and its biases.

    Of W bytes of weights those of O_j·(I_j + Σ k_ij) pairs of features among all I·O, whatever the
    width of a weight. Each of the two parts is rounded up to whole bytes where it is none. Of what
    is kept of earlier tokens a node has the heads of keys and values that its outputs read, whole.

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
    inputs, outputs, total_bytes, of_weights = (
        column(layers, field)
        for field in ("in_features", "out_features", "param_bytes", "mixing_weight_bytes")
    )
    weight_bytes = np.where(shares.mixing, of_weights, 0)
    kept_bytes, kept_parts = column(layers, "cache_bytes"), column(layers, "cache_parts")
    other_bytes = total_bytes - weight_bytes - kept_bytes
    pairs = shares.outputs * available_inputs(shares, kept)
    mixing = part_of(weight_bytes[:, None], pairs, (inputs * outputs)[:, None])
    other = -(-(other_bytes[:, None] * shares.outputs) // outputs[:, None])
    held = (kept_bytes // kept_parts)[:, None] * -(
        -(kept_parts[:, None] * shares.outputs) // outputs[:, None]
    )
    stored: NDArray[Count] = mixing + other + held
    return stored


def stored_twice(
    profile: ModelProfile,
    weight_bytes: NDArray[np.int64],
    rows: slice | Sequence[int] = slice(None),
    ways: Sequence[Way | None] = (),
) -> NDArray[np.int64]:
    """Bytes that a node holds already for an earlier layer of the same stage, at the least.

    Of a tensor that two layers read, of which a node stores the shares f and g, it holds f + g - 1
    for both whatever these are, and f where both are alike, run in the same way and store the same
    share.

    Parameters
    ----------
    profile : ModelProfile
    weight_bytes : int array, shape (L, K, n)
        Of all layers of the model, by option, on one group of nodes.
    rows : slice or sequence of int
        The stage's layers, in order.
    ways : sequence of Way
        In which each of these runs; all gather features where none is given.

    Returns
    -------
    int array, shape (L, K, n)
        At the later of the two layers.
    """
    layers = profile.layers
    held = np.zeros_like(weight_bytes)
    inside = range(*rows.indices(len(layers))) if isinstance(rows, slice) else rows
    place = {index: at for at, index in enumerate(inside)}
    row = {layers[index].name: index for index in inside}
    for index in inside:
        layer = layers[index]
        for name, shared in layer.shared_bytes.items():
            before = row.get(name)
            if before is None:
                continue
            mine = weight_bytes[index] / layer.param_bytes
            first = (weight_bytes[before] / layers[before].param_bytes).min(axis=0)
            twice = np.maximum(mine + first - 1.0, 0.0)
            same_way = not ways or ways[place[index]] == ways[place[before]]
            if same_way and _are_alike(layer, layers[before]):
                twice = np.where(mine == first, mine, twice)
            held[index] += np.floor(shared * twice + _ROUNDING).astype(np.int64)
    return held


def shared_parts(profile: ModelProfile) -> tuple[NDArray[np.float64], int]:
    """The part of each layer's bytes that others read as well, (L,), and the bytes of it all, once.

    Of what several others read, a part may be counted too large: bounds stay bounds.
    """
    row = {layer.name: index for index, layer in enumerate(profile.layers)}
    shared = np.zeros(len(row))
    twice = 0
    for index, layer in enumerate(profile.layers):
        for name, size in layer.shared_bytes.items():
            shared[index] += size
            shared[row[name]] += size
            twice += size
    sizes = np.array([max(layer.param_bytes, 1) for layer in profile.layers])
    shared = np.minimum(shared, sizes)
    return shared / sizes, int(shared.sum()) - twice


_ROUNDING = 1e-6  # of a byte


def _are_alike(one: LayerProfile, other: LayerProfile) -> bool:
    fields = ("op", "feature_flow", "in_features", "out_features", "weight_params", "param_bytes")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


_INT64 = 2**63


def part_of(
    total: NDArray[np.int64], parts: NDArray[Count], whole: NDArray[np.int64]
) -> NDArray[Count]:
    """So many of ``whole`` parts of a total: rounded up for whole counts, else as it is.

    Parameters
    ----------
    total, whole : int array
    parts : int or float array

    Returns
    -------
    array of the type of ``parts``
    """
    each, rest = np.divmod(total, whole)
    left: NDArray[Any]
    if parts.dtype.kind == "f":
        left = rest * parts / whole
    else:
        common = np.gcd(rest, whole)
        over, below = rest // common, whole // common
        if int(over.max(initial=0)) * int(parts.max(initial=0)) < _INT64:
            left = -(-over * parts // below)
        else:  # wide layers whose bytes have no divisor in common with their pairs
            left = (-(-over.astype(object) * parts // below)).astype(np.int64)
    found: NDArray[Any] = each * parts + left
    return found


def activation_bytes(profile: ModelProfile, shares: FeatureShares) -> NDArray[np.int64]:
    """Bytes of activations on each node while each layer runs, shape (L, n).

    Receive buffers are not among them. A layer without MACs is fused with its producer, so that
    it writes in place when its first input is not read again. Every node holds the model's inputs.
    """
    layers = profile.layers
    row = {layer.name: index for index, layer in enumerate(layers)}
    made = shares.outputs * np.array([layer.output_feature_bytes for layer in layers])[:, None]
    size = tensor_bytes(profile)
    last = last_uses(profile)
    grown = made.copy()
    for name, index in last.items():
        if 0 <= index < len(layers):  # an input that nothing reads and an output stay to the end
            grown[index] -= made[row[name]] if name in row else size[name]
    before = np.cumsum(grown, axis=0) - grown + sum(spec.bytes for spec in profile.inputs)
    in_place = [
        layer.macs == 0
        and last[layer.inputs[0]] == index
        and size[layer.inputs[0]] >= layer.output_bytes
        for index, layer in enumerate(layers)
    ]
    live: NDArray[np.int64] = np.where(np.array(in_place)[:, None], before, before + made)
    return live


def reserved_bytes(
    profile: ModelProfile, shares: FeatureShares, readers: list[list[int]]
) -> NDArray[np.int64]:
    """Bytes that each node keeps of shared transmissions while a layer runs, shape (L, n).

    Parameters
    ----------
    profile : ModelProfile
    shares : FeatureShares
    readers : list of lists of int
        Rows of layers that share one transmission (`planner.cost.sharing.sharing_readers`).
    """
    reserved = np.zeros((len(shares.kind), shares.nodes), dtype=np.int64)
    for rows in readers:
        owned = shares.owned[rows[0]]
        received = (owned.sum() - owned) * (shares.outputs[rows].max(axis=0) > 0)
        size = received * profile.layers[rows[0]].input_feature_bytes
        reserved[rows[0] + 1 : rows[-1] + 1] += size
    return reserved


def stage_memory_bytes(
    weight_bytes: NDArray[np.int64], live_bytes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Bytes that each node of a stage needs: all weights and the largest live bytes (eq. 11).

    Parameters
    ----------
    weight_bytes, live_bytes : int array, shape (..., layers, n)
        Of the stage's layers alone, one option each; live bytes with receive buffers.

    Returns
    -------
    int array, shape (..., n)
    """
    needed: NDArray[np.int64] = weight_bytes.sum(axis=-2) + live_bytes.max(axis=-2)
    return needed

"""Which node of a group holds which feature of every tensor.

Every tensor's ownership is an integer per feature: the node that holds it, or ``REPLICATED``.
A layer's contract (``LayerProfile.feature_flow``) says which ownership it needs of its inputs
and which one it leaves; what does not match is moved, and the move is paid for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import REPLICATED, Owners
from planner.structure import last_uses


@dataclass(frozen=True)
class FeatureShares:
    """Ownership of all layers on one group of n nodes, as counts.

    Attributes
    ----------
    owned : int array, shape (L, n)
        Input features of a mixing layer that each node alone holds, I_i.
    replicated : int array, shape (L,)
        Input features of a mixing layer that every node holds (the input image).
    outputs : int array, shape (L, n)
        Output features that each node computes, O_j.
    moved_bytes : int array, shape (L, n, n)
        Bytes that change owner before the layer runs, sender to receiver; never sparsified.
    live_bytes : int array, shape (L, n)
        Activations that each node holds while the layer runs.
    mixing, replicated_output : bool array, shape (L,)
    owners : dict of str to int array
        The node that holds each feature of every tensor, or ``REPLICATED``.
    needed : list of tuples, one per layer
        Per input of the layer, the owners that it needs; None where they stay as they are. What
        differs is moved, and ``moved_bytes`` counts it.
    """

    owned: NDArray[np.int64]
    replicated: NDArray[np.int64]
    outputs: NDArray[np.int64]
    moved_bytes: NDArray[np.int64]
    live_bytes: NDArray[np.int64]
    mixing: NDArray[np.bool_]
    replicated_output: NDArray[np.bool_]
    owners: dict[str, Owners] = field(repr=False)
    needed: list[tuple[Owners | None, ...]] = field(repr=False)


def shares_by_speed(
    features: int, speeds: NDArray[np.float64], granularity: int = 1
) -> NDArray[np.int64]:
    """Cut features into one share per node in proportion to its speed.

    Shares are multiples of the granularity and differ by at most one such unit on equal
    nodes; the largest remainders get the units that are left, earlier nodes first.

    Returns
    -------
    int array, shape (n,), summing to ``features``
    """
    units = features // granularity
    ideal = units * speeds / speeds.sum()
    shares = np.floor(ideal + 1e-9).astype(np.int64)
    by_remainder = np.argsort(-(ideal - shares), kind="stable")
    shares[by_remainder[: units - int(shares.sum())]] += 1
    cut: NDArray[np.int64] = shares * granularity
    return cut


def owners_from_shares(shares: NDArray[np.int64]) -> Owners:
    """Contiguous ownership: node 0's features first."""
    return np.repeat(np.arange(len(shares), dtype=np.int16), shares)


def count_owned(owners: Owners, nodes: int) -> NDArray[np.int64]:
    """Features that each node alone holds, shape (n,)."""
    counted: NDArray[np.int64] = np.bincount(owners + 1, minlength=nodes + 1)[1:]
    return counted


def count_moves(current: Owners, needed: Owners, nodes: int) -> NDArray[np.int64]:
    """Features that must go from each node to each other, shape (n, n)."""
    moving = (current != REPLICATED) & (needed != REPLICATED) & (current != needed)
    moves = np.zeros((nodes, nodes), dtype=np.int64)
    np.add.at(moves, (current[moving], needed[moving]), 1)
    # what every node needs goes from its owner to all others
    to_all = (current != REPLICATED) & (needed == REPLICATED)
    moves += count_owned(current[to_all], nodes)[:, None]
    np.fill_diagonal(moves, 0)
    return moves


def feature_shares(profile: ModelProfile, speeds: NDArray[np.float64]) -> FeatureShares:
    """Follow ownership through the graph for a group of nodes with the given speeds.

    Parameters
    ----------
    profile : ModelProfile
    speeds : float array, shape (n,)
        MACs per second of each node; equal speeds give equal shares within one.
    """
    nodes = len(speeds)
    count = len(profile.layers)
    owners: dict[str, Owners] = {
        spec.name: np.full(spec.features, REPLICATED, dtype=np.int16) for spec in profile.inputs
    }
    result = FeatureShares(
        owned=np.zeros((count, nodes), dtype=np.int64),
        replicated=np.zeros(count, dtype=np.int64),
        outputs=np.zeros((count, nodes), dtype=np.int64),
        moved_bytes=np.zeros((count, nodes, nodes), dtype=np.int64),
        live_bytes=np.zeros((count, nodes), dtype=np.int64),
        mixing=np.array([layer.feature_flow == "mixing" for layer in profile.layers]),
        replicated_output=np.zeros(count, dtype=np.bool_),
        owners=owners,
        needed=[],
    )
    sizes = {spec.name: spec.bytes for spec in profile.inputs}
    for index, layer in enumerate(profile.layers):
        sources = [owners[name] for name in layer.inputs]
        output, needed = _contract(layer, sources, speeds)
        result.needed.append(tuple(needed))
        for name, current, need in zip(layer.inputs, sources, needed, strict=True):
            if need is not None and need is not current:
                feature_bytes = sizes[name] // len(current)
                result.moved_bytes[index] += count_moves(current, need, nodes) * feature_bytes
        if layer.feature_flow == "mixing":
            result.owned[index] = count_owned(sources[0], nodes)
            result.replicated[index] = np.count_nonzero(sources[0] == REPLICATED)
        shared = np.count_nonzero(output == REPLICATED)
        result.outputs[index] = count_owned(output, nodes) + shared
        result.replicated_output[index] = shared == len(output)
        if layer.statistics_bytes:
            tells, needs = count_owned(sources[0], nodes) > 0, result.outputs[index] > 0
            told = np.outer(tells, needs) & ~np.eye(nodes, dtype=np.bool_)
            result.moved_bytes[index] += told * layer.statistics_bytes
        owners[layer.name] = output
        sizes[layer.name] = layer.output_bytes
    result.live_bytes[:] = _live_bytes(profile, result.outputs, nodes)
    return result


def _contract(
    layer: LayerProfile, sources: list[Owners], speeds: NDArray[np.float64]
) -> tuple[Owners, list[Owners | None]]:
    """Output ownership, and the ownership needed of each input (None: as it is)."""
    as_it_is: list[Owners | None] = [None] * len(sources)
    flow = layer.feature_flow
    if flow == "mixing":
        return _shared_out(layer, speeds), as_it_is
    if flow == "grouped":
        return _grouped_contract(layer, sources, speeds)
    if flow == "concat":
        return np.concatenate(sources), as_it_is
    if flow == "slice":
        start = layer.feature_start
        return sources[0][start : start + layer.out_features], as_it_is
    if flow == "shuffle":
        return sources[0].reshape(layer.groups, -1).T.ravel(), as_it_is
    if flow == "reduce":
        return np.full(layer.out_features, _holder(sources[0]), dtype=np.int16), as_it_is
    if all(np.all(source == REPLICATED) for source in sources):
        # what every node holds, every node works out for itself
        return np.full(layer.out_features, REPLICATED, dtype=np.int16), as_it_is
    if flow == "one-node":
        first = np.zeros(layer.out_features, dtype=np.int16)
        return first, [np.zeros(len(source), dtype=np.int16) for source in sources]
    return _local_contract(layer, sources)


def _holder(owners: Owners) -> int:
    """The node that holds all features; where they are shared out, all nodes."""
    return int(owners[0]) if np.all(owners == owners[0]) else REPLICATED


def _shared_out(layer: LayerProfile, speeds: NDArray[np.float64]) -> Owners:
    """Each segment of the outputs cut by speed at multiples of the granularity."""
    run = layer.out_features // layer.segments
    return np.tile(
        owners_from_shares(shares_by_speed(run, speeds, layer.granularity)), layer.segments
    )


def _grouped_contract(
    layer: LayerProfile, sources: list[Owners], speeds: NDArray[np.float64]
) -> tuple[Owners, list[Owners | None]]:
    """Groups stay with the node that holds all of their inputs, or are shared out by speed."""
    runs = sources[0].reshape(layer.groups, -1)
    if np.all(runs == runs[:, :1]) and runs[0, 0] != REPLICATED:
        of_group = runs[:, 0]
    else:
        of_group = owners_from_shares(shares_by_speed(layer.groups, speeds))
    needed: list[Owners | None] = [_needed_of_group(of_group, len(s)) for s in sources]
    return np.repeat(of_group, layer.out_features // layer.groups), needed


def _needed_of_group(of_group: Owners, features: int) -> Owners:
    """Who needs each feature of an operand; heads that several groups read may need all nodes."""
    groups = len(of_group)
    if features % groups == 0:
        return np.repeat(of_group, features // groups)
    readers = np.gcd(groups, features)
    runs = of_group.reshape(readers, -1)
    one_owner = np.where(np.all(runs == runs[:, :1], axis=1), runs[:, 0], REPLICATED)
    return np.repeat(one_owner.astype(np.int16), features // readers)


def _local_contract(
    layer: LayerProfile, sources: list[Owners]
) -> tuple[Owners, list[Owners | None]]:
    """Element-wise: all operands follow the first one that is split like the output."""
    leader = next(
        source
        for source in sources
        if len(source) == layer.in_features and np.any(source != REPLICATED)
    )
    needed: list[Owners | None] = []
    for source in sources:
        if len(source) == len(leader):
            needed.append(leader)
        else:  # one value for all features: every node that has outputs needs it
            needed.append(np.full(len(source), _holder(leader), dtype=np.int16))
    return np.repeat(leader, layer.out_features // len(leader)), needed


def _live_bytes(profile: ModelProfile, outputs: NDArray[np.int64], nodes: int) -> NDArray[np.int64]:
    """Bytes of activations on each node while each layer runs, shape (L, n).

    A layer without MACs is fused with its producer, so that it writes in place when its first
    input is not read again. Every node holds the model's inputs.
    """
    held = {spec.name: np.full(nodes, spec.bytes, dtype=np.int64) for spec in profile.inputs}
    sizes = {spec.name: spec.bytes for spec in profile.inputs}
    last = last_uses(profile)
    ending: dict[int, list[str]] = {}
    for name, index in last.items():
        ending.setdefault(index, []).append(name)
    live = np.sum(list(held.values()), axis=0)
    table = np.zeros((len(profile.layers), nodes), dtype=np.int64)
    for index, layer in enumerate(profile.layers):
        output = outputs[index] * (layer.output_bytes // layer.out_features)
        held[layer.name], sizes[layer.name] = output, layer.output_bytes
        first = layer.inputs[0]
        in_place = layer.macs == 0 and last[first] == index and sizes[first] >= layer.output_bytes
        table[index] = live if in_place else live + output
        live = live + output
        for name in ending.get(index, ()):
            live = live - held[name]
    return table

"""The cost table of a model on a group: all layers × options at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.cost.exchange import Links, bytes_on_wire, exchange_s, medium_s
from planner.cost.ownership import FeatureShares, feature_shares
from planner.cost.sharing import newly_sent, readers_of_one_tensor, reserved_bytes
from planner.cost.sparsity import comm_sparsity, kept_features
from planner.cost.work import any_measured, compute_s, node_macs, node_weight_bytes
from planner.domain.cluster import Cluster
from planner.domain.cost_table import CostTable
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import DEFAULT_SETTINGS, CostSettings

DEFAULT_LEVELS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.99, 1.0)
"""Levels of S_comm that a plan may choose from, denser where published accuracy starts to fall."""


def group_shares(profile: ModelProfile, group: Cluster) -> FeatureShares:
    """Ownership on the nodes of a group, by speed."""
    return feature_shares(profile, np.array([node.macs_per_s for node in group.nodes]))


def cost_table(
    profile: ModelProfile,
    group: Cluster,
    settings: CostSettings = DEFAULT_SETTINGS,
    levels: tuple[float, ...] = DEFAULT_LEVELS,
) -> CostTable:
    """Cost every layer at every level of uniform sparsity on all nodes of a group.

    Parameters
    ----------
    profile : ModelProfile
    group : Cluster
        Every node takes part.
    settings : CostSettings
    levels : tuple of float
        S_comm of the options, the first of which is the only one of layers that cannot be
        sparsified. Options with equal counts are allowed once.
    """
    shares = group_shares(profile, group)
    kept = kept_features(shares.owned, np.array(levels), shares.outputs > 0)
    kept = np.where(shares.mixing[:, None, None, None], kept, 0)
    return cost_of_counts(profile, group, settings, shares, kept, np.array(levels))


def cost_of_counts(
    profile: ModelProfile,
    group: Cluster,
    settings: CostSettings,
    shares: FeatureShares,
    kept: NDArray[np.int64],
    levels: NDArray[np.float64],
) -> CostTable:
    """Cost given feature counts, shape (L, K, n, n), on all nodes of a group."""
    links = Links.of(group, settings.medium, settings.casting)
    feature_bytes = np.array([layer.input_feature_bytes for layer in profile.layers])
    readers = readers_of_one_tensor(profile, shares) if settings.share_inputs else []
    selected = newly_sent(kept, readers) * feature_bytes[:, None, None, None]
    moved = np.broadcast_to(shares.moved_bytes[:, None], selected.shape)
    macs = node_macs(profile, shares, kept)
    weight_bytes = node_weight_bytes(profile, shares, kept)
    sent, received = bytes_on_wire(selected, moved, links.casting)
    comm = exchange_s(selected, moved, links)
    comp = compute_s(profile, group.nodes, shares, macs, weight_bytes, kept)
    layer_macs = np.array([layer.macs for layer in profile.layers], dtype=np.float64)
    executed = np.where(shares.mixing[:, None], macs.sum(axis=2), layer_macs[:, None])
    return CostTable(
        layer_names=tuple(layer.name for layer in profile.layers),
        node_names=tuple(node.name for node in group.nodes),
        levels=levels,
        allowed=_allowed(kept),
        communicates=shares.mixing,
        kept_features=kept,
        comm_sparsity=comm_sparsity(kept, shares.owned, shares.outputs > 0),
        comp_sparsity=1.0
        - np.where(layer_macs[:, None] > 0, executed, 1.0) / np.maximum(layer_macs, 1)[:, None],
        macs=macs,
        wire_bytes=sent.sum(axis=2),
        comm_s=comm,
        compute_s=comp,
        latency_s=np.maximum(comm, comp) if settings.overlap else comm + comp,
        medium_s=medium_s(selected, moved, links),
        weight_bytes=weight_bytes,
        live_bytes=(shares.live_bytes + reserved_bytes(profile, shares, readers))[:, None, :]
        + received,
        decisions=_decisions(len(profile.layers), readers),
        input_s=_input_s(profile, group, links) if settings.count_input else 0.0,
        output_s=_output_s(profile, group, shares, links) if settings.count_output else 0.0,
        measured=any_measured(profile, group.nodes),
    )


def _decisions(layers: int, readers: list[list[int]]) -> NDArray[np.int64]:
    """Layers that share a transmission take the option of its first reader, shape (L,)."""
    first = np.arange(layers)
    for rows in readers:
        first[rows] = rows[0]
    return np.unique(first, return_inverse=True)[1].astype(np.int64)


def _allowed(kept: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Options whose counts differ from the option before."""
    allowed = np.ones(kept.shape[:2], dtype=np.bool_)
    allowed[:, 1:] = np.any(kept[:, 1:] != kept[:, :-1], axis=(2, 3))
    return allowed


def _input_s(profile: ModelProfile, group: Cluster, links: Links) -> float:
    """Seconds to hand the input from the source to all other nodes."""
    nodes, source = len(group.nodes), group.source_index
    to_all = np.zeros((nodes, nodes), dtype=np.int64)
    to_all[source] = sum(spec.bytes for spec in profile.inputs)
    to_all[source, source] = 0
    return float(exchange_s(to_all, np.zeros_like(to_all), links))


def _output_s(profile: ModelProfile, group: Cluster, shares: FeatureShares, links: Links) -> float:
    """Seconds to collect the outputs at the source."""
    nodes, source = len(group.nodes), group.source_index
    back = np.zeros((nodes, nodes), dtype=np.int64)
    for index, layer in enumerate(profile.layers):
        if layer.name in profile.outputs and not shares.replicated_output[index]:
            back[:, source] += shares.outputs[index] * (layer.output_bytes // layer.out_features)
    back[source, source] = 0
    return float(exchange_s(np.zeros_like(back), back, links))

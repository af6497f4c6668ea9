"""The cost table of a model on a group: all layers × options at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.cost.layers import layer_costs
from planner.cost.ownership import FeatureShares, feature_shares
from planner.cost.sharing import sharing_readers
from planner.cost.sparsity import comm_sparsity, kept_features
from planner.cost.work import any_measured
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
    shares: FeatureShares | None = None,
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
    shares : FeatureShares, optional
        Of this group, when they are known already.
    """
    shares = shares or group_shares(profile, group)
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
    readers = sharing_readers(profile, shares, settings)
    costs = layer_costs(profile, group, settings, shares, kept, readers)
    layer_macs = np.array([layer.macs for layer in profile.layers], dtype=np.float64)
    executed = np.where(shares.mixing[:, None], costs.macs.sum(axis=2), layer_macs[:, None])
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
        macs=costs.macs,
        wire_bytes=costs.sent_bytes.sum(axis=2),
        comm_s=costs.comm_s,
        compute_s=costs.compute_s,
        latency_s=costs.latency_s,
        medium_s=costs.medium_s,
        weight_bytes=costs.weight_bytes,
        live_bytes=costs.live_bytes,
        decisions=_decisions(len(profile.layers), readers),
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

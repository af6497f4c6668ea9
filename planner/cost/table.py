"""The cost table of a model on a group: all layers × options at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.cost.layers import LayerCosts, layer_costs
from planner.cost.ownership import FeatureShares, feature_shares
from planner.cost.shares import share_ratios
from planner.cost.sharing import shared_decisions, sharing_readers
from planner.cost.sparsity import FeatureCounts, comm_sparsity, kept_features
from planner.cost.work import any_measured, column
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import DEFAULT_SETTINGS, CostSettings

DEFAULT_LEVELS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.99, 1.0)
"""Levels of S_comm that a plan may choose from, denser where published accuracy starts to fall."""


@dataclass(frozen=True, eq=False)
class CostTable(LayerCosts[np.int64]):
    """Costs of every layer at every option on a group, with what the options are.

    Option k of a layer is the k-th level of communication sparsity. Rows of layers that cannot
    be sparsified allow option 0 alone.

    Attributes
    ----------
    layer_names, node_names : tuple of str
        L and n of them.
    levels : float array, shape (K,)
        Nominal S_comm of each option; 0 where the counts were given.
    allowed : bool array, shape (L, K)
    decisions : int array, shape (L,)
        Layers of equal number take one option together.
    communicates : bool array, shape (L,)
        Mixing layers, the image's reader included.
    counts : FeatureCounts
        Features that are sent at each option.
    comm_sparsity, comp_sparsity : float array, shape (L, K)
        S_comm that follows from the counts, and the share of the MACs that vanish.
    measured : bool
        Any layer's time was measured.
    """

    layer_names: tuple[str, ...]
    node_names: tuple[str, ...]
    levels: NDArray[np.float64]
    allowed: NDArray[np.bool_]
    decisions: NDArray[np.int64]
    communicates: NDArray[np.bool_]
    counts: FeatureCounts[np.int64]
    comm_sparsity: NDArray[np.float64]
    comp_sparsity: NDArray[np.float64]
    measured: bool

    @property
    def kept_features(self) -> NDArray[np.int64]:
        """Features from sender i to receiver j, shape (L, K, n, n): large, made anew each time.

        `FeatureCounts.of` gives those of one layer.
        """
        return self.counts.kept[self.counts.pattern]

    @property
    def wire_bytes(self) -> NDArray[np.int64]:
        """Bytes put on the wire by all nodes, shape (L, K)."""
        total: NDArray[np.int64] = self.sent_bytes.sum(axis=2)
        return total

    @cached_property
    def sparsifiable(self) -> NDArray[np.bool_]:
        """Layers that exchange features, shape (L,); the reader of the image does not."""
        sent = np.any(self.counts.kept > 0, axis=(1, 2))[self.counts.pattern[:, 0]]
        exchanged: NDArray[np.bool_] = sent | (self.comm_sparsity[:, 0] > 0)  # at S = 1 none is
        return exchanged


def group_shares(profile: ModelProfile, group: Cluster) -> FeatureShares:
    """Find the ownership on the nodes of a group."""
    return feature_shares(profile, share_ratios(profile, group.nodes))


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
    counts = FeatureCounts.by_sender(shares, kept_features(shares.kinds.owned, np.array(levels)))
    return _table(profile, group, settings, shares, counts, np.array(levels))


def cost_of_counts(
    profile: ModelProfile,
    group: Cluster,
    settings: CostSettings,
    shares: FeatureShares,
    kept: NDArray[np.int64],
) -> CostTable:
    """Cost given feature counts on all nodes of a group, as a table of one option.

    Parameters
    ----------
    kept : int array, shape (L, n, n)
        Features from sender to receiver.
    """
    counts = FeatureCounts.by_pair(shares, kept[:, None])
    return _table(profile, group, settings, shares, counts, np.zeros(1))


def _table(
    profile: ModelProfile,
    group: Cluster,
    settings: CostSettings,
    shares: FeatureShares,
    counts: FeatureCounts[np.int64],
    levels: NDArray[np.float64],
) -> CostTable:
    readers = sharing_readers(profile, shares, settings)
    costs = layer_costs(profile, group, settings, shares, counts, readers)
    of_pattern = shares.kinds.at(shares.kind[counts.layer])
    layer_macs = column(profile.layers, "macs").astype(np.float64)
    executed = np.where(shares.mixing[:, None], costs.macs.sum(axis=2), layer_macs[:, None])
    return CostTable(
        **vars(costs),
        layer_names=tuple(layer.name for layer in profile.layers),
        node_names=tuple(node.name for node in group.nodes),
        levels=levels,
        allowed=_allowed(counts.pattern),
        decisions=shared_decisions(len(profile.layers), readers),
        communicates=shares.mixing,
        counts=counts,
        comm_sparsity=comm_sparsity(counts.kept, of_pattern.owned, of_pattern.receives)[
            counts.pattern
        ],
        comp_sparsity=1.0
        - np.where(layer_macs[:, None] > 0, executed, 1.0) / np.maximum(layer_macs, 1)[:, None],
        measured=any_measured(profile, group.nodes),
    )


def _allowed(pattern: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Options whose counts differ from the option before, shape (L, K)."""
    allowed = np.ones(pattern.shape, dtype=np.bool_)
    allowed[:, 1:] = pattern[:, 1:] != pattern[:, :-1]
    return allowed

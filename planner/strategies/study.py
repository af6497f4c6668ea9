"""One question: this model on this cluster, under these conventions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.model import AccuracyModel
from planner.cost.chain import ChainCosts, chain_costs
from planner.cost.ownership import FeatureShares, feature_shares
from planner.cost.table import DEFAULT_LEVELS, cost_of_counts, cost_table, group_shares
from planner.domain.accuracy import AccuracyCurve
from planner.domain.cluster import Cluster, Medium
from planner.domain.cost_table import CostTable
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import ModelReference
from planner.domain.settings import DEFAULT_SETTINGS, CostSettings


@dataclass(frozen=True)
class Study:
    """Model, cluster, cost conventions and accuracy model that plans are compared under.

    ``curve`` holds the published values of the baselines where it speaks of this very model.
    Cost tables are computed on first use and kept.
    """

    profile: ModelProfile
    cluster: Cluster
    settings: CostSettings = DEFAULT_SETTINGS
    accuracy: AccuracyModel | None = None
    curve: AccuracyCurve | None = None
    split_points: tuple[str, ...] = ()
    levels: tuple[float, ...] = DEFAULT_LEVELS
    _cache: dict[object, object] = field(default_factory=dict, repr=False, compare=False)

    @property
    def medium(self) -> Medium:
        """The medium of the request, else the cluster's."""
        return self.settings.medium or self.cluster.medium

    def group(self, nodes: int) -> Cluster:
        """The first nodes of the ring, from the source."""
        return self.cluster.first(nodes)

    def shares(self, nodes: int) -> FeatureShares:
        """Ownership of features on the first nodes."""
        key = ("shares", nodes)
        if key not in self._cache:
            self._cache[key] = group_shares(self.profile, self.group(nodes))
        found = self._cache[key]
        assert isinstance(found, FeatureShares)
        return found

    def table(self, nodes: int, levels: tuple[float, ...] | None = None) -> CostTable:
        """Costs at the given uniform levels on the first nodes."""
        key = ("table", nodes, levels or self.levels)
        if key not in self._cache:
            self._cache[key] = cost_table(
                self.profile, self.group(nodes), self.settings, levels or self.levels
            )
        found = self._cache[key]
        assert isinstance(found, CostTable)
        return found

    def table_of(self, nodes: int, kept: NDArray[np.int64]) -> CostTable:
        """Costs of given feature counts, shape (L, n, n), on the first nodes."""
        return cost_of_counts(
            self.profile,
            self.group(nodes),
            self.settings,
            self.shares(nodes),
            kept[:, None],
            np.zeros(1),
        )

    def chain(self, nodes: int) -> ChainCosts:
        """Costs of stages on the first nodes; a shared medium is the whole cluster's."""
        key = "chain"
        if key not in self._cache:
            ring = self.group(len(self.cluster.nodes))
            self._cache[key] = chain_costs(self.profile, ring, self.settings)
        found = self._cache[key]
        assert isinstance(found, ChainCosts)
        return found.first(nodes)

    @property
    def reference(self) -> ModelReference:
        """The model as plans name it."""
        key = "reference"
        if key not in self._cache:
            digest = hashlib.sha256(self.profile.model_dump_json().encode()).hexdigest()
            totals = self.profile.totals
            self._cache[key] = ModelReference(
                name=self.profile.name,
                profile_sha256=digest,
                macs=totals.macs,
                params=totals.params,
            )
        found = self._cache[key]
        assert isinstance(found, ModelReference)
        return found


def sparsifiable_layers(profile: ModelProfile) -> NDArray[np.bool_]:
    """Layers that exchange features once the model is distributed, shape (L,)."""
    exchanged: NDArray[np.bool_] = np.any(feature_shares(profile, np.ones(2)).owned > 0, axis=1)
    return exchanged

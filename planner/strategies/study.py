"""One question: this model on this cluster, under these conventions."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

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

P = ParamSpec("P")
T = TypeVar("T")


def kept_in_study(
    function: Callable[Concatenate[Study, P], T],
) -> Callable[Concatenate[Study, P], T]:
    """Let a study keep what a function of it and of hashable arguments returned."""
    signature = inspect.signature(function)

    @wraps(function)
    def once(study: Study, /, *args: P.args, **kwargs: P.kwargs) -> T:
        bound = signature.bind(study, *args, **kwargs)
        bound.apply_defaults()
        key = (function.__name__, *list(bound.arguments.values())[1:])
        if key not in study.kept:
            study.kept[key] = function(study, *args, **kwargs)
        return cast(T, study.kept[key])

    return once


@dataclass(frozen=True)
class Study:
    """Model, cluster, cost conventions and accuracy model that plans are compared under.

    ``curve`` holds the published values of the baselines where it speaks of this very model.
    ``kept`` holds what was computed already: cost tables and solved programs.
    """

    profile: ModelProfile
    cluster: Cluster
    settings: CostSettings = DEFAULT_SETTINGS
    accuracy: AccuracyModel | None = None
    curve: AccuracyCurve | None = None
    split_points: tuple[str, ...] = ()
    levels: tuple[float, ...] = DEFAULT_LEVELS
    kept: dict[object, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def group(self, nodes: int) -> Cluster:
        """The first nodes of the ring, from the source."""
        return self.cluster.first(nodes)

    @property
    def medium(self) -> Medium:
        """The medium that costs are counted for: the request's, or the cluster's own."""
        return self.settings.medium or self.cluster.medium

    @kept_in_study
    def shares(self, nodes: int) -> FeatureShares:
        """Ownership of features on the first nodes."""
        return group_shares(self.profile, self.group(nodes))

    @kept_in_study
    def table(self, nodes: int, levels: tuple[float, ...] | None = None) -> CostTable:
        """Costs at the given uniform levels on the first nodes."""
        return cost_table(self.profile, self.group(nodes), self.settings, levels or self.levels)

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
        return self._chain_of_all().first(nodes)

    @kept_in_study
    def _chain_of_all(self) -> ChainCosts:
        return chain_costs(self.profile, self.group(len(self.cluster.nodes)), self.settings)

    @kept_in_study
    def reference(self) -> ModelReference:
        """The model as plans name it."""
        totals = self.profile.totals
        return ModelReference(
            name=self.profile.name,
            profile_sha256=hashlib.sha256(self.profile.model_dump_json().encode()).hexdigest(),
            macs=totals.macs,
            params=totals.params,
        )


def sparsifiable_layers(profile: ModelProfile) -> NDArray[np.bool_]:
    """Layers that exchange features once the model is distributed, shape (L,)."""
    exchanged: NDArray[np.bool_] = np.any(feature_shares(profile, np.ones(2)).owned > 0, axis=1)
    return exchanged

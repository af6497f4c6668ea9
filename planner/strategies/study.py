"""One question: this model on this cluster, under these conventions."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.interface import Exchange, LossModel
from planner.cost.chain import ChainCosts, chain_costs
from planner.cost.handover import Handovers, Member, Transfers, positions_of
from planner.cost.ownership import FeatureShares, feature_shares
from planner.cost.table import DEFAULT_LEVELS, CostTable, cost_of_counts, cost_table
from planner.domain.accuracy import AccuracyCurve
from planner.domain.cluster import Cluster, Medium
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import LayerOwners, Ratio, speed_ratio
from planner.domain.plan import ModelReference
from planner.domain.settings import DEFAULT_SETTINGS, CostSettings
from planner.structure import allocation_units

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
    accuracy: LossModel | None = None
    curve: AccuracyCurve | None = None
    split_points: tuple[str, ...] = ()
    levels: tuple[float, ...] = DEFAULT_LEVELS
    kept: dict[object, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def group(self, nodes: int) -> Cluster:
        """The first nodes of the ring, from the source."""
        return self.cluster.first(nodes)

    def names(self, nodes: int) -> tuple[str, ...]:
        """Names of the first nodes of the ring."""
        return tuple(node.name for node in self.group(nodes).nodes)

    @property
    def medium(self) -> Medium:
        """The medium that costs are counted for: the request's, or the cluster's own."""
        return self.settings.medium or self.cluster.medium

    def on(self, cluster: Cluster) -> Study:
        """The same question on another cluster; ownership is known where speeds are as before."""
        other = replace(self, cluster=cluster)
        other.take_over(self)
        return other

    def take_over(self, other: Study) -> None:
        """Know the ownership of features that another study of the same profile has found."""
        if other.profile is self.profile:
            self.kept.update({k: v for k, v in other.kept.items() if _is_call(k, "_shares_of")})

    def shares(self, names: tuple[str, ...]) -> FeatureShares:
        """Ownership of features on a group of nodes."""
        speeds = {node.name: node.macs_per_s for node in self.cluster.nodes}
        return self._shares_of(speed_ratio(speeds[name] for name in names))

    @kept_in_study
    def _shares_of(self, ratio: Ratio) -> FeatureShares:
        return feature_shares(self.profile, ratio)

    def table(self, nodes: int, levels: tuple[float, ...] | None = None) -> CostTable:
        """Costs at the given uniform levels on the first nodes."""
        return self.table_on(self.names(nodes), levels)

    @kept_in_study
    def table_on(
        self, names: tuple[str, ...], levels: tuple[float, ...] | None = None
    ) -> CostTable:
        """Costs at the given uniform levels on a group of nodes."""
        return cost_table(
            self.profile,
            self.cluster.only(names),
            self.settings,
            levels or self.levels,
            self.shares(names),
        )

    def table_of(self, names: tuple[str, ...], kept: NDArray[np.int64]) -> CostTable:
        """Costs of given feature counts, shape (L, n, n), on a group of nodes."""
        return cost_of_counts(
            self.profile,
            self.cluster.only(names),
            self.settings,
            self.shares(names),
            kept,
        )

    @kept_in_study
    def owners(self, names: tuple[str, ...]) -> LayerOwners:
        """The owner of every feature that each layer reads and makes on a group of nodes."""
        owners = self.shares(names).owners
        layers = self.profile.layers
        return LayerOwners(
            inputs=tuple(owners[layer.inputs[0]] for layer in layers),
            outputs=tuple(owners[layer.name] for layer in layers),
        )

    def exchange(self, table: CostTable, rows: slice = slice(None)) -> Exchange:
        """What accuracy models need to know of a stage."""
        casting = self.settings.casting or self.cluster.casting
        return Exchange(table, self.owners(table.node_names), casting, rows)

    def loss(self, table: CostTable) -> NDArray[np.float64]:
        """Score of every layer at every option in the accuracy model's unit, shape (L, K).

        0 on one node or without a model; infinite where the model knows nothing.
        """
        if self.accuracy is None or len(table.node_names) == 1:
            return np.zeros(table.comm_sparsity.shape)
        return self.accuracy.scores(self.exchange(table))

    @kept_in_study
    def transfers(self, sender: tuple[str, ...], receiver: tuple[str, ...]) -> Transfers:
        """Handing all live tensors from one group to another, at every cut between units."""
        return self.handovers().between(self.member(sender), self.member(receiver))

    def handover_s(
        self, sender: tuple[str, ...], receiver: tuple[str, ...], layer: int
    ) -> tuple[float, float]:
        """Seconds and medium's occupation of the change of group before a layer."""
        cut = [unit.start for unit in allocation_units(self.profile)].index(layer) - 1
        transfers = self.transfers(sender, receiver)
        return float(transfers.seconds[cut]), float(transfers.medium_s[cut])

    @kept_in_study
    def ends_s(self, names: tuple[str, ...]) -> tuple[float, float]:
        """Seconds of handing the input to a group and of collecting the output from it."""
        handovers, member = self.handovers(), self.member(names)
        return handovers.first(member), handovers.last(member)

    @kept_in_study
    def handovers(self) -> Handovers:
        """Costs of changing the group between two stages."""
        return Handovers(self.profile, self.cluster, self.settings)

    @kept_in_study
    def member(self, names: tuple[str, ...]) -> Member:
        """A group as it takes part in handovers."""
        return Member(positions_of(self.cluster, names), self.shares(names))

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


def _is_call(key: object, name: str) -> bool:
    return isinstance(key, tuple) and key[:1] == (name,)


def sparsifiable_layers(profile: ModelProfile) -> NDArray[np.bool_]:
    """Layers that exchange features once the model is distributed, shape (L,)."""
    exchanged: NDArray[np.bool_] = np.any(feature_shares(profile, np.ones(2)).owned > 0, axis=1)
    return exchanged

"""One case: a model on a cluster under given conventions, and its costs, each computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.interface import LossModel
from planner.cost.handover import Crossings, Handovers, Laid, Member, Transfers, positions_of
from planner.cost.hosts import hosts_of
from planner.cost.layouts import GroupLayouts
from planner.cost.ownership import FeatureShares, feature_shares
from planner.cost.shares import share_ratios
from planner.cost.stage import StageCosts
from planner.cost.table import DEFAULT_LEVELS, CostTable, cost_of_counts, cost_table
from planner.domain.accuracy import AccuracyCurve
from planner.domain.cluster import Casting, Cluster, Collective, Medium
from planner.domain.layouts import Layout, Way
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import LayerOwners, Ratios
from planner.domain.plan import ModelReference
from planner.domain.settings import DEFAULT_SETTINGS, CostSettings, Shares
from planner.structure import allocation_units

T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """What is costed: a model, a cluster, the conventions of the cost model, a loss model.

    What is asked of it is a `planner.domain.request.Request`. Every cost is computed when it is
    first needed and kept, so that whoever asks again gets the same object.

    Attributes
    ----------
    profile : ModelProfile
    cluster : Cluster
    settings : CostSettings
    loss_model : LossModel, optional
        Loss of a layer at a sparsity. Without one nothing is said about accuracy.
    curve : AccuracyCurve, optional
        Published values of the baselines, where it speaks of this very model.
    split_points : tuple of str
        First layers of block groups, in place of the model's own.
    levels : tuple of float
        S_comm that a layer may choose from, rising from 0.
    rings : bool
        Whether a plan's last stage may run on the nodes of its first one: where a language model's
        head may lie. Nothing that runs or cuts plans takes those.
    """

    profile: ModelProfile
    cluster: Cluster
    settings: CostSettings = DEFAULT_SETTINGS
    loss_model: LossModel | None = None
    curve: AccuracyCurve | None = None
    split_points: tuple[str, ...] = ()
    levels: tuple[float, ...] = DEFAULT_LEVELS
    rings: bool = False
    _made: dict[Hashable, object] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def once(
        self, key: Hashable, make: Callable[[], T], keep: Callable[[T], bool] = lambda _: True
    ) -> T:
        """What was made under a key, or what ``make`` makes now.

        Parameters
        ----------
        key : hashable
            Begins with the name of what is made.
        make : callable
        keep : callable
            Whether what was made is to be kept; all is by default.
        """
        if key in self._made:
            return cast(T, self._made[key])
        made = make()
        if keep(made):
            self._made[key] = made
        return made

    def known(self, key: Hashable) -> object | None:
        """What was made under a key, if it was."""
        return self._made.get(key)

    def on(self, cluster: Cluster) -> Case:
        """The same model under the same conventions on another cluster."""
        other = replace(self, cluster=cluster)
        other.take_over(self)
        return other

    def take_over(self, other: Case) -> None:
        """Know what another case of the same profile has found that no cluster changes."""
        if other.profile is self.profile:
            shared = {k: v for k, v in other._made.items() if _is_of(k, *_OF_NO_CLUSTER)}
            graphs = [key for key in shared if _is_of(key, "layout graph")]
            for key in graphs[:-_MOST_GRAPHS]:  # a slider makes new ones for ever
                del shared[key]
            self._made.update(shared)

    def with_same_shares(self, cluster: Cluster, groups: Sequence[tuple[str, ...]]) -> Case:
        """The same model on nodes of other figures that share out layers as here."""
        other = self.on(cluster)
        for names in groups:
            other._made["ratio", names] = self.shares(names).ratios
        return other

    def share_out(self, names: tuple[str, ...], ratios: Ratios) -> None:
        """Let a group share out layers in given ratios: of another run of the same weights."""
        self._made["ratio", names] = ratios

    def ratios(self, names: tuple[str, ...]) -> Ratios:
        """The ratios in which a group shares out layers."""
        return self.shares(names).ratios

    @cached_property
    def on_hosts(self) -> Case:
        """The same model on the hosts of the nodes, which share out as these do."""
        return self.on(hosts_of(self.cluster))

    def sharing(self, shares: Shares) -> Case:
        """The same case where layers are shared out so; itself, where they are already."""
        if shares == self.settings.shares:
            return self

        def make() -> Case:
            settings = self.settings.model_copy(update={"shares": shares})
            other = replace(self, settings=settings)
            other.take_over(self)
            return other

        return self.once(("case", shares), make)

    # The group: which nodes, in which order, on which medium.

    @property
    def medium(self) -> Medium:
        """The medium that costs are counted for: the settings', or the cluster's own."""
        return self.settings.medium or self.cluster.medium

    @property
    def casting(self) -> Casting:
        """Whether each receiver has a subset of its own: the settings' casting, or the cluster's.

        What is passed on from node to node is one subset for all.
        """
        if self.collective not in ("direct", "in-series"):
            return "broadcast"
        return self.settings.casting or self.cluster.casting

    @property
    def collective(self) -> Collective:
        """How a group exchanges: the settings' algorithm, or the cluster's own."""
        return self.settings.collective or self.cluster.collective

    def group(self, nodes: int) -> Cluster:
        """The first nodes of the ring, from the source."""
        return self.cluster.first(nodes)

    def names(self, nodes: int) -> tuple[str, ...]:
        """Names of the first nodes of the ring."""
        return tuple(node.name for node in self.group(nodes).nodes)

    # The model: its units, and who holds what.

    @cached_property
    def units(self) -> list[range]:
        """Layers that stay together when layers are allocated to nodes."""
        return allocation_units(self.profile)

    def per_unit(self, field_name: str) -> NDArray[np.int64]:
        """Sums of a layer's field over every unit, shape (U,)."""
        values = [getattr(layer, field_name) for layer in self.profile.layers]
        starts = [unit.start for unit in self.units]
        sums: NDArray[np.int64] = np.add.reduceat(np.array(values, dtype=np.int64), starts)
        return sums

    def shares(self, names: tuple[str, ...]) -> FeatureShares:
        """Ownership of features on a group of nodes."""
        ratios = self.once(
            ("ratio", names),
            lambda: share_ratios(
                self.profile, self.cluster.only(names).nodes, self.settings.shares
            ),
        )
        return self.once(("shares", ratios), lambda: feature_shares(self.profile, ratios))

    def owners(self, names: tuple[str, ...]) -> LayerOwners:
        """The owner of every feature that each layer reads and makes on a group of nodes."""

        def make() -> LayerOwners:
            owners, layers = self.shares(names).owners, self.profile.layers
            return LayerOwners(
                inputs=tuple(owners[layer.inputs[0]] for layer in layers),
                outputs=tuple(owners[layer.name] for layer in layers),
            )

        return self.once(("owners", names), make)

    def layouts(self, names: tuple[str, ...]) -> GroupLayouts:
        """How tensors can lie on a group of nodes."""
        shares = self.shares(names)
        return self.once(("layouts", shares.ratios), lambda: GroupLayouts(self.profile, shares))

    # Costs of layers on a group.

    def table(self, names: tuple[str, ...], levels: tuple[float, ...] | None = None) -> CostTable:
        """Costs at the given uniform levels on a group of nodes, `levels` by default."""
        # a node alone exchanges nothing at any level
        asked = (0.0,) if len(names) == 1 else (self.levels if levels is None else levels)
        return self.once(
            ("table", names, asked),
            lambda: cost_table(
                self.profile, self.cluster.only(names), self.settings, asked, self.shares(names)
            ),
        )

    def table_of(self, names: tuple[str, ...], kept: NDArray[np.int64]) -> CostTable:
        """Costs of given feature counts, shape (L, n, n), on a group of nodes."""
        group, shares = self.cluster.only(names), self.shares(names)
        return cost_of_counts(self.profile, group, self.settings, shares, kept)

    def stage(
        self,
        table: CostTable,
        rows: slice = slice(None),
        ways: tuple[Way | None, ...] = (),
        on_host: tuple[int, ...] = (),
    ) -> StageCosts:
        """A table's layers, or some of them, as a stage on its group; in ways, where given."""
        owners = self.owners(table.node_names)
        return StageCosts(table, owners, self.casting, self.profile, rows, ways, on_host)

    def loss(self, table: CostTable) -> NDArray[np.float64]:
        """Score of every layer at every option in the loss model's unit, shape (L, K).

        0 on one node or without a model; infinite where the model knows nothing.
        """
        if self.loss_model is None or len(table.node_names) == 1:
            return np.zeros(table.comm_sparsity.shape)
        return self.loss_model.scores(self.stage(table))

    # Costs between groups.

    def transfers(
        self,
        pairs: Sequence[tuple[tuple[str, ...], tuple[str, ...]]],
        check: Callable[[], None] = lambda: None,
    ) -> Transfers:
        """Handing all live tensors from one group to another, for P pairs, (P, U - 1) each.

        ``check`` is called now and then, and may raise to stop.
        """
        members = [(self._member(sender), self._member(receiver)) for sender, receiver in pairs]
        return self._handovers.between_pairs(members, check)

    def handover(self, sender: tuple[str, ...], receiver: tuple[str, ...], layer: int) -> Transfers:
        """The change of group before a layer, as single numbers."""
        cut = [unit.start for unit in self.units].index(layer) - 1
        found = self.once(
            ("transfers", sender, receiver), lambda: self.transfers([(sender, receiver)])
        )
        return Transfers(*(column[0, cut] for column in found.columns))

    def handover_in_layouts(
        self,
        sender: tuple[str, ...],
        receiver: tuple[str, ...],
        tensors: Sequence[tuple[str, Layout, Layout]],
    ) -> Transfers:
        """The same of tensors that lie, and will lie, in given layouts."""
        return self.handover_laid(self.laid(sender), self.laid(receiver), tensors)

    def handover_laid(
        self, sender: Laid, receiver: Laid, tensors: Sequence[tuple[str, Layout, Layout]]
    ) -> Transfers:
        """The same between groups that may share out otherwise than here."""
        return self._handovers.in_layouts(sender, receiver, tensors)

    def crossings(self) -> Crossings:
        """The same for many pairs of groups."""
        return Crossings(self._handovers, self.laid)

    def crossing(self, cut: int) -> list[str]:
        """The tensors that are handed over at a cut between two units."""
        return self._handovers.crossing(cut)

    def collect(self, names: tuple[str, ...], lies: Mapping[str, Layout]) -> Transfers:
        """Collecting outputs that lie so at the source."""
        return self._handovers.collect(self.laid(names), lies)

    def laid(self, names: tuple[str, ...]) -> Laid:
        """A group with all layouts that tensors can lie in there."""
        return Laid(positions_of(self.cluster, names), self.layouts(names))

    def ends(self, names: tuple[str, ...]) -> tuple[Transfers, Transfers]:
        """Handing the input to a group, and collecting the output from it."""
        member = self._member(names)
        return self.once(
            ("ends", names),
            lambda: (self._handovers.cost_input(member), self._handovers.cost_output(member)),
        )

    @cached_property
    def _handovers(self) -> Handovers:
        return Handovers(self.profile, self.cluster, self.settings)

    def _member(self, names: tuple[str, ...]) -> Member:
        return self.once(
            ("member", names),
            lambda: Member(positions_of(self.cluster, names), self.shares(names)),
        )

    @cached_property
    def reference(self) -> ModelReference:
        """The model as plans name it."""
        totals = self.profile.totals
        return ModelReference(
            name=self.profile.name,
            profile_sha256=hashlib.sha256(self.profile.model_dump_json().encode()).hexdigest(),
            macs=totals.macs,
            params=totals.params,
            uncounted=self.profile.coverage.uncounted,
        )


_OF_NO_CLUSTER = ("shares", "layouts", "layout graph")
"""What hangs on the profile and on ratios of speeds alone."""


_MOST_GRAPHS = 4


def _is_of(key: Hashable, *names: str) -> bool:
    return isinstance(key, tuple) and bool(key) and key[0] in names


def sparsifiable_layers(profile: ModelProfile) -> NDArray[np.bool_]:
    """Layers that exchange features once the model is distributed, shape (L,)."""
    exchanged: NDArray[np.bool_] = np.any(feature_shares(profile, [1, 1]).owned > 0, axis=1)
    return exchanged

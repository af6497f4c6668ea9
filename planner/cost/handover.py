"""What a change of group costs: live tensors on their way to the next stage's nodes.

See docs/model.md, eq. 24.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.cost.exchange import Links, exchange_s, medium_s
from planner.cost.ownership import FeatureShares
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import REPLICATED, Owners
from planner.domain.settings import CostSettings
from planner.structure import allocation_units, tensors_across


@dataclass(frozen=True)
class Transfers:
    """A change of group at every cut.

    Attributes
    ----------
    seconds, medium_s : float array, shape (U - 1,)
        Time, and occupation of a shared medium.
    """

    seconds: NDArray[np.float64]
    medium_s: NDArray[np.float64]


@dataclass(frozen=True)
class Member:
    """A group of nodes as it takes part in handovers.

    Attributes
    ----------
    positions : tuple of int
        Its nodes' positions in the ring, in the group's order.
    shares : FeatureShares
        Ownership when the group runs the network.
    """

    positions: tuple[int, ...]
    shares: FeatureShares


class Handovers:
    """Seconds of every possible change of group at every cut of a model.

    What a tensor's features need to move follows from who holds them before and who behind the
    cut. Tensors that all groups split alike are counted once per pair of groups.

    Parameters
    ----------
    profile : ModelProfile
    ring : Cluster
        All nodes; its links carry the transfers.
    settings : CostSettings
    """

    def __init__(self, profile: ModelProfile, ring: Cluster, settings: CostSettings) -> None:
        units = allocation_units(profile)
        across = tensors_across(profile)
        crossing = [across[unit.stop - 1] for unit in units[:-1]]
        self._tensors = list(dict.fromkeys(name for names in crossing for name in names))
        row = {name: index for index, name in enumerate(self._tensors)}
        self._crossing = np.array([row[name] for names in crossing for name in names], np.int64)
        self._edges = np.cumsum([0, *(len(names) for names in crossing)])
        self._profile = profile
        self._nodes = len(ring.nodes)
        self._source = ring.source_index
        self._settings = settings
        self._links = Links.of(ring, settings.medium, settings.casting)
        self._bytes = {spec.name: spec.bytes for spec in profile.inputs}
        self._bytes |= {layer.name: layer.output_bytes for layer in profile.layers}

    def between(self, sender: Member, receiver: Member) -> Transfers:
        """The transfer of all live tensors at each cut.

        Parameters
        ----------
        sender, receiver : Member
            Groups without a common node.
        """
        counted: dict[tuple[bytes, bytes], NDArray[np.int64]] = {}
        sizes = len(sender.positions), len(receiver.positions)
        per_tensor = np.zeros((len(self._tensors), *sizes), dtype=np.int64)
        for row, name in enumerate(self._tensors):
            has, needs = sender.shares.owners[name], receiver.shares.owners[name]
            key = has.tobytes(), needs.tobytes()
            if key not in counted:
                counted[key] = moving_features(has, needs, *sizes)
            per_tensor[row] = counted[key] * (self._bytes[name] // len(has))
        summed = np.zeros((len(self._crossing) + 1, *sizes), dtype=np.int64)
        np.cumsum(per_tensor[self._crossing], axis=0, out=summed[1:])
        cuts = len(self._edges) - 1
        moved = np.zeros((cuts, self._nodes, self._nodes), dtype=np.int64)
        moved[np.ix_(range(cuts), sender.positions, receiver.positions)] = np.diff(
            summed[self._edges], axis=0
        )
        return self._timed(moved)

    def first(self, member: Member) -> float:
        """Seconds to hand the input from the source to all nodes of the first group.

        All receive the same bytes: on a broadcast medium they are sent once.
        """
        if not self._settings.count_input:
            return 0.0
        alike = np.zeros((1, self._nodes, self._nodes), dtype=np.int64)
        alike[0, self._source, list(member.positions)] = sum(s.bytes for s in self._profile.inputs)
        alike[0, self._source, self._source] = 0
        return float(exchange_s(alike, np.zeros_like(alike), self._links)[0])

    def last(self, member: Member) -> float:
        """Seconds to collect the outputs of the last group at the source."""
        if not self._settings.count_output:
            return 0.0
        moved = np.zeros((1, self._nodes, self._nodes), dtype=np.int64)
        for name in self._profile.outputs:
            owners = member.shares.owners[name]
            alone = np.bincount(owners[owners != REPLICATED], minlength=len(member.positions))
            if self._source not in member.positions:  # the first node tells what all of them hold
                alone[0] += np.count_nonzero(owners == REPLICATED)
            feature_bytes = self._bytes[name] // len(owners)
            moved[0, list(member.positions), self._source] += alone * feature_bytes
        moved[0, self._source, self._source] = 0
        return float(self._timed(moved).seconds[0])

    def _timed(self, moved: NDArray[np.int64]) -> Transfers:
        nothing = np.zeros_like(moved)
        seconds = exchange_s(nothing, moved, self._links)
        return Transfers(seconds, medium_s(nothing, moved, self._links))


def moving_features(has: Owners, needs: Owners, senders: int, receivers: int) -> NDArray[np.int64]:
    """Features of one tensor that go from each node of a group to each of another.

    Parameters
    ----------
    has, needs : int array, shape (F,)
        Position of the node that holds, and of the one that will hold, each feature. What all
        senders hold comes from the first of them.
    senders, receivers : int

    Returns
    -------
    int array, shape (senders, receivers)
    """
    origin = np.where(has == REPLICATED, 0, has).astype(np.int64)
    single = needs != REPLICATED
    pair = origin[single] * receivers + needs[single]
    moves = np.bincount(pair, minlength=senders * receivers).reshape(senders, receivers)
    to_all = np.bincount(origin[~single], minlength=senders)
    moved: NDArray[np.int64] = (moves + to_all[:, None]).astype(np.int64)
    return moved


def positions_of(ring: Cluster, names: Sequence[str]) -> tuple[int, ...]:
    """Positions of nodes in the ring."""
    index = {node.name: position for position, node in enumerate(ring.nodes)}
    return tuple(index[name] for name in names)

"""What a change of group costs: live tensors on their way to the next stage's nodes.

See docs/model.md, eq. 19. A group of one node is a group like any other: between two of them the
transfer is a single message (eq. 5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from planner.cost.exchange import NOTHING, Exchanged, Links, time_exchange
from planner.cost.layouts import Box, GroupLayouts, crossing_bytes
from planner.cost.ownership import FeatureShares
from planner.cost.sparsity import numbered
from planner.domain.cluster import Cluster
from planner.domain.layouts import LAYOUTS, Layout
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import REPLICATED, count_handed_over, count_owned
from planner.domain.settings import CostSettings
from planner.structure import allocation_units, tensor_bytes, tensors_across

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Transfers:
    """How long messages between groups take; arrays of one shape, or single numbers.

    Attributes
    ----------
    seconds : float array
        Until all has arrived.
    busy_s : float array
        For which they occupy an interface or a link: their delay does not.
    medium_s : float array
        For which they occupy what all nodes share.
    send_s, receive_s : float array
        For which their software occupies the busiest node of the senders and of the receivers,
        which cannot compute meanwhile.
    """

    seconds: Array
    busy_s: Array
    medium_s: Array
    send_s: Array
    receive_s: Array

    @classmethod
    def of(cls, exchanged: Exchanged) -> Transfers:
        """Those of exchanges between groups without a common node."""
        return cls(
            exchanged.latency_s,
            exchanged.wire_s,
            exchanged.medium_s,
            exchanged.send_s,
            exchanged.receive_s,
        )

    @classmethod
    def none(cls, shape: tuple[int, ...] = ()) -> Transfers:
        """No messages."""
        return cls(*(np.zeros(shape) for _ in range(5)))

    @property
    def columns(self) -> tuple[Array, ...]:
        """All of them, in the order of the fields."""
        return self.seconds, self.busy_s, self.medium_s, self.send_s, self.receive_s

    @property
    def at_an_end(self) -> tuple[Array, Array, Array]:
        """Of input or output: seconds, what is occupied, software included, and the medium."""
        occupied = np.maximum(self.busy_s, np.maximum(self.send_s, self.receive_s))
        return self.seconds, occupied, self.medium_s


@dataclass(frozen=True)
class Member:
    """A group of nodes as it takes part in handovers.

    Attributes
    ----------
    positions : tuple of int
        Its nodes' positions in the ring, in the group's order.
    shares : FeatureShares
        Ownership when the group runs the network. Groups of equal speeds have one and the same.
    """

    positions: tuple[int, ...]
    shares: FeatureShares


@dataclass(frozen=True)
class Laid:
    """A group of nodes with all layouts that tensors can lie in there.

    Attributes
    ----------
    positions : tuple of int
        Its nodes' positions in the ring, in the group's order.
    layouts : GroupLayouts
    """

    positions: tuple[int, ...]
    layouts: GroupLayouts


class Crossings:
    """Seconds of tensors in given layouts between many pairs of groups.

    What crosses is counted once for all groups that part tensors alike.

    Parameters
    ----------
    handovers : Handovers
    laid : callable
        A group by the names of its nodes.
    """

    def __init__(self, handovers: Handovers, laid: Callable[[tuple[str, ...]], Laid]) -> None:
        self._handovers, self._laid = handovers, laid

    def cost(
        self,
        sender: tuple[str, ...],
        receiver: tuple[str, ...],
        tensors: Sequence[str],
        lies: NDArray[np.int64],
        inputs: Sequence[str],
    ) -> Transfers:
        """How long each case takes, shape (C,).

        Parameters
        ----------
        sender, receiver : tuple of str
            Nodes of the groups.
        tensors : sequence of str
            T of them.
        lies : int array, shape (C, T)
            Layout of every tensor in every case, by its number in `LAYOUTS`, on both sides; a
            node alone holds everything.
        inputs : sequence of str
            Model inputs, which go along whole.
        """
        one, other = self._laid(sender), self._laid(receiver)
        moved = np.zeros((len(lies), len(sender), len(receiver)), dtype=np.int64)
        for at, name in enumerate(tensors):
            used = np.unique(lies[:, at])
            each = np.stack([self._crossing(one, other, name, LAYOUTS[code]) for code in used])
            moved += each[np.searchsorted(used, lies[:, at])]
        for name in inputs:
            moved += self._crossing(one, other, name, "whole")
        return self._handovers.time_moved(one, other, moved)

    def _crossing(self, one: Laid, other: Laid, name: str, lies: Layout) -> NDArray[np.int64]:
        sides: list[Layout] = [
            "whole" if len(laid.positions) == 1 else lies for laid in (one, other)
        ]
        return one.layouts.once(
            ("crossing", other.layouts.shares.ratios, self._handovers.size_on_wire, name, lies),
            lambda: self._handovers.crossing_of(one, other, name, *sides),
        )


class Handovers:
    """Seconds of every possible change of group at every cut of a model.

    What a tensor's features need to move follows from who holds them before and who behind the
    cut. It is counted once for all pairs of groups that split the network alike, and timed once
    for all of these whose links are alike.

    Parameters
    ----------
    profile : ModelProfile
    ring : Cluster
        All nodes; its links carry the transfers.
    settings : CostSettings

    Attributes
    ----------
    size_on_wire : Fraction
        Bytes of messages for a byte as computed.
    """

    def __init__(self, profile: ModelProfile, ring: Cluster, settings: CostSettings) -> None:
        across = tensors_across(profile, with_inputs=settings.count_input)
        crossing = [across[unit.stop - 1] for unit in allocation_units(profile)[:-1]]
        self._tensors = list(dict.fromkeys(name for names in crossing for name in names))
        row = {name: index for index, name in enumerate(self._tensors)}
        self._cuts = len(crossing)
        self._cut = np.repeat(np.arange(self._cuts), [len(names) for names in crossing])
        self._crossing = np.array([row[name] for names in crossing for name in names], np.int64)
        self._profile = profile
        self._source = ring.source_index
        self._settings = settings
        # Sizes are counted in such parts of a byte that those of messages are whole, and those of
        # model inputs, which keep theirs.
        size = self.size_on_wire = settings.size_on_wire(profile.element_bytes)
        links = Links.of(ring, settings, element_bytes=profile.element_bytes)
        self._links = replace(links, size_on_wire=Fraction(1, size.denominator))
        self._bytes = {name: n * size.numerator for name, n in tensor_bytes(profile).items()}
        inputs = {spec.name: spec.bytes * size.denominator for spec in profile.inputs}
        self._bytes |= inputs
        self._input_bytes = sum(inputs.values())

    def between_pairs(
        self, pairs: Sequence[tuple[Member, Member]], check: Callable[[], None] = lambda: None
    ) -> Transfers:
        """Cost the transfers of P pairs of groups, sender and receiver, without a common node.

        Parameters
        ----------
        pairs : sequence of (Member, Member)
        check : callable
            Called now and then; may raise to stop.

        Returns
        -------
        Transfers
            Arrays of shape (P, U - 1).
        """
        total = Transfers.none((len(pairs), self._cuts))
        if not self._tensors:
            return total
        alike: dict[tuple[int, int], list[int]] = {}
        for index, (sender, receiver) in enumerate(pairs):
            alike.setdefault((id(sender.shares), id(receiver.shares)), []).append(index)
        for rows in alike.values():
            check()
            sender, receiver = pairs[rows[0]]
            moved, cut = self._moved_bytes(sender.shares, receiver.shares)
            senders = np.array([pairs[row][0].positions for row in rows])
            receivers = np.array([pairs[row][1].positions for row in rows])
            links, pair = self._distinct_links(senders, receivers)
            timed = Transfers.of(time_exchange(NOTHING, moved, links))
            for into, found in zip(total.columns, timed.columns, strict=True):
                into[rows] = np.broadcast_to(found, timed.seconds.shape)[pair][:, cut]
        return total

    def in_layouts(
        self, sender: Laid, receiver: Laid, tensors: Sequence[tuple[str, Layout, Layout]]
    ) -> Transfers:
        """How long tensors that lie in given layouts take (eq. 37), as single numbers.

        Parameters
        ----------
        sender, receiver : Laid
            Two groups without a common node.
        tensors : sequence of (str, Layout, Layout)
            Name, and how it lies on the sender and will lie on the receiver.
        """
        moved = np.zeros((len(sender.positions), len(receiver.positions)), dtype=np.int64)
        for name, lies, arrives in tensors:
            moved += self.crossing_of(sender, receiver, name, lies, arrives)
        return self.time_moved(sender, receiver, moved)

    def crossing_of(
        self, sender: Laid, receiver: Laid, name: str, lies: Layout, arrives: Layout
    ) -> NDArray[np.int64]:
        """Size of one tensor from each sender to each receiver, shape (s, r).

        In bytes, or in parts of them where messages have a width of their own.
        """
        has, needs = sender.layouts.has(name, lies), receiver.layouts.needs(name, arrives)
        return crossing_bytes(self._bytes[name], has, needs)

    def time_moved(self, sender: Laid, receiver: Laid, moved: NDArray[np.int64]) -> Transfers:
        """How long what `crossing_of` counts takes, shape (..., s, r) to (...)."""
        return self._time(moved, sender.positions, receiver.positions)

    def _time(
        self, moved: NDArray[np.int64], senders: Sequence[int], receivers: Sequence[int]
    ) -> Transfers:
        links = self._links.between(np.array(senders), np.array(receivers))
        return Transfers.of(time_exchange(NOTHING, moved, links))

    def collect(self, group: Laid, lies: Mapping[str, Layout]) -> Transfers:
        """How long it takes to collect outputs that lie in given layouts."""
        others = [k for k, position in enumerate(group.positions) if position != self._source]
        if not self._settings.count_output or not others:
            return Transfers.none()
        inside = len(others) < len(group.positions)
        first = group.positions.index(self._source) if inside else 0
        source: Box = {"whole": np.ones((1, 1), dtype=np.bool_)}
        held = np.zeros((len(group.positions), 1), dtype=np.int64)
        for name in self._profile.outputs:
            # what lies on one node alone is not at the source, even where that is in the group
            at = 0 if lies[name] == "one-node" else first
            has = group.layouts.has(name, lies[name], at)
            held += crossing_bytes(self._bytes[name], has, source)
        return self._time(held[others], [group.positions[k] for k in others], [self._source])

    def crossing(self, cut: int) -> list[str]:
        """The tensors that are handed over at a cut between two units."""
        return [self._tensors[row] for row in self._crossing[self._cut == cut]]

    def cost_input(self, member: Member) -> Transfers:
        """How long it takes to hand the input to all of the first group.

        All receive the same bytes: on a broadcast medium they are sent once.
        """
        others = [position for position in member.positions if position != self._source]
        if not self._settings.count_input or not others:
            return Transfers.none()
        links = self._links.between(np.array([self._source]), np.array(others))
        sent = np.full((1, len(others)), self._input_bytes)
        return Transfers.of(time_exchange(sent, NOTHING, links))

    def cost_output(self, member: Member) -> Transfers:
        """How long it takes to collect the outputs at the source."""
        others = [k for k, position in enumerate(member.positions) if position != self._source]
        if not self._settings.count_output or not others:
            return Transfers.none()
        held = np.zeros(len(member.positions), dtype=np.int64)
        for name in self._profile.outputs:
            owners = member.shares.owners[name]
            alone = count_owned(owners, len(held))
            if len(others) == len(held):  # the first node tells what all of them hold
                alone[0] += np.count_nonzero(owners == REPLICATED)
            held += alone * (self._bytes[name] // len(owners))
        senders = [member.positions[k] for k in others]
        return self._time(held[others][:, None], senders, [self._source])

    def _moved_bytes(
        self, has: FeatureShares, needs: FeatureShares
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Bytes from each sender to each receiver at cuts that differ, and which each cut is.

        Returns
        -------
        moved : int array, shape (C, s, r)
        cut : int array, shape (U - 1,)
        """
        sizes = has.nodes, needs.nodes
        moves: list[NDArray[np.int64]] = []
        numbers: dict[tuple[int, int, int], int] = {}
        number_of = np.zeros(len(self._tensors), dtype=np.int64)
        for row, name in enumerate(self._tensors):
            before, after = has.owners[name], needs.owners[name]
            feature_bytes = self._bytes[name] // len(before)
            key = id(before), id(after), feature_bytes  # equal arrays are one
            number_of[row] = numbers.setdefault(key, len(numbers))
            if len(moves) < len(numbers):
                moves.append(count_handed_over(before, after, *sizes) * feature_bytes)
        place = self._cut * len(moves) + number_of[self._crossing]
        times = np.bincount(place, minlength=self._cuts * len(moves)).reshape(self._cuts, -1)
        cut, first = numbered(row.tobytes() for row in times)
        return np.tensordot(times[first], np.stack(moves), axes=1), cut

    def _distinct_links(
        self, senders: NDArray[np.int64], receivers: NDArray[np.int64]
    ) -> tuple[Links, NDArray[np.int64]]:
        """The links of pairs that differ, with an axis for the cuts, and which each pair has."""
        each = self._links.between(senders, receivers)
        figures = [each.pair_bandwidth_bytes_per_s, each.pair_latency_s]
        figures += [*vars(each.out).values(), *vars(each.into).values()]
        described = [figure.reshape(len(senders), -1) for figure in figures]
        pair, first = numbered(row.tobytes() for row in np.concatenate(described, axis=1))
        return self._links.between(senders[first, None], receivers[first, None]), pair


def positions_of(ring: Cluster, names: Sequence[str]) -> tuple[int, ...]:
    """Find the positions of nodes in the ring."""
    index = {node.name: position for position, node in enumerate(ring.nodes)}
    return tuple(index[name] for name in names)

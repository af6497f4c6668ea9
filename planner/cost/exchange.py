"""Seconds that bytes take on the links of nodes (docs/model.md, eq. 3 to 5).

One formula counts every message: of a layer's exchange among the nodes of a group, of a change of
group, of a single transfer. `planner.cost.rounds` says which messages an algorithm sends one after
another; here it is said how long each round takes, and for how long it occupies the nodes'
interfaces, the pairs' links, what all share and the nodes' own software. A delay adds to the
latency and occupies nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.cost.rounds import Amounts, Round, rounds_of
from planner.cost.sparsity import Count
from planner.domain.cluster import Casting, Cluster, Collective, Medium, Node
from planner.domain.settings import DEFAULT_SETTINGS, CostSettings

NOTHING = np.zeros((1, 1), dtype=np.int64)
"""No bytes between any two nodes, however many they are."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ends:
    """What the nodes at one end of links need for messages, shape (..., k) each.

    Attributes
    ----------
    bandwidth_bytes_per_s : float array
        B of each node's interface: its own, else that of the node's fastest link in the whole
        cluster.
    message_s : float array
        Software time of a message.
    s_per_byte : float array
        Software time of a byte.
    """

    bandwidth_bytes_per_s: Floats
    message_s: Floats
    s_per_byte: Floats

    def at(self, positions: NDArray[np.int64]) -> Ends:
        """Those of some nodes."""
        return Ends(**{name: values[positions] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Links:
    """The links from s senders to r receivers: the same n nodes, or two groups of them.

    Attributes
    ----------
    pair_bandwidth_bytes_per_s, pair_latency_s : float array, shape (..., s, r)
    out, into : Ends
        Of the s senders and of the r receivers.
    slowest_bandwidth_bytes_per_s : float
        B of a medium that all share: that of its slowest link.
    switch_bytes_per_s : float
        What passes through a switch together; infinite where nothing limits it.
    medium : full_duplex, half_duplex or shared
    casting : unicast or broadcast
    collective : Collective
        How the nodes of a group exchange what all of them get or add up.
    apart : bool
        No node both sends and receives.
    size_on_wire : Fraction
        Bytes that pass for a byte as computed (`CostSettings.message_bits`).
    """

    pair_bandwidth_bytes_per_s: Floats
    pair_latency_s: Floats
    out: Ends
    into: Ends
    slowest_bandwidth_bytes_per_s: float
    switch_bytes_per_s: float
    medium: Medium
    casting: Casting
    collective: Collective
    apart: bool = False
    size_on_wire: Fraction = Fraction(1)

    @classmethod
    def of(
        cls,
        cluster: Cluster,
        settings: CostSettings = DEFAULT_SETTINGS,
        *,
        element_bytes: int,
    ) -> Links:
        """Links among all nodes of a cluster, with the request's conventions where given.

        Parameters
        ----------
        cluster : Cluster
        settings : CostSettings
        element_bytes : int
            Of the model's activations, `ModelProfile.element_bytes`.
        """
        pairs = cluster.pair_bandwidth_bytes_per_s()
        between_two = ~np.eye(len(pairs), dtype=np.bool_)
        fastest = np.where(between_two, pairs, 0.0).max(axis=1)
        interface = np.array(
            [
                # a node alone sends nothing
                node.interface_bytes_per_s or link or 1.0
                for node, link in zip(cluster.nodes, fastest.tolist(), strict=True)
            ]
        )
        per_byte = np.array([_s_per_byte(node) for node in cluster.nodes])
        sends, receives = (
            np.array([getattr(node, name) for node in cluster.nodes])
            for name in ("message_send_s", "message_receive_s")
        )
        return cls(
            pair_bandwidth_bytes_per_s=pairs,
            pair_latency_s=cluster.pair_latency_s(),
            out=Ends(interface, sends, per_byte),
            into=Ends(interface, receives, per_byte),
            slowest_bandwidth_bytes_per_s=float(pairs.min(where=between_two, initial=np.inf)),
            switch_bytes_per_s=cluster.switch_bytes_per_s or np.inf,
            medium=settings.medium or cluster.medium,
            casting=settings.casting or cluster.casting,
            collective=settings.collective or cluster.collective,
            size_on_wire=settings.size_on_wire(element_bytes),
        )

    @property
    def as_computed(self) -> Links:
        """The same for what keeps its size on the wire: the model's inputs."""
        return replace(self, size_on_wire=Fraction(1))

    def between(self, senders: NDArray[np.int64], receivers: NDArray[np.int64]) -> Links:
        """The links from some nodes to others, for many pairs of groups at once.

        Parameters
        ----------
        senders, receivers : int array, shape (..., s) and (..., r)
            Positions of the nodes; none is in both.
        """
        pairs = senders[..., :, None], receivers[..., None, :]
        return replace(
            self,
            pair_bandwidth_bytes_per_s=self.pair_bandwidth_bytes_per_s[pairs],
            pair_latency_s=self.pair_latency_s[pairs],
            out=self.out.at(senders),
            into=self.into.at(receivers),
            apart=True,
        )


def _s_per_byte(node: Node) -> float:
    return 0.0 if node.message_bytes_per_s is None else 1.0 / node.message_bytes_per_s


@dataclass(frozen=True)
class Exchanged:
    """How long exchanges take, shape (...) each unless said otherwise.

    Attributes
    ----------
    latency_s : float array
        Until the last node has all, L_comm of DISCO's latency model (eq. 4).
    wire_s : float array
        For which the busiest interface, link or shared medium is occupied.
    software_s : float array
        For which the busiest node's software is.
    send_s, receive_s : float array
        For which the software of the busiest sender and of the busiest receiver is.
    medium_s : float array
        For which what all nodes share is: a medium, a switch; 0 where they share nothing.
    node_s : float array, shape (..., n)
        For which each node sends or receives; on a shared medium all who take part wait until
        the last is done. Of a group only.
    """

    latency_s: Floats
    wire_s: Floats
    software_s: Floats
    send_s: Floats
    receive_s: Floats
    medium_s: Floats
    node_s: Floats

    def __add__(self, other: Exchanged) -> Exchanged:
        """One after the other."""
        return Exchanged(*(a + b for a, b in zip(*map(_fields, (self, other)), strict=True)))

    def at(self, which: Sequence[int]) -> Exchanged:
        """Those of some numbers, along the first axis."""
        return Exchanged(*(values[list(which)] for values in _fields(self)))

    def where(self, first: NDArray[np.bool_], other: Exchanged) -> Exchanged:
        """Take this one where ``first`` says so, else the other."""
        return Exchanged(
            *(
                np.where(first if a.ndim == first.ndim else first[..., None], a, b)
                for a, b in zip(*map(_fields, (self, other)), strict=True)
            )
        )


def _fields(exchanged: Exchanged) -> tuple[Floats, ...]:
    return tuple(vars(exchanged).values())


def bytes_on_wire(
    selected: NDArray[Count], moved: NDArray[np.int64] | NDArray[Count], casting: Casting
) -> tuple[NDArray[Count], NDArray[Count]]:
    """Count the bytes that each node sends and receives.

    Parameters
    ----------
    selected : int or float array, shape (..., s, r)
        Bytes of the selected features, sender to receiver. On a broadcast medium the sender
        transmits one subset, the largest of its receivers'.
    moved : int array, shape (..., s, r)
        Bytes that go to one receiver each, whatever the casting.

    Returns
    -------
    sent, received : arrays of the type of ``selected``, shape (..., s) and (..., r)
    """
    out = selected.max(axis=-1) if casting == "broadcast" else selected.sum(axis=-1)
    return out + moved.sum(axis=-1), (selected + moved).sum(axis=-2)


def whole_on_wire(counted: NDArray[Count], links: Links) -> NDArray[Count]:
    """Bytes that pass for so many as computed; whole numbers of them are rounded up."""
    size = links.size_on_wire
    if size == 1:
        return counted
    scaled: Any = counted * size.numerator
    whole = counted.dtype.kind != "f"
    found: NDArray[Count] = -(-scaled // size.denominator) if whole else scaled / size.denominator
    return found


def time_exchange(
    selected: NDArray[Count],
    moved: NDArray[np.int64],
    links: Links,
    added: NDArray[np.int64] = NOTHING,
) -> Exchanged:
    """How long an exchange takes, and for how long it occupies what.

    B belongs to a node's interface, each direction (full duplex), both directions together
    (half duplex), or to all nodes together (shared). No pair is faster than its own link.

    Parameters
    ----------
    selected, moved : arrays, shape (..., s, r)
        As in `bytes_on_wire`, of elements as they are computed.
    links : Links
    added : int array, shape (..., s, r)
        Bytes of parts of sums that the receiver adds up; others may add theirs underway.
    """
    return _exchanged(*(_on_wire(part, links) for part in (selected, moved, added)), links=links)


def _on_wire(computed: Amounts, links: Links) -> Amounts:
    """Bytes that pass, fractions of them as they are: only what is reported is rounded."""
    size = links.size_on_wire
    return computed if size == 1 else computed * size.numerator / size.denominator


def _exchanged(selected: Amounts, moved: Amounts, added: Amounts, *, links: Links) -> Exchanged:
    if links.collective == "best" and not links.apart:
        found = [
            _all_rounds(selected, moved, added, replace(links, collective=each))
            for each in _OFFERED
        ]
        best = found[0]
        for other in found[1:]:
            best = best.where(best.latency_s <= other.latency_s, other)
        return best
    return _all_rounds(selected, moved, added, links)


_OFFERED: tuple[Collective, ...] = ("direct", "ring", "tree")
"""What the best is chosen from: a star needs a root that others can do without."""


def _all_rounds(selected: Amounts, moved: Amounts, added: Amounts, links: Links) -> Exchanged:
    # between groups nothing is passed on
    collective: Collective = "direct" if links.apart else links.collective
    first, *others = rounds_of(selected, moved, added, collective)
    total = _time_round(first, links)
    for each in others:
        total = total + _time_round(each, links)
    return total


def _time_round(sent: Round, links: Links) -> Exchanged:
    """Messages that all go at once."""
    pairs = sent.selected + sent.moved
    out, into = bytes_on_wire(sent.selected, sent.moved, links.casting)
    delay_s = np.where(pairs > 0, links.pair_latency_s, 0.0)
    if links.collective == "in-series":
        delay = np.maximum(*(delay_s.sum(axis=axis).max(axis=-1) for axis in (-1, -2)))
    else:
        delay = delay_s.max(axis=(-2, -1))
    medium = _medium_s(out, links)
    wires = _wires_s(pairs, out, into, medium[..., None], links)
    wire = np.maximum(*(end.max(axis=-1) for end in wires))
    software = _software_s(sent, out, into, links)
    sending, receiving = (end.max(axis=-1) for end in software)
    if links.apart:
        busiest, node = np.maximum(sending, receiving), wires[0]
    else:
        of_node = software[0] + software[1]
        takes_part = pairs.any(axis=-1) | pairs.any(axis=-2)
        busiest = of_node.max(axis=-1)
        node = np.where(takes_part, np.maximum(*wires) + of_node, 0.0)
    return Exchanged(
        latency_s=wire + delay + sending + receiving,
        wire_s=wire,
        software_s=busiest,
        send_s=sending,
        receive_s=receiving,
        medium_s=medium,
        node_s=node,
    )


def _wires_s(
    pairs: Amounts, out: Amounts, into: Amounts, shared_s: Floats, links: Links
) -> tuple[Floats, Floats]:
    """For how long wires of senders, (..., s), and of receivers, (..., r), are occupied.

    On a shared medium no pair has a link of its own.
    """
    if links.medium == "shared":
        return np.broadcast_to(shared_s, out.shape), np.broadcast_to(shared_s, into.shape)
    if links.medium == "half_duplex" and not links.apart:  # one interface for both directions
        out = into = out + into
    pair_s = pairs / links.pair_bandwidth_bytes_per_s
    sender_s = np.maximum(out / links.out.bandwidth_bytes_per_s, pair_s.max(axis=-1))
    receiver_s = np.maximum(into / links.into.bandwidth_bytes_per_s, pair_s.max(axis=-2))
    return np.maximum(sender_s, shared_s), np.maximum(receiver_s, shared_s)


def _software_s(sent: Round, out: Amounts, into: Amounts, links: Links) -> tuple[Floats, Floats]:
    """Seconds of the software of every sender, (..., s), and of every receiver, (..., r)."""
    pairs = sent.selected + sent.moved > 0
    messages = pairs.sum(axis=-1)
    if links.casting == "broadcast":  # one message reaches all who get the same
        once = (sent.selected > 0).any(axis=-1).astype(np.int64)
        messages = np.minimum(messages, once + (sent.moved > 0).sum(axis=-1))
    return (
        messages * links.out.message_s + out * links.out.s_per_byte,
        pairs.sum(axis=-2) * links.into.message_s + into * links.into.s_per_byte,
    )


def _medium_s(sent: Amounts, links: Links) -> Floats:
    """What all share carries what all nodes send, one after the other."""
    total = sent.sum(axis=-1)
    slowest = links.slowest_bandwidth_bytes_per_s if links.medium == "shared" else np.inf
    occupied: Floats = total / min(slowest, links.switch_bytes_per_s)
    return occupied


def transfer_s(size_bytes: NDArray[np.int64], links: Links) -> Floats:
    """Seconds of one message between every ordered pair of nodes: bytes / B + latency (eq. 5).

    The exchange with a single sender and a single receiver, whatever the medium.

    Parameters
    ----------
    size_bytes : int array, shape (...)
    links : Links
        Among n nodes.

    Returns
    -------
    float array, shape (n, n, ...), zero where sender and receiver are one
    """
    nodes = np.arange(len(links.pair_latency_s))
    senders, receivers = np.meshgrid(nodes, nodes, indexing="ij")
    rest = (1,) * size_bytes.ndim
    single = (*senders.shape, *rest, 1)
    alone = links.between(senders.reshape(single), receivers.reshape(single))
    seconds = time_exchange(NOTHING, size_bytes[..., None, None], alone).latency_s
    same = (senders == receivers).reshape(*senders.shape, *rest)
    return np.where(same, 0.0, seconds)

"""Seconds that bytes take on the links of nodes (docs/model.md, eq. 3 to 5).

One formula counts every message: of a layer's exchange among the nodes of a group, of a change of
group, of a single transfer. It says for how long each interface, each pair's link and a shared
medium are occupied, and how long the messages of each node are delayed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.cost.sparsity import Count
from planner.domain.cluster import Casting, Cluster, Medium
from planner.domain.settings import DEFAULT_SETTINGS, CostSettings

NOTHING = np.zeros((1, 1), dtype=np.int64)
"""No bytes between any two nodes, however many they are."""


@dataclass(frozen=True)
class Links:
    """The links from s senders to r receivers: the same n nodes, or two groups of them.

    Attributes
    ----------
    pair_bandwidth_bytes_per_s, pair_latency_s : float array, shape (..., s, r)
    out_bandwidth_bytes_per_s, in_bandwidth_bytes_per_s : float array, shape (..., s) and (..., r)
        B of each sender's and each receiver's interface: that of the node's fastest link in the
        whole cluster.
    slowest_bandwidth_bytes_per_s : float
        B of a medium that all share: that of its slowest link.
    medium : full_duplex, half_duplex or shared
    casting : unicast or broadcast
    apart : bool
        No node both sends and receives.
    """

    pair_bandwidth_bytes_per_s: NDArray[np.float64]
    pair_latency_s: NDArray[np.float64]
    out_bandwidth_bytes_per_s: NDArray[np.float64]
    in_bandwidth_bytes_per_s: NDArray[np.float64]
    slowest_bandwidth_bytes_per_s: float
    medium: Medium
    casting: Casting
    apart: bool = False

    @classmethod
    def of(cls, cluster: Cluster, settings: CostSettings = DEFAULT_SETTINGS) -> Links:
        """Links among all nodes of a cluster, with the request's medium and casting where given."""
        pairs = cluster.pair_bandwidth_bytes_per_s()
        between_two = ~np.eye(len(pairs), dtype=np.bool_)
        fastest = np.where(between_two, pairs, 0.0).max(axis=1)
        interface = np.where(fastest > 0, fastest, 1.0)  # a node alone sends nothing
        return cls(
            pair_bandwidth_bytes_per_s=pairs,
            pair_latency_s=cluster.pair_latency_s(),
            out_bandwidth_bytes_per_s=interface,
            in_bandwidth_bytes_per_s=interface,
            slowest_bandwidth_bytes_per_s=float(pairs.min(where=between_two, initial=np.inf)),
            medium=settings.medium or cluster.medium,
            casting=settings.casting or cluster.casting,
        )

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
            out_bandwidth_bytes_per_s=self.out_bandwidth_bytes_per_s[senders],
            in_bandwidth_bytes_per_s=self.in_bandwidth_bytes_per_s[receivers],
            apart=True,
        )


def bytes_on_wire(
    selected: NDArray[Count], moved: NDArray[np.int64], casting: Casting
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


def exchange_s(
    selected: NDArray[Count], moved: NDArray[np.int64], links: Links
) -> NDArray[np.float64]:
    """Seconds of one exchange, L_comm of DISCO's latency model (eq. 4).

    B belongs to a node's interface, each direction (full duplex), both directions together
    (half duplex), or to all nodes together (shared). No pair is faster than its own link.

    Parameters
    ----------
    selected, moved : arrays, shape (..., s, r)
        As in `bytes_on_wire`.

    Returns
    -------
    float array, shape (...)
    """
    interfaces, pair_s, delays = _occupation(selected, moved, links)
    interface_s, delay_s = (
        np.maximum(out.max(axis=-1), back.max(axis=-1)) for out, back in (interfaces, delays)
    )
    result: NDArray[np.float64] = np.maximum(interface_s, pair_s.max(axis=(-2, -1))) + delay_s
    return result


def node_exchange_s(
    selected: NDArray[Count], moved: NDArray[np.int64], links: Links
) -> NDArray[np.float64]:
    """Seconds of one exchange for which each node sends or receives; at most `exchange_s`.

    On a shared medium all who take part wait for it until the last is done.

    Parameters
    ----------
    selected, moved : arrays, shape (..., n, n)
        As in `bytes_on_wire`; all n nodes send and receive.

    Returns
    -------
    float array, shape (..., n)
    """
    interfaces, pair_s, delays = _occupation(selected, moved, links)
    slowest_pair_s = np.maximum(pair_s.max(axis=-1), pair_s.max(axis=-2))
    busy_s = np.maximum(np.maximum(*interfaces), slowest_pair_s) + np.maximum(*delays)
    pairs = selected + moved > 0
    return np.where(pairs.any(axis=-1) | pairs.any(axis=-2), busy_s, 0.0)


_Ends = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Seconds of every sender, shape (..., s), and of every receiver, shape (..., r)."""


def _occupation(
    selected: NDArray[Count], moved: NDArray[np.int64], links: Links
) -> tuple[_Ends, NDArray[np.float64], _Ends]:
    """Seconds of every interface, of every pair's link, and of the delay of a node's messages.

    On a shared medium no pair has a link of its own: those are 0.
    """
    sent, received = bytes_on_wire(selected, moved, links.casting)
    pairs = selected + moved
    messages_s = np.where(pairs > 0, links.pair_latency_s, 0.0)
    delays = messages_s.sum(axis=-1), messages_s.sum(axis=-2)
    if links.medium == "shared":
        medium: NDArray[np.float64] = _medium_s(sent, links)[..., None]
        each = np.broadcast_to(medium, sent.shape), np.broadcast_to(medium, received.shape)
        return each, np.zeros((*medium.shape, 1)), delays
    if links.medium == "half_duplex" and not links.apart:  # one interface for both directions
        sent = received = sent + received
    interfaces = sent / links.out_bandwidth_bytes_per_s, received / links.in_bandwidth_bytes_per_s
    return interfaces, pairs / links.pair_bandwidth_bytes_per_s, delays


def medium_s(
    selected: NDArray[Count], moved: NDArray[np.int64], links: Links
) -> NDArray[np.float64]:
    """Seconds for which an exchange occupies a shared medium; 0 on any other.

    Parameters
    ----------
    selected, moved : arrays, shape (..., s, r)
        As in `bytes_on_wire`.

    Returns
    -------
    float array, shape (...)
    """
    sent, _ = bytes_on_wire(selected, moved, links.casting)
    return _medium_s(sent, links) if links.medium == "shared" else np.zeros(sent.shape[:-1])


def _medium_s(sent: NDArray[Count], links: Links) -> NDArray[np.float64]:
    """A shared medium carries what all nodes send, one after the other."""
    occupied: NDArray[np.float64] = sent.sum(axis=-1) / links.slowest_bandwidth_bytes_per_s
    return occupied


def transfer_s(size_bytes: NDArray[np.int64], links: Links) -> NDArray[np.float64]:
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
    seconds = exchange_s(NOTHING, size_bytes[..., None, None], alone)
    same = (senders == receivers).reshape(*senders.shape, *rest)
    return np.where(same, 0.0, seconds)

"""Seconds that an exchange of bytes takes on the links of a group (docs/model.md, eq. 3 to 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.cost.sparsity import Count
from planner.domain.cluster import Casting, Cluster, Medium


@dataclass(frozen=True)
class Links:
    """The links of one group of n nodes.

    Attributes
    ----------
    pair_bandwidth_bytes_per_s, pair_latency_s : float array, shape (n, n)
    medium : full_duplex, half_duplex or shared
    casting : unicast or broadcast
    """

    pair_bandwidth_bytes_per_s: NDArray[np.float64]
    pair_latency_s: NDArray[np.float64]
    medium: Medium
    casting: Casting

    @classmethod
    def of(cls, cluster: Cluster, medium: Medium | None, casting: Casting | None) -> Links:
        """Links of a cluster, with the medium and casting of the request where given."""
        return cls(
            cluster.pair_bandwidth_bytes_per_s(),
            cluster.pair_latency_s(),
            medium or cluster.medium,
            casting or cluster.casting,
        )

    @property
    def interface_bandwidth_bytes_per_s(self) -> NDArray[np.float64]:
        """B of each node's interface, shape (n,): that of its fastest link."""
        off_diagonal = np.where(
            np.eye(len(self.pair_latency_s), dtype=np.bool_), 0.0, self.pair_bandwidth_bytes_per_s
        )
        fastest: NDArray[np.float64] = off_diagonal.max(axis=1)
        return np.where(fastest > 0, fastest, 1.0)

    @property
    def slowest_bandwidth_bytes_per_s(self) -> float:
        """B of a medium that all share: that of its slowest link."""
        between_two = ~np.eye(len(self.pair_latency_s), dtype=np.bool_)
        return float(self.pair_bandwidth_bytes_per_s.min(where=between_two, initial=np.inf))


def bytes_on_wire(
    selected: NDArray[Count], moved: NDArray[np.int64], casting: Casting
) -> tuple[NDArray[Count], NDArray[Count]]:
    """Bytes that each node sends and receives.

    Parameters
    ----------
    selected : int or float array, shape (..., n, n)
        Bytes of the selected features, sender to receiver. On a broadcast medium the sender
        transmits one subset, the largest of its receivers'.
    moved : int array, shape (..., n, n)
        Bytes that go to one receiver each, whatever the casting.

    Returns
    -------
    sent, received : arrays of the type of ``selected``, shape (..., n)
    """
    out = selected.max(axis=-1) if casting == "broadcast" else selected.sum(axis=-1)
    return out + moved.sum(axis=-1), (selected + moved).sum(axis=-2)


def exchange_s(
    selected: NDArray[Count], moved: NDArray[np.int64], links: Links
) -> NDArray[np.float64]:
    """Seconds of one exchange, L_comm of DISCO's latency model.

    B belongs to a node's interface, each direction (full duplex), both directions together
    (half duplex), or to all nodes together (shared). No pair is faster than its own link.

    Parameters
    ----------
    selected, moved : arrays, shape (..., n, n)
        As in `bytes_on_wire`.

    Returns
    -------
    float array, shape (...)
    """
    interface_s, pair_s, delay_s = _occupation_s(selected, moved, links)
    transmission = np.maximum(interface_s.max(axis=-1), pair_s.max(axis=(-2, -1)))
    result: NDArray[np.float64] = transmission + delay_s.max(axis=-1)
    return result


def node_exchange_s(
    selected: NDArray[Count], moved: NDArray[np.int64], links: Links
) -> NDArray[np.float64]:
    """Seconds of one exchange for which each node sends or receives; at most `exchange_s`.

    On a shared medium all who take part wait for it until the last is done.

    Parameters
    ----------
    selected, moved : arrays, shape (..., n, n)
        As in `bytes_on_wire`.

    Returns
    -------
    float array, shape (..., n)
    """
    interface_s, pair_s, delay_s = _occupation_s(selected, moved, links)
    slowest_pair_s = np.maximum(pair_s.max(axis=-1), pair_s.max(axis=-2))
    pairs = selected + moved
    takes_part = (pairs > 0).any(axis=-1) | (pairs > 0).any(axis=-2)
    return np.where(takes_part, np.maximum(interface_s, slowest_pair_s) + delay_s, 0.0)


def _occupation_s(
    selected: NDArray[Count], moved: NDArray[np.int64], links: Links
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Seconds of every interface, of every pair's link, and of every node's messages' latency.

    Returns
    -------
    float arrays, shape (..., n), (..., n, n) and (..., n); no pair has a link of its own, so 0,
    on a shared medium
    """
    sent, received = bytes_on_wire(selected, moved, links.casting)
    pairs = selected + moved
    if links.medium == "shared":
        total = sent.sum(axis=-1, keepdims=True) / links.slowest_bandwidth_bytes_per_s
        interface_s, pair_s = np.broadcast_to(total, sent.shape), np.zeros_like(total)[..., None]
    else:
        busy = np.maximum(sent, received) if links.medium == "full_duplex" else sent + received
        interface_s = busy / links.interface_bandwidth_bytes_per_s
        pair_s = pairs / links.pair_bandwidth_bytes_per_s
    messages = np.where(pairs > 0, links.pair_latency_s, 0.0)
    return interface_s, pair_s, np.maximum(messages.sum(axis=-1), messages.sum(axis=-2))


def medium_s(
    selected: NDArray[Count], moved: NDArray[np.int64], links: Links
) -> NDArray[np.float64]:
    """Seconds for which an exchange occupies a shared medium; 0 on any other."""
    sent, _ = bytes_on_wire(selected, moved, links.casting)
    total = sent.sum(axis=-1)
    if links.medium != "shared":
        return np.zeros(total.shape)
    occupied: NDArray[np.float64] = total / links.slowest_bandwidth_bytes_per_s
    return occupied


def transfer_s(size_bytes: NDArray[np.int64], links: Links) -> NDArray[np.float64]:
    """Seconds of one message between every ordered pair of nodes: bytes / B + latency.

    The exchange of eq. 3 with a single sender and a single receiver, whatever the medium.

    Parameters
    ----------
    size_bytes : int array, shape (...)

    Returns
    -------
    float array, shape (n, n, ...), zero where sender and receiver are one
    """
    shape = (*links.pair_latency_s.shape, *([1] * size_bytes.ndim))
    bandwidth = links.pair_bandwidth_bytes_per_s.reshape(shape)
    if links.medium == "shared":
        bandwidth = np.full(shape, links.slowest_bandwidth_bytes_per_s)
    sent = np.where(
        size_bytes > 0, size_bytes / bandwidth + links.pair_latency_s.reshape(shape), 0.0
    )
    same = np.eye(shape[0], dtype=np.bool_).reshape(shape)
    result: NDArray[np.float64] = np.where(same, 0.0, sent)
    return result

"""Costs of every layer for given feature counts, whole or fractional."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from planner.cost.exchange import Links, bytes_on_wire, exchange_s, medium_s, node_exchange_s
from planner.cost.ownership import FeatureShares
from planner.cost.sharing import newly_sent, reserved_bytes
from planner.cost.sparsity import Count
from planner.cost.work import node_compute_s, node_macs, node_weight_bytes
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings


@dataclass(frozen=True)
class LayerCosts(Generic[Count]):
    """Arrays over L layers, K options and n nodes, whole where the counts are whole.

    Attributes
    ----------
    macs, weight_bytes, live_bytes, sent_bytes : array, shape (L, K, n)
        MACs that each node executes, parameters that it stores, activations and receive buffers
        that it holds while the layer runs, bytes that it puts on the wire.
    comm_s, compute_s, latency_s, medium_s : float array, shape (L, K)
        ``medium_s`` is the occupation of a shared medium, 0 on any other.
    """

    macs: NDArray[Count]
    weight_bytes: NDArray[Count]
    live_bytes: NDArray[Count]
    sent_bytes: NDArray[Count]
    comm_s: NDArray[np.float64]
    compute_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    medium_s: NDArray[np.float64]


def layer_costs(
    profile: ModelProfile,
    group: Cluster,
    settings: CostSettings,
    shares: FeatureShares,
    kept: NDArray[Count],
    readers: list[list[int]],
) -> LayerCosts[Count]:
    """Cost feature counts on all nodes of a group (docs/model.md, eq. 3 to 9).

    Parameters
    ----------
    kept : int or float array, shape (L, K, n, n)
        Features from sender to receiver: `kept_features` of a plan, or `kept_fractions`.
    readers : list of lists of int
        Rows of layers that share one transmission.
    """
    links = Links.of(group, settings.medium, settings.casting)
    selected, moved = _sent_bytes(profile, shares, kept, readers)
    macs = node_macs(profile, shares, kept)
    weight_bytes = node_weight_bytes(profile, shares, kept)
    sent, received = bytes_on_wire(selected, moved, links.casting)
    comm = exchange_s(selected, moved, links)
    comp = node_compute_s(profile, group.nodes, shares, macs, weight_bytes, kept).max(axis=2)
    reserved = reserved_bytes(profile, shares, readers)
    return LayerCosts(
        macs=macs,
        weight_bytes=weight_bytes,
        live_bytes=(shares.live_bytes + reserved)[:, None, :] + received,
        sent_bytes=sent,
        comm_s=comm,
        compute_s=comp,
        latency_s=np.maximum(comm, comp) if settings.overlap else comm + comp,
        medium_s=medium_s(selected, moved, links),
    )


@dataclass(frozen=True)
class NodeTimes:
    """When the nodes of a group work, float arrays of shape (L, n) over L layers and n nodes.

    Attributes
    ----------
    comm_s, compute_s
        Seconds for which each node sends or receives, and for which it computes. Nodes wait for
        each other, so that a layer takes as long as the slowest.
    """

    comm_s: NDArray[np.float64]
    compute_s: NDArray[np.float64]


def node_times(
    profile: ModelProfile,
    group: Cluster,
    settings: CostSettings,
    shares: FeatureShares,
    kept: NDArray[Count],
    readers: list[list[int]],
) -> NodeTimes:
    """Each node's part of `LayerCosts.comm_s` and `LayerCosts.compute_s`, for given counts.

    Parameters
    ----------
    kept : int or float array, shape (L, n, n)
    readers : list of lists of int
        Rows of layers that share one transmission.
    """
    only = kept[:, None]
    selected, moved = _sent_bytes(profile, shares, only, readers)
    links = Links.of(group, settings.medium, settings.casting)
    macs = node_macs(profile, shares, only)
    weight_bytes = node_weight_bytes(profile, shares, only)
    computing = node_compute_s(profile, group.nodes, shares, macs, weight_bytes, only)
    return NodeTimes(node_exchange_s(selected, moved, links)[:, 0], computing[:, 0])


def _sent_bytes(
    profile: ModelProfile,
    shares: FeatureShares,
    kept: NDArray[Count],
    readers: list[list[int]],
) -> tuple[NDArray[Count], NDArray[np.int64]]:
    """Bytes of selected features and of moved ones, shape (L, K, n, n), as exchanges have them."""
    feature_bytes = np.array([layer.input_feature_bytes for layer in profile.layers])
    selected = newly_sent(kept, readers) * feature_bytes[:, None, None, None]
    return selected, np.broadcast_to(shares.moved_bytes[:, None], selected.shape)

"""What every layer costs on a group of nodes for given feature counts, whole or fractional."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from planner.cost.exchange import Links, bytes_on_wire, time_exchange, whole_on_wire
from planner.cost.memory import activation_bytes, node_weight_bytes, reserved_bytes
from planner.cost.overlap import layer_s
from planner.cost.ownership import FeatureShares
from planner.cost.sharing import Readers, newly_sent
from planner.cost.sparsity import Count, FeatureCounts
from planner.cost.work import column, node_compute_s, node_macs
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings


@dataclass(frozen=True)
class LayerCosts(Generic[Count]):
    """Arrays over L layers, K options and n nodes, whole where the counts are whole.

    Attributes
    ----------
    macs, weight_bytes, live_bytes, sent_bytes, received_bytes : array, shape (L, K, n)
        MACs that each node executes, parameters that it stores, activations and receive buffers
        that it holds while the layer runs, bytes that it puts on the wire, and bytes that it has
        for what it takes from there: as wide as they are computed.
    node_comm_s, node_compute_s : float array, shape (L, K, n)
        Seconds for which each node sends or receives, and for which it computes.
    comm_s, compute_s, latency_s : float array, shape (L, K)
        Nodes wait for each other, so that a layer takes as long as the slowest.
    wire_s, software_s, medium_s : float array, shape (L, K)
        For how long the exchange occupies the links, the busiest node's software, and what all
        nodes share: a medium or a switch, 0 where they share none.
    """

    macs: NDArray[Count]
    weight_bytes: NDArray[Count]
    live_bytes: NDArray[Count]
    sent_bytes: NDArray[Count]
    received_bytes: NDArray[Count]
    node_comm_s: NDArray[np.float64]
    node_compute_s: NDArray[np.float64]
    comm_s: NDArray[np.float64]
    compute_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    wire_s: NDArray[np.float64]
    software_s: NDArray[np.float64]
    medium_s: NDArray[np.float64]


def layer_costs(
    profile: ModelProfile,
    group: Cluster,
    settings: CostSettings,
    shares: FeatureShares,
    counts: FeatureCounts[Count],
    readers: Readers,
) -> LayerCosts[Count]:
    """Cost feature counts on all nodes of a group (docs/model.md, eq. 3 to 9).

    Every pattern is costed once: a large language model's blocks are all alike.

    Parameters
    ----------
    profile : ModelProfile
    group : Cluster
        Every node takes part.
    settings : CostSettings
    shares : FeatureShares
        Of this group.
    counts : FeatureCounts
        Features from sender to receiver: of a plan, of uniform levels, or fractions.
    readers : list of lists of int
        Rows of layers that share one transmission.
    """
    fresh = newly_sent(counts, readers)
    pattern = fresh.pattern
    kept = counts.kept[counts.pattern.ravel()[fresh.first]]
    layers = [profile.layers[index] for index in fresh.layer]
    of_pattern = shares.kinds.at(shares.kind[fresh.layer])
    macs = node_macs(layers, of_pattern, kept)
    weight_bytes = node_weight_bytes(layers, of_pattern, kept)
    node_compute = node_compute_s(layers, group.nodes, of_pattern, macs, weight_bytes, kept)
    links = Links.of(group, settings, element_bytes=profile.element_bytes)
    selected = fresh.kept * column(layers, "input_feature_bytes")[:, None, None]
    exchanged = time_exchange(selected, of_pattern.moved_bytes, links)
    sent, received = bytes_on_wire(selected, of_pattern.moved_bytes, links.casting)
    comm, software = exchanged.latency_s, exchanged.software_s
    comp = node_compute.max(axis=1)
    held = activation_bytes(profile, shares) + reserved_bytes(profile, shares, readers)
    return LayerCosts(
        macs=macs[pattern],
        weight_bytes=weight_bytes[pattern],
        live_bytes=held[:, None, :] + received[pattern],
        sent_bytes=whole_on_wire(sent, links)[pattern],
        received_bytes=received[pattern],
        node_comm_s=exchanged.node_s[pattern],
        node_compute_s=node_compute[pattern],
        comm_s=comm[pattern],
        compute_s=comp[pattern],
        latency_s=layer_s(comm, software, comp, settings.overlap)[pattern],
        wire_s=exchanged.wire_s[pattern],
        software_s=software[pattern],
        medium_s=exchanged.medium_s[pattern],
    )

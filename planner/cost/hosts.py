"""Layers whose weights lie in the memory of a card's host (docs/model.md, eq. 51).

The host's processor runs them on what the card hands over, and hands back what they make; the card
waits meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.cost.overlap import layer_s
from planner.cost.table import CostTable
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.structure import tensor_bytes


def hosts_of(cluster: Cluster) -> Cluster:
    """The cluster of the nodes' hosts: their rates, on the same links."""
    return cluster.model_copy(update={"nodes": tuple(node.as_host for node in cluster.nodes)})


def run_on_hosts(
    profile: ModelProfile,
    group: Cluster,
    overlap: bool,
    card: CostTable,
    host: CostTable,
    rows: Sequence[int],
    by_positions: Collection[int] = (),
) -> CostTable:
    """A table of one option in which the hosts compute some layers.

    Parameters
    ----------
    profile : ModelProfile
    group : Cluster
        Every node takes part.
    overlap : bool
    card, host : CostTable
        The same on the nodes themselves, and on `hosts_of` the group.
    rows : sequence of int
        The layers that the hosts run.
    by_positions : collection of int
        Those of which every node has its own positions.
    """
    crossing = _crossing_bytes(profile, rows)[:, None] * _parts(profile, card, by_positions)
    links = [node.host and node.host.link_bytes_per_s for node in group.nodes]
    rates = [rate or np.inf for rate in links]
    seconds = host.node_compute_s[:, 0] + crossing / np.array(rates)
    at = list(rows)
    node_compute_s, compute_s = card.node_compute_s.copy(), card.compute_s.copy()
    node_compute_s[at, 0] = seconds[at]
    compute_s[at, 0] = seconds[at].max(axis=1)
    return replace(
        card,
        node_compute_s=node_compute_s,
        compute_s=compute_s,
        latency_s=layer_s(card.comm_s, card.software_s, compute_s, overlap),
    )


def _crossing_bytes(profile: ModelProfile, rows: Sequence[int]) -> NDArray[np.int64]:
    """Bytes between card and host for every layer: tensors once each way, shape (L,)."""
    sizes, layers = tensor_bytes(profile), profile.layers
    hosted = set(rows)
    mine = {layers[row].name for row in rows}
    brought: set[str] = set()
    left = {
        name
        for row, layer in enumerate(layers)
        if row not in hosted
        for name in layer.inputs
        if name in mine
    }
    found = np.zeros(len(layers), dtype=np.int64)
    for row in rows:
        layer = layers[row]
        for name in layer.inputs:
            if name not in mine and name not in brought:
                brought.add(name)
                found[row] += sizes[name]
        if layer.name in left:
            found[row] += sizes[layer.name]
    return found


def _parts(
    profile: ModelProfile, card: CostTable, by_positions: Collection[int]
) -> NDArray[np.float64]:
    """Part of a layer's tensors that every node has: all, or its own positions, shape (L, n)."""
    parts = np.ones((len(profile.layers), len(card.node_names)))
    for row in by_positions:
        if macs := profile.layers[row].macs:
            parts[row] = card.macs[row, 0] / macs
    return parts

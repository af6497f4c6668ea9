"""Costs of contiguous stages on single nodes: what a pipeline is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.cost.exchange import Links, transfer_s
from planner.cost.memory import activation_bytes
from planner.cost.table import cost_table, group_shares
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings
from planner.structure import allocation_units, tensors_across


@dataclass(frozen=True)
class ChainCosts:
    """A model as a chain of U units on N nodes in ring order from the source.

    Attributes
    ----------
    units : list of range
        Layers of each unit (`planner.structure.allocation_units`).
    compute_s : float array, shape (N, U)
    transfer_s : float array, shape (N, N, U - 1)
        All tensors alive behind each unit but the last, sender to receiver.
    single_tensor : bool array, shape (U - 1,)
        Cuts that a single tensor crosses: between blocks, not inside one.
    medium_s : float array, shape (U - 1,)
        Occupation of a shared medium by that transfer, else 0.
    input_s, output_s : float array, shape (N,)
        From the source to each node and back, 0 unless counted.
    params, macs, weight_bytes, live_bytes : int array, shape (U,)
    """

    units: list[range]
    compute_s: NDArray[np.float64]
    transfer_s: NDArray[np.float64]
    single_tensor: NDArray[np.bool_]
    medium_s: NDArray[np.float64]
    input_s: NDArray[np.float64]
    output_s: NDArray[np.float64]
    params: NDArray[np.int64]
    macs: NDArray[np.int64]
    weight_bytes: NDArray[np.int64]
    live_bytes: NDArray[np.int64]

    def first(self, nodes: int) -> ChainCosts:
        """The same chain on the first nodes of the ring."""
        return replace(
            self,
            compute_s=self.compute_s[:nodes],
            transfer_s=self.transfer_s[:nodes, :nodes],
            input_s=self.input_s[:nodes],
            output_s=self.output_s[:nodes],
        )


def chain_costs(profile: ModelProfile, ring: Cluster, settings: CostSettings) -> ChainCosts:
    """Cost every unit on every node of a ring whose first node is the source."""
    units = allocation_units(profile)
    starts = [unit.start for unit in units]
    layers = profile.layers
    links = Links.of(ring, settings)
    across = tensors_across(profile)
    moved = tensors_across(profile, with_inputs=settings.count_input)
    crossing = [across[unit.stop - 1] for unit in units[:-1]]
    cut_bytes = _bytes_of(profile, [moved[unit.stop - 1] for unit in units[:-1]])
    one_node = group_shares(profile, ring.first(1))
    sent = np.zeros((len(ring.nodes), 2))
    if settings.count_input:
        sent[:, 0] = transfer_s(np.array(sum(spec.bytes for spec in profile.inputs)), links)[0]
    if settings.count_output:
        size = sum(layer.output_bytes for layer in layers if layer.name in profile.outputs)
        sent[:, 1] = transfer_s(np.array(size), links)[:, 0]

    def total(field: str) -> NDArray[np.int64]:
        values = np.array([getattr(layer, field) for layer in layers], dtype=np.int64)
        return np.add.reduceat(values, starts)

    return ChainCosts(
        units=units,
        compute_s=np.add.reduceat(_layer_seconds(profile, ring), starts, axis=1),
        transfer_s=transfer_s(cut_bytes, links),
        single_tensor=np.array([len(names) == 1 for names in crossing], dtype=np.bool_),
        medium_s=cut_bytes / links.slowest_bandwidth_bytes_per_s * (links.medium == "shared"),
        input_s=sent[:, 0],
        output_s=sent[:, 1],
        params=total("params"),
        macs=total("macs"),
        weight_bytes=total("param_bytes"),
        live_bytes=np.maximum.reduceat(activation_bytes(profile, one_node)[:, 0], starts),
    )


def _layer_seconds(profile: ModelProfile, ring: Cluster) -> NDArray[np.float64]:
    """Seconds of every layer on every node alone, shape (N, L)."""
    by_kind: dict[str, NDArray[np.float64]] = {}
    rows = []
    for node in ring.nodes:
        kind = node.model_copy(update={"name": "-"}).model_dump_json()
        if kind not in by_kind:
            alone = ring.model_copy(
                update={"nodes": (node,), "pair_links": (), "source_node": node.name}
            )
            by_kind[kind] = cost_table(profile, alone, CostSettings(), (0.0,)).compute_s[:, 0]
        rows.append(by_kind[kind])
    return np.stack(rows)


def _bytes_of(profile: ModelProfile, crossing: list[list[str]]) -> NDArray[np.int64]:
    """Bytes of the tensors that cross each cut, shape (U - 1,)."""
    size = {spec.name: spec.bytes for spec in profile.inputs}
    size |= {layer.name: layer.output_bytes for layer in profile.layers}
    return np.array([sum(size[name] for name in names) for names in crossing], dtype=np.int64)

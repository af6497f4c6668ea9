"""What a layer does, stores and exchanges on a group in every way (docs/model.md, eq. 33 to 36).

The way *features* is `planner.cost.layers`, whose numbers are taken over; the others are worked
out here, in whole MACs and bytes. How long that takes is said for many at once
(`planner.cost.exchange`, `planner.cost.work`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.cost.experts import MOST_EXPERTS, busiest
from planner.cost.layouts import Bytes, GroupLayouts, Messages, sum_of
from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import EXPERT_WAYS, Layout, Way
from planner.domain.positions import Geometry, Mask

MADE_IN: dict[Way, Layout] = {
    "features": "features",
    "outputs": "features",
    "positions": "positions",
    "samples": "samples",
    "sums": "sums",
    "whole": "whole",
    "one-node": "one-node",
    "experts": "experts",
    "expert-sums": "sums",
}
"""The layout of what each way makes."""


@dataclass(frozen=True)
class Work:
    """What the n nodes of a group do for a layer; shape (n,) each.

    Attributes
    ----------
    macs, weight_bytes : int array
        MACs that each node executes, parameters that it stores.
    touched_bytes : float array
        Weights, inputs and outputs that it reads and writes.
    share : float array
        Of the layer's work, where it has no MACs.
    output_bytes : int array
        Of the output that it makes.
    exchange : Messages
        Of the layer itself, beside the conversions before it.
    """

    macs: Bytes
    weight_bytes: Bytes
    touched_bytes: NDArray[np.float64]
    share: NDArray[np.float64]
    output_bytes: Bytes
    exchange: Messages


def layouts_read(layer: LayerProfile, way: Way) -> tuple[Layout, ...] | None:
    """The layout in which a way reads each input; None where the layer cannot run so.

    Inputs that are held whole are there in every layout but *sums*.
    """
    inputs = len(layer.inputs)
    if way == "features":
        return (MADE_IN[way],) * inputs
    if way in ("outputs", "whole"):
        return (MADE_IN["whole"],) * inputs
    if way == "one-node":
        return (MADE_IN[way],) * inputs
    if way == "sums":
        return _summed(layer)
    if way in EXPERT_WAYS:
        if layer.routing is None or (way == "expert-sums") != (layer.routing.place == "last"):
            return None
        return ("whole" if layer.routing.place == "first" else "experts",) * inputs
    geometry: Geometry | None = getattr(layer, way)
    if geometry is None or not geometry.parts:
        return None
    parted = MADE_IN[way]
    return tuple(parted if window is not None else "whole" for window in geometry.reads)


def _summed(layer: LayerProfile) -> tuple[Layout, ...] | None:
    if layer.flow.mixes and layer.weight_params and len(layer.inputs) == 1:
        return ("features",)
    if layer.positions is not None and layer.positions.sums and len(layer.inputs) == 1:
        return ("positions",)
    return None


def work_of(
    on: GroupLayouts, row: int, way: Way, reads: Sequence[Layout], needs: NeededPositions | None
) -> Work | None:
    """A layer in a way other than *features*; None where the group cannot run it so.

    Parameters
    ----------
    on : GroupLayouts
    row : int
        The layer.
    way : Way
    reads : sequence of Layout
        In which each input is read: what `layouts_read` says, or ``whole`` where it lies so.
    needs : NeededPositions, optional
        Inside a run of fused halos.
    """
    if way in ("positions", "samples"):
        return _by_positions(on, row, way, reads, needs)
    layer = on.profile.layers[row]
    nodes = on.nodes
    everyone = np.ones(nodes, dtype=np.int64)
    if way == "whole":
        return _all_of_it(layer, everyone, Messages.none(nodes))
    if way == "one-node":
        first = (np.arange(nodes) == 0).astype(np.int64)
        return _all_of_it(layer, first, Messages.none(nodes))
    if way == "sums":
        return _in_parts(on, row)
    if way in EXPERT_WAYS:
        return _whole_experts(on, row)
    raise ValueError(f"{way} is costed by planner.cost.layers")


def _all_of_it(layer: LayerProfile, runs: Bytes, exchange: Messages) -> Work:
    """The whole layer on every node that runs it."""
    return Work(
        macs=layer.macs * runs,
        weight_bytes=layer.param_bytes * runs,
        touched_bytes=(layer.touched_bytes * runs).astype(np.float64),
        share=runs.astype(np.float64),
        output_bytes=layer.output_bytes * runs,
        exchange=exchange,
    )


def _in_parts(on: GroupLayouts, row: int) -> Work | None:
    """Each node's part of the sum of every output (eq. 35)."""
    layer = on.profile.layers[row]
    if not layer.flow.mixes:
        return _added_positions(on, row)
    kinds = on.shares.kinds
    kind = on.shares.kind[row]
    first = (np.arange(on.nodes) == 0).astype(np.int64)
    # what every node holds is multiplied on the first
    inputs = kinds.owned[kind] + kinds.replicated[kind] * first
    share = inputs / layer.in_features
    weights = layer.mixing_weight_bytes
    stored = -(-weights * inputs // layer.in_features) + (layer.param_bytes - weights) * first
    touched = stored * layer.read_share + layer.input_feature_bytes * inputs + layer.output_bytes
    return Work(
        macs=layer.macs // layer.in_features * inputs,
        weight_bytes=stored,
        touched_bytes=touched.astype(np.float64),
        share=share,
        output_bytes=np.full(on.nodes, layer.output_bytes),
        exchange=Messages.none(on.nodes),
    )


def _whole_experts(on: GroupLayouts, row: int) -> Work | None:
    """Whole experts of every node, and its part of the numbers of those that all take (eq. 49)."""
    layer = on.profile.layers[row]
    routing = layer.routing
    assert routing is not None
    inner = layer.inputs[0] if routing.place == "last" else layer.name
    held, part = on.experts(inner), on.features_part(inner)
    if routing.experts > MOST_EXPERTS or not held.any():
        return None
    most = busiest(routing, held)
    mean = routing.vectors * routing.taken * held / routing.experts
    pairs = np.minimum(most.pairs * mean, routing.vectors * np.minimum(held, routing.taken))
    pairs = pairs + routing.vectors * routing.shared * part
    stored = layer.param_bytes // (routing.experts + routing.shared)
    read = stored * (most.met * held + routing.shared * part)
    share = pairs / routing.pairs
    made = layer.output_bytes if routing.place == "last" else on.of_experts(inner)
    moved = layer.input_bytes * (share if routing.place != "first" else 1.0)
    moved = moved + layer.output_bytes * (1.0 if routing.place == "last" else share)
    return Work(
        macs=np.ceil(layer.macs // routing.pairs * pairs - _ROUNDING).astype(np.int64),
        weight_bytes=stored * held + np.ceil(stored * routing.shared * part).astype(np.int64),
        touched_bytes=read + moved,
        share=share,
        output_bytes=np.broadcast_to(np.asarray(made, dtype=np.int64), (on.nodes,)),
        exchange=Messages.none(on.nodes),
    )


_ROUNDING = 1e-6  # of a MAC


def _added_positions(on: GroupLayouts, row: int) -> Work | None:
    """A mean or a sum over positions: every node adds up its own."""
    layer = on.profile.layers[row]
    count = on.count(layer.inputs[0], "positions")
    if not count:
        return None
    parts = on.parts(count)
    return Work(
        macs=-(-layer.macs * parts // count),
        weight_bytes=layer.param_bytes * (parts > 0),
        touched_bytes=(layer.input_bytes / count * parts + layer.output_bytes).astype(np.float64),
        share=parts / count,
        output_bytes=np.full(on.nodes, layer.output_bytes),
        exchange=Messages.none(on.nodes),
    )


@dataclass(frozen=True)
class NeededPositions:
    """What nodes make of each tensor in a run of fused halos.

    Attributes
    ----------
    axis : Layout
    made : mapping of str to bool array, shape (n, P)
        Positions of every tensor that the run makes; its own share where it is not named.
    """

    axis: Layout
    made: Mapping[str, Mask]


def _by_positions(
    on: GroupLayouts,
    row: int,
    way: Way,
    reads: Sequence[Layout],
    needs: NeededPositions | None,
) -> Work | None:
    """Each node's positions of all outputs, with the halo that they need (eq. 34)."""
    layer = on.profile.layers[row]
    geometry: Geometry = getattr(layer, way)
    axis: Layout = MADE_IN[way]
    count = on.count(layer.name, axis)
    if not count:
        return None
    made = on.mask(count) if needs is None else needs.made[layer.name]
    parts: Bytes = made.sum(axis=1)
    halos: list[Messages] = []
    read = np.zeros(on.nodes)
    for source, (name, layout) in enumerate(zip(layer.inputs, reads, strict=True)):
        size = on.size(name)
        share = np.ones(on.nodes)
        if geometry.reads[source] is not None and on.count(name, axis):
            needed = on.needed(geometry, source, name, made, axis)
            share = needed.sum(axis=1) / on.count(name, axis)
            if layout == axis and needs is None:
                halos.append(on.halo(name, axis, needed))
        elif layout != "whole":
            return None
        if source == 0 or not layer.flow.shares_out:  # as the layer's input bytes are counted
            read += size * share
    if geometry.statistics_bytes:
        halos.append(on.told(geometry.statistics_bytes, parts > 0))
    stored = layer.param_bytes * (parts > 0)
    written = layer.output_bytes // count * parts
    return Work(
        macs=-(-layer.macs * parts // count),
        weight_bytes=stored,
        touched_bytes=stored * layer.read_share + read + written,
        share=parts / count,
        output_bytes=written,
        exchange=sum_of(halos, on.nodes),
    )

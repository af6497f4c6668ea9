"""A run of fused halos: what its layers make on every node, and what is sent before the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import Layout
from planner.domain.positions import Geometry, Mask
from planner.errors import BadInputError
from planner.runtime.cutting.holdings import Holdings
from planner.runtime.cutting.stock import Stock
from planner.runtime.cutting.transfers import Transfer, halos


def needed(geometry: Geometry, source: int, wanted: Mask, count: int) -> Mask | None:
    """Positions of an input that some of the output's are made of; None: it is read as it is."""
    window = geometry.reads[source]
    return None if window is None or not count else window.reads(wanted, count)


def geometry_of(layer: LayerProfile, axis: Layout) -> Geometry:
    """How a layer's positions, or its samples, follow from those of its inputs."""
    geometry = layer.positions if axis == "positions" else layer.samples
    if geometry is None or not geometry.parts:
        raise BadInputError(f"layer {layer.name!r}: is not made by {axis}")
    return geometry


def made_in_run(
    layers: Sequence[LayerProfile], axis: Layout, kept: Sequence[str], holdings: Holdings
) -> dict[str, Mask]:
    """Positions that every node makes of each layer of a run, shape (n, P) each.

    From the last layer back: its own share of what is read behind the run, and what the later
    layers of the run need.

    Parameters
    ----------
    layers : sequence of LayerProfile
    axis : Layout
    kept : sequence of str
        Layers of the run that are read behind it, the last one among them.
    holdings : Holdings

    Raises
    ------
    BadInputError
        Something would have to be sent inside of the run; names the layer.
    """
    made: dict[str, Mask] = {}
    for layer in layers:
        if geometry_of(layer, axis).statistics_bytes:
            raise BadInputError(
                f"layer {layer.name!r}: tells statistics, which no run of fused halos does"
            )
        own = holdings.runs(layer.name, axis)
        made[layer.name] = own if layer.name in kept else np.zeros_like(own)
    for layer in reversed(layers):
        for source, name in enumerate(layer.inputs):
            if name not in made:
                continue
            count = holdings.count(name, axis)
            found = needed(geometry_of(layer, axis), source, made[layer.name], count)
            if found is None:
                raise BadInputError(
                    f"layer {layer.name!r}: reads all of {name!r}, which the run makes in parts"
                )
            made[name] = made[name] | found
    return made


def halos_of(
    layers: Sequence[LayerProfile],
    axis: Layout,
    made: Mapping[str, Mask],
    stock: Stock,
    holdings: Holdings,
) -> list[Transfer]:
    """What nodes lack of the tensors from outside that layers read by positions.

    Parameters
    ----------
    layers : sequence of LayerProfile
        One, or a run of fused halos.
    axis : Layout
    made : mapping of str to bool array, shape (n, P)
        Positions that every node makes of each layer.
    stock : Stock
    holdings : Holdings
    """
    wanted: dict[str, Mask] = {}
    for layer in layers:
        for source, name in enumerate(layer.inputs):
            if name in made:
                continue
            count = holdings.count(name, axis)
            found = needed(geometry_of(layer, axis), source, made[layer.name], count)
            if found is not None and stock.read(name, axis).layout != "whole":
                wanted[name] = wanted[name] | found if name in wanted else found
    return [item for name, mask in wanted.items() for item in halos(name, axis, mask, holdings)]

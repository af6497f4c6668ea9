"""Whether two profiles of a model say the same of positions, and a profile without some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.domain.positions import Geometry
from planner.domain.reshaping import GEOMETRIES


def differing(one: ModelProfile, other: ModelProfile) -> Iterator[tuple[str, str]]:
    """Layers and fields in which two profiles of one graph differ.

    A tensor with a single position is one without: nothing of it can be parted.
    """
    for name in GEOMETRIES:
        alike = zip(one.layers, essential(one, name), essential(other, name), strict=True)
        yield from ((layer.name, name) for layer, left, right in alike if left != right)


def essential(profile: ModelProfile, name: str) -> list[Geometry | None]:
    """Positions or samples of all layers; only of tensors that have several of them."""
    several = {spec.name for spec in profile.inputs if getattr(spec, name) > 1}
    found: list[Geometry | None] = []
    for layer in profile.layers:
        geometry: Geometry | None = getattr(layer, name)
        if geometry is not None and geometry.count > 1:
            several.add(layer.name)
        elif geometry is not None and not (geometry.sums and layer.inputs[0] in several):
            geometry = None
        found.append(geometry and _reading(geometry, layer.inputs, several))
    return found


def without_positions(
    layers: Sequence[LayerProfile], doubtful: Set[tuple[str, str]]
) -> tuple[LayerProfile, ...]:
    """Without some layers' positions or samples: whoever reads these layers reads all of them."""
    made = []
    for layer in layers:
        changes: dict[str, Geometry | None] = {}
        for name in GEOMETRIES:
            geometry: Geometry | None = getattr(layer, name)
            gone = {source for source, field in doubtful if field == name}
            if (layer.name, name) in doubtful:
                changes[name] = None
            elif geometry is not None and gone.intersection(layer.inputs):
                lost = geometry.sums and layer.inputs[0] in gone
                kept = {*layer.inputs} - gone
                changes[name] = None if lost else _reading(geometry, layer.inputs, kept)
        made.append(layer.model_copy(update=changes) if changes else layer)
    return tuple(made)


def _reading(geometry: Geometry, inputs: Sequence[str], parted: Set[str]) -> Geometry:
    """It, with windows on those inputs alone."""
    reads = tuple(
        window if source in parted else None
        for source, window in zip(inputs, geometry.reads, strict=True)
    )
    return geometry.model_copy(update={"reads": reads})

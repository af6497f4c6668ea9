"""What every node of a group holds of every tensor, in every layout."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from planner.cost.ownership import FeatureShares
from planner.domain.layouts import Layout
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import REPLICATED, shares_by_speed
from planner.domain.positions import Mask, shares_of_positions
from planner.errors import BadInputError
from planner.runtime.cutting.regions import Positions, Region, axis_numbers, region_of
from planner.runtime.reading.traced import TracedTensor
from planner.runtime.running.extents import EVERYTHING, NOTHING, Extent


class Holdings:
    """Extents of layouts, and the elements of extents, worked out once each.

    Parameters
    ----------
    profile : ModelProfile
    shares : FeatureShares
        Of features on the group; positions and samples are cut by the same speeds.
    tensors : mapping of str to TracedTensor
    """

    def __init__(
        self, profile: ModelProfile, shares: FeatureShares, tensors: Mapping[str, TracedTensor]
    ) -> None:
        self.nodes = shares.nodes
        self.owners = shares.owners
        self.tensors = tensors
        self._ratio = shares.ratios.whole
        self._counts: dict[tuple[str, Layout], int] = {}
        for spec in profile.inputs:
            self._counts[spec.name, "positions"] = spec.positions
            self._counts[spec.name, "samples"] = spec.samples
        for layer in profile.layers:
            self._counts[layer.name, "positions"] = layer.positions.count if layer.positions else 0
            self._counts[layer.name, "samples"] = layer.samples.count if layer.samples else 0
        self._numbers: dict[tuple[TracedTensor, str], Positions] = {}
        self._regions: dict[object, Region] = {}

    def count(self, name: str, axis: Layout) -> int:
        """Positions or samples that a tensor can be parted by; 0 without."""
        count = self._counts[name, axis]
        return count if count > 1 else 0

    def runs(self, name: str, axis: Layout) -> Mask:
        """Positions or samples of every node, one run behind the other, shape (n, P)."""
        return shares_of_positions(shares_by_speed(self.count(name, axis), self._ratio))

    def held(self, name: str, layout: Layout, node: int) -> Extent:
        """What a node holds in a layout."""
        if layout == "features":
            owners = self.owners[name]
            return Extent(features=np.flatnonzero((owners == node) | (owners == REPLICATED)))
        if layout == "one-node" and node:
            return NOTHING
        if layout in ("positions", "samples"):
            return Extent(**{layout: np.flatnonzero(self.runs(name, layout)[node])})
        return EVERYTHING

    def alone(self, name: str, layout: Layout, node: int) -> Extent:
        """What no other node holds in a layout; of parts of a sum, the node's own."""
        if layout == "features":
            return Extent(features=np.flatnonzero(self.owners[name] == node))
        return self.held(name, layout, node)

    def common(self, name: str) -> Extent:
        """The features that every node holds where a tensor lies by features."""
        return Extent(features=np.flatnonzero(self.owners[name] == REPLICATED))

    def numbers(self, name: str, axis: str = "features") -> Positions:
        """The feature, position or sample of every element of a tensor.

        Raises
        ------
        BadInputError
            The traced graph does not say where they lie.
        """
        tensor = self.tensors[name]
        if (tensor, axis) not in self._numbers:
            atoms = getattr(tensor, axis)
            if axis != "features" and len(atoms) != len(tensor.shape):
                raise BadInputError(f"{name!r}: the traced graph does not say where its {axis} lie")
            self._numbers[tensor, axis] = axis_numbers(tensor.shape, atoms)
        return self._numbers[tensor, axis]

    def region(self, name: str, extent: Extent) -> Region:
        """The elements of an extent of a tensor."""
        tensor = self.tensors[name]
        key = tensor, extent.key
        if key not in self._regions:
            mask = np.ones(tensor.shape, dtype=np.bool_)
            for axis, found in extent.axes.items():
                numbers = self.numbers(name, axis)
                chosen = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.bool_)
                chosen[found] = True
                mask &= chosen[numbers]
            self._regions[key] = region_of(mask)
        return self._regions[key]

"""Which elements of a tensor a node holds: positions in the flattened whole, and boxes of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from planner.domain.owners import REPLICATED, Owners
from planner.runtime.reading.traced import TracedTensor

Positions = NDArray[np.int64]
Sets = tuple[Positions, ...]
"""Indices along every dimension, ascending; their product is a box."""


@dataclass(frozen=True, eq=False)
class Region:
    """Some of a tensor's elements.

    Attributes
    ----------
    shape : tuple of int
        Of the whole tensor.
    positions : int array
        Ascending.
    box : Sets or None
        Where the elements are a product of index sets; None where they are not.
    """

    shape: tuple[int, ...]
    positions: Positions
    box: Sets | None

    @property
    def empty(self) -> bool:
        """Whether it has no element."""
        return len(self.positions) == 0

    @property
    def is_whole(self) -> bool:
        """Whether it has all elements."""
        return len(self.positions) == prod(self.shape)

    @property
    def local_shape(self) -> tuple[int, ...]:
        """Of the tensor that a node stores: the box's, else a row of elements."""
        return (len(self.positions),) if self.box is None else tuple(len(s) for s in self.box)


def feature_numbers(tensor: TracedTensor) -> Positions:
    """The feature of every element, in the tensor's shape."""
    numbers = np.zeros(tensor.shape, dtype=np.int64)
    for axis, atoms in enumerate(tensor.features):
        size = tensor.shape[axis]
        index = np.arange(size)
        along = np.zeros(size, dtype=np.int64)
        inner = prod(atom_size for atom_size, _ in atoms)
        for atom_size, stride in atoms:
            inner //= atom_size
            along += stride * (index // inner % atom_size)
        rest = [1] * len(tensor.shape)
        rest[axis] = size
        numbers += along.reshape(rest)
    return numbers


def region_of(mask: NDArray[np.bool_]) -> Region:
    """The elements where a mask of the tensor's shape is true."""
    positions = np.flatnonzero(mask).astype(np.int64)
    rank = mask.ndim
    box = tuple(
        np.flatnonzero(mask.any(axis=tuple(a for a in range(rank) if a != axis))).astype(np.int64)
        for axis in range(rank)
    )
    is_box = prod(len(indices) for indices in box) == len(positions)
    return Region(mask.shape, positions, box if is_box else None)


def box_positions(shape: tuple[int, ...], sets: Sets) -> Positions:
    """Positions of a box, in the order of its own flattened elements."""
    positions = np.zeros((), dtype=np.int64)
    for size, indices in zip(shape, sets, strict=True):
        positions = positions[..., None] * size + indices
    return positions.reshape(-1)


def everything(shape: tuple[int, ...]) -> Sets:
    """The index sets of a whole tensor."""
    return tuple(np.arange(size, dtype=np.int64) for size in shape)


class Holdings:
    """What every node of a group holds of every tensor, worked out once each.

    Parameters
    ----------
    nodes : int
    owners : dict of str to int array
        As `planner.cost.ownership.FeatureShares` has them.
    tensors : dict of str to TracedTensor
    """

    def __init__(
        self, nodes: int, owners: dict[str, Owners], tensors: dict[str, TracedTensor]
    ) -> None:
        self.nodes = nodes
        self.owners = owners
        self.tensors = tensors
        self._numbers: dict[TracedTensor, Positions] = {}
        self._regions: dict[tuple[TracedTensor, bytes], list[Region]] = {}

    def numbers(self, name: str) -> Positions:
        """The feature of every element of a tensor."""
        tensor = self.tensors[name]
        if tensor not in self._numbers:
            self._numbers[tensor] = feature_numbers(tensor)
        return self._numbers[tensor]

    def held(self, name: str, node: int) -> Region:
        """What a node holds."""
        owners = self.owners[name]
        key = self.tensors[name], owners.tobytes()
        if key not in self._regions:
            element_owners = owners[self.numbers(name)]
            self._regions[key] = [
                region_of((element_owners == n) | (element_owners == REPLICATED))
                for n in range(self.nodes)
            ]
        return self._regions[key][node]

    def features_at(self, name: str, features: Positions) -> Positions:
        """Positions of all elements of these features, ascending."""
        chosen = np.zeros(len(self.owners[name]), dtype=np.bool_)
        chosen[features] = True
        return np.flatnonzero(chosen[self.numbers(name)]).astype(np.int64)

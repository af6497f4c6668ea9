"""Which elements of a tensor a node holds: positions in the flattened whole, and boxes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from planner.runtime.reading.traced import Atoms

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


def axis_numbers(shape: tuple[int, ...], atoms: Sequence[Atoms]) -> Positions:
    """The feature, position or sample of every element, in the tensor's shape."""
    numbers = np.zeros(shape, dtype=np.int64)
    for axis, factors in enumerate(atoms):
        size = shape[axis]
        index = np.arange(size)
        along = np.zeros(size, dtype=np.int64)
        inner = prod(atom_size for atom_size, _ in factors)
        for atom_size, stride in factors:
            inner //= atom_size
            along += stride * (index // inner % atom_size)
        rest = [1] * len(shape)
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


def box_of(numbers: Positions, shape: tuple[int, ...]) -> Positions | None:
    """Positions of the smallest box with these elements, in its shape; None: it has others too."""
    there = np.zeros(shape, dtype=np.bool_)
    there.reshape(-1)[numbers] = True
    box = region_of(there).box
    return None if box is None else box_positions(shape, box).reshape([len(s) for s in box])

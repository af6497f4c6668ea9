"""Where a tensor's features lie among its dimensions, followed through reshapes and transposes.

A dimension is a row of atoms, the outermost first. A feature atom of stride s counts features in
steps of s; an atom of stride 0 counts something else (positions, tokens). Channels of an image
are one atom of stride 1 in dimension 1; heads and coordinates of attention, (tokens, heads, d),
are an atom of stride d and one of stride 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Atom:
    """A factor of a dimension; ``stride`` 0 if it counts no features."""

    size: int
    stride: int = 0


Dimension = tuple[Atom, ...]


@dataclass(frozen=True)
class Layout:
    """Atoms of every dimension. Feature atoms together number each feature once."""

    dimensions: tuple[Dimension, ...]

    @property
    def count(self) -> int:
        """Number of features."""
        return prod(atom.size for atom in self.feature_atoms)

    @property
    def feature_atoms(self) -> tuple[Atom, ...]:
        """All atoms that count features, in the order of the dimensions."""
        return tuple(atom for dimension in self.dimensions for atom in dimension if atom.stride)

    @property
    def axes(self) -> tuple[int, ...]:
        """Dimensions that hold any feature atom."""
        return tuple(
            axis
            for axis, dimension in enumerate(self.dimensions)
            if any(atom.stride for atom in dimension)
        )

    def is_channel_axis(self, axis: int) -> bool:
        """Whether this dimension numbers all features and nothing else, in order."""
        return self.axes in ((), (axis,)) and self.dimensions[axis] == _whole(self.count)


def _whole(count: int) -> Dimension:
    return (Atom(count, 1),) if count > 1 else ()


def _plain(size: int) -> Dimension:
    return (Atom(size),) if size > 1 else ()


def channels(shape: tuple[int, ...], axis: int) -> Layout:
    """The layout of a tensor whose features are one dimension."""
    return Layout(tuple(_whole(n) if index == axis else _plain(n) for index, n in enumerate(shape)))


def transposed(layout: Layout, permutation: tuple[int, ...]) -> Layout:
    """The layout after ``permute``."""
    return Layout(tuple(layout.dimensions[axis] for axis in permutation))


def regrouped(layout: Layout, shape: tuple[int, ...]) -> Layout | None:
    """The layout after a reshape; None where a new dimension cuts through an atom unevenly."""
    atoms = _fused([atom for dimension in layout.dimensions for atom in dimension])
    dimensions: list[Dimension] = []
    for size in shape:
        taken: list[Atom] = []
        while size > 1:
            if not atoms:
                return None
            atom = atoms.pop(0)
            if size % atom.size == 0:
                taken.append(atom)
                size //= atom.size
            elif atom.size % size == 0:
                inner = atom.size // size
                taken.append(Atom(size, atom.stride * inner))
                atoms.insert(0, Atom(inner, atom.stride))
                size = 1
            else:
                return None
        dimensions.append(tuple(_fused(taken)))
    return None if atoms else Layout(tuple(dimensions))


def _fused(atoms: list[Atom]) -> list[Atom]:
    """Neighbours that count on where the other ends, as one atom."""
    fused: list[Atom] = []
    for atom in atoms:
        if fused and fused[-1].stride == atom.stride * atom.size:
            last = fused.pop()
            fused.append(Atom(last.size * atom.size, atom.stride))
        else:
            fused.append(atom)
    return fused


def restricted(layout: Layout, axis: int, size: int) -> Layout:
    """The layout with a dimension of another size that holds no features."""
    dimensions = list(layout.dimensions)
    dimensions[axis] = _plain(size)
    return Layout(tuple(dimensions))


def numbered(dimensions: tuple[Dimension, ...], order: tuple[Atom, ...]) -> Layout:
    """Number features anew: ``order`` lists the feature atoms kept, the outermost first."""
    strides: dict[Atom, int] = {}
    stride = 1
    for atom in reversed(order):
        strides[atom] = stride
        stride *= atom.size
    return Layout(
        tuple(
            tuple(
                Atom(atom.size, strides.get(atom, 0)) if atom.stride else atom for atom in dimension
            )
            for dimension in dimensions
        )
    )

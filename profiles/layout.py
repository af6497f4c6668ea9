"""Where a tensor's features lie among its dimensions, followed through reshapes and transposes.

A dimension is a row of atoms, the outermost first. A feature atom of stride s counts features in
steps of s; an atom of stride 0 counts something else (positions, tokens). Channels of an image
are one atom of stride 1 in dimension 1; heads and coordinates of attention, (tokens, heads, d),
are an atom of stride d and one of stride 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal


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
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""
        return tuple(prod(atom.size for atom in dimension) for dimension in self.dimensions)

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


def strides_of(atoms: list[Atom], inner: int = 1) -> dict[int, int]:
    """Old stride to new one when these atoms, the outermost first, hold ``inner`` features each."""
    strides = {}
    for atom in reversed(atoms):
        strides[atom.stride] = inner
        inner *= atom.size
    return strides


def numbered(dimensions: tuple[Dimension, ...], strides: dict[int, int]) -> Layout:
    """Number features anew: an atom whose stride is not named counts features no longer."""
    return Layout(
        tuple(
            tuple(_fused([Atom(a.size, strides.get(a.stride, 0)) for a in dimension]))
            for dimension in dimensions
        )
    )


@dataclass(frozen=True)
class Change:
    """What makes a layout one that channel-wise layers can read, as a flow between features."""

    flow: Literal["local", "grouped", "shuffle"]
    layout: Layout
    groups: int = 1


def normalised(layout: Layout) -> Change:
    """Make whole dimensions out of dimensions that mix features and positions.

    Positions inside a feature (a flattened map, a repeated head) become features of their own;
    the innermost features that stand inside positions (a pixel shuffle) are taken together;
    features in another order (a channel shuffle) are numbered anew. What fits none of these
    stays as it is.
    """
    late = [atom for dimension in layout.dimensions for atom in _after(dimension, plain=True)]
    inside = [atom for dimension in layout.dimensions for atom in _after(dimension, plain=False)]
    if inside and not late:
        return _split_up(layout)
    if late and not inside:
        return _taken_together(layout, late)
    return _reordered(layout)


def _after(dimension: Dimension, *, plain: bool) -> list[Atom]:
    """Feature atoms behind a plain one (``plain``), or plain atoms behind a feature atom."""
    found, seen = [], False
    for atom in dimension:
        if bool(atom.stride) is plain and seen:
            found.append(atom)
        seen = seen or (bool(atom.stride) is not plain)
    return found


def _split_up(layout: Layout) -> Change:
    behind = {
        atom.stride: prod(inner.size for inner in dimension[index + 1 :])
        for dimension in layout.dimensions
        for index, atom in enumerate(dimension)
        if atom.stride and _is_last_feature(dimension, index)
    }
    ordered = sorted(layout.feature_atoms, key=lambda atom: -atom.stride)
    innermost = min(stride for stride, size in behind.items() if size > 1)
    groups = prod(atom.size for atom in ordered if atom.stride >= innermost)
    strides, stride = {}, 1
    for atom in reversed(ordered):
        inner = behind.get(atom.stride, 1)
        strides[atom.stride] = stride * inner
        stride *= inner * atom.size
    dimensions = []
    for dimension in layout.dimensions:
        features = [a for a in dimension if a.stride]
        if features and dimension[-1].stride == 0:
            last = strides[features[-1].stride]
            size = behind[features[-1].stride]
            kept = [Atom(a.size, strides[a.stride]) for a in features]
            dimensions.append(tuple(_fused([*kept, Atom(size, last // size)])))
        else:
            dimensions.append(tuple(Atom(a.size, strides.get(a.stride, 0)) for a in dimension))
    result = Layout(tuple(dimensions))
    whole = groups == layout.count
    return Change("local" if whole else "grouped", result, 1 if whole else groups)


def _is_last_feature(dimension: Dimension, index: int) -> bool:
    return not any(atom.stride for atom in dimension[index + 1 :])


def _taken_together(layout: Layout, late: list[Atom]) -> Change:
    ordered = sorted(layout.feature_atoms, key=lambda atom: -atom.stride)
    kept = [atom for atom in ordered if atom not in late]
    if not kept or ordered[: len(kept)] != kept:
        return _reordered(layout)
    return Change(
        "grouped",
        numbered(layout.dimensions, strides_of(kept)),
        prod(atom.size for atom in kept),
    )


def _reordered(layout: Layout) -> Change:
    for axis in layout.axes:
        dimension = layout.dimensions[axis]
        if layout.axes == (axis,) and len(dimension) == 2 and all(a.stride for a in dimension):
            dimensions = list(layout.dimensions)
            dimensions[axis] = _whole(layout.count)
            return Change("shuffle", Layout(tuple(dimensions)), dimension[1].size)
    return Change("local", layout)

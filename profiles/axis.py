"""Where a tensor's positions, or the samples of its batch, lie among its dimensions.

They are a run of one dimension: entry ``(o, p, i)`` of the dimension, with ``outer`` values of o
and ``inner`` of i, belongs to position p. A reshape may cut the run or make it longer: rows of
tokens become tokens, tokens become windows of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from profiles.graph import Span
from profiles.layout import Layout

Shape = tuple[int, ...]

SAME = Span()
"""Position r reads position r."""


@dataclass(frozen=True)
class Axis:
    """The dimension, its positions, and how many entries lie around and inside of each."""

    dimension: int
    count: int
    outer: int = 1
    inner: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether its positions are the entries of the dimension."""
        return self.outer == self.inner == 1

    def moved(self, by: int) -> Axis:
        """Behind so many more dimensions."""
        return replace(self, dimension=self.dimension + by)


def factors(axis: Axis | None, shape: Shape) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Every dimension as sizes and the steps in which these count positions, 0 for all else.

    Empty where there are none to be parted by.
    """
    if axis is None or axis.count < 2:
        return ()
    parts: list[tuple[tuple[int, int], ...]] = [((int(size), 0),) for size in shape]
    sizes = (axis.outer, axis.count, axis.inner)
    parts[axis.dimension] = tuple(zip(map(int, sizes), (0, 1, 0), strict=True))
    return tuple(tuple(part for part in found if part[0] > 1) for found in parts)


def along(shape: Shape, dimension: int) -> Axis:
    """A whole dimension."""
    return Axis(dimension, shape[dimension])


def meets(axis: Axis, layout: Layout) -> bool:
    """Whether a layout counts some of the same entries."""
    inner = 1
    for atom in reversed(layout.dimensions[axis.dimension]):
        outside = inner >= axis.inner * axis.count or inner * atom.size <= axis.inner
        if atom.stride and atom.size > 1 and not outside:
            return True
        inner *= atom.size
    return False


def regrouped(axis: Axis, before: Shape, after: Shape) -> Axis | None:
    """The same positions after a reshape; None where a dimension cuts through them."""
    inside = _below(before, axis.dimension) * axis.inner  # elements of one position, in a row
    whole = int(inside) * int(axis.count)
    fitting = []
    for dimension, size in enumerate(after):
        below = _below(after, dimension)
        above = int(below) * int(size)
        if below <= inside and whole <= above and not (int(inside) % int(below) or above % whole):
            fitting.append(Axis(dimension, axis.count, above // whole, inside // below))
    if len(fitting) < 2:
        return fitting[0] if fitting else None
    # A single position fits into any dimension of size 1 in its place: the one as far in.
    ones = [found for found in fitting if after[found.dimension] == 1] or fitting
    place = _below(before, axis.dimension)
    earlier = [d for d in range(axis.dimension) if before[d] == 1 and _below(before, d) == place]
    return ones[min(len(earlier), len(ones) - 1)]


def cut(axis: Axis, before: Shape, after: Shape) -> tuple[Axis, Span] | None:
    """Runs of positions as positions, where a reshape lays them out over several dimensions."""
    inside = _below(before, axis.dimension) * axis.inner
    whole = inside * axis.count
    for dimension, size in enumerate(after):
        below = _below(after, dimension)
        above = int(below) * int(size)
        if inside < below < whole <= above:
            if int(below) % int(inside) or int(whole) % int(below) or above % int(whole):
                return None
            run = below // inside
            return Axis(dimension, whole // below, above // int(whole)), Span(run, last=run - 1)
    return None


def refined(axis: Axis) -> tuple[Axis, Span]:
    """What lies inside of a position as positions of their own."""
    finer = Axis(axis.dimension, axis.count * axis.inner, axis.outer)
    return finer, Span(per=axis.inner)


def _below(shape: Shape, dimension: int) -> int:
    return prod(shape[dimension + 1 :])

"""What a contract is, and what its rules have in common."""

from __future__ import annotations

from dataclasses import dataclass

from planner.domain.flows import FeatureFlow
from profiles.graph import Tensor
from profiles.layout import Atom, Layout


@dataclass(frozen=True)
class Operand:
    """An input of an operator: its tensor, its layout, and whether every node holds it whole."""

    tensor: Tensor
    layout: Layout
    replicated: bool = False

    @property
    def count(self) -> int:
        """Number of features."""
        return self.layout.count


@dataclass(frozen=True)
class Contract:
    """How output features depend on input features.

    Attributes
    ----------
    flow : FeatureFlow
    layout : Layout
        Of the output.
    groups : int
        Of a grouped flow or a shuffle.
    start : int
        First feature of a slice.
    statistics : int
        Numbers per position that every node must know of every other one.
    """

    flow: FeatureFlow
    layout: Layout
    groups: int = 1
    start: int = 0
    statistics: int = 0


def aligned(item: Operand, rank: int) -> tuple[tuple[Atom, ...], ...]:
    """Dimensions as broadcasting sees them."""
    return ((),) * (rank - len(item.layout.dimensions)) + item.layout.dimensions


def parted(layout: Layout, axes: tuple[int, ...]) -> tuple[list[Atom], list[Atom]]:
    """Feature atoms in the given dimensions, and the others, the outermost first."""
    inside = [a for axis in axes for a in layout.dimensions[axis] if a.stride]
    outside = [a for a in layout.feature_atoms if a not in inside]
    return inside, sorted(outside, key=lambda atom: -atom.stride)


def are_major(major: list[Atom], minor: list[Atom]) -> bool:
    """Whether all of some feature atoms lie outside all of the others."""
    return min(a.stride for a in major) > max(a.stride for a in minor)

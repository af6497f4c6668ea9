"""Contracts of operators that only move features: joined, cut out, or laid out otherwise."""

from __future__ import annotations

from math import prod

from profiles.contract_parts import Contract, Operand, are_major, parted
from profiles.graph import Operator
from profiles.layout import (
    Atom,
    Layout,
    channels,
    normalised,
    numbered,
    regrouped,
    restricted,
    strides_of,
    transposed,
)


def concat_rule(operator: Operator, operands: list[Operand]) -> Contract | None:
    """Operands joined along features, one behind the other, or along another dimension."""
    shape, axis = operator.output.shape, operator.axes[0]
    layouts = [item.layout for item in operands]
    first = layouts[0]
    sizes = [item.tensor.shape[axis] for item in operands]
    if not any(axis in layout.axes for layout in layouts):
        if len({layout.count for layout in layouts}) > 1:
            return None
        return Contract("local", restricted(first, axis, shape[axis]))
    if sum(sizes) != shape[axis]:  # a constant takes part: nobody owns it
        return None
    if all(layout.is_channel_axis(axis) for layout in layouts):
        return Contract("concat", channels(shape, axis))
    inside, outside = parted(first, (axis,))
    if len(inside) != 1 or not outside or not are_major(outside, inside):
        return None
    others = [parted(layout, (axis,))[1] for layout in layouts[1:]]
    if any(not found or found[0].size != outside[0].size for found in others):
        return None
    return _resized_minor(first, axis, shape[axis], outside)


def _resized_minor(layout: Layout, axis: int, size: int, outside: list[Atom]) -> Contract:
    """Another number of features within every group of the outer atoms."""
    dimensions = list(numbered(layout.dimensions, strides_of(outside, inner=size)).dimensions)
    dimensions[axis] = (Atom(size, 1),) if size > 1 else ()
    groups = prod(atom.size for atom in outside)
    return Contract("grouped", Layout(tuple(dimensions)), groups=groups)


def slice_rule(operator: Operator, operands: list[Operand]) -> Contract | None:
    """A run of features, or of another dimension."""
    layout, shape = operands[0].layout, operator.output.shape
    dropped = len(shape) == len(layout.dimensions) - 1
    touched = [axis for axis in operator.axes if axis in layout.axes]
    sizes = list(shape)
    if dropped:
        sizes.insert(operator.axes[0], 1)
    if len(sizes) != len(layout.dimensions):
        return None  # the declared shape contradicts its input
    found: Contract | None
    if not touched:
        for axis in operator.axes:
            layout = restricted(layout, axis, sizes[axis])
        found = Contract("local", layout)
    else:
        found = _feature_slice(operator, layout, touched, sizes) if len(touched) == 1 else None
    if found is None or not dropped:
        return found
    dimensions = found.layout.dimensions
    gone = operator.axes[0]
    kept = Layout(dimensions[:gone] + dimensions[gone + 1 :])
    return Contract(found.flow, kept, groups=found.groups, start=found.start)


def _feature_slice(
    operator: Operator, layout: Layout, touched: list[int], sizes: list[int]
) -> Contract | None:
    axis = touched[0]
    inside, outside = parted(layout, (axis,))
    if len(operator.axes) > 1 or len(layout.dimensions[axis]) != 1:
        return None
    atom = inside[0]
    if all(other.stride < atom.stride for other in outside):  # outermost: a run of features
        if operator.start < 0:
            return None
        dimensions = list(layout.dimensions)
        dimensions[axis] = (Atom(sizes[axis], atom.stride),) if sizes[axis] > 1 else ()
        return Contract("slice", Layout(tuple(dimensions)), start=operator.start * atom.stride)
    if not are_major(outside, inside):
        return None
    return _resized_minor(layout, axis, sizes[axis], outside)


def transpose_rule(operator: Operator, operands: list[Operand]) -> Contract:
    """Dimensions move with the features in them."""
    return Contract("local", transposed(operands[0].layout, operator.permutation))


def reshape_rule(operator: Operator, operands: list[Operand]) -> Contract | None:
    """Dimensions are regrouped; features that come to lie otherwise are shuffled."""
    source = operands[0].layout
    layout = regrouped(source, operator.output.shape)
    if layout is None:
        return None
    change = normalised(layout)
    if change.groups == 1 and change.layout.count == source.count:
        return Contract(change.flow, change.layout)
    return Contract(change.flow, change.layout, groups=change.groups)

"""What an operator does to features: which outputs read which inputs, and where they lie then.

The rules work on layouts (`profiles.layout`), so that heads, windows, channel shuffles and
flattened maps are followed without a rule each. What no rule covers runs on one node, which is
always a valid plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from planner.domain.layer_profile import FeatureFlow
from profiles.graph import Operator, Tensor
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


def input_layout(tensor: Tensor) -> Layout:
    """Images and signals carry channels in dimension 1, token ids and vectors come last."""
    rank = len(tensor.shape)
    return channels(tensor.shape, 1 if rank >= 3 else max(rank - 1, 0))


def one_node(output: Tensor, operands: list[Operand]) -> Contract:
    """Gather everything on one node; features are counted on where they were, as far as known."""
    shape = output.shape
    layout = input_layout(output)
    if operands and shape and len(operands[0].layout.dimensions) - 1 in operands[0].layout.axes:
        layout = channels(shape, len(shape) - 1)
    return Contract("one-node", layout)


def contract(operator: Operator, operands: list[Operand]) -> Contract:
    """Contract of an operator whose inputs carry their features as given."""
    rule = _RULES.get(operator.kind)
    found = None
    if operands and rule is not None:
        found = rule(operator, operands)
    if found is not None and found.layout.shape != operator.output.shape:
        found = None  # a file whose shapes contradict each other
    if found is None and operator.kind in ("linear", "recurrent"):  # whatever the input was
        return Contract("one-node", channels(operator.output.shape, len(operator.output.shape) - 1))
    return found or one_node(operator.output, operands)


def _conv(operator: Operator, operands: list[Operand]) -> Contract | None:
    source = operands[0].layout
    if len(source.dimensions) < 3 or not source.is_channel_axis(1):
        return None
    outputs = operator.output.shape[1]
    layout = channels(operator.output.shape, 1)
    if operator.groups == 1:
        return Contract("mixing", layout)
    if operator.groups == source.count and outputs % source.count == 0:
        return Contract("local", layout)
    return Contract("grouped", layout, groups=operator.groups)


def _linear(operator: Operator, operands: list[Operand]) -> Contract | None:
    source = operands[0].layout
    last = len(source.dimensions) - 1
    if last < 0 or not source.is_channel_axis(last):
        return None
    shape = operator.output.shape
    return Contract("mixing", channels(shape, len(shape) - 1))


def _embedding(operator: Operator, operands: list[Operand]) -> Contract:
    shape = operator.output.shape
    return Contract("mixing", channels(shape, len(shape) - 1))


def _along(operator: Operator, operands: list[Operand]) -> Contract | None:
    """Features stay where they are, whatever happens to other dimensions."""
    source = operands[0]
    shape = operator.output.shape
    layout = source.layout
    if len(shape) != len(layout.dimensions):
        return None
    for axis, (before, after) in enumerate(zip(source.tensor.shape, shape, strict=True)):
        if before != after:
            if axis in layout.axes:
                return None
            layout = restricted(layout, axis, after)
    return Contract("local", layout)


def _identity(operator: Operator, operands: list[Operand]) -> Contract | None:
    """A copy, a cast, padding, or a roll along ``axes``."""
    rolled = set(operator.axes) & set(operands[0].layout.axes)
    return None if rolled else _along(operator, operands)


def _elementwise(operator: Operator, operands: list[Operand]) -> Contract | None:
    """All operands follow the one with the most features; unlike ones have no common owner."""
    shape = operator.output.shape
    bearing = [item for item in operands if item.count > 1]
    owned = [item for item in bearing if not item.replicated]
    if not bearing:
        return Contract("local", channels(shape, -1))
    leader = max(owned or bearing, key=lambda item: item.count)
    lead = _aligned(leader, len(shape))
    axes = {axis for axis, dimension in enumerate(lead) if any(a.stride for a in dimension)}
    for item in owned:
        features = _aligned(item, len(shape))
        if any((axis in axes) != any(a.stride for a in features[axis]) for axis in axes) or any(
            features[axis] != lead[axis] for axis in axes
        ):
            return None
    layout = Layout(lead)
    for axis, size in enumerate(shape):
        if axis not in axes:
            layout = restricted(layout, axis, size)
        elif prod(atom.size for atom in lead[axis]) != size:
            return None
    return Contract("local", layout)


def _aligned(item: Operand, rank: int) -> tuple[tuple[Atom, ...], ...]:
    """Dimensions as broadcasting sees them."""
    return ((),) * (rank - len(item.layout.dimensions)) + item.layout.dimensions


def _normalisation(operator: Operator, operands: list[Operand]) -> Contract | None:
    along = _along(operator, operands)
    if along is None:
        return None
    inside, outside = _parted(along.layout, operator.axes)
    if not inside:
        return along
    if not outside:
        return Contract("local", along.layout, statistics=_MEAN_AND_VARIANCE)
    if _are_major(outside, inside):
        return Contract("grouped", along.layout, groups=prod(a.size for a in outside))
    return None


def _parted(layout: Layout, axes: tuple[int, ...]) -> tuple[list[Atom], list[Atom]]:
    """Feature atoms in the given dimensions, and the others, the outermost first."""
    inside = [a for axis in axes for a in layout.dimensions[axis] if a.stride]
    outside = [a for a in layout.feature_atoms if a not in inside]
    return inside, sorted(outside, key=lambda atom: -atom.stride)


def _are_major(major: list[Atom], minor: list[Atom]) -> bool:
    return min(a.stride for a in major) > max(a.stride for a in minor)


# Reductions over all features that nodes finish from each other's numbers: how many per position.
_MEAN_AND_VARIANCE = 2
_TOLD = {
    **dict.fromkeys(
        (
            "all amax amin any count_nonzero linalg_vector_norm mean nansum norm prod reduce_l1 "
            "reduce_l2 reduce_log_sum reduce_max reduce_min reduce_prod reduce_sum_square sum"
        ).split(),
        1,
    ),
    **dict.fromkeys("logsumexp nanmean reduce_log_sum_exp".split(), 2),
    **dict.fromkeys("std var".split(), _MEAN_AND_VARIANCE),
}


def _reduce(operator: Operator, operands: list[Operand]) -> Contract | None:
    layout = operands[0].layout
    inside, outside = _parted(layout, operator.axes)
    kept_rank = len(operator.output.shape) == len(layout.dimensions)
    dimensions = tuple(
        () if axis in operator.axes else dimension
        for axis, dimension in enumerate(layout.dimensions)
        if kept_rank or axis not in operator.axes
    )
    if not inside:
        return Contract("local", Layout(dimensions))
    if not outside:
        told = _TOLD.get(operator.op, 0)
        return Contract("reduce", Layout(dimensions), statistics=told) if told else None
    if not _are_major(outside, inside):
        return None
    groups = prod(atom.size for atom in outside)
    return Contract("grouped", numbered(dimensions, strides_of(outside)), groups=groups)


def _concat(operator: Operator, operands: list[Operand]) -> Contract | None:
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
    inside, outside = _parted(first, (axis,))
    if len(inside) != 1 or not outside or not _are_major(outside, inside):
        return None
    if any(_parted(layout, (axis,))[1][0].size != outside[0].size for layout in layouts[1:]):
        return None
    return _resized_minor(first, axis, shape[axis], outside)


def _resized_minor(layout: Layout, axis: int, size: int, outside: list[Atom]) -> Contract:
    """Another number of features within every group of the outer atoms."""
    dimensions = list(numbered(layout.dimensions, strides_of(outside, inner=size)).dimensions)
    dimensions[axis] = (Atom(size, 1),) if size > 1 else ()
    groups = prod(atom.size for atom in outside)
    return Contract("grouped", Layout(tuple(dimensions)), groups=groups)


def _slice(operator: Operator, operands: list[Operand]) -> Contract | None:
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
    inside, outside = _parted(layout, (axis,))
    if len(operator.axes) > 1 or len(layout.dimensions[axis]) != 1:
        return None
    atom = inside[0]
    if all(other.stride < atom.stride for other in outside):  # outermost: a run of features
        if operator.start < 0:
            return None
        dimensions = list(layout.dimensions)
        dimensions[axis] = (Atom(sizes[axis], atom.stride),) if sizes[axis] > 1 else ()
        return Contract("slice", Layout(tuple(dimensions)), start=operator.start * atom.stride)
    if not _are_major(outside, inside):
        return None
    return _resized_minor(layout, axis, sizes[axis], outside)


def _transpose(operator: Operator, operands: list[Operand]) -> Contract:
    return Contract("local", transposed(operands[0].layout, operator.permutation))


def _reshape(operator: Operator, operands: list[Operand]) -> Contract | None:
    source = operands[0].layout
    layout = regrouped(source, operator.output.shape)
    if layout is None:
        return None
    change = normalised(layout)
    if change.groups == 1 and change.layout.count == source.count:
        return Contract(change.flow, change.layout)
    return Contract(change.flow, change.layout, groups=change.groups)


def _matmul(operator: Operator, operands: list[Operand]) -> Contract | None:
    """Products within heads are grouped; others would sum over what nodes hold apart."""
    if len(operands) < 2 or min(len(item.tensor.shape) for item in operands) < 2:
        return None
    shape = operator.output.shape
    left, right = (_aligned(item, len(shape)) for item in operands[:2])
    heads = _features_of(left[:-2])
    if not heads or _features_of(left[-2:-1]):
        return None
    if [a.size for a in _features_of(right[:-2])] != [a.size for a in heads]:
        return None
    contracted, columns = _features_of(left[-1:]), _features_of(right[-1:])
    if bool(contracted) != bool(_features_of(right[-2:-1])) or (contracted and columns):
        return None
    return _grouped_product(left[:-2], shape, heads, right[-1] if columns else None)


def _attention(operator: Operator, operands: list[Operand]) -> Contract | None:
    """Softmax(q kᵀ) v inside each head."""
    shape = operator.output.shape
    if len(operands) < 3 or len(shape) < 3:
        return None
    query, value = _aligned(operands[0], len(shape)), _aligned(operands[2], len(shape))
    heads = _features_of(query[:-2])
    if not heads or _features_of(query[-2:-1]) or not _features_of(value[-1:]):
        return None
    return _grouped_product(query[:-2], shape, heads, value[-1])


def _features_of(dimensions: tuple[tuple[Atom, ...], ...]) -> list[Atom]:
    return [atom for dimension in dimensions for atom in dimension if atom.stride]


def _grouped_product(
    batch: tuple[tuple[Atom, ...], ...],
    shape: tuple[int, ...],
    heads: list[Atom],
    columns: tuple[Atom, ...] | None,
) -> Contract:
    size = shape[-1] if columns else 1
    ordered = sorted(heads, key=lambda atom: -atom.stride)
    outer = numbered(batch, strides_of(ordered, inner=size)).dimensions
    rows = channels(shape[-2:-1], -1).dimensions
    last = channels(shape[-1:], 0 if columns else -1).dimensions
    layout = Layout((*outer, *rows, *last))
    return Contract("grouped", layout, groups=prod(atom.size for atom in heads))


_RULES: dict[str, Callable[[Operator, list[Operand]], Contract | None]] = {
    "conv": _conv,
    "conv_transpose": _conv,
    "linear": _linear,
    "embedding": _embedding,
    "matmul": _matmul,
    "attention": _attention,
    "activation": _along,
    "batch_norm": _along,
    "identity": _identity,
    "pool": _along,
    "elementwise": _elementwise,
    "norm": _normalisation,
    "softmax": _normalisation,
    "reduce": _reduce,
    "concat": _concat,
    "slice": _slice,
    "transpose": _transpose,
    "reshape": _reshape,
}

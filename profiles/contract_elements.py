"""Contracts of element-wise operators, norms and reductions: where features meet at most."""

from __future__ import annotations

from math import prod

from profiles.contract_parts import Contract, Operand, aligned, are_major, parted
from profiles.graph import Operator
from profiles.layout import Layout, channels, numbered, restricted, strides_of


def along_rule(operator: Operator, operands: list[Operand]) -> Contract | None:
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


def identity_rule(operator: Operator, operands: list[Operand]) -> Contract | None:
    """A copy, a cast, padding, or a roll along ``axes``."""
    rolled = set(operator.axes) & set(operands[0].layout.axes)
    return None if rolled else along_rule(operator, operands)


def elementwise_rule(operator: Operator, operands: list[Operand]) -> Contract | None:
    """All operands follow the one with the most features; unlike ones have no common owner."""
    shape = operator.output.shape
    bearing = [item for item in operands if item.count > 1]
    owned = [item for item in bearing if not item.replicated]
    if not bearing:
        return Contract("local", channels(shape, -1))
    if any(len(item.layout.dimensions) > len(shape) for item in bearing):
        return None  # a file whose shapes contradict each other
    leader = max(owned or bearing, key=lambda item: item.count)
    lead = aligned(leader, len(shape))
    axes = {axis for axis, dimension in enumerate(lead) if any(a.stride for a in dimension)}
    for item in owned:
        features = aligned(item, len(shape))
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


def norm_rule(operator: Operator, operands: list[Operand]) -> Contract | None:
    """Statistics over features are told to all nodes; within whole groups they are local."""
    along = along_rule(operator, operands)
    if along is None:
        return None
    inside, outside = parted(along.layout, operator.axes)
    if not inside:
        return along
    if operator.groups > 1:  # a group norm: every group by itself
        fits = along.layout.is_channel_axis(1) and along.layout.count % operator.groups == 0
        return Contract("grouped", along.layout, groups=operator.groups) if fits else None
    if not outside:
        return Contract("local", along.layout, statistics=told_by_norm(operator))
    if are_major(outside, inside):
        return Contract("grouped", along.layout, groups=prod(a.size for a in outside))
    return None


_MEAN_AND_VARIANCE = 2

_TOLD_BY_NORM = dict.fromkeys("rms_norm lp_normalization".split(), 1)
"""Norms without a mean: a sum of squares or of magnitudes is told."""


def told_by_norm(operator: Operator) -> int:
    """Numbers that nodes tell each other for each of a norm's statistics."""
    return _TOLD_BY_NORM.get(operator.op, _MEAN_AND_VARIANCE)


def statistic_bytes(operator: Operator) -> int:
    """Bytes of one number for every place beside the dimensions that a norm goes over."""
    output = operator.output
    sizes = (size for axis, size in enumerate(output.shape) if axis not in operator.axes)
    return prod(sizes) * output.element_bytes


# Reductions over all features that nodes finish from each other's numbers: how many per position.
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


def reduce_rule(operator: Operator, operands: list[Operand]) -> Contract | None:
    """A reduction beside features, over all of them, or over whole groups."""
    layout = operands[0].layout
    inside, outside = parted(layout, operator.axes)
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
    if not are_major(outside, inside):
        return None
    groups = prod(atom.size for atom in outside)
    return Contract("grouped", numbered(dimensions, strides_of(outside)), groups=groups)

"""Contracts of operators with weights, and of products: where features mix."""

from __future__ import annotations

from math import prod

from profiles.contract_parts import Contract, Operand, aligned
from profiles.graph import Operator
from profiles.layout import Atom, Layout, channels, numbered, strides_of


def conv_rule(operator: Operator, operands: list[Operand]) -> Contract | None:
    """Features are mixed, group by group, or left where they are."""
    source = operands[0].layout
    if len(operands) > 1 and operands[1].tensor.shape == operator.weight_shape:
        return None  # filters that are computed lie with the features of what computes them
    if len(source.dimensions) != len(operator.weight_shape) or not source.is_channel_axis(1):
        return None  # channels lie elsewhere in a stack of batches
    outputs = operator.output.shape[1]
    layout = channels(operator.output.shape, 1)
    if operator.groups == 1:
        return Contract("mixing", layout)
    if operator.groups == source.count and outputs % source.count == 0:
        return Contract("local", layout)
    return Contract("grouped", layout, groups=operator.groups)


def linear_rule(operator: Operator, operands: list[Operand]) -> Contract | None:
    """Features of the last dimension are mixed."""
    source = operands[0].layout
    last = len(source.dimensions) - 1
    if last < 0 or not source.is_channel_axis(last):
        return None
    shape = operator.output.shape
    return Contract("mixing", channels(shape, len(shape) - 1))


def embedding_rule(operator: Operator, operands: list[Operand]) -> Contract:
    """Every output feature reads the whole table."""
    shape = operator.output.shape
    return Contract("mixing", channels(shape, len(shape) - 1))


def matmul_rule(operator: Operator, operands: list[Operand]) -> Contract | None:
    """Products within heads are grouped; others would sum over what nodes hold apart."""
    if len(operands) < 2 or min(len(item.tensor.shape) for item in operands) < 2:
        return None
    shape = operator.output.shape
    left, right = (aligned(item, len(shape)) for item in operands[:2])
    heads = _features_of(left[:-2])
    if not heads or _features_of(left[-2:-1]):
        return None
    if [a.size for a in _features_of(right[:-2])] != [a.size for a in heads]:
        return None
    contracted, columns = _features_of(left[-1:]), _features_of(right[-1:])
    if bool(contracted) != bool(_features_of(right[-2:-1])) or (contracted and columns):
        return None
    return _grouped_product(left[:-2], shape, heads, right[-1] if columns else None)


def attention_rule(operator: Operator, operands: list[Operand]) -> Contract | None:
    """Softmax(q kᵀ) v inside each head."""
    shape = operator.output.shape
    if len(operands) < 3 or len(shape) < 3:
        return None
    query, value = aligned(operands[0], len(shape)), aligned(operands[2], len(shape))
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

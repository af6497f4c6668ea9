"""Convolutions of ONNX."""

from __future__ import annotations

from planner.errors import BadInputError
from profiles.from_onnx.emitter import Constant, Emitter, Made, Node
from profiles.graph import Kind, Tensor


def conv(e: Emitter, node: Node) -> Made | None:
    """``Conv`` and ``ConvTranspose``."""
    return convolution(e, node, x=0, weight=1, bias=2)


def convolution(
    e: Emitter,
    node: Node,
    *,
    x: int,
    weight: int,
    bias: int = -1,
    places: tuple[int, ...] = (),
) -> Made | None:
    """A convolution whose operands stand at the given positions; ``places``: computed offsets.

    Raises
    ------
    BadInputError
        Weight, groups and data do not fit each other.
    """
    data, filters = e.activation(node, x), e.constant(node, weight)
    if data is None or filters is None or (bias >= 0 and e.activation(node, bias) is not None):
        return None
    output = e.output(node)
    groups = int(node.attributes.get("group", 1))
    transposed = node.op_type == "ConvTranspose"
    if len(data.shape) < 3 or len(filters.shape) != len(data.shape) or groups < 1:
        raise _mismatch(node, data, filters)
    first, second = filters.shape[0], filters.shape[1] * groups
    read, made = (first, second) if transposed else (second, first)
    if data.shape[1] != read or read % groups or made % groups or output.shape[1] != made:
        raise _mismatch(node, data, filters)
    kind: Kind = "conv_transpose" if transposed else "conv"
    trained = [c for p in (weight, bias) if p >= 0 and (c := e.constant(node, p))]
    return [
        e.emit(
            node,
            kind,
            [data, *(t for position in places if (t := e.activation(node, position)))],
            output,
            op=kind,
            weights=trained,
            statistics=e.constants(node),
            weight_shape=filters.shape,
            groups=groups,
        )
    ]


def _mismatch(node: Node, x: Tensor, weight: Constant) -> BadInputError:
    groups = node.attributes.get("group", 1)
    return BadInputError(
        f"node {node.label!r} ({node.op_type}) reads a tensor of shape {x.shape}, "
        f"which its weight of shape {weight.shape} in {groups} groups does not fit"
    )

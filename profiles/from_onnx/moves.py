"""Steps that move numbers without computing, for nodes that need several operators."""

from __future__ import annotations

from profiles.from_onnx.emitter import Emitter, Node
from profiles.graph import Tensor

Shape = tuple[int, ...]


def reshaped(
    e: Emitter, node: Node, x: Tensor, shape: Shape, output: Tensor | None = None
) -> Tensor:
    """The tensor in another shape; itself where it has that shape and needs no other name."""
    if output is None:
        if x.shape == shape:
            return x
        output = e.like(x, shape, e.label(f"{node.label}:reshape"))
    return e.emit(node, "reshape", [x], output, op="reshape", step="reshape")


def turned(e: Emitter, node: Node, x: Tensor, order: Shape, output: Tensor | None = None) -> Tensor:
    """The tensor with its dimensions in another order; itself where the order is the same."""
    if output is None:
        if order == tuple(range(len(order))):
            return x
        output = e.like(x, tuple(x.shape[p] for p in order), e.label(f"{node.label}:transpose"))
    return e.emit(
        node, "transpose", [x], output, op="transpose", step="transpose", permutation=order
    )


def repeated(e: Emitter, node: Node, x: Tensor, shape: Shape) -> Tensor:
    """The tensor with dimensions of size 1 as often as the shape says."""
    if x.shape == shape:
        return x
    output = e.like(x, shape, e.label(f"{node.label}:expand"))
    return e.emit(node, "identity", [x], output, op="expand", step="expand")


def part(e: Emitter, node: Node, x: Tensor, axis: int, start: int, size: int) -> Tensor:
    """A run of a dimension."""
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    output = e.like(x, shape, e.label(f"{node.label}:slice"))
    return e.emit(node, "slice", [x], output, op="slice", step="slice", axes=(axis,), start=start)


def joined(e: Emitter, node: Node, first: Tensor, second: Tensor, axis: int) -> Tensor:
    """Two tensors, one behind the other."""
    size = first.shape[axis] + second.shape[axis]
    shape = (*first.shape[:axis], size, *first.shape[axis + 1 :])
    output = e.like(first, shape, e.label(f"{node.label}:concat"))
    return e.emit(node, "concat", [first, second], output, op="concat", step="concat", axes=(axis,))

"""Matrix products of ONNX: with a constant they are linear layers, of activations products."""

from __future__ import annotations

from math import prod

from planner.errors import BadInputError
from profiles.from_onnx.emitter import Constant, Emitter, Made, Node
from profiles.from_onnx.moves import turned
from profiles.graph import Tensor

Shape = tuple[int, ...]


def matmul(e: Emitter, node: Node, left: int = 0, right: int = 1) -> Made | None:
    """``A · B`` over the last two dimensions, the others broadcast."""
    a, b = e.activation(node, left), e.activation(node, right)
    if a is not None and b is not None:
        return [e.emit(node, "matmul", [a, b], e.output(node), op="matmul")]
    weight = e.constant(node, right if b is None else left)
    if weight is None:
        return None
    output = e.output(node)
    if a is not None:
        return [times(e, node, a, weight, weight.shape, output)]
    assert b is not None  # a node without activations is a constant
    # W · x is (xᵀ · Wᵀ)ᵀ: between two transposes it is a linear layer like any other.
    x = _transposed(e, node, b) if len(b.shape) > 1 else b
    turned = _swapped(weight.shape)
    if len(b.shape) < 2 or len(weight.shape) < 2:
        return [times(e, node, x, weight, turned, output)]
    product = e.like(output, _swapped(output.shape), e.label(f"{node.label}:product"))
    return [_transposed(e, node, times(e, node, x, weight, turned, product), output)]


def gemm(e: Emitter, node: Node) -> Made | None:
    """``α · A · B + β · C`` of matrices, A and B transposed on demand."""
    a, b, c = (e.activation(node, position) for position in range(3))
    weight = e.constant(node, 1 if b is None else 0)
    if (a is None and b is None) or (weight is None and (a is None or b is None)):
        return None
    bias = [constant for constant in (e.constant(node, 2),) if constant is not None]
    turn_a, turn_b = (bool(node.attributes.get(name, 0)) for name in ("transA", "transB"))
    output = e.output(node)
    product = output
    if c is not None:
        product = e.like(output, output.shape, e.label(f"{node.label}:product"))
    if a is not None:
        x = _transposed(e, node, a) if turn_a else a
        if weight is None or b is not None:
            assert b is not None
            e.emit(node, "matmul", [x, b], product, op="matmul", weights=bias)
        else:
            shape = _swapped(weight.shape) if turn_b else weight.shape
            times(e, node, x, weight, shape, product, bias)
    else:
        assert b is not None and weight is not None
        x = b if turn_b else _transposed(e, node, b)
        shape = weight.shape if turn_a else _swapped(weight.shape)
        turned = e.like(output, _swapped(output.shape), e.label(f"{node.label}:product"))
        _transposed(e, node, times(e, node, x, weight, shape, turned, bias), product)
    if c is not None:
        e.emit(node, "elementwise", [product, c], output, op="add", step="add")
    return [output]


def times(
    e: Emitter,
    node: Node,
    x: Tensor,
    weight: Constant,
    shape: Shape,
    output: Tensor,
    bias: list[Constant] | None = None,
) -> Tensor:
    """``x · weight`` where the weight, turned as it is used, has the shape (..., I, O) or (I,).

    Raises
    ------
    BadInputError
        The tensor's last dimension does not fit the weight.
    """
    features = shape[-2] if len(shape) > 1 else shape[-1] if shape else 0
    if not x.shape or x.shape[-1] != features:
        raise BadInputError(
            f"node {node.label!r} ({node.op_type}) multiplies a tensor of shape {x.shape} "
            f"by a weight of shape {shape}, which do not fit"
        )
    weights = [weight, *(bias or ())]
    if len(shape) < 2 or prod(shape[:-2]) > 1:  # a weight of its own for every matrix
        return e.emit(node, "matmul", [x], output, op="matmul", weights=weights)
    canonical = (shape[-1], features)
    return e.emit(node, "linear", [x], output, op="linear", weights=weights, weight_shape=canonical)


def _transposed(e: Emitter, node: Node, x: Tensor, output: Tensor | None = None) -> Tensor:
    """Swap the last two dimensions."""
    return turned(e, node, x, _swapped(tuple(range(len(x.shape)))), output)


def _swapped(shape: Shape) -> Shape:
    return (*shape[:-2], *shape[-2:][::-1])

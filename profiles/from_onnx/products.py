"""Matrix products and convolutions of ONNX."""

from __future__ import annotations

from profiles.from_onnx.call import Call
from profiles.from_onnx.spans import convolved
from profiles.meanings import einsum as meaning
from profiles.meanings import layers
from profiles.meanings.call import many, require, stored_only
from profiles.meanings.products import product


def matmul(call: Call, left: int = 0, right: int = 1) -> None:
    """``A · B`` over the last two dimensions, the others broadcast."""
    weights = call.constants_at((left, right))
    product(call, call.operand(left), call.operand(right), weights=weights)


def gemm(call: Call) -> None:
    """``α · A · B + β · C`` of matrices, A and B transposed on demand."""
    product(
        call,
        call.operand(0),
        call.operand(1),
        turn=(bool(call.integer("transA", 0)), bool(call.integer("transB", 0))),
        term=call.tensor(2),
        weights=call.constants_at(range(3)),
    )


def einsum(call: Call) -> None:
    """A product of any number of operands."""
    equation = call.attributes.get("equation", b"").decode(errors="replace")
    meaning.einsum(call, equation, [call.operand(p) for p in range(len(call.inputs))])


def conv(
    call: Call, x: int = 0, weight: int = 1, bias: int = 2, places: tuple[int, ...] = ()
) -> None:
    """A convolution whose operands stand at the given positions; ``places``: computed offsets."""
    require(call.tensor(bias) is None)
    data, filters = call.data(x), call.operand(weight)
    layers.convolution(
        call,
        data,
        filters,
        groups=call.integer("group", 1),
        transposed=call.op_type == "ConvTranspose",
        weights=[*call.constants_at((weight, bias)), *stored_only(many(call.constants))],
        places=call.tensors(places),
        windows=convolved(call, data.shape, filters.shape[2:]),
    )

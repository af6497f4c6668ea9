"""Matrix products and convolutions of ONNX, and their quantised forms.

Those are the same layers with settings for their number format.
"""

from __future__ import annotations

from profiles.from_onnx.call import Call
from profiles.from_onnx.emitter import stored_only
from profiles.meanings import einsum as meaning
from profiles.meanings import layers
from profiles.meanings.products import product


def matmul(call: Call, left: int = 0, right: int = 1) -> bool:
    """``A · B`` over the last two dimensions, the others broadcast."""
    weights = call.constants((left, right))
    return product(call, call.operand(left), call.operand(right), weights=weights)


def gemm(call: Call) -> bool:
    """``α · A · B + β · C`` of matrices, A and B transposed on demand."""
    return product(
        call,
        call.operand(0),
        call.operand(1),
        turn=(bool(call.integer("transA", 0)), bool(call.integer("transB", 0))),
        term=call.tensor(2),
        weights=call.constants(range(3)),
    )


def einsum(call: Call) -> bool:
    """A product of any number of operands."""
    equation = call.attributes.get("equation", b"").decode(errors="replace")
    operands = [call.operand(position) for position in range(len(call.inputs))]
    return meaning.einsum(call, equation, operands)


def conv(
    call: Call, x: int = 0, weight: int = 1, bias: int = 2, places: tuple[int, ...] = ()
) -> bool:
    """A convolution whose operands stand at the given positions; ``places``: computed offsets."""
    if call.tensor(bias) is not None:
        return False
    return layers.convolution(
        call,
        call.tensor(x),
        call.constant(weight),
        groups=call.integer("group", 1),
        transposed=call.op_type == "ConvTranspose",
        weights=[*call.constants((weight, bias)), *stored_only(call.all_constants)],
        places=call.tensors(places),
    )


def deformed_conv(call: Call) -> bool:
    """A convolution that reads at computed places."""
    return conv(call, bias=3, places=(2, 4))


def qlinear_conv(call: Call) -> bool:
    """A convolution of quantised numbers with fixed scales."""
    call.mark_settings(1, 2, 4, 5, 6, 7)
    return conv(call, weight=3, bias=8)


def conv_integer(call: Call) -> bool:
    """A convolution of integers."""
    call.mark_settings(2, 3)
    return conv(call, bias=len(call.inputs))


def qlinear_matmul(call: Call) -> bool:
    """A matrix product of quantised numbers with fixed scales."""
    call.mark_settings(1, 2, 4, 5, 6, 7)
    return matmul(call, 0, 3)


def matmul_integer(call: Call) -> bool:
    """A matrix product of integers."""
    call.mark_settings(2, 3)
    return matmul(call)

"""Matrix products and convolutions of ONNX, and their quantised forms.

Those are the same layers with settings for their number format.
"""

from __future__ import annotations

from profiles.from_onnx.call import Call
from profiles.meanings import einsum as meaning
from profiles.meanings import layers
from profiles.meanings.call import require, stored_only
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
    layers.convolution(
        call,
        call.data(x),
        call.weight(weight),
        groups=call.integer("group", 1),
        transposed=call.op_type == "ConvTranspose",
        weights=[*call.constants_at((weight, bias)), *stored_only(call.constants)],
        places=call.tensors(places),
    )


def deformed_conv(call: Call) -> None:
    """A convolution that reads at computed places."""
    conv(call, bias=3, places=(2, 4))


def qlinear_conv(call: Call) -> None:
    """A convolution of quantised numbers with fixed scales."""
    call.mark_settings(1, 2, 4, 5, 6, 7)
    conv(call, weight=3, bias=8)


def conv_integer(call: Call) -> None:
    """A convolution of integers."""
    call.mark_settings(2, 3)
    conv(call, bias=len(call.inputs))


def qlinear_matmul(call: Call) -> None:
    """A matrix product of quantised numbers with fixed scales."""
    call.mark_settings(1, 2, 4, 5, 6, 7)
    matmul(call, 0, 3)


def matmul_integer(call: Call) -> None:
    """A matrix product of integers."""
    call.mark_settings(2, 3)
    matmul(call)

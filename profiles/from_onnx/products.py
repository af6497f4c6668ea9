"""Matrix products and convolutions of ONNX."""

from __future__ import annotations

from math import prod

from profiles.from_onnx.call import Call
from profiles.from_onnx.spans import convolved
from profiles.graph import Tensor
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


def dft(call: Call) -> None:
    """A fast Fourier transform along one dimension; the last one holds real and imaginary parts."""
    x = call.data(0)
    axis = next(iter(call.integers(2) or ()), call.integer("axis", _DFT_AXIS[call.has_input(2)]))
    sides = x.shape[:-1]
    axis = axis if axis >= 0 else axis + len(x.shape)
    made = call.output().shape
    require(0 <= axis < len(sides) and len(made) == len(x.shape))
    # the longer of both sides: one of them may hold half of the frequencies
    size = max(sides[axis], made[axis], *(call.integers(1) or (1,)))
    _fourier(call, x, prod(sides) // max(sides[axis], 1), size)


_DFT_AXIS = {False: 1, True: -2}  # before and since operator set 20


def stft(call: Call) -> None:
    """A transform of every frame of a signal."""
    x, made = call.data(0), call.output().shape
    require(len(made) == 4)
    window = call.operand(2).shape if call.has_input(2) else ()
    size = next(iter(call.integers(3) or window), 2 * (made[2] - 1))
    _fourier(call, x, made[0] * made[1], size)


def _fourier(call: Call, x: Tensor, count: int, size: int) -> None:
    require(size > 0)
    said = f"{call.op_type} {call.name!r}: n·log2 n multiply-accumulates assumed"
    call.emitter.assumed[call.name] = said
    layers.fourier(call, x, count, size, call.weights)

"""Matrix products and convolutions of ATen."""

from __future__ import annotations

from profiles.from_torch.emitter import Call
from profiles.meanings import einsum as meaning
from profiles.meanings import layers
from profiles.meanings.products import product

_FACTORS = {
    **dict.fromkeys(("bmm", "mm"), ("self", "mat2")),
    "mv": ("self", "vec"),
    "dot": ("self", "tensor"),
    "matmul": ("self", "other"),
    "addmm": ("mat1", "mat2"),
    "addmv": ("mat", "vec"),
    "baddbmm": ("batch1", "batch2"),
}


def linear(call: Call) -> bool:
    """``x · Wᵀ + b``."""
    x, weight = call.tensor("input"), call.operand("weight")
    if x is None or weight is None or call.tensor("bias") is not None:
        return False
    if call.output_shape() != (*x.shape[:-1], *weight.shape[:-1]):
        raise ValueError("shapes")
    return product(call, x, weight, turn=(False, True), weights=call.constants)


def matmul(call: Call) -> bool:
    """``A · B``, and ``β · C + α · A · B``."""
    left, right = (call.operand(name) for name in _FACTORS[call.base])
    term = call.tensor("self") if call.base in ("addmm", "addmv", "baddbmm") else None
    return product(call, left, right, term=term, weights=call.constants)


def einsum(call: Call) -> bool:
    """A product of any number of operands."""
    return meaning.einsum(call, str(call.value("equation")), call.operands("tensors"))


def conv(call: Call) -> bool:
    """A convolution, transposed or not."""
    if call.tensor("bias") is not None:
        return False
    return layers.convolution(
        call,
        call.tensor("input"),
        call.constant("weight"),
        groups=call.integer("groups", 1),
        transposed=call.value("transposed") is True or call.base.startswith("conv_transpose"),
        weights=call.constants,
    )

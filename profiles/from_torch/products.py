"""Operators of ATen with multiply-accumulates."""

from __future__ import annotations

from profiles.from_torch.emitter import Call
from profiles.from_torch.spans import convolved
from profiles.meanings import attention as heads
from profiles.meanings import einsum as meaning
from profiles.meanings import layers
from profiles.meanings.call import Constant, require
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


def linear(call: Call) -> None:
    """``x · Wᵀ + b``."""
    x, weight = call.data("input"), call.operand("weight")
    require(call.tensor("bias") is None)
    if call.output().shape != (*x.shape[:-1], *weight.shape[:-1]):
        raise ValueError("shapes")
    product(call, x, weight, turn=(False, True), weights=call.constants)


def matmul(call: Call) -> None:
    """``A · B``, and ``β · C + α · A · B``."""
    left, right = (call.operand(name) for name in _FACTORS[call.base])
    term = call.tensor("self") if call.base in ("addmm", "addmv", "baddbmm") else None
    product(call, left, right, term=term, weights=call.constants)


def einsum(call: Call) -> None:
    """A product of any number of operands."""
    meaning.einsum(call, str(call.value("equation")), call.operands("tensors"))


def conv(call: Call) -> None:
    """A convolution, transposed or not."""
    require(call.tensor("bias") is None)
    filters = call.weight("weight")
    transposed = call.value("transposed") is True or call.base.startswith("conv_transpose")
    layers.convolution(
        call,
        call.data("input"),
        filters,
        groups=call.integer("groups", 1),
        transposed=transposed,
        weights=call.constants,
        windows=convolved(call, filters.shape[2:], transposed),
    )


def attention(call: Call) -> None:
    """Softmax(q kᵀ) v."""
    query, key, value = (call.operand(name) for name in ("query", "key", "value"))
    require(min(len(item.shape) for item in (query, key, value)) > 1)
    mask = call.tensor("attn_mask") or call.tensor("attn_bias")
    masks = [] if mask is None else [mask]
    heads.attention(call, query, key, value, masks, call.constants)


def recurrent(call: Call) -> None:
    """LSTM, GRU or RNN, whole or one cell."""
    x = call.tensor("input") or call.data("data")
    cell = call.base.endswith("_cell")
    weights = [call.operand(n) for n in ("w_ih", "w_hh")] if cell else call.operands("params")
    matrices = [weight.shape for weight in weights if len(weight.shape) == 2]
    require(bool(x.shape and matrices) and all(isinstance(item, Constant) for item in weights))
    states = [tensor for tensor in call.activations if tensor != x]
    sequences: int | None = 0 if call.value("batch_first") is True else 1
    if cell or len(x.shape) < 3 or call.tensor("data") is not None:
        sequences = 0 if cell and len(x.shape) == 2 else None
    made = layers.recurrent(
        call, x, states, matrices, call.base, sequences=sequences, weights=call.constants
    )
    for position in call.used:
        if position:  # the last states, which the same node holds
            call.add("gather", [made], "final_state", position=position, step="final_state")

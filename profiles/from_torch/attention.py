"""Attention and recurrent layers of ATen."""

from __future__ import annotations

from math import prod

from profiles.from_torch.emitter import Call, Constant
from profiles.from_torch.program import Ref
from profiles.graph import Tensor


def attention(call: Call) -> bool:
    """Softmax(q kᵀ) v; a key head that several query heads read is repeated for them."""
    operands: list[Tensor | Constant] = []
    for name in ("query", "key", "value"):
        found = call.tensor(name) or call.constant(name)
        if found is None or len(found.shape) < 2:
            return False
        operands.append(found)
    query, key, value = operands
    mask = call.tensor("attn_mask") or call.tensor("attn_bias")
    masks = [mask] if mask is not None else []
    if isinstance(query, Tensor) and isinstance(key, Tensor) and isinstance(value, Tensor):
        key, value = (_for_heads(call, item, query) for item in (key, value))
        call.emit("attention", [query, key, value, *masks], op="attention", position=0)
        return True
    # With a learned operand the formula cannot read its shape off the inputs: (|q| + |out|) · keys
    # is |out| · contracted.
    elements = prod(call.meta().shape)
    macs = (prod(query.shape) + elements) * key.shape[-2]
    inputs = [item for item in operands if isinstance(item, Tensor)] + masks
    if macs % elements:
        return False
    call.emit("matmul", inputs, op="attention", contracted=macs // elements)
    return True


def _for_heads(call: Call, item: Tensor, query: Tensor) -> Tensor:
    rank = len(query.shape)
    if len(item.shape) != rank or rank < 3 or not item.shape[-3]:
        return item
    times, rest = divmod(query.shape[-3], item.shape[-3])
    return item if rest or times < 2 else repeated(call, item, rank - 3, times)


def repeated(call: Call, x: Tensor, axis: int, times: int) -> Tensor:
    """Every entry along a dimension, ``times`` times in a row."""
    outer, inner = x.shape[: axis + 1], x.shape[axis + 1 :]
    apart = call.step("reshape", [x], (*outer, 1, *inner), "reshape")
    wide = call.step("elementwise", [apart], (*outer, times, *inner), "expand")
    shape = (*x.shape[:axis], x.shape[axis] * times, *inner)
    return call.step("reshape", [wide], shape, "reshape")


def recurrent(call: Call) -> bool:
    """LSTM, GRU or RNN, whole or one cell: every step reads all weight matrices."""
    cell = call.base.endswith("_cell")
    x = call.tensor("input") or call.tensor("data")
    if x is None or not x.shape:
        return False
    if cell:
        weights: list[Tensor | Constant | None] = [call.constant(n) for n in ("w_ih", "w_hh")]
    else:
        params = call.value("params")
        items = params if isinstance(params, tuple) else ()
        weights = [call.operand(item.name) for item in items if isinstance(item, Ref)]
    matrices = [w for w in weights if isinstance(w, Constant) and len(w.shape) == 2]
    if not matrices or not all(isinstance(w, Constant) for w in weights):
        return False
    contracted = sum(prod(matrix.shape) for matrix in matrices)
    states = [tensor for tensor in call.activations if tensor != x]
    op = call.base
    made = call.emit("recurrent", [x, *states], op=op, contracted=contracted)
    for position in call.used:
        if position:  # the last states, which the same node holds
            call.emit("gather", [made], op="final_state", position=position, part=True)
    return True

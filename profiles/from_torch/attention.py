"""Attention and recurrent layers of ATen."""

from __future__ import annotations

from profiles.from_torch.emitter import Call
from profiles.graph import Tensor
from profiles.meanings import attention as meaning
from profiles.meanings import layers


def attention(call: Call) -> bool:
    """Softmax(q kᵀ) v."""
    query, key, value = (call.operand(name) for name in ("query", "key", "value"))
    if query is None or key is None or value is None:
        return False
    if min(len(item.shape) for item in (query, key, value)) < 2:
        return False
    mask = call.tensor("attn_mask") or call.tensor("attn_bias")
    masks = [] if mask is None else [mask]
    return meaning.attention(call, query, key, value, masks, call.constants)


def recurrent(call: Call) -> bool:
    """LSTM, GRU or RNN, whole or one cell."""
    x = call.tensor("input") or call.tensor("data")
    cell = call.base.endswith("_cell")
    weights = [call.operand(n) for n in ("w_ih", "w_hh")] if cell else call.operands("params")
    shapes = [w.shape for w in weights if w is not None and not isinstance(w, Tensor)]
    matrices = [shape for shape in shapes if len(shape) == 2]
    if x is None or not x.shape or not matrices or len(shapes) < len(weights):
        return False
    states = [tensor for tensor in call.activations if tensor != x]
    made = layers.recurrent(call, x, states, matrices, call.base, weights=call.constants)
    for position in call.used:
        if position:  # the last states, which the same node holds
            call.add("gather", [made], "final_state", position=position, step="final_state")
    return True

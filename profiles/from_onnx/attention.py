"""Fused attention of ONNX and of ONNX Runtime, with its heads made visible."""

from __future__ import annotations

from profiles.from_onnx.call import Call
from profiles.graph import Tensor
from profiles.meanings import attention as meaning
from profiles.meanings.attention import split_in_heads
from profiles.meanings.moves import joined, part
from profiles.meanings.products import times


def attention(call: Call) -> bool:
    """``Attention`` of the standard: q, k, v with or without a dimension for heads, and a cache."""
    heads = call.integer("q_num_heads", 0)
    few = call.integer("kv_num_heads", heads)
    past = [call.tensor(position) for position in (4, 5)]
    if any(x is not None and len(x.shape) != 4 for x in past):
        return False
    given = _in_heads(call, (heads, few, few))
    if given is None:
        return False
    query, key, value = given
    if past[0] is not None:
        key = joined(call, past[0], key, 2)
    if past[1] is not None:
        value = joined(call, past[1], value, 2)
    call.bind(key, 1)
    call.bind(value, 2)
    return meaning.attention(call, query, key, value, call.tensors((3,)))


def multi_head_attention(call: Call) -> bool:
    """``MultiHeadAttention`` of ONNX Runtime: q, k, v of (batch, tokens, features), no cache."""
    heads = call.integer("num_heads", 0)
    given = None if any(call.inputs[6:]) else _in_heads(call, (heads, heads, heads))
    if given is None:
        return False
    query, key, value = given
    bias = call.constant(3)
    if bias is not None:  # of q, k and v together; it costs nothing but its bytes
        shape = query.shape
        query = call.add("activation", [query], "add", shape=shape, step="bias", weights=[bias])
    return meaning.attention(call, query, key, value, call.tensors((4, 5)))


def packed_attention(call: Call) -> bool:
    """``Attention`` of ONNX Runtime: one projection to q, k and v, then attention; no cache."""
    x, weight = call.tensor(0), call.constant(1)
    heads = call.integer("num_heads", 0)
    if x is None or weight is None or len(x.shape) != 3 or len(weight.shape) != 2:
        return False
    total = weight.shape[1]
    sizes = tuple(call.attributes.get("qkv_hidden_sizes", ())) or (total // 3,) * 3
    divides = heads > 0 and all(size > 0 and size % heads == 0 for size in sizes)
    if len(sizes) != 3 or sum(sizes) != total or not divides or any(call.inputs[4:]):
        return False
    shape, weights = (*x.shape[:-1], total), call.constants((1, 2))
    packed = times(call, x, weight.shape, shape, weights, "projection")
    starts = (0, sizes[0], sizes[0] + sizes[1])
    query, key, value = (
        split_in_heads(call, part(call, packed, 2, start, size), heads)
        for start, size in zip(starts, sizes, strict=True)
    )
    return meaning.attention(call, query, key, value, call.tensors((3,)))


def _in_heads(call: Call, heads: tuple[int, int, int]) -> list[Tensor] | None:
    """q, k and v with a dimension for their heads; None where their numbers make no sense."""
    found = []
    for position, count in enumerate(heads):
        x = call.tensor(position)
        if x is None or len(x.shape) not in (3, 4):
            return None
        if len(x.shape) == 4:
            count = x.shape[1]
        elif count < 1 or x.shape[2] % count:
            return None
        found.append((x, count))
    if any(found[0][1] % count for _, count in found[1:]):
        return None
    return [x if len(x.shape) == 4 else split_in_heads(call, x, count) for x, count in found]

"""Fused attention of ONNX and of ONNX Runtime, with its heads made visible."""

from __future__ import annotations

from profiles.from_onnx.call import Call
from profiles.graph import Tensor
from profiles.meanings import attention as meaning
from profiles.meanings.attention import split_in_heads
from profiles.meanings.call import require
from profiles.meanings.moves import joined, part
from profiles.meanings.products import times


def attention(call: Call) -> None:
    """``Attention`` of the standard: q, k, v with or without a dimension for heads, and a cache."""
    heads = call.integer("q_num_heads", 0)
    few = call.integer("kv_num_heads", heads)
    past = [call.tensor(position) for position in (4, 5)]
    require(all(x is None or len(x.shape) == 4 for x in past))
    query, key, value = _in_heads(call, (heads, few, few))
    if past[0] is not None:
        key = joined(call, past[0], key, 2)
    if past[1] is not None:
        value = joined(call, past[1], value, 2)
    call.made.update({1: key, 2: value})
    meaning.attention(call, query, key, value, call.tensors((3,)))


def multi_head_attention(call: Call) -> None:
    """``MultiHeadAttention`` of ONNX Runtime: q, k, v of (batch, tokens, features), no cache."""
    require(not any(call.inputs[6:]))
    query, key, value = _in_heads(call, (call.integer("num_heads", 0),) * 3)
    bias = call.constant(3)
    if bias is not None:  # of q, k and v together; it costs nothing but its bytes
        shape = query.shape
        query = call.add("activation", [query], "add", shape=shape, step="bias", weights=[bias])
    meaning.attention(call, query, key, value, call.tensors((4, 5)))


def packed_attention(call: Call) -> None:
    """``Attention`` of ONNX Runtime: one projection to q, k and v, then attention; no cache."""
    x, weight = call.data(0), call.weight(1)
    require(len(x.shape) == 3 and len(weight.shape) == 2 and not any(call.inputs[4:]))
    heads, total = call.integer("num_heads", 0), weight.shape[1]
    sizes = tuple(call.attributes.get("qkv_hidden_sizes", ())) or (total // 3,) * 3
    require(heads > 0 and all(size > 0 and size % heads == 0 for size in sizes))
    require(len(sizes) == 3 and sum(sizes) == total)
    shape, weights = (*x.shape[:-1], total), call.constants_at((1, 2))
    packed = times(call, x, weight.shape, shape, weights, "projection")
    starts = (0, sizes[0], sizes[0] + sizes[1])
    query, key, value = (
        split_in_heads(call, part(call, packed, 2, start, size), heads)
        for start, size in zip(starts, sizes, strict=True)
    )
    meaning.attention(call, query, key, value, call.tensors((3,)))


def _in_heads(call: Call, heads: tuple[int, ...]) -> list[Tensor]:
    """q, k and v with a dimension for their heads, where their numbers make sense."""
    given = [call.data(position) for position in range(3)]
    require(all(len(x.shape) in (3, 4) for x in given))
    counts = [x.shape[1] if len(x.shape) == 4 else n for x, n in zip(given, heads, strict=True)]
    for x, count in zip(given, counts, strict=True):
        require(count > 0 and counts[0] % count == 0)
        require(len(x.shape) == 4 or x.shape[2] % count == 0)
    return [
        x if len(x.shape) == 4 else split_in_heads(call, x, count)
        for x, count in zip(given, counts, strict=True)
    ]

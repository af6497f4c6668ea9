"""Fused attention of ONNX and of ONNX Runtime, with its heads made visible."""

from __future__ import annotations

from itertools import accumulate

from profiles.from_onnx.call import Call
from profiles.graph import Tensor
from profiles.meanings import attention as meaning
from profiles.meanings.attention import split_in_heads
from profiles.meanings.call import require, stored_only
from profiles.meanings.moves import joined, part, reshaped, turned
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
    """``MultiHeadAttention`` of ONNX Runtime: q, k and v apart, or in one, and a cache."""
    _multi_head(call, bias=3, masks=(4, 5), past=6)


def decoder_attention(call: Call) -> None:
    """``DecoderMaskedMultiHeadAttention``: the same, with its operands elsewhere."""
    _multi_head(call, bias=10, masks=(3, 4), past=5)


def _multi_head(call: Call, bias: int, masks: tuple[int, ...], past: int) -> None:
    heads, query = call.integer("num_heads", 0), call.data(0)
    require(heads > 0)
    if len(query.shape) == 5:
        query, key, value = _unpacked(call, query, 3)
    elif (both := call.tensor(1)) is not None and len(both.shape) == 5:
        key, value = _unpacked(call, both, 2)
        query = split_in_heads(call, query, heads)
    else:
        query, key, value = _in_heads(call, (heads,) * 3)
    added = call.constant(bias)
    if added is not None:  # of q, k and v together; it costs nothing but its bytes
        shape = query.shape
        query = call.add("activation", [query], "add", shape=shape, step="bias", weights=[added])
    key, value = _with_past(call, key, value, past)
    meaning.attention(call, query, key, value, call.tensors(masks))


def grouped_query_attention(call: Call) -> None:
    """``GroupQueryAttention``: few heads of k and v, turned by positions, and a cache."""
    heads, few = call.integer("num_heads", 0), call.integer("kv_num_heads", 0)
    query = call.data(0)
    require(len(query.shape) == 3 and heads > 0 < few and heads % few == 0)
    if call.tensor(1) is None:  # q, k and v side by side
        size, rest = divmod(query.shape[2], heads + 2 * few)
        require(not rest)
        sizes = (heads * size, few * size, few * size)
        query, key, value = _cut(call, query, sizes, (heads, few, few))
    else:
        query, key, value = _in_heads(call, (heads, few, few))
    if call.integer("do_rotary", 0):
        tables = stored_only(call.constants_at((7, 8)))
        query, key = (
            call.add(
                "softmax",
                [x],
                "rotary_embedding",
                shape=x.shape,
                step="rotary",
                axes=(3,),
                weights=tables,
            )
            for x in (query, key)
        )
    key, value = _with_past(call, key, value, 3)
    total = call.integers(6)
    if total and 0 < total[0] < key.shape[2]:  # the cache is a buffer with room to spare
        key, value = (part(call, x, 2, 0, total[0]) for x in (key, value))
    meaning.attention(call, query, key, value, call.tensors((10,)))


def packed_attention(call: Call, mask: int = 3, bias: int = 5, past: int = 4) -> None:
    """``Attention`` of ONNX Runtime: one projection to q, k and v, then attention."""
    x, weight = call.data(0), call.weight(1)
    require(len(x.shape) == 3 and len(weight.shape) == 2)
    heads, total = call.integer("num_heads", 0), weight.shape[1]
    sizes = tuple(call.attributes.get("qkv_hidden_sizes", ())) or (total // 3,) * 3
    require(heads > 0 and all(size > 0 and size % heads == 0 for size in sizes))
    require(len(sizes) == 3 and sum(sizes) == total)
    shape, weights = (*x.shape[:-1], total), call.constants_at((1, 2))
    packed = times(call, x, weight.shape, shape, weights, "projection")
    query, key, value = _cut(call, packed, sizes, (heads,) * 3)
    cache = call.tensor(past)
    if cache is not None:  # of k and v together
        require(len(cache.shape) == 5 and cache.shape[0] == 2)
        old = [
            reshaped(call, part(call, cache, 0, index, 1), cache.shape[1:]) for index in range(2)
        ]
        key, value = (joined(call, p, new, 2) for p, new in zip(old, (key, value), strict=True))
    if 1 in call.used:
        inside = (1, *key.shape)
        both = [reshaped(call, item, inside) for item in (key, value)]
        call.add("concat", both, "concat", position=1, step="cache", axes=(0,), offsets=(0, 1))
    meaning.attention(call, query, key, value, call.tensors((mask, bias)))


def _cut(
    call: Call, packed: Tensor, sizes: tuple[int, ...], heads: tuple[int, ...]
) -> list[Tensor]:
    """Features side by side, in heads."""
    starts = accumulate(sizes, initial=0)
    return [
        split_in_heads(call, part(call, packed, 2, start, size), count)
        for start, size, count in zip(starts, sizes, heads, strict=False)
    ]


def _unpacked(call: Call, packed: Tensor, count: int) -> list[Tensor]:
    """(batch, tokens, heads, count, d) in its parts, with heads before the tokens."""
    require(packed.shape[3] == count)
    shape = (*packed.shape[:3], packed.shape[4])
    return [
        turned(call, reshaped(call, part(call, packed, 3, index, 1), shape), (0, 2, 1, 3))
        for index in range(count)
    ]


def _with_past(call: Call, key: Tensor, value: Tensor, position: int) -> tuple[Tensor, Tensor]:
    """Keys and values behind those of a cache, which are outputs too."""
    past = call.tensors((position, position + 1))
    require(len(past) in (0, 2) and all(len(x.shape) == 4 for x in past))
    if past:
        key, value = (joined(call, p, new, 2) for p, new in zip(past, (key, value), strict=True))
    call.made.update({1: key, 2: value})
    return key, value


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

"""Fused attention of ONNX and of ONNX Runtime, with its heads made visible."""

from __future__ import annotations

from profiles.from_onnx.emitter import Emitter, Made, Node
from profiles.from_onnx.moves import joined, part, repeated, reshaped, turned
from profiles.from_onnx.products import times
from profiles.graph import Tensor

_HEADS_OUT = (0, 2, 1, 3)  # (batch, tokens, heads, d) to (batch, heads, tokens, d), and back


def attention(e: Emitter, node: Node) -> Made | None:
    """``Attention`` of the standard: q, k, v with or without a dimension for heads, and a cache."""
    heads = int(node.attributes.get("q_num_heads", 0))
    few = int(node.attributes.get("kv_num_heads", heads))
    given = _operands(e, node, (heads, few, few))
    past = [e.activation(node, position) for position in (4, 5)]
    if given is None or any(x is not None and len(x.shape) != 4 for x in past):
        return None
    query, key, value = (_in_heads(e, node, x, h) for x, h in given)
    if past[0] is not None:
        key = joined(e, node, past[0], key, 2)
    if past[1] is not None:
        value = joined(e, node, past[1], value, 2)
    return [_attended(e, node, query, key, value, masks=(3,)), key, value]


def multi_head_attention(e: Emitter, node: Node) -> Made | None:
    """``MultiHeadAttention`` of ONNX Runtime: q, k, v of (batch, tokens, features), no cache."""
    heads = int(node.attributes.get("num_heads", 0))
    given = _operands(e, node, (heads, heads, heads))
    if given is None or any(node.inputs[6:]):
        return None
    query, key, value = (_in_heads(e, node, x, h) for x, h in given)
    bias = e.constant(node, 3)
    if bias is not None:  # of q, k and v together; it costs nothing but its bytes
        output = e.like(query, query.shape, e.label(f"{node.label}:bias"))
        query = e.emit(node, "activation", [query], output, op="add", step="bias", weights=[bias])
    return [_attended(e, node, query, key, value, masks=(4, 5))]


def packed_attention(e: Emitter, node: Node) -> Made | None:
    """``Attention`` of ONNX Runtime: one projection to q, k and v, then attention; no cache."""
    x, weight, bias = e.activation(node, 0), e.constant(node, 1), e.constant(node, 2)
    heads = int(node.attributes.get("num_heads", 0))
    if x is None or weight is None or len(x.shape) != 3 or len(weight.shape) != 2:
        return None
    total = weight.shape[1]
    sizes = tuple(node.attributes.get("qkv_hidden_sizes", ())) or (total // 3,) * 3
    divides = heads > 0 and all(size > 0 and size % heads == 0 for size in sizes)
    if len(sizes) != 3 or sum(sizes) != total or not divides or any(node.inputs[4:]):
        return None
    packed = e.like(x, (*x.shape[:-1], total), e.label(f"{node.label}:projection"))
    times(e, node, x, weight, weight.shape, packed, [bias] if bias else [])
    starts = (0, sizes[0], sizes[0] + sizes[1])
    query, key, value = (
        _split(e, node, part(e, node, packed, 2, start, size), heads)
        for start, size in zip(starts, sizes, strict=True)
    )
    return [_attended(e, node, query, key, value, masks=(3,))]


def _operands(
    e: Emitter, node: Node, heads: tuple[int, int, int]
) -> list[tuple[Tensor, int]] | None:
    """q, k and v with their numbers of heads; None where they make no sense."""
    found = []
    for position, count in enumerate(heads):
        x = e.activation(node, position)
        if x is None or len(x.shape) not in (3, 4):
            return None
        if len(x.shape) == 4:
            count = x.shape[1]
        elif count < 1 or x.shape[2] % count:
            return None
        found.append((x, count))
    return found if found[0][1] % found[1][1] == 0 == found[0][1] % found[2][1] else None


def _in_heads(e: Emitter, node: Node, x: Tensor, heads: int) -> Tensor:
    return x if len(x.shape) == 4 else _split(e, node, x, heads)


def _split(e: Emitter, node: Node, x: Tensor, heads: int) -> Tensor:
    batch, tokens, features = x.shape
    apart = reshaped(e, node, x, (batch, tokens, heads, features // heads))
    return turned(e, node, apart, _HEADS_OUT)


def _attended(
    e: Emitter, node: Node, query: Tensor, key: Tensor, value: Tensor, masks: tuple[int, ...]
) -> Tensor:
    batch, heads, tokens, _ = query.shape
    key, value = (_for_every_query_head(e, node, x, heads) for x in (key, value))
    output = e.output(node)
    inside = (batch, heads, tokens, value.shape[3])
    apart = output.shape == inside
    result = output if apart else e.like(output, inside, e.label(f"{node.label}:heads"))
    extra = [mask for position in masks if (mask := e.activation(node, position))]
    e.emit(node, "attention", [query, key, value, *extra], result, op="attention")
    if apart:
        return output
    return reshaped(e, node, turned(e, node, result, _HEADS_OUT), output.shape, output)


def _for_every_query_head(e: Emitter, node: Node, x: Tensor, heads: int) -> Tensor:
    """Grouped queries: every head of keys and values serves several of the queries'."""
    batch, few, tokens, features = x.shape
    if few == heads:
        return x
    times_each = heads // few
    wide = reshaped(e, node, x, (batch, few, 1, tokens, features))
    wide = repeated(e, node, wide, (batch, few, times_each, tokens, features))
    return reshaped(e, node, wide, (batch, heads, tokens, features))

"""Attention, and the heads that it works in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from profiles.graph import Tensor
from profiles.meanings.call import Call, Constant, Operand, require
from profiles.meanings.moves import repeated, reshaped, turned

_HEADS_OUT = (0, 2, 1, 3)  # (batch, tokens, heads, d) to (batch, heads, tokens, d), and back


def attention(
    call: Call,
    query: Operand,
    key: Operand,
    value: Operand,
    masks: Sequence[Tensor] = (),
    weights: Iterable[Constant] = (),
) -> None:
    """Softmax(q kᵀ) v; a key head that several query heads read is repeated for them.

    Parameters
    ----------
    query, key, value : Tensor or Constant
        (..., heads, tokens, d). An output without a dimension for heads has them side by side.
    masks : sequence of Tensor
        Computed ones; whatever they say is added to the products.
    """
    output = call.output().shape
    if isinstance(query, Tensor) and isinstance(key, Tensor) and isinstance(value, Tensor):
        key, value = (_for_every_query_head(call, item, query) for item in (key, value))
        inputs = [query, key, value, *masks]
        if len(output) == len(query.shape):
            call.add("attention", inputs, "attention", weights=weights)
            return
        inside = (*query.shape[:-1], value.shape[-1])
        heads = call.add(
            "attention", inputs, "attention", shape=inside, beside="heads", weights=weights
        )
        reshaped(call, turned(call, heads, _HEADS_OUT), output, last=True)
        return
    # With a learned operand the formula cannot read its shape off the inputs: (|q| + |out|) · keys
    # is |out| · contracted.
    elements = prod(output)
    macs = (prod(query.shape) + elements) * key.shape[-2]
    inputs = [item for item in (query, key, value) if isinstance(item, Tensor)] + [*masks]
    require(macs % elements == 0)
    call.add("matmul", inputs, "attention", contracted=macs // elements, weights=weights)


def split_in_heads(call: Call, x: Tensor, heads: int) -> Tensor:
    """(batch, tokens, features) as (batch, heads, tokens, features of a head)."""
    batch, tokens, features = x.shape
    return turned(call, reshaped(call, x, (batch, tokens, heads, features // heads)), _HEADS_OUT)


def _for_every_query_head(call: Call, item: Tensor, query: Tensor) -> Tensor:
    rank = len(query.shape)
    if len(item.shape) != rank or rank < 3 or not item.shape[-3]:
        return item
    times, rest = divmod(query.shape[-3], item.shape[-3])
    return item if rest or times < 2 else repeated(call, item, rank - 3, times)

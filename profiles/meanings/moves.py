"""Operators that compute nothing: numbers keep their values and change places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from profiles.graph import Tensor
from profiles.meanings.call import Call, Constant, Operand, Shape, require


def swapped(shape: Shape) -> Shape:
    """The last two dimensions exchanged."""
    return (*shape[:-2], *shape[-2:][::-1])


def resized(shape: Shape, axis: int, size: int) -> Shape:
    """Another size in one dimension."""
    return (*shape[:axis], size, *shape[axis + 1 :])


# Steps of calls that need several operators. One that changes nothing is none, unless it has to
# make the call's output (``last``).


def reshaped(call: Call, x: Tensor, shape: Sequence[int], *, last: bool = False) -> Tensor:
    """The tensor in another shape."""
    if not last and x.shape == tuple(shape):
        return x
    return call.add("reshape", [x], "reshape", shape=None if last else shape, step="reshape")


def turned(call: Call, x: Tensor, order: Shape, *, last: bool = False) -> Tensor:
    """The tensor with its dimensions in another order."""
    if not last and order == tuple(range(len(order))):
        return x
    shape = None if last else tuple(x.shape[axis] for axis in order)
    return call.add("transpose", [x], "transpose", shape=shape, step="transpose", permutation=order)


def matrix_turned(call: Call, x: Tensor, *, last: bool = False) -> Tensor:
    """The tensor with its last two dimensions exchanged."""
    return turned(call, x, swapped(tuple(range(len(x.shape)))), last=last)


def part(call: Call, x: Tensor, axis: int, start: int, size: int) -> Tensor:
    """A run of a dimension."""
    shape = resized(x.shape, axis, size)
    return call.add("slice", [x], "slice", shape=shape, step="slice", axes=(axis,), start=start)


def joined(call: Call, first: Tensor, second: Tensor, axis: int) -> Tensor:
    """Two tensors, one behind the other."""
    shape = resized(first.shape, axis, first.shape[axis] + second.shape[axis])
    return call.add(
        "concat",
        [first, second],
        "concat",
        shape=shape,
        step="concat",
        axes=(axis,),
        offsets=(0, first.shape[axis]),
    )


def repeated(call: Call, x: Tensor, axis: int, times: int) -> Tensor:
    """Every entry along a dimension, ``times`` times in a row."""
    outer, inner = x.shape[: axis + 1], x.shape[axis + 1 :]
    apart = reshaped(call, x, (*outer, 1, *inner))
    wide = call.add("elementwise", [apart], "expand", shape=(*outer, times, *inner), step="expand")
    return reshaped(call, wide, resized(x.shape, axis, x.shape[axis] * times))


# Whole calls.


def concat(
    call: Call, parts: Sequence[Operand | None], axis: int, weights: Iterable[Constant] = ()
) -> None:
    """Join along a dimension; constants that take part have no owner.

    Parameters
    ----------
    parts : sequence of (Operand or None)
        In order; None for a constant that is not known.
    """
    rank = len(call.output().shape)
    inputs = [part for part in parts if isinstance(part, Tensor)]
    require(rank > 0 and bool(inputs) and all(len(item.shape) == rank for item in inputs))
    axis %= rank
    offsets: list[int] = []
    begin = 0
    for part in parts:
        if part is None or len(part.shape) != rank:
            offsets = []
            break
        if isinstance(part, Tensor):
            offsets.append(begin)
        begin = begin + part.shape[axis]
    call.add("concat", inputs, "concat", axes=(axis,), weights=weights, offsets=tuple(offsets))


def stack(
    call: Call, parts: Sequence[Operand | None], axis: int, weights: Iterable[Constant] = ()
) -> None:
    """Join along a new dimension: reshapes, then a concat."""
    shape = call.output().shape
    apart = resized(shape, axis % max(len(shape), 1), 1)
    formed = [
        reshaped(call, part, apart)
        if isinstance(part, Tensor)
        else part and replace(part, shape=apart)
        for part in parts
    ]
    concat(call, formed, axis, weights)


def transpose(call: Call, x: Tensor, order: Shape, op: str = "transpose") -> None:
    """Dimensions in another order."""
    require(sorted(order) == list(range(len(x.shape))))
    require(tuple(x.shape[axis] for axis in order) == call.output().shape)
    call.add("transpose", [x], op, permutation=order)


def first_index(start: int, size: int) -> int:
    """Where a cut begins; a negative start counts from the end."""
    return max(start + size, 0) if start < 0 else min(start, size)


def shuffled(call: Call, x: Tensor, split: Shape, order: Shape, op: str = "") -> None:
    """Reshape, transpose, reshape to the output; the last is a step unless it has a name."""
    mixed = turned(call, reshaped(call, x, split), order)
    if op:
        call.add("reshape", [mixed], op)
    else:
        reshaped(call, mixed, (), last=True)


def channels_to_blocks(shape: Shape, block: int) -> tuple[Shape, Shape]:
    """A pixel shuffle: channel (c, i, j) at (y, x) goes to channel c at (y·r + i, x·r + j)."""
    *lead, channels, height, width = shape
    n = len(lead)
    split = (*lead, channels // block**2, block, block, height, width)
    return split, (*range(n), n, n + 3, n + 1, n + 4, n + 2)


def blocks_to_channels(shape: Shape, block: int) -> tuple[Shape, Shape]:
    """The inverse of `channels_to_blocks`."""
    *lead, channels, height, width = shape
    n = len(lead)
    split = (*lead, channels, height // block, block, width // block, block)
    return split, (*range(n), n, n + 2, n + 4, n + 1, n + 3)


def channels_regrouped(shape: Shape, groups: int) -> tuple[Shape, Shape]:
    """A channel shuffle: channel (g, i) becomes channel (i, g)."""
    batch, channels, *inner = shape
    split = (batch, groups, channels // groups, *inner)
    return split, (0, 2, 1, *range(3, len(split)))

"""Layers with weights of their own: convolutions, recurrent layers, tables, norms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from profiles.graph import Kind, Span, Tensor
from profiles.meanings.call import Call, Constant, MisfitError, Operand, Shape
from profiles.meanings.moves import reshaped
from profiles.meanings.spans import SAME, behind


def convolution(
    call: Call,
    x: Tensor,
    filters: Operand,
    *,
    groups: int,
    transposed: bool,
    weights: Iterable[Constant],
    places: Sequence[Tensor] = (),
    windows: Sequence[Span | None] = (),
    shape: Shape | None = None,
) -> Tensor:
    """A convolution, with or without a batch dimension.

    Parameters
    ----------
    x : Tensor
        (batch, I, *positions) or (I, *positions).
    filters : Tensor or Constant
        (O, I/groups, *kernel), transposed (I, O/groups, *kernel); computed ones are data too.
    places : sequence of Tensor
        Computed offsets of the positions that are read.
    windows : sequence of (Span or None)
        What is read along the dimensions of the kernel.
    shape : tuple of int, optional
        Of the result where it is not the call's output.

    Raises
    ------
    MisfitError
        Filters, groups and data do not fit each other.
    """
    output = shape or call.output().shape
    alone = len(x.shape) == len(output) == len(filters.shape) - 1
    data, made = ((1, *x.shape), (1, *output)) if alone else (x.shape, output)
    if not _fits(data, made, filters.shape, groups, transposed):
        raise MisfitError(
            f"reads a tensor of shape {x.shape}, "
            f"which its weight of shape {filters.shape} in {groups} groups does not fit"
        )
    kind: Kind = "conv_transpose" if transposed else "conv"
    computed = [*([filters] if isinstance(filters, Tensor) else []), *places]
    result = call.add(
        kind,
        [reshaped(call, x, data), *computed],
        kind,
        shape=made if alone else shape,
        weights=weights,
        weight_shape=filters.shape,
        groups=groups,
        spans=() if computed else behind(len(data), windows, mixes=True),
    )
    if alone:
        result = reshaped(call, result, output, last=shape is None)
    return result


def _fits(data: Shape, output: Shape, filters: Shape, groups: int, transposed: bool) -> bool:
    if len(data) < 3 or not len(filters) == len(data) == len(output) or groups < 1:
        return False
    first, second = filters[0], filters[1] * groups
    read, made = (first, second) if transposed else (second, first)
    return data[1] == read and output[1] == made and read % groups == made % groups == 0


def recurrent(
    call: Call,
    x: Tensor,
    states: Sequence[Tensor],
    matrices: Iterable[Shape],
    op: str,
    *,
    shape: Shape | None = None,
    sequences: int | None = None,
    weights: Iterable[Constant],
) -> Tensor:
    """LSTM, GRU or RNN, whole or one cell: every step reads all weight matrices.

    ``sequences``: the dimension of those that are independent of each other.
    """
    spans = tuple(SAME if axis == sequences else None for axis in range(len(x.shape)))
    return call.add(
        "recurrent",
        [x, *states],
        op,
        shape=shape,
        beside="",
        weights=weights,
        contracted=sum(prod(matrix) for matrix in matrices),
        spans=() if sequences is None else spans,
    )


def embedding(call: Call, inputs: Sequence[Tensor], table: Constant, op: str) -> None:
    """Rows of a table, looked up by computed numbers."""
    call.add("embedding", inputs, op, weights=[table], weight_shape=table.shape)


def fourier(call: Call, x: Tensor, count: int, size: int, weights: Iterable[Constant]) -> None:
    """So many fast Fourier transforms of so many elements: n·log2 n, an assumption to be told."""
    macs = count * size * max((size - 1).bit_length(), 1)
    call.add("loop", [x], call.op, weights=weights, repeated_macs=macs)

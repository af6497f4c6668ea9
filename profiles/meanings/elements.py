"""Norms, softmaxes and reductions: which dimensions they go over."""

from __future__ import annotations

from collections.abc import Iterable

from profiles.graph import Tensor
from profiles.meanings.call import Call, Constant

_FROM = {"instance_norm": 2, "group_norm": 1}
"""Norms whose name says from which dimension on they go over all of them."""


def norm(
    call: Call,
    x: Tensor,
    op: str,
    *,
    first: int = -1,
    groups: int = 1,
    weights: Iterable[Constant] = (),
) -> None:
    """Mean and size of what lies in some dimensions are brought to fixed values.

    Parameters
    ----------
    op : str
        ``layer_norm``, ``rms_norm``, ``instance_norm``, ``group_norm``.
    first : int
        The dimension from which on a norm of the first two kinds goes over all of them.
    groups : int
        Parts of dimension 1 with statistics of their own.
    """
    rank = len(x.shape)
    axes = tuple(range(_FROM.get(op, first % max(rank, 1)), rank))
    call.add("norm", [x], op, axes=axes, groups=groups, weights=weights)


def softmax(call: Call, x: Tensor, axis: int, *, to_the_end: bool = False) -> None:
    """Shares of a whole along a dimension, or along all from it on."""
    rank = max(len(x.shape), 1)
    first = axis % rank
    call.add("softmax", [x], axes=tuple(range(first, rank if to_the_end else first + 1)))


def reduce(call: Call, x: Tensor, axes: Iterable[int], positions: Iterable[int] = (0,)) -> None:
    """A sum, mean or extremum over some dimensions, over all if none is named."""
    rank = max(len(x.shape), 1)
    over = tuple(sorted({axis % rank for axis in axes})) or tuple(range(rank))
    for position in positions:
        call.add("reduce", [x], position=position, axes=over)

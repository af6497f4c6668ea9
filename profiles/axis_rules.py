"""What an operator does to positions: where its output's lie, and which of its inputs' they read.

A rule follows the positions of one input, to which those of the others are held: they are read
likewise where they lie alike, and whole elsewhere. None stands for what cannot be followed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from profiles.axis import SAME, Axis, Shape, along, cut, regrouped
from profiles.graph import Operator, Span, Tensor


@dataclass(frozen=True)
class Placed:
    """An input and where its positions lie; None where nowhere that is known."""

    tensor: Tensor
    axis: Axis | None


@dataclass(frozen=True)
class Course:
    """Where positions go.

    Attributes
    ----------
    axis : Axis or None
        Of the output.
    reads : tuple of (Span or None)
        Per input; None: a position reads all of it.
    adds : bool
        Every position adds up what those of the first input give that it reads; one alone, or an
        output without positions, all of them.
    """

    axis: Axis | None
    reads: tuple[Span | None, ...]
    adds: bool = False


def course(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    """Follow positions through an operator."""
    rule = _RULES.get(operator.kind)
    if rule is None or not inputs:
        return None
    found = rule(operator, inputs)
    if found is None or found.axis is None:
        return found
    shape, axis = operator.output.shape, found.axis
    fits = axis.dimension < len(shape) and shape[axis.dimension] == (
        axis.outer * axis.count * axis.inner
    )
    return found if fits else None  # a file whose shapes contradict each other


def _alone(axis: Axis, span: Span | None, count: int) -> Course:
    return Course(axis, (span, *(None,) * (count - 1)))


def _spanned(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    """The first input's dimensions, each read as the operator's spans say."""
    (source, *_), shape = inputs, operator.output.shape
    axis, before = source.axis, source.tensor.shape
    if axis is None or len(before) != len(shape):
        return None
    here = axis.dimension
    span = _span(operator, here, before[here], shape[here])
    averages = operator.kind == "pool" and operator.op in _AVERAGES
    if span is None:
        adds = averages and shape[here] == 1 and axis.is_whole
        return Course(None, (None,) * len(inputs), adds=True) if adds else None
    if span == SAME and before[here] == shape[here]:
        return _alone(axis, SAME, len(inputs))
    if not axis.is_whole:
        return None
    return Course(along(shape, here), (span, *(None,) * (len(inputs) - 1)), averages)


def _span(operator: Operator, dimension: int, before: int, after: int) -> Span | None:
    if operator.spans:
        return operator.spans[dimension] if dimension < len(operator.spans) else None
    moves = operator.kind in _MOVING or dimension in operator.axes
    return None if moves or before != after else SAME


_MOVING = frozenset({"conv", "conv_transpose", "pool", "recurrent"})
"""Kinds that read other positions than the output's, unless their spans say which."""


_AVERAGES = frozenset(
    (
        "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
        "adaptive_avg_pool3d average_pool avg_pool1d avg_pool2d avg_pool3d global_average_pool"
    ).split()
)


def _pointwise(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    """Operands that are broadcast to each other: positions of the largest that keeps its own."""
    shape = operator.output.shape
    placed = [_aligned(item, len(shape)) for item in inputs]
    whole = [
        (item.tensor.elements, -index)
        for index, (item, axis) in enumerate(zip(inputs, placed, strict=True))
        if axis is not None and _keeps(item, axis, shape)
    ]
    if not whole:
        return None
    axis = placed[-max(whole)[1]]
    return Course(axis, tuple(SAME if other == axis else None for other in placed))


def _aligned(item: Placed, rank: int) -> Axis | None:
    """Its positions as broadcasting sees them."""
    return None if item.axis is None else item.axis.moved(rank - len(item.tensor.shape))


def _keeps(item: Placed, axis: Axis, shape: Shape) -> bool:
    """Whether broadcasting leaves its dimension as it is."""
    before = item.tensor.shape[axis.dimension - len(shape)]
    return axis.dimension >= 0 and shape[axis.dimension] == before


def _linear(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    axis, rank = inputs[0].axis, len(operator.output.shape)
    if axis is None or len(inputs[0].tensor.shape) != rank or axis.dimension == rank - 1:
        return None
    return _alone(axis, SAME, len(inputs))


def _embedding(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    (ids, *_), shape = inputs, operator.output.shape
    if ids.axis is None or shape[:-1] != ids.tensor.shape:
        return None
    return _alone(ids.axis, SAME, len(inputs))


def _recurrent(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    """Every sequence by itself; states have theirs before the last dimension."""
    found = _spanned(operator, inputs) if operator.spans else None
    if found is None or found.axis is None:
        return None
    states = tuple(
        SAME if state.axis == Axis(len(state.tensor.shape) - 2, found.axis.count) else None
        for state in inputs[1:]
    )
    return Course(found.axis, (found.reads[0], *states))


def _norm(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    """Each position by itself, but for statistics over them, which nodes tell each other."""
    axis = inputs[0].axis
    if axis is None or inputs[0].tensor.shape != operator.output.shape:
        return None
    return _alone(axis, SAME, len(inputs))


def _softmax(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    found = _norm(operator, inputs)
    over = found is not None and found.axis is not None and found.axis.dimension in operator.axes
    return None if over else found


def _reduce(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    axis, before = inputs[0].axis, inputs[0].tensor.shape
    if axis is None:
        return None
    if axis.dimension in operator.axes:
        adds = operator.op in ("mean", "sum")
        return Course(None, (None,) * len(inputs), adds=True) if adds else None
    kept = len(operator.output.shape) == len(before)
    gone = 0 if kept else sum(other < axis.dimension for other in operator.axes)
    return _alone(axis.moved(-gone), SAME, len(inputs))


def _concat(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    joined, shape = operator.axes[:1], operator.output.shape
    found = [item.axis for item in inputs]
    first = next((axis for axis in found if axis is not None), None)
    if first is None or any(len(item.tensor.shape) != len(shape) for item in inputs):
        return None
    if first.dimension not in joined:
        return Course(first, tuple(SAME if axis == first else None for axis in found))
    if len(operator.offsets) != len(inputs):
        return None
    return Course(
        along(shape, first.dimension),
        tuple(
            Span(first=-offset, last=-offset)
            if axis == along(item.tensor.shape, first.dimension)
            else None
            for item, axis, offset in zip(inputs, found, operator.offsets, strict=True)
        ),
    )


def _slice(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    """A run or every k-th entry of a dimension; one entry may take its dimension away."""
    axis, before = inputs[0].axis, inputs[0].tensor.shape
    shape = operator.output.shape
    if axis is None:
        return None
    dropped = operator.axes[0] if len(shape) < len(before) and operator.axes else len(before)
    here = axis.dimension - (dropped < axis.dimension)
    if axis.dimension == dropped or len(before) - len(shape) != (dropped < len(before)):
        return None
    touched = axis.dimension in operator.axes
    span: Span | None = None if touched else SAME
    if operator.spans:
        span = operator.spans[axis.dimension]
    elif touched and operator.start >= 0 and len(operator.axes) == 1:
        span = Span(first=operator.start, last=operator.start)
    if span is None:
        return None
    if span == SAME and shape[here] == before[axis.dimension]:
        return _alone(axis.moved(here - axis.dimension), SAME, len(inputs))
    return _alone(along(shape, here), span, len(inputs)) if axis.is_whole else None


def _transpose(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    axis = inputs[0].axis
    if axis is None:
        return None
    by = operator.permutation.index(axis.dimension) - axis.dimension
    return _alone(axis.moved(by), SAME, len(inputs))


def _reshape(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    axis, before, after = inputs[0].axis, inputs[0].tensor.shape, operator.output.shape
    if axis is None or inputs[0].tensor.elements != operator.output.elements:
        return None
    kept = regrouped(axis, before, after)
    if kept is not None:
        return _alone(kept, SAME, len(inputs))
    found = cut(axis, before, after)
    return None if found is None else _alone(*found, len(inputs))


def _matmul(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    """Rows of the first operand, columns of the second, or matrices of both."""
    rank = len(operator.output.shape)
    if operator.op == "attention" or min(len(item.tensor.shape) for item in inputs) < 2:
        return None  # which of them are queries is not said
    return _product(operator, inputs, (rank - 1, rank - 2)[: len(inputs)])


def _attention(operator: Operator, inputs: Sequence[Placed]) -> Course | None:
    rank = len(operator.output.shape)
    if len(inputs) < 3:
        return None
    within = (rank - 1, rank - 2, rank - 2, *(rank - 1,) * (len(inputs) - 3))
    return _product(operator, inputs, within, also=(rank - 1,))


def _product(
    operator: Operator,
    inputs: Sequence[Placed],
    summed: tuple[int, ...],
    also: tuple[int, ...] = (),
) -> Course | None:
    """Operands keep positions in the output's place unless their dimension is summed over.

    Parameters
    ----------
    summed : tuple of int
        Per operand, the dimension that it does not share with the output.
    also : tuple of int
        Dimensions that only the first operand shares.
    """
    shape = operator.output.shape
    placed = [_aligned(item, len(shape)) for item in inputs]
    kept = [
        axis
        for index, (item, axis) in enumerate(zip(inputs, placed, strict=True))
        if axis is not None
        and axis.dimension != summed[index]
        and not (index and axis.dimension in also)
        and _keeps(item, axis, shape)
    ]
    if not kept:
        return None
    axis = kept[0]
    return Course(
        axis,
        tuple(
            SAME if other == axis and axis.dimension != gone else None
            for other, gone in zip(placed, summed, strict=True)
        ),
    )


_RULES: dict[str, Callable[[Operator, Sequence[Placed]], Course | None]] = {
    "conv": _spanned,
    "conv_transpose": _spanned,
    "linear": _linear,
    "embedding": _embedding,
    "recurrent": _recurrent,
    "matmul": _matmul,
    "attention": _attention,
    "activation": _spanned,
    "batch_norm": _spanned,
    "identity": _spanned,
    "pool": _spanned,
    "elementwise": _pointwise,
    "norm": _norm,
    "softmax": _softmax,
    "reduce": _reduce,
    "concat": _concat,
    "slice": _slice,
    "transpose": _transpose,
    "reshape": _reshape,
}

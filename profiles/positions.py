"""Positions and samples of every tensor of a graph, followed through all operators.

Positions begin at a model input's first dimension behind the batch that holds no features, samples
at its first. Where they cannot be followed, an operator's output has positions of its own, which
read whole inputs: that is always right, since a node then reads all there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from planner.domain.positions import LARGEST, Geometry, Window
from profiles.axis import SAME, Axis, along, meets, refined
from profiles.axis_rules import Course, Placed, course
from profiles.contract_elements import statistic_bytes, told_by_norm
from profiles.contract_parts import Operand
from profiles.graph import Graph, Operator, Span, Tensor
from profiles.layout import Layout

Operands = Mapping[str, Operand]
"""Every tensor with the layout of its features."""

_WHOLE = frozenset({"gather", "loop", "opaque", "recurrent"})
"""Kinds of which a part is as much work as all of it."""


@dataclass(frozen=True)
class Followed:
    """What becomes a layer's `Geometry`; its numbers may follow from open sizes."""

    count: int
    reads: tuple[Span | None, ...]
    adds: bool = False
    statistics_bytes: int = 0

    def numbers(self) -> Iterator[tuple[str, int]]:
        """All of them, by the names that `planner.domain.reshaping` has for them."""
        yield "count", self.count
        yield "statistics_bytes", self.statistics_bytes
        for index, span in enumerate(self.reads):
            if span is not None:
                for part in ("step", "per", "first", "last"):
                    yield f"{index}.{part}", getattr(span, part)

    def geometry(self) -> Geometry:
        """As a profile holds it."""
        return Geometry(
            count=int(self.count),
            reads=tuple(None if span is None else _window(span) for span in self.reads),
            adds=self.adds,
            statistics_bytes=int(self.statistics_bytes),
        )


def _window(span: Span) -> Window:
    return Window(
        step=int(span.step),
        per=int(span.per),
        first=int(span.first),
        last=int(span.last),
        wraps=span.wraps,
    )


@dataclass(frozen=True)
class Positions:
    """Of a graph: where they lie in its tensors, by name, and what its operators do, in order."""

    axes: dict[str, Axis]
    layers: list[Followed | None]

    def take(self, operator: Operator, operands: Operands) -> Course | None:
        """Where an operator takes them; None where that is not known, or among features."""
        placed = [Placed(operands[name].tensor, self.axes.get(name)) for name in operator.inputs]
        try:
            found = course(operator, placed)
        except OverflowError:  # an expression beyond what a document holds
            return None
        if found is None or found.axis is None:
            return found
        amid = meets(found.axis, operands[operator.name].layout)
        return None if amid or not all(map(_is_sane, found.reads)) else found

    def note(self, operator: Operator, found: Course | None) -> None:
        """Keep what becomes of them."""
        axis = found.axis if found is not None else None
        count = axis.count if axis is not None else 0
        if found is None or count >= LARGEST or not (count or found.adds):
            self.layers.append(None)
            return
        told = 0
        if axis is not None:
            self.axes[operator.name] = axis
            if operator.kind == "norm" and axis.dimension in operator.axes:
                told = told_by_norm(operator) * operator.groups * statistic_bytes(operator)
        self.layers.append(Followed(count, found.reads, found.adds, told))


def samples_of(graph: Graph, operands: Operands) -> Positions:
    """Samples of the batch: dimension 0 of the inputs, where as long as that of the first."""
    batched = [tensor for tensor in graph.inputs if len(tensor.shape) > 1]
    batch = batched[0].shape[0] if batched else 0
    found = Positions({}, [])
    for tensor in batched:
        first = along(tensor.shape, 0)
        if first.count == batch < LARGEST and not meets(first, operands[tensor.name].layout):
            found.axes[tensor.name] = first
    for operator in graph.operators:
        went, shape = found.take(operator, operands), operator.output.shape
        if went is None and operator.kind not in _WHOLE and len(shape) > 1 and shape[0] == batch:
            own = along(shape, 0)
            if not meets(own, operands[operator.name].layout):
                went = Course(own, (None,) * len(operator.inputs))
        found.note(operator, went)
    return found


def positions_of(graph: Graph, operands: Operands, samples: Positions) -> Positions:
    """Rows of maps and tokens of sequences; ``samples`` is what is known of the batch's."""
    found = Positions({}, [])
    for tensor in graph.inputs:
        first = _first_free(tensor, operands[tensor.name].layout)
        if first is not None and tensor.shape[first] < LARGEST:
            found.axes[tensor.name] = along(tensor.shape, first)
    for operator in graph.operators:
        layout, batch = operands[operator.name].layout, samples.axes.get(operator.name)
        went = found.take(operator, operands)
        if went is not None and went.axis is not None and operator.kind == "reshape":
            went = _with_insides(went, went.axis, layout, batch)
        if went is None and operator.kind not in _WHOLE:
            went = _afresh(operator, layout, batch)
        found.note(operator, went)
    return found


def _is_sane(span: Span | None) -> bool:
    """Whether a window's numbers are of an order that a document may have."""
    if span is None:
        return True
    numbers = (span.step, span.per, span.first, span.last)
    return min(span.step, span.per) > 0 and max(map(abs, numbers)) < LARGEST


def _first_free(tensor: Tensor, layout: Layout) -> int | None:
    """An input's first dimension behind the batch without features; of numbers of tokens theirs."""
    rank = len(tensor.shape)
    last = max(rank - 1, 0)
    features = layout.axes or ((1,) if rank > 2 else (last,))  # a single one lies there too
    free = [dimension for dimension in range(1, rank) if dimension not in features]
    if not free and last and tensor.dtype.startswith(("bool", "int", "uint")):
        return last
    return free[0] if free else None


def _with_insides(went: Course, axis: Axis, layout: Layout, batch: Axis | None) -> Course:
    """What a reshape puts inside of each position as positions too, if it is nothing else."""
    try:
        finer, span = refined(axis)
    except OverflowError:
        return went
    shared = batch is not None and batch.dimension == axis.dimension and batch.inner < axis.inner
    if axis.inner == 1 or shared or meets(finer, layout) or went.reads[0] != SAME:
        return went
    return Course(finer, (span, *went.reads[1:]))


def _afresh(operator: Operator, layout: Layout, batch: Axis | None) -> Course | None:
    """Positions of its own: its first dimension behind the batch that holds nothing else."""
    shape = operator.output.shape
    for dimension in range(1, len(shape)):
        taken = batch is not None and batch.dimension == dimension
        if shape[dimension] > 1 and not taken and dimension not in layout.axes:
            return Course(along(shape, dimension), (None,) * len(operator.inputs))
    return None

"""Which dimension of every input of an ONNX model is the batch.

It is the first one, unless something says otherwise: recurrent layers read (time, batch, features)
and states of (directions, batch, features), which are followed back to the inputs; dimensions have
names; and a size that all others share is the batch's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx

from planner.errors import BadInputError
from profiles.from_onnx.file import holds_values

Dims = Sequence[int | str | None]
_RECURRENT = frozenset("DynamicQuantizeLSTM GRU LSTM RNN".split())
_NAMES = frozenset("b bs n batch batchsize batch_size nbatch".split())
_SAME = frozenset(
    "Abs Cast Ceil Clip DequantizeLinear Dropout Elu Erf Exp Floor Gelu Identity "
    "LayerNormalization LeakyRelu LogSoftmax Neg Pad QuantizeLinear Relu Sigmoid Slice "
    "Softmax Softplus Split Sqrt "
    "Tanh".split()
)
"""Operators that leave a dimension where it is, whatever they do along others."""
_TOGETHER = frozenset("Add Concat Div Mul Sub".split())
_SAMPLES_FIRST = frozenset(
    "AveragePool BatchNormalization Conv GlobalAveragePool GlobalMaxPool InstanceNormalization "
    "MaxPool".split()
)


def batch_axes(model: onnx.ModelProto, sizes: Mapping[str, Dims]) -> dict[str, int]:
    """The dimension of the batch of every input that has one.

    Parameters
    ----------
    model : onnx.ModelProto
    sizes : dict
        Sizes of the inputs, names of open dimensions, None for nameless ones.

    Raises
    ------
    BadInputError
        An input leads to a recurrent layer by ways that cannot be followed.
    """
    reached = _Back(model, sizes.keys()).reached()
    axes = {name: axis for name, axis in reached.items() if axis < len(sizes[name])}
    names = {sizes[name][axis] for name, axis in axes.items()}
    names = {name for name in names if isinstance(name, str)}
    for name, dims in sizes.items():
        named = [a for a, size in enumerate(dims) if size in names or _is_batch(size)]
        if name not in axes and named:
            axes[name] = named[0]
    first = next((dims[axes.get(name, 0)] for name, dims in sizes.items() if dims), None)
    for name, dims in sizes.items():
        if name not in axes and dims:
            axis = _by_size(dims, first)
            if axis is not None:
                axes[name] = axis
    return axes


def _is_batch(size: int | str | None) -> bool:
    return isinstance(size, str) and size.lower() in _NAMES


def _by_size(dims: Dims, batch: int | str | None) -> int | None:
    """The first dimension if it is open or as large as the batch, else another of that size."""
    if not isinstance(dims[0], int) or not isinstance(batch, int) or dims[0] == batch:
        return 0
    return next((axis for axis, size in enumerate(dims) if size == batch), None)


class _Back:
    """Dimensions of the batch, followed from recurrent layers back to the inputs."""

    def __init__(self, model: onnx.ModelProto, inputs: Iterable[str]) -> None:
        graph = model.graph
        self._inputs = set(inputs)
        self._nodes = list(graph.node)
        self._makers = {n: node for node in self._nodes for n in node.output if n}
        self._held = {tensor.name: tensor for tensor in graph.initializer}
        for node in self._nodes:
            if node.op_type == "Constant" and node.output:
                self._held.update(
                    (node.output[0], a.t) for a in node.attribute if a.name == "value"
                )

    def reached(self) -> dict[str, int]:
        """The dimension by input, of those that are reached."""
        found: dict[str, int] = {}
        lost: set[str] = set()
        seen: set[tuple[str, int]] = set()
        stack = [start for node in self._nodes for start in self._starts(node)]
        while stack:
            name, axis = stack.pop()
            if (name, axis) in seen:
                continue
            seen.add((name, axis))
            if name in self._inputs:
                if found.setdefault(name, axis) != axis:
                    raise _unknown(name)
            elif name in self._makers:
                before = self._before(self._makers[name], axis)
                if before is None:
                    lost.add(name)
                else:
                    stack.extend(before)
        missing = sorted(self._sources(lost) - found.keys())
        if missing:
            raise _unknown(missing[0])
        return found

    def _starts(self, node: onnx.NodeProto) -> list[tuple[str, int]]:
        if node.op_type not in _RECURRENT:
            return []
        axis = 0 if _number(node, "layout", 0) else 1
        return [(node.input[p], axis) for p in (0, 5, 6) if p < len(node.input) and node.input[p]]

    def _sources(self, names: set[str]) -> set[str]:
        """The inputs that some tensors are made of; not by way of recurrent layers."""
        found: set[str] = set()
        stack, seen = list(names), set[str]()
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            maker = self._makers.get(name)
            if name in self._inputs:
                found.add(name)
            elif maker is not None and maker.op_type not in (*_RECURRENT, "Shape", "Size"):
                stack.extend(maker.input)
        return found

    def _is_constant(self, name: str) -> bool:
        return name in self._held or not name

    def _before(self, node: onnx.NodeProto, axis: int) -> list[tuple[str, int]] | None:
        """Where a dimension of what a node makes was before; None if that cannot be said."""
        kind, inputs = node.op_type, list(node.input)
        if kind in _RECURRENT or not inputs:
            return []  # followed from there, or made of nothing
        if kind in _SAME or (kind == "MatMul" and self._is_constant(inputs[1])):
            return [(inputs[0], axis)]
        if kind in _TOGETHER:
            return [(name, axis) for name in inputs if not self._is_constant(name)]
        if kind in _SAMPLES_FIRST:
            return [(inputs[0], 0)] if axis == 0 else None
        if kind == "Transpose":
            order = next((list(a.ints) for a in node.attribute if a.name == "perm"), [])
            return [(inputs[0], order[axis])] if axis < len(order) else None
        if kind == "Gather":
            return self._gathered(node, axis)
        if kind in ("Squeeze", "Unsqueeze"):
            return self._squeezed(node, axis)
        if kind == "Reshape":
            shape = self._numbers(node, 1, "shape")
            kept = shape is not None and axis < len(shape) and set(shape[: axis + 1]) == {0}
            return [(inputs[0], axis)] if kept else None
        return None

    def _gathered(self, node: onnx.NodeProto, axis: int) -> list[tuple[str, int]] | None:
        along, (data, chosen) = _number(node, "axis", 0), node.input[:2]
        if self._is_constant(data):
            return [(chosen, axis)] if along == 0 else None
        held = self._held.get(chosen)
        if held is None or along < 0 or len(held.dims) > 1:
            return None
        return [(data, axis + (not held.dims and axis >= along))]

    def _squeezed(self, node: onnx.NodeProto, axis: int) -> list[tuple[str, int]] | None:
        axes = self._numbers(node, 1, "axes")
        if axes is None or min(axes, default=0) < 0:
            return None
        if node.op_type == "Unsqueeze":
            fewer = axis - sum(other < axis for other in axes)
            return None if axis in axes else [(node.input[0], fewer)]
        for other in sorted(axes):
            axis += other <= axis
        return [(node.input[0], axis)]

    def _numbers(self, node: onnx.NodeProto, position: int, name: str) -> list[int] | None:
        given = next((list(a.ints) for a in node.attribute if a.name == name), None)
        held = self._held.get(node.input[position]) if position < len(node.input) else None
        if held is None or held.data_type != onnx.TensorProto.INT64 or not holds_values(held):
            return given
        return [int(number) for number in onnx.numpy_helper.to_array(held).reshape(-1)]


def _number(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def _unknown(name: str) -> BadInputError:
    return BadInputError(
        f"cannot say which dimension of input {name!r} is the batch; "
        f"give shapes with --input-shape instead, such as --input-shape {name}=1,16,80"
    )

"""Filters in blocks of channels, as ONNX Runtime stores them for vector units (nchwc).

The last block is filled up with zeros. Those are no parameters of the network and no work that it
asks for, so they are found in the values, while these are at hand, and left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

BLOCKED_DOMAIN = "com.microsoft.nchwc"
_SIZES = (16, 8)  # channels of a block, by the machine that wrote the file


def without_filling(model: onnx.ModelProto) -> str:
    """Give filters and biases in blocks the sizes that they have without what fills them up.

    Parameters
    ----------
    model : onnx.ModelProto
        With the values of its filters; is changed. The filters keep as many
        values, in no order.

    Returns
    -------
    str
        What was done; empty if there was nothing to do.
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.domain == BLOCKED_DOMAIN and n.op_type == "Conv"]
    held = [n for n in nodes if len(n.input) > 1 and _is_filter(stored.get(n.input[1]))]
    if not held:
        return ""
    values = {n.input[1]: _values(stored[n.input[1]]) for n in held}
    size = max(_SIZES, key=lambda size: sum(_filling(v, size)[0] for v in values.values()))
    trimmed = 0
    for name, value in values.items():
        outputs, inputs = _filling(value, size)
        tensor = stored[name]
        before = tuple(tensor.dims)
        _resize(tensor, (before[0] - outputs, before[1] - inputs, *before[2:]))
        trimmed += outputs + inputs
        for node in (n for n in held if n.input[1] == name):
            _follow(node, before[0], outputs, stored)
    return f"{trimmed} channels that fill blocks up were left out" if trimmed else ""


def _is_filter(tensor: onnx.TensorProto | None) -> bool:
    return (
        tensor is not None
        and tensor.data_type == onnx.TensorProto.FLOAT
        and len(tensor.dims) == 4
        and len(tensor.raw_data) == 4 * int(np.prod(tensor.dims, dtype=np.float64))
        and min(tensor.dims) > 0
    )


def _values(tensor: onnx.TensorProto) -> NDArray[Any]:
    found: NDArray[Any] = np.frombuffer(tensor.raw_data, np.float32).reshape(tuple(tensor.dims))
    return found


def _filling(values: NDArray[Any], size: int) -> tuple[int, int]:
    """How many of the outputs and of the inputs are there to fill up their last block."""
    outputs, inputs, height, width = values.shape
    if outputs % size:
        return 0, 0
    by_output = values.reshape(outputs // size, -1, size)[-1]
    found = _zeros(by_output.T)
    if inputs % size:
        return found, 0
    apart = values.reshape(outputs // size, inputs // size, height * width, size, size)
    return found, _zeros(np.moveaxis(apart[:, -1], 2, 0).reshape(size, -1))


def _zeros(lanes: NDArray[Any]) -> int:
    """How many of the last lanes hold nothing but zeros, if not all do."""
    used = np.flatnonzero((lanes != 0).any(axis=1))
    return len(lanes) - 1 - int(used[-1]) if len(used) else 0


def _follow(
    node: onnx.NodeProto, before: int, fewer: int, stored: dict[str, onnx.TensorProto]
) -> None:
    """A bias and a number of groups that are as long as the outputs were."""
    for attribute in node.attribute:
        if attribute.name == "group" and attribute.i == before:
            attribute.i = before - fewer
    bias = stored.get(node.input[2]) if len(node.input) > 2 else None
    if fewer and bias is not None and list(bias.dims) == [before]:
        _resize(bias, (before - fewer,))


def _resize(tensor: onnx.TensorProto, shape: tuple[int, ...]) -> None:
    if tuple(tensor.dims) != shape:
        del tensor.dims[:]
        tensor.dims.extend(shape)
        length = 4 * int(np.prod(shape))
        tensor.raw_data = tensor.raw_data[:length]

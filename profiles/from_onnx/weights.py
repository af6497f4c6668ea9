"""Weights of an ONNX file by layer, read in a limited child process (see `sandbox`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from planner.accuracy.ranking import magnitudes
from planner.errors import BadInputError
from planner.weights.parameters import StoredWeight, candidates
from profiles.from_onnx.call import Call
from profiles.from_onnx.emitter import Emitter
from profiles.from_onnx.file import check_names, is_elsewhere, parse
from profiles.from_onnx.graph import labelled
from profiles.from_onnx.inferred import Inferred
from profiles.from_onnx.inputs import graph_inputs
from profiles.from_onnx.repairs import inlined, repaired
from profiles.weight_message import encoded

_WEIGHT_AT = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}
_FLOATING = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")
_MOST_STEPS = 8  # from a weight as it is read back to the tensor as it is stored


def main(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Magnitudes of the weights of some layers.

    Parameters
    ----------
    request : dict
        ``layers``: names of a profile's layers.
    data : bytes
        The file.

    Returns
    -------
    dict
        By layer, where the file has it; see `profiles.weight_message.encoded`.

    Raises
    ------
    BadInputError
        It is no ONNX model, or keeps a weight that is needed in another file.
    """
    model = parse(data)
    check_names(model)
    repaired(model)  # as the profile's layers have it
    model, _ = inlined(model)
    makers = {name: node for node in model.graph.node for name in node.output}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    by_name: dict[str, tuple[Call, onnx.TensorProto, list[onnx.NodeProto]]] = {}
    for node in _weighted_nodes(model):
        found = _stored_weight(node.inputs[_WEIGHT_AT[node.op_type]], makers, stored)
        if found is not None:
            tensor, steps = found
            by_name.setdefault(tensor.name, (node, tensor, steps))
            by_name[node.name] = (node, tensor, steps)
    answer = {}
    for layer in request["layers"]:
        name = next((name for name in (layer, *candidates(layer)) if name in by_name), None)
        if name is not None:
            node, tensor, steps = by_name[name]
            size = magnitudes(_oriented(node, tensor, steps))
            out, into = _axes(node, len(tensor.dims), steps)
            answer[layer] = encoded(size, StoredWeight(tensor.name, tuple(tensor.dims), out, into))
    return answer


def _weighted_nodes(model: onnx.ModelProto) -> Iterator[Call]:
    """Nodes that multiply by a weight, under the labels that the profile's layers have."""
    labels = Emitter(Inferred({}, {}, {}), list(model.opset_import), {}, _no_bodies)
    for value in graph_inputs(model):
        labels.label(value.name)
    for node in labelled(model.graph, labels):
        at = _WEIGHT_AT.get(node.op_type)
        if at is not None and len(node.inputs) > at:
            yield node


def _no_bodies(model: onnx.ModelProto) -> Any:
    raise AssertionError("labels alone need no loop's body")


def _stored_weight(
    name: str, makers: dict[str, onnx.NodeProto], stored: dict[str, onnx.TensorProto]
) -> tuple[onnx.TensorProto, list[onnx.NodeProto]] | None:
    """The stored tensor that a weight is, and the steps from it to the weight."""
    steps: list[onnx.NodeProto] = []
    while len(steps) < _MOST_STEPS:
        if name in stored:
            return stored[name], steps[::-1]
        maker = makers.get(name)
        if maker is None:
            return None
        if maker.op_type == "Constant":
            value = next((a.t for a in maker.attribute if a.name == "value"), None)
            if value is None:
                return None
            tensor = onnx.TensorProto()
            tensor.CopyFrom(value)
            tensor.name = name
            return tensor, steps[::-1]
        if maker.op_type not in ("Identity", "Cast", "Transpose") or not maker.input:
            return None
        steps.append(maker)
        name = maker.input[0]
    return None


def _oriented(
    node: Call, tensor: onnx.TensorProto, steps: list[onnx.NodeProto]
) -> NDArray[np.generic]:
    """The weight as (O, I, *kernel)."""
    weight = _values(tensor)
    for step in steps:
        if step.op_type == "Transpose":
            order = _permutation(step)
            if order is not None and sorted(order) != list(range(weight.ndim)):
                raise BadInputError(f"node {step.name!r} permutes {weight.ndim} axes by {order}")
            weight = weight.transpose(order)
    if node.op_type == "MatMul" and weight.ndim > 2 and max(weight.shape[:-2]) == 1:
        weight = weight.reshape(weight.shape[-2:])
    if weight.ndim < 2 or (weight.ndim > 2 and node.op_type in ("Gemm", "MatMul")):
        raise BadInputError(
            f"the weight {tensor.name!r} of node {node.name!r} has the shape {weight.shape}; "
            "one matrix is needed"
        )
    return weight.swapaxes(0, 1) if _reads_turned(node) else weight


def _axes(node: Call, dimensions: int, steps: list[onnx.NodeProto]) -> list[int]:
    """Axes of output and input features of a stored tensor that is read by way of some steps."""
    axes = list(range(dimensions))
    for step in steps:
        if step.op_type == "Transpose":
            order = _permutation(step)
            axes = [axes[axis] for axis in order] if order is not None else axes[::-1]
    if node.op_type == "MatMul":  # of one matrix, so that all other sides are 1
        axes = axes[-2:]
    return axes[1::-1] if _reads_turned(node) else axes[:2]


def _permutation(step: onnx.NodeProto) -> list[int] | None:
    """Of a transpose; None where it turns all axes round."""
    return next((list(a.ints) for a in step.attribute if a.name == "perm"), None)


def _reads_turned(node: Call) -> bool:
    """Whether an operator reads its weight as (I, O)."""
    if node.op_type == "Gemm":
        return not node.attributes.get("transB", 0)
    return node.op_type in ("ConvTranspose", "MatMul")


def _values(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    if is_elsewhere(tensor):
        raise BadInputError(
            f"keeps the tensor {tensor.name!r} in another file, which is not read; "
            "save the model as one file"
        )
    known = onnx.TensorProto.DataType.values()
    kind = onnx.TensorProto.DataType.Name(tensor.data_type) if tensor.data_type in known else "?"
    if kind not in _FLOATING:
        raise BadInputError(
            f"the weight {tensor.name!r} has the element type {kind}; "
            f"{', '.join(_FLOATING)} can be read"
        )
    try:
        values: NDArray[np.generic] = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise BadInputError(
            f"the tensor {tensor.name!r} does not hold the values of its shape {tuple(tensor.dims)}"
        ) from error
    return values

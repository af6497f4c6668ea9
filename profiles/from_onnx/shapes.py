"""Shapes of an ONNX model's tensors, and the values of its shape arithmetic.

ONNX's shape inference follows a shape that the model computes only through some operators.
What it leaves open is evaluated here, operator by operator, until nothing more comes out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from planner.errors import BadInputError
from profiles.from_onnx.file import KEPT_ELEMENTS, holds_values
from profiles.from_onnx.inferred import STANDARD_DOMAINS, Inferred
from profiles.from_onnx.repairs import graphs
from profiles.from_onnx.shape_rules import missing_shapes, shapes_before

_ARITHMETIC = frozenset(
    "Abs Add And Cast Ceil Concat ConstantOfShape Div Equal Expand Flatten Floor Gather Greater "
    "GreaterOrEqual Identity Less LessOrEqual Max Min Mod Mul Neg Not Or Pow Range ReduceMax "
    "ReduceMin ReduceProd ReduceSum Reshape Slice Sqrt Squeeze Sub Tile Transpose Unsqueeze "
    "Where".split()
)
COUNTS = frozenset(
    getattr(onnx.TensorProto, name)
    for name in "BOOL INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64".split()
)
"""Element types of whole numbers, which sizes and indices are."""
_VALUED = COUNTS | {getattr(onnx.TensorProto, name) for name in "FLOAT FLOAT16 DOUBLE".split()}
_FACTORS = 16  # most elements of a constant that is no count but scales one
_NUMBERS = {
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_float": np.float32,
    "value_floats": np.float32,
}


def infer(
    model: onnx.ModelProto,
    declared: dict[str, onnx.TypeProto],
    infer_body: Callable[[onnx.ModelProto], Inferred],
) -> Inferred:
    """Infer all shapes that follow from the inputs'.

    Parameters
    ----------
    model : onnx.ModelProto
        With fixed input shapes; not changed.
    declared : dict of str to onnx.TypeProto
        Shapes to believe where inference finds none; is emptied.
    infer_body : callable
        Infers the shapes of a loop's body.

    Raises
    ------
    BadInputError
        The shapes contradict each other.
    """
    work = onnx.ModelProto()
    work.CopyFrom(model)
    _fill(work)
    opsets = list(model.opset_import)
    values = _constants(work)
    from_shape: set[str] = set()
    while True:
        shapes, element_types = _infer_once(work)
        found = Inferred(shapes, element_types, values)
        folded = _fold(work, found, from_shape, opsets)
        if folded or _declare(work, found, declared):
            continue
        computed = missing_shapes(work, found, infer_body)
        if _declare(work, found, computed) or _declare_before(work, found):
            continue
        return found


def _fill(work: onnx.ModelProto) -> None:
    """Make sparse initializers dense ones without values: inference follows no others."""
    for graph in graphs(work):
        for sparse in graph.sparse_initializer:
            values = sparse.values
            graph.initializer.add(name=values.name, data_type=values.data_type, dims=sparse.dims)
        del graph.sparse_initializer[:]


def _infer_once(
    model: onnx.ModelProto,
) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    try:
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError) as error:
        first = re.sub(r"\[\w+Error\] |Inference error\(s\): ", "", str(error)).splitlines()[:1]
        raise BadInputError(f"its tensors' shapes do not fit: {''.join(first)}") from error
    shapes: dict[str, tuple[int, ...]] = {}
    element_types: dict[str, int] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.elem_type or value.name not in element_types:  # an input may be an output too
            element_types[value.name] = tensor.elem_type
        fixed = all(dim.HasField("dim_value") for dim in tensor.shape.dim)
        if tensor.HasField("shape") and fixed:
            shapes[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    for weight in graph.initializer:
        shapes[weight.name] = tuple(weight.dims)
        element_types[weight.name] = weight.data_type
    return shapes, element_types


def _constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Values of the small constants that the model holds."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    values: dict[str, NDArray[Any]] = {}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain in STANDARD_DOMAINS and node.output:
            for attribute in node.attribute:
                if attribute.name == "value":
                    held[node.output[0]] = attribute.t
                elif attribute.name in _NUMBERS:
                    number = onnx.helper.get_attribute_value(attribute)
                    values[node.output[0]] = np.array(number, dtype=_NUMBERS[attribute.name])
    for name, tensor in held.items():
        most = KEPT_ELEMENTS if tensor.data_type in COUNTS else _FACTORS
        if tensor.data_type in _VALUED and prod(tensor.dims) <= most and holds_values(tensor):
            values[name] = onnx.numpy_helper.to_array(tensor)
    return values


def _fold(work: onnx.ModelProto, found: Inferred, from_shape: set[str], opsets: list[Any]) -> bool:
    """Replace operators on known values by their result; whether there was one."""
    progress = False
    for node in work.graph.node:
        if len(node.output) != 1 or node.domain not in STANDARD_DOMAINS:
            continue
        name = node.output[0]
        if from_shape.intersection(node.input):
            from_shape.add(name)
        if name in found.values or prod(found.shapes.get(name, (2**63,))) > KEPT_ELEMENTS:
            continue
        if node.op_type in ("Shape", "Size"):
            from_shape.add(name)
            result = _measure(node, found)
        elif name in from_shape or found.element_types.get(name) in COUNTS:
            result = _evaluate(node, found, opsets)
        else:
            result = None
        if result is not None and result.shape == found.shapes[name]:
            found.values[name] = result
            constant = onnx.numpy_helper.from_array(result)
            node.CopyFrom(onnx.helper.make_node("Constant", [], [name], value=constant))
            progress = True
    return progress


def _measure(node: onnx.NodeProto, found: Inferred) -> NDArray[Any] | None:
    shape = found.shapes.get(node.input[0])
    if shape is None:
        return None
    if node.op_type == "Size":
        return np.array(prod(shape), dtype=np.int64)
    bounds = {attribute.name: attribute.i for attribute in node.attribute}
    return np.array(shape[bounds.get("start", 0) : bounds.get("end", len(shape))], dtype=np.int64)


def _evaluate(node: onnx.NodeProto, found: Inferred, opsets: list[Any]) -> NDArray[Any] | None:
    inputs = {name: found.values[name] for name in node.input if name in found.values}
    if node.op_type not in _ARITHMETIC or not inputs.keys() >= set(filter(None, node.input)):
        return None
    from onnx.reference import ReferenceEvaluator

    helper = onnx.helper
    described = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in inputs.items()
    ]
    name = node.output[0]
    result = helper.make_tensor_value_info(name, found.element_types[name], found.shapes[name])
    model = helper.make_model(
        helper.make_graph([node], "one", described, [result]), opset_imports=opsets
    )
    try:
        with np.errstate(all="ignore"):
            values: Any = ReferenceEvaluator(model).run(None, inputs)
    except MemoryError:
        raise
    except Exception:  # an ill-formed operator: its shape stays open, which is reported later
        return None
    return np.asarray(values[0])


def _declare_before(work: onnx.ModelProto, found: Inferred) -> bool:
    """Give tensors that only a known shape behind them speaks of theirs; whether there was one."""
    made = {name for node in work.graph.node for name in node.output if name}
    return _declare(work, found, shapes_before(work, found, made))


def _declare(work: onnx.ModelProto, found: Inferred, declared: dict[str, onnx.TypeProto]) -> bool:
    """Believe the model's own shapes where inference found none; whether there was one."""
    wanted = {name for node in work.graph.node for name in node.output} - found.shapes.keys()
    outputs = {value.name: value for value in work.graph.output}
    believed = wanted & declared.keys()
    for name in believed:
        value = outputs[name] if name in outputs else work.graph.value_info.add(name=name)
        value.type.CopyFrom(declared.pop(name))
    return bool(believed)

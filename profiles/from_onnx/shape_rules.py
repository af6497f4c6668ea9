"""Shapes that ONNX's inference does not give: of loops, of data's choice, and `vendor_shapes`.

Where the data decide how large an output is, the largest size is taken; `ASSUMED` names those
operators, and a profile's coverage says so.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import onnx

from profiles.from_onnx import vendor_shapes
from profiles.from_onnx.bodies import body_of, growth_of, output_shapes
from profiles.from_onnx.inferred import STANDARD_DOMAINS, Inferred, is_standards
from profiles.from_onnx.vendor_shapes import (
    Rule,
    Shape,
    alike,
    attributes_of,
    fixed_shape,
    inferred_types,
    like_first,
    shape_at,
    type_at,
)

ASSUMED = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})
"""Operators whose largest output is taken."""

_INT64 = onnx.TensorProto.INT64


def missing_shapes(
    model: onnx.ModelProto, found: Inferred, infer: Callable[[onnx.ModelProto], Inferred]
) -> dict[str, onnx.TypeProto]:
    """Types of the outputs that inference left open and that a rule here knows.

    Parameters
    ----------
    model : onnx.ModelProto
    found : Inferred
    infer : callable
        Infers the shapes of a body.

    Raises
    ------
    BadInputError
        The body of a loop contradicts itself.
    """
    types: dict[str, onnx.TypeProto] = {}
    opsets = list(model.opset_import)
    known = Inferred(dict(found.shapes), dict(found.element_types), found.values)
    for node in model.graph.node:
        if all(name in known.shapes for name in node.output if name):
            continue
        rule, shapes = _rule_of(node), list[tuple[Shape | None, int]]()
        if node.op_type in ("Loop", "Scan") and node.domain in STANDARD_DOMAINS:
            shapes = _of_body(node, known, opsets, infer)
        elif rule is not None:
            shapes = rule(node, known)
        elif types:  # behind one of them: all at once, and not one more inference for each
            shapes = _of_standard(node, known, opsets)
        for name, (shape, data_type) in zip(node.output, shapes, strict=False):
            if name and shape is not None and data_type and name not in known.shapes:
                types[name] = onnx.helper.make_tensor_type_proto(data_type, shape)
                known.shapes[name], known.element_types[name] = shape, data_type
    return types


def shapes_before(
    model: onnx.ModelProto, found: Inferred, made: set[str]
) -> dict[str, onnx.TypeProto]:
    """Types of tensors of unknown size that follow from what a node makes of them.

    Parameters
    ----------
    model : onnx.ModelProto
    found : Inferred
    made : set of str
        Tensors that a node makes.
    """
    types: dict[str, onnx.TypeProto] = {}
    for node in reversed(model.graph.node):
        source = node.input[0] if node.input else ""
        if source not in made or source in found.shapes or source in types:
            continue
        shape = found.shapes.get(node.output[0])
        data_type = found.element_types.get(node.output[0], 0)
        if shape is None or not data_type or node.domain not in STANDARD_DOMAINS:
            continue
        before = _before(node, shape, found)
        if before is not None and min(before, default=1) > 0:
            types[source] = onnx.helper.make_tensor_type_proto(data_type, before)
    return types


def _before(node: onnx.NodeProto, shape: Shape, found: Inferred) -> Shape | None:
    """What a node's first operand must be for its output to have this shape."""
    given = attributes_of(node)
    if node.op_type in _SAME_BEFORE:
        return shape
    if node.op_type == "Transpose":
        order = given.get("perm", range(len(shape))[::-1])
        return tuple(shape[list(order).index(axis)] for axis in range(len(shape)))
    other = shape_at(node, found, 1)
    if other is None:
        return None
    if node.op_type in ("Add", "Sub", "Mul", "Div") and prod(other) < prod(shape):
        return shape
    if node.op_type == "MatMul" and len(other) == 2 and len(shape) > 1:
        return (*shape[:-1], other[0])
    if node.op_type == "Gemm" and not given.get("transA", 0) and len(other) == 2 == len(shape):
        return (shape[0], other[1 if given.get("transB", 0) else 0])
    return None


_SAME_BEFORE = frozenset(
    "Abs Clip Dropout Elu Erf Exp Gelu HardSigmoid HardSwish Identity LayerNormalization LeakyRelu "
    "LogSoftmax Neg Relu Sigmoid Softmax Softplus Sqrt Tanh".split()
)
"""Operators whose first operand is as large as what they make."""


def _of_standard(
    node: onnx.NodeProto, found: Inferred, opsets: list[onnx.OperatorSetIdProto]
) -> list[tuple[Shape | None, int]]:
    """What the standard says of one node."""
    names = [name for name in node.input if name]
    if node.domain not in STANDARD_DOMAINS or any(n not in found.shapes for n in names):
        return []
    if any(attribute.HasField("g") for attribute in node.attribute):
        return []
    version = next(entry.version for entry in opsets if entry.domain in STANDARD_DOMAINS)
    made = inferred_types(onnx.defs.get_schema(node.op_type, version, ""), node, names, found)
    types = [made.get(name, onnx.TypeProto()) for name in node.output]
    return [(fixed_shape(kind), kind.tensor_type.elem_type) for kind in types]


def _of_body(
    node: onnx.NodeProto,
    found: Inferred,
    opsets: list[onnx.OperatorSetIdProto],
    infer: Callable[[onnx.ModelProto], Inferred],
) -> list[tuple[Shape | None, int]]:
    body = body_of(node, found, opsets)
    if body is None:
        return []
    first = last = infer(body.model)
    types = [first.element_types.get(name, 0) for name in body.results]
    growth = growth_of(body, first)
    if growth is None:
        return []
    if any(map(any, growth)) and body.trips > 1:
        end = body_of(node, found, opsets, trip=body.trips - 1, growth=growth)
        if end is None:
            return []
        last = infer(end.model)
        if growth_of(end, last) != growth:  # no line: how large it becomes is not known
            return []
    return list(zip(output_shapes(body, first, last), types, strict=True))


def _non_zero(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    shape = shape_at(node, found, 0)
    return [] if shape is None else [((max(len(shape), 1), prod(shape)), _INT64)]


def _non_max_suppression(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    scores = shape_at(node, found, 1)  # (batch, classes, boxes)
    if scores is None or len(scores) != 3:
        return []
    most = found.values.get(node.input[2]) if len(node.input) > 2 else None
    boxes = scores[2]
    if most is not None and most.size == 1:
        boxes = min(boxes, int(most.reshape(-1)[0]))
    return [((scores[0] * scores[1] * max(boxes, 1), 3), _INT64)]


def _unique(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    shape = shape_at(node, found, 0)
    if shape is None or "axis" in attributes_of(node):
        return []
    most = (prod(shape),)
    return [(most, type_at(node, found)), *[(most, _INT64)] * 3]


def _compress(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    shape = shape_at(node, found, 0)
    if shape is None:
        return []
    return [(shape if "axis" in attributes_of(node) else (prod(shape),), type_at(node, found))]


_RULES: dict[str, Rule] = {
    "Compress": _compress,
    "GroupNormalization": like_first,
    "NonMaxSuppression": _non_max_suppression,
    "NonZero": _non_zero,
    "Unique": _unique,
    **vendor_shapes.RULES,
}


def _rule_of(node: onnx.NodeProto) -> Rule | None:
    """The rule of an operator; of a vendor's that the standard has too, the standard's."""
    if node.domain in STANDARD_DOMAINS:
        return _RULES.get(node.op_type)
    rule = _RULES.get(f"{node.domain}.{node.op_type}")
    if rule is None and is_standards(node):
        return alike(node.op_type)
    return rule

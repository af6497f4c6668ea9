"""Shapes that ONNX's inference does not give: of vendors' operators, loops, and data's choice.

Where the data decide how large an output is, the largest size is taken; `ASSUMED` names those
operators, and a profile's coverage says so.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import onnx

from profiles.from_onnx.bodies import body_of, output_shapes
from profiles.from_onnx.inferred import STANDARD_DOMAINS, Inferred

Shape = tuple[int, ...]
Shapes = list[Shape | None]
Rule = Callable[[onnx.NodeProto, Inferred], list[tuple[Shape | None, int]]]

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
    for node in model.graph.node:
        if all(name in found.shapes for name in node.output if name):
            continue
        standard = node.domain in STANDARD_DOMAINS
        if node.op_type in ("Loop", "Scan") and standard:
            shapes = _of_body(node, found, list(model.opset_import), infer)
        else:
            rule = _RULES.get(node.op_type if standard else f"{node.domain}.{node.op_type}")
            shapes = rule(node, found) if rule else []
        for name, (shape, data_type) in zip(node.output, shapes, strict=False):
            if name and shape is not None and data_type and name not in found.shapes:
                types[name] = onnx.helper.make_tensor_type_proto(data_type, shape)
    return types


def _of_body(
    node: onnx.NodeProto,
    found: Inferred,
    opsets: list[onnx.OperatorSetIdProto],
    infer: Callable[[onnx.ModelProto], Inferred],
) -> list[tuple[Shape | None, int]]:
    body = body_of(node, found, opsets)
    if body is None:
        return []
    inner = infer(body.model)
    types = [inner.element_types.get(name, 0) for name in body.results]
    return list(zip(output_shapes(body, inner), types, strict=True))


def _shape(node: onnx.NodeProto, found: Inferred, position: int) -> Shape | None:
    return found.shapes.get(node.input[position]) if position < len(node.input) else None


def _type(node: onnx.NodeProto, found: Inferred, position: int = 0) -> int:
    return found.element_types.get(node.input[position], 0) if node.input else 0


def _attributes(node: onnx.NodeProto) -> dict[str, int]:
    return {a.name: a.i for a in node.attribute if a.type == onnx.AttributeProto.INT}


def _like_first(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    return [(_shape(node, found, 0), _type(node, found))]


def _skip_norm(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    (first,) = _like_first(node, found)
    return [first, (None, 0), (None, 0), first]


def _like_first_and_third(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    first, third = _shape(node, found, 0), _shape(node, found, 3)
    both = first is not None and third is not None
    shape = np.broadcast_shapes(first, third) if both else None  # type: ignore[arg-type]
    return [(shape, _type(node, found))]


def _multi_head(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    query, value = _shape(node, found, 0), _shape(node, found, 2)
    if query is None or value is None or len(query) != 3 or len(value) != 3:
        return []
    return [((*query[:2], value[2]), _type(node, found))]


def _packed(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    x, weight = _shape(node, found, 0), _shape(node, found, 1)
    sizes = next((list(a.ints) for a in node.attribute if a.name == "qkv_hidden_sizes"), [])
    if x is None or weight is None or len(x) != 3 or len(weight) != 2:
        return []
    return [((*x[:2], sizes[2] if len(sizes) == 3 else weight[1] // 3), _type(node, found))]


def _quantized_lstm(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    x, recurrent = _shape(node, found, 0), _shape(node, found, 2)  # (directions, hidden, 4 hidden)
    if x is None or recurrent is None or len(x) != 3 or len(recurrent) != 3:
        return []
    directions, hidden = recurrent[:2]
    state = ((directions, x[1], hidden), _type(node, found))
    return [((x[0], directions, x[1], hidden), _type(node, found)), state, state]


def _non_zero(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    shape = _shape(node, found, 0)
    return [] if shape is None else [((max(len(shape), 1), prod(shape)), _INT64)]


def _non_max_suppression(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    scores = _shape(node, found, 1)  # (batch, classes, boxes)
    if scores is None or len(scores) != 3:
        return []
    most = found.values.get(node.input[2]) if len(node.input) > 2 else None
    boxes = scores[2]
    if most is not None and most.size == 1:
        boxes = min(boxes, int(most.reshape(-1)[0]))
    return [((scores[0] * scores[1] * max(boxes, 1), 3), _INT64)]


def _unique(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    shape = _shape(node, found, 0)
    if shape is None or "axis" in _attributes(node):
        return []
    most = (prod(shape),)
    return [(most, _type(node, found)), *[(most, _INT64)] * 3]


def _compress(node: onnx.NodeProto, found: Inferred) -> list[tuple[Shape | None, int]]:
    shape = _shape(node, found, 0)
    if shape is None:
        return []
    return [(shape if "axis" in _attributes(node) else (prod(shape),), _type(node, found))]


_SAME_SHAPE = "BiasGelu FastGelu Gelu QLinearLeakyRelu QLinearSigmoid QLinearSoftmax QuickGelu"
_RULES: dict[str, Rule] = {
    "Compress": _compress,
    "GroupNormalization": _like_first,
    "NonMaxSuppression": _non_max_suppression,
    "NonZero": _non_zero,
    "Unique": _unique,
    **{f"com.microsoft.{name}": _like_first for name in _SAME_SHAPE.split()},
    "com.microsoft.SkipLayerNormalization": _skip_norm,
    "com.microsoft.SkipSimplifiedLayerNormalization": _skip_norm,
    "com.microsoft.QLinearAdd": _like_first_and_third,
    "com.microsoft.QLinearMul": _like_first_and_third,
    "com.microsoft.MultiHeadAttention": _multi_head,
    "com.microsoft.Attention": _packed,
    "com.microsoft.DynamicQuantizeLSTM": _quantized_lstm,
}

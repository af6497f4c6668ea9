"""Shapes of operators that ONNX Runtime has beside the standard: its own and ``ai.onnx.ml``'s.

Most are a standard operator with more in it, so that the standard's own inference is asked, on
the operands that both have.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx

from profiles.from_onnx.inferred import Inferred

Shape = tuple[int, ...]
Found = list[tuple[Shape | None, int]]
Rule = Callable[[onnx.NodeProto, Inferred], Found]

_FLOAT, _INT32 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32
_COUNTS = (onnx.TensorProto.BOOL, _INT32, onnx.TensorProto.INT64)
_ASKED = 17
"""The operator set whose inference is asked."""


def shape_at(node: onnx.NodeProto, found: Inferred, position: int) -> Shape | None:
    """An operand's, if it is there and known."""
    return found.shapes.get(node.input[position]) if position < len(node.input) else None


def type_at(node: onnx.NodeProto, found: Inferred, position: int = 0) -> int:
    """An operand's element type; 0 if it is not known."""
    there = position < len(node.input)
    return found.element_types.get(node.input[position], 0) if there else 0


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Values by name."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def like_first(node: onnx.NodeProto, found: Inferred) -> Found:
    """One output, of the first operand's shape and type."""
    return [(shape_at(node, found, 0), type_at(node, found))]


def alike(
    op_type: str,
    *positions: int,
    typed: int = 0,
    given: dict[str, Shape] | None = None,
    made: int = 1,
) -> Rule:
    """A rule: what the standard says of an operator.

    Parameters
    ----------
    op_type : str
        Of the standard.
    *positions : int
        Where its operands are among the node's; none: in their places.
    typed : int
        Position of the operand whose type the outputs have.
    given : dict, optional
        Shapes of operands, by name, that the standard has in another order of dimensions.
    made : int
        Number of outputs that have a shape.
    """

    def rule(node: onnx.NodeProto, found: Inferred) -> Found:
        places = positions or tuple(range(len(node.input)))
        names = [node.input[p] if p < len(node.input) else "" for p in places]
        while names and not names[-1]:
            names.pop()
        shapes = {**{n: found.shapes.get(n) for n in names if n}, **(given or {})}
        if None in shapes.values():
            return []
        shape = _asked(op_type, node, names, shapes, found)
        return [(shape, type_at(node, found, typed))] * made

    return rule


def _asked(
    op_type: str,
    node: onnx.NodeProto,
    names: list[str],
    shapes: dict[str, Any],
    found: Inferred,
) -> Shape | None:
    newest = onnx.defs.get_schema(op_type, "")
    schema = newest if newest.since_version > _ASKED else onnx.defs.get_schema(op_type, _ASKED, "")
    proxy = onnx.helper.make_node(op_type, names, ["made"])
    proxy.attribute.extend(a for a in node.attribute if a.name in schema.attributes)
    kinds = {name: found.element_types.get(name, 0) for name in shapes}
    allowed = {name: kind if kind in _COUNTS else _FLOAT for name, kind in kinds.items()}
    asked = Inferred(shapes, allowed, found.values)
    made = inferred_types(schema, proxy, list(shapes), asked)
    return fixed_shape(made["made"]) if "made" in made else None


def inferred_types(
    schema: Any, node: onnx.NodeProto, names: list[str], found: Inferred
) -> dict[str, onnx.TypeProto]:
    """What onnx's inference says of one node's outputs; nothing where its operands do not fit."""
    types = {
        name: onnx.helper.make_tensor_type_proto(found.element_types[name], found.shapes[name])
        for name in names
    }
    values = {
        name: onnx.numpy_helper.from_array(found.values[name], name)
        for name in names
        if name in found.values
    }
    try:
        made: dict[str, onnx.TypeProto] = onnx.shape_inference.infer_node_outputs(
            schema, node, types, values
        )
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, IndexError):
        return {}  # an IndexError is its own: it reads inputs that a node does not have
    return made


def fixed_shape(kind: onnx.TypeProto) -> Shape | None:
    """A tensor's shape where all of it is known."""
    tensor = kind.tensor_type
    known = tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim)
    return tuple(dim.dim_value for dim in tensor.shape.dim) if known else None


def channels_last(rule: Callable[..., Rule], op_type: str, *positions: int) -> Rule:
    """The rule of an operator on (batch, channels, ...) for one on (batch, ..., channels)."""

    def turned(node: onnx.NodeProto, found: Inferred) -> Found:
        shape = shape_at(node, found, positions[0])
        if shape is None or len(shape) < 3:
            return []
        first = {node.input[positions[0]]: (shape[0], shape[-1], *shape[1:-1])}
        made = rule(op_type, *positions, given=first)(node, found)
        return [(s and (s[0], *s[2:], s[1]), kind) for s, kind in made]

    return turned


def _either_order(op_type: str, *positions: int, default: int = 0) -> Rule:
    """Channels last where the node says so."""

    def rule(node: onnx.NodeProto, found: Inferred) -> Found:
        last = attributes_of(node).get("channels_last", default)
        chosen = channels_last(alike, op_type, *positions) if last else alike(op_type, *positions)
        return chosen(node, found)

    return rule


def product_operand(shape: Shape, batch: bool, turn: bool) -> list[int]:
    """The order of dimensions in which a fused product reads an operand."""
    order = list(range(len(shape)))
    if batch and len(order) > 2:
        order = [*order[1:-1], 0, order[-1]]
    if turn and len(order) > 1:
        order[-2:] = order[:-3:-1]
    return order


def _fused_matmul(node: onnx.NodeProto, found: Inferred) -> Found:
    given, shapes = attributes_of(node), dict[str, Shape]()
    for position, side in enumerate("AB"):
        shape = shape_at(node, found, position)
        if shape is None:
            return []
        batch, turn = (bool(given.get(f"{name}{side}", 0)) for name in ("transBatch", "trans"))
        shapes[side] = tuple(shape[axis] for axis in product_operand(shape, batch, turn))
    return [(_asked("MatMul", node, ["A", "B"], shapes, found), type_at(node, found))]


def _packed_product(node: onnx.NodeProto, found: Inferred) -> Found:
    """(..., K) by a packed matrix of K rows and N columns."""
    x, columns = shape_at(node, found, 0), attributes_of(node).get("N", 0)
    return [] if not x or columns < 1 else [((*x[:-1], columns), type_at(node, found))]


def _integer_product(node: onnx.NodeProto, found: Inferred, typed: int) -> Found:
    return alike("MatMul", 0, 1, typed=typed)(node, found)


def _skip_norm(node: onnx.NodeProto, found: Inferred) -> Found:
    (first,) = like_first(node, found)
    return [first, (None, 0), (None, 0), first]


def _two(first: int, second: int) -> Rule:
    """Two operands, broadcast."""

    def rule(node: onnx.NodeProto, found: Inferred) -> Found:
        shapes = [shape_at(node, found, position) for position in (first, second)]
        known = [shape for shape in shapes if shape is not None]
        try:
            shape = np.broadcast_shapes(*known) if len(known) == 2 else None
        except ValueError:
            return []
        return [(shape, type_at(node, found, first))]

    return rule


def _multi_head(node: onnx.NodeProto, found: Inferred) -> Found:
    query, key, value = (shape_at(node, found, position) for position in range(3))
    heads, kind = attributes_of(node).get("num_heads", 0), type_at(node, found)
    if query is None or heads < 1:
        return []
    if len(query) == 5:  # q, k and v in one: (batch, tokens, heads, 3, d)
        inner, length = query[2] * query[4], query[1]
        sizes = (query[4], query[4])
    elif key is not None and len(key) == 5:  # k and v in one
        inner, length, sizes = query[2], key[1], (key[4], key[4])
    elif value is None or key is None:
        return []
    elif len(value) == 4:
        inner, length, sizes = value[1] * value[3], value[2], (key[3], value[3])
    else:
        inner, length, sizes = value[2], value[1], (key[2] // heads, value[2] // heads)
    past = shape_at(node, found, _PAST_OF.get(node.op_type, 6))
    length += past[2] if past is not None and len(past) == 4 else 0
    presents = [((query[0], heads, length, size), kind) for size in sizes]
    return [((*query[:2], inner), kind), *presents]


_PAST_OF = {"DecoderMaskedMultiHeadAttention": 5}


def _grouped_query(node: onnx.NodeProto, found: Inferred) -> Found:
    query, key, past = (shape_at(node, found, position) for position in (0, 1, 3))
    given, kind = attributes_of(node), type_at(node, found)
    heads, few = given.get("num_heads", 0), given.get("kv_num_heads", 0)
    if query is None or len(query) != 3 or heads < 1 or few < 1:
        return []
    size = query[2] // heads if key is not None else query[2] // (heads + 2 * few)
    length = query[1] + (past[2] if past is not None and len(past) == 4 else 0)
    present = ((query[0], few, length, size), kind)
    return [((*query[:2], heads * size), kind), present, present]


def _packed_attention(node: onnx.NodeProto, found: Inferred, past_at: int = 4) -> Found:
    x, weight, past = (shape_at(node, found, position) for position in (0, 1, past_at))
    given = attributes_of(node)
    sizes, heads = given.get("qkv_hidden_sizes", []), given.get("num_heads", 0)
    if x is None or weight is None or len(x) != 3 or len(weight) != 2 or heads < 1:
        return []
    inner = sizes[2] if len(sizes) == 3 else weight[1] // 3
    kind = type_at(node, found, 3) if past_at > 4 else type_at(node, found)
    length = x[1] + (past[3] if past is not None and len(past) == 5 else 0)
    return [((*x[:2], inner), kind), ((2, x[0], heads, length, inner // heads), kind)]


def _embedded(node: onnx.NodeProto, found: Inferred) -> Found:
    ids, table = shape_at(node, found, 0), shape_at(node, found, 2)
    if ids is None or table is None or len(ids) != 2 or len(table) != 2:
        return []
    kind, made = type_at(node, found, 2), (*ids, table[1])
    return [(made, kind), ((ids[0],), _INT32), (made, kind)]


def _gathered(node: onnx.NodeProto, found: Inferred) -> Found:
    """Rows of a table of 4-bit numbers, which may lie two to a byte."""
    table, chosen, given = (
        shape_at(node, found, 0),
        shape_at(node, found, 1),
        attributes_of(node),
    )
    if table is None or chosen is None or given.get("gather_axis", 0) != 0 or not table:
        return []
    packed = type_at(node, found) == onnx.TensorProto.UINT8
    times = 8 // given.get("bits", 4) if packed and given.get("bits", 4) in (2, 4, 8) else 1
    return [((*chosen, *table[1:-1], table[-1] * times), type_at(node, found, 2))]


def _quantized_lstm(node: onnx.NodeProto, found: Inferred) -> Found:
    x, recurrent = shape_at(node, found, 0), shape_at(node, found, 2)
    if x is None or recurrent is None or len(x) != 3 or len(recurrent) != 3:
        return []  # (directions, hidden, 4 hidden)
    directions, hidden = recurrent[:2]
    state = ((directions, x[1], hidden), type_at(node, found))
    return [((x[0], directions, x[1], hidden), type_at(node, found)), state, state]


def _q_concat(node: onnx.NodeProto, found: Inferred) -> Found:
    """Scale and zero point, then every part with its own."""
    return alike("Concat", *range(2, len(node.input), 3), typed=2)(node, found)


def _halved(node: onnx.NodeProto, found: Inferred) -> Found:
    shape = shape_at(node, found, 0)
    return [] if not shape else [((*shape[:-1], shape[-1] // 2), type_at(node, found))]


def _position_bias(node: onnx.NodeProto, found: Inferred) -> Found:
    table = shape_at(node, found, 0)
    lengths = [found.values.get(name) for name in node.input[1:3]]
    known = [int(v.reshape(-1)[0]) for v in lengths if v is not None and v.size == 1]
    if table is None or len(table) != 2 or len(known) != 2:
        return []
    return [((1, table[1], *known), type_at(node, found))]


def _reordered(node: onnx.NodeProto, found: Inferred) -> Found:
    """To channels in blocks, and back: what is filled up at the end is not counted."""
    shape, given = shape_at(node, found, 0), attributes_of(node)
    if shape is None or len(shape) != 4:
        return []
    if given.get("channels_last", 0):
        into = node.op_type == "ReorderInput"
        shape = (shape[0], shape[3], *shape[1:3]) if into else (shape[0], *shape[2:], shape[1])
    if node.op_type == "ReorderOutput" and (channels := given.get("channels", 0)) > 0:
        axis = 3 if given.get("channels_last", 0) else 1
        shape = (*shape[:axis], channels, *shape[axis + 1 :])
    return [(shape, type_at(node, found))]


def _upsampled(node: onnx.NodeProto, found: Inferred) -> Found:
    shape, scales = shape_at(node, found, 0), attributes_of(node).get("scales", [])
    if shape is None or len(scales) != len(shape):
        return []
    return [(tuple(n * int(s) for n, s in zip(shape, scales, strict=True)), type_at(node, found))]


def blocked_inputs(x: Shape, filters: Shape, groups: int) -> int:
    """Inputs of a group of a convolution on blocks: either side may be filled up."""
    return min(x[1] // groups, filters[1])


def _blocked_conv(node: onnx.NodeProto, found: Inferred) -> Found:
    x, filters = shape_at(node, found, 0), shape_at(node, found, 1)
    if x is None or filters is None or len(x) != 4 or len(filters) != 4:
        return []
    groups = max(attributes_of(node).get("group", 1), 1)
    inputs = blocked_inputs(x, filters, groups)
    given: dict[str, Shape] = {
        node.input[0]: (x[0], inputs * groups, *x[2:]),
        node.input[1]: (filters[0], inputs, *filters[2:]),
    }
    return alike("Conv", 0, 1, 2, given=given)(node, found)


def _extracted(node: onnx.NodeProto, found: Inferred) -> Found:
    shape, chosen = shape_at(node, found, 0), shape_at(node, found, 1)
    if not shape or chosen is None:
        return []
    count = int(np.prod(chosen))
    lead = shape[:-1] if len(shape) > 1 else (1,)
    return [((*lead, count), type_at(node, found))]


def _scores(node: onnx.NodeProto, found: Inferred) -> Found:
    """Linear models: one score a target or class, behind a label where it classifies."""
    x, given = shape_at(node, found, 0), attributes_of(node)
    if x is None or len(x) != 2:
        return []
    if node.op_type == "LinearRegressor":
        return [((x[0], max(given.get("targets", 1), 1)), _FLOAT)]
    classes = given.get("classlabels_ints") or given.get("classlabels_strings") or [0]
    return [((x[0],), onnx.TensorProto.INT64), ((x[0], len(classes)), _FLOAT)]


def _dequantised(node: onnx.NodeProto, found: Inferred) -> Found:
    return [(shape_at(node, found, 0), type_at(node, found, 1))]


def _as_floats(node: onnx.NodeProto, found: Inferred) -> Found:
    return [(shape_at(node, found, 0), _FLOAT)]


_LIKE_FIRST = (
    "BiasAdd BiasDropout BiasGelu BiasSoftmax BitmaskDropout FastGelu GatedRelativePositionBias "
    "Gelu GemmaRotaryEmbedding GroupNorm Inverse NGramRepeatBlock QLinearLeakyRelu QLinearSigmoid "
    "QLinearSoftmax QMoE MoE QuickGelu RotaryEmbedding SimplifiedLayerNormalization "
    "SkipGroupNorm"
)

_OWN: dict[str, Rule] = {
    **dict.fromkeys(_LIKE_FIRST.split(), like_first),
    "Attention": _packed_attention,
    "BiasSplitGelu": _halved,
    "DecoderMaskedMultiHeadAttention": _multi_head,
    "DequantizeLinear": _dequantised,
    "DynamicQuantizeLSTM": _quantized_lstm,
    "DynamicQuantizeMatMul": partial(_integer_product, typed=0),
    "EmbedLayerNormalization": _embedded,
    "FusedConv": alike("Conv", 0, 1, 2),
    "FusedGemm": alike("Gemm", 0, 1, 2),
    "FusedMatMul": _fused_matmul,
    "FusedMatMulActivation": _fused_matmul,
    "GatherBlockQuantized": _gathered,
    "GemmFastGelu": alike("MatMul", 0, 1),
    "GemmFloat8": alike("Gemm", 0, 1),
    "GroupQueryAttention": _grouped_query,
    "MatMulBnb4": _packed_product,
    "MatMulFpQ4": _packed_product,
    "MatMulInteger16": alike("MatMul", 0, 1),
    "MatMulIntegerToFloat": partial(_integer_product, typed=2),
    "MatMulNBits": _packed_product,
    "MulInteger": _two(0, 2),
    "MultiHeadAttention": _multi_head,
    "NhwcConv": channels_last(alike, "Conv", 0, 1, 2),
    "NhwcFusedConv": channels_last(alike, "Conv", 0, 1, 2),
    "NhwcMaxPool": channels_last(alike, "MaxPool", 0),
    "QAttention": partial(_packed_attention, past_at=8),
    "QGemm": alike("Gemm", 0, 3),
    "QLinearAdd": _two(0, 3),
    "QLinearAveragePool": _either_order("AveragePool", 0),
    "QLinearConcat": _q_concat,
    "QLinearConv": _either_order("Conv", 0, 3),
    "QLinearGlobalAveragePool": _either_order("GlobalAveragePool", 0),
    "QLinearMul": _two(0, 3),
    "QLinearReduceMean": alike("ReduceMean", 0),
    "QLinearWhere": alike("Where", 0, 1, 4, typed=1),
    "RelativePositionBias": _position_bias,
    "SkipLayerNormalization": _skip_norm,
    "SkipSimplifiedLayerNormalization": _skip_norm,
    "TransposeMatMul": _fused_matmul,
}
_BLOCKED: dict[str, Rule] = {
    "AveragePool": alike("AveragePool", 0),
    "Conv": _blocked_conv,
    "GlobalAveragePool": alike("GlobalAveragePool", 0),
    "GlobalMaxPool": alike("GlobalMaxPool", 0),
    "MaxPool": alike("MaxPool", 0),
    "ReorderInput": _reordered,
    "ReorderOutput": _reordered,
    "Upsample": _upsampled,
}
_ML: dict[str, Rule] = {
    "ArrayFeatureExtractor": _extracted,
    "Binarizer": like_first,
    "Imputer": like_first,
    "LabelEncoder": like_first,
    "LinearClassifier": _scores,
    "LinearRegressor": _scores,
    "Normalizer": _as_floats,
    "Scaler": _as_floats,
    "ZipMap": like_first,
}

RULES: dict[str, Rule] = {
    **{f"com.microsoft.{name}": rule for name, rule in _OWN.items()},
    **{f"com.microsoft.nchwc.{name}": rule for name, rule in _BLOCKED.items()},
    **{f"ai.onnx.ml.{name}": rule for name, rule in _ML.items()},
}
"""By domain and name."""

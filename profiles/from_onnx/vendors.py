"""ONNX Runtime's own operators: fused, quantised, and with other orders of dimensions.

Where an operator is one of the standard with more in it, the standard's handler does its work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod

from profiles.from_onnx import attention, products
from profiles.from_onnx.call import Call
from profiles.from_onnx.spans import convolved, spans_of
from profiles.from_onnx.vendor_shapes import blocked_inputs, product_operand
from profiles.graph import Tensor
from profiles.meanings import elements, layers, moves
from profiles.meanings.call import Operand, many, require, stored_only
from profiles.meanings.moves import turned
from profiles.meanings.products import product, times

Handler = Callable[..., None]


def quantised(handler: Handler, *settings: int, **positions: int) -> Callable[[Call], None]:
    """The same layer, with settings for its number format and its operands elsewhere."""

    def translated(call: Call) -> None:
        call.mark_settings(*settings)
        handler(call, **positions)

    return translated


def plus(handler: Handler, *terms: int) -> Callable[[Call], None]:
    """The same layer, and tensors that are added to what it makes."""

    def summed(call: Call) -> None:
        handler(call)
        for made in call.tensors(terms):
            call.add("elementwise", [call.made[0], made], "add", step="add", beside="add")

    return summed


# Products


def _fused_matmul(call: Call) -> None:
    """``MatMul`` of operands that are turned on demand."""
    operands, weights = list[Operand](), call.constants_at((0, 1))
    for position, side in enumerate("AB"):
        item = call.operand(position)
        batch, turn = (bool(call.integer(f"{n}{side}", 0)) for n in ("transBatch", "trans"))
        order = tuple(product_operand(item.shape, batch, turn))
        if isinstance(item, Tensor):
            operands.append(turned(call, item, order))
        else:
            operands.append(replace(item, shape=tuple(item.shape[axis] for axis in order)))
    product(call, *operands, weights=weights)


def _gemm(call: Call, left: int, right: int, term: int) -> None:
    turn = (bool(call.integer("transA", 0)), bool(call.integer("transB", 0)))
    product(
        call,
        call.operand(left),
        call.operand(right),
        turn=turn,
        term=call.tensor(term),
        weights=[*call.constants_at((left, right, term)), *stored_only(many(call.constants))],
    )


def _matmul(call: Call, right: int = 1, bias: int = -1) -> None:
    weights = [*call.constants_at((0, right, bias)), *stored_only(many(call.constants))]
    product(call, call.operand(0), call.operand(right), weights=weights)


def _packed_weight(call: Call, bias: int = -1) -> None:
    """A matrix of K rows and N columns, packed to fewer bits; all else are its settings."""
    x, packed = call.data(0), call.weight(1)
    rows, columns = call.integer("K", 0), call.integer("N", 0)
    require(rows > 0 and columns > 0)
    call.mark_settings(*(p for p in range(2, len(call.inputs)) if p != bias))
    call.count_elements(packed, rows * columns)
    weights = [packed, *call.constants_at((bias,)), *stored_only(many(call.constants))]
    times(call, x, (rows, columns), None, weights)


def _experts(
    call: Call,
    matrices: tuple[int, ...] = (2, 4, 6),
    biases: tuple[int, ...] = (3, 5, 7),
    packed_bits: int = 0,
) -> None:
    """Every token's ``k`` experts of all that are stored; the router's choice is data.

    Packed matrices hold several numbers to a byte; all that is neither one of them nor a bias is a
    setting of theirs.
    """
    x, stored = call.data(0), call.constants_at(matrices)
    require(bool(stored) and all(len(m.shape) == 3 and m.elements for m in stored))
    width = 1
    if packed_bits:
        bits = call.integer("expert_weight_bits", packed_bits)
        require(bits in (2, 4, 8))
        width = 8 // bits
        known = (*matrices, *biases)
        call.mark_settings(*(p for p in range(2, len(call.inputs)) if p not in known))
        for matrix in stored:
            call.count_elements(matrix, matrix.elements * width)
    each = sum(matrix.elements // matrix.shape[0] for matrix in stored) * width
    layers.recurrent(
        call,
        x,
        call.tensors((1,)),
        [(call.integer("k", 1), each)],
        "experts",
        weights=[*stored, *call.constants_at(biases), *stored_only(many(call.constants))],
    )


# Convolutions and pools with channels last


def _to_first(call: Call, x: Tensor) -> Tensor:
    rank = len(x.shape)
    return turned(call, x, (0, rank - 1, *range(1, rank - 1)))


def _to_last(call: Call, x: Tensor) -> None:
    turned(call, x, (0, *range(2, len(x.shape)), 1), last=True)


def _shape_first(call: Call) -> tuple[int, ...]:
    shape = call.output().shape
    require(len(shape) >= 3)
    batch, *inner, channels = shape
    return (batch, channels, *inner)


def _nhwc_conv(call: Call, weight: int = 1, bias: int = 2) -> None:
    """(batch, height, width, channels) in and out; filters as the standard has them."""
    x, filters = call.data(0), call.operand(weight)
    require(len(x.shape) >= 3 and call.tensor(bias) is None)
    made = _shape_first(call)
    data = _to_first(call, x)
    result = layers.convolution(
        call,
        data,
        filters,
        groups=call.integer("group", 1),
        transposed=False,
        weights=[*call.constants_at((weight, bias)), *stored_only(many(call.constants))],
        windows=convolved(call, data.shape, filters.shape[2:], made),
        shape=made,
    )
    _to_last(call, result)


def _qlinear_conv(call: Call) -> None:
    last = bool(call.integer("channels_last", 0))
    (_nhwc_conv if last else products.conv)(call, weight=3, bias=8)


def _pool(call: Call) -> None:
    x = call.data(0)
    if call.integer("channels_last", 1 if "Nhwc" in call.op_type else 0):
        require(len(x.shape) >= 3)
        made = _shape_first(call)
        _to_last(call, call.add("pool", [_to_first(call, x)], shape=made, step="pool"))
    else:
        call.add("pool", [x], spans=spans_of(call))


# Channels in blocks (nchwc). Tensors keep the order of the standard here: the blocks say how they
# lie in memory, and what fills the last one up is left out.


def _blocked_conv(call: Call) -> None:
    x, filters, groups = call.data(0), call.weight(1), call.integer("group", 1)
    require(len(x.shape) == 4 == len(filters.shape) and groups > 0)
    outputs, _, *kernel = filters.shape
    if groups == outputs == x.shape[1] > 1 and prod(kernel) == 1:
        # How the optimiser writes a batch norm, or a factor and a term of every channel.
        call.add("batch_norm", [x], "batch_norm", weights=call.constants_at((1, 2)))
        return
    inputs = blocked_inputs(x.shape, filters.shape, groups)
    if inputs * groups < x.shape[1]:
        x = moves.part(call, x, 1, 0, inputs * groups)
    layers.convolution(
        call,
        x,
        replace(filters, shape=(outputs, inputs, *kernel)),
        groups=groups,
        transposed=False,
        weights=call.constants_at((1, 2)),
        windows=convolved(call, x.shape, tuple(kernel)),
    )


def _reordered(call: Call) -> None:
    x = call.data(0)
    if not call.integer("channels_last", 0):
        call.add("identity", [x])
    elif call.op_type.endswith("ReorderInput"):
        turned(call, x, (0, 3, 1, 2), last=True)
    else:
        turned(call, x, (0, 2, 3, 1), last=True)


# Norms, tables, element by element


def _rms_norm(call: Call) -> None:
    x = call.data(0)
    elements.norm(
        call, x, "rms_norm", first=call.integer("axis", -1), weights=call.constants_at((1,))
    )


def _group_norm(call: Call) -> None:
    """With channels last unless it says otherwise; a skipped tensor may be added before."""
    x = call.data(0)
    skip = call.tensors((3,)) if "Skip" in call.op_type else []
    last = bool(call.integer("channels_last", 1)) and len(x.shape) > 2
    if skip:
        x = call.add("elementwise", [x, *skip], "add", shape=x.shape, step="add")
        call.made[1] = x
    inner = _to_first(call, x) if last else x
    axes, groups = tuple(range(1, len(inner.shape))), call.integer("groups", 1)
    made = call.add(
        "norm",
        [inner],
        "group_norm",
        shape=inner.shape if last else None,
        axes=axes,
        groups=groups,
        weights=call.weights,
    )
    if last:
        _to_last(call, made)


def _embedded(call: Call) -> None:
    """Tables of words, positions and segments, looked up, added up and normalised."""
    ids, tables = call.data(0), [c for c in call.constants_at((2, 3, 4)) if len(c.shape) == 2]
    require(len(ids.shape) == 2 and bool(tables))
    shape = call.output().shape
    sources = [ids, *call.tensors((1,))]
    looked = []
    for number, (table, source) in enumerate(zip(tables, [ids, *sources], strict=False)):
        inside = call.add(
            "embedding",
            [source],
            "embedding",
            shape=shape,
            step="embedding",
            beside=f"embedding {number}",
            weights=[table],
            weight_shape=table.shape,
        )
        looked.append(inside)
    total = looked[0]
    if len(looked) > 1:
        total = call.add("elementwise", looked, "add", shape=shape, step="add")
    elements.norm(call, total, "layer_norm", weights=call.constants_at((5, 6)))
    for position, name in enumerate(call.outputs):
        if name and position == 1:
            given = call.tensors((7,)) or [ids]
            call.add("reduce", given, "sum", position=1, step="mask", axes=(1,))
        elif name and position == 2:
            call.made[2] = total


def _gathered(call: Call) -> None:
    """Rows of a table of few bits."""
    table = call.weight(0)
    call.mark_settings(2, 3)
    made = call.output().shape
    require(len(table.shape) == 2 and len(made) > 0)
    width = made[-1] // max(table.shape[-1], 1)
    require(made[-1] == table.shape[-1] * width)
    call.count_elements(table, table.elements * width)
    whole = (table.shape[0], made[-1])
    weights = [table, *stored_only(call.constants_at((2, 3)))]
    call.add("embedding", call.tensors((1,)), "embedding", weights=weights, weight_shape=whole)


def _elementwise(call: Call) -> None:
    call.add("elementwise", call.activations, weights=call.weights)


def _quantised_pair(*data: int) -> Callable[[Call], None]:
    """Operands among settings of number formats; constant ones are parameters, of any type."""

    def handler(call: Call) -> None:
        call.add("elementwise", call.activations, weights=many(call.constants_at(data)))

    return handler


def _q_concat(call: Call) -> None:
    """A scale and a zero point stand behind every part."""
    at = range(2, len(call.inputs), 3)
    parts = [call.tensor(position) or call.constant(position) for position in at]
    moves.concat(call, parts, call.integer("axis", 1), call.constants_at(at))


def _q_softmax(call: Call) -> None:
    flattening = call.integer("opset", 13) < 13
    axis = call.integer("axis", 1 if flattening else -1)
    elements.softmax(call, call.data(0), axis, to_the_end=flattening)


def _q_mean(call: Call) -> None:
    elements.reduce(call, call.data(0), tuple(call.attributes.get("axes", ())))


def _halved(call: Call) -> None:
    """One half of the features, times the other after an activation."""
    x = call.data(0)
    call.add("slice", [x], axes=(len(x.shape) - 1,), weights=call.weights)


def _softmax_of_sum(call: Call) -> None:
    x, others = call.data(0), call.tensors((1,))
    total = call.add("elementwise", [x, *others], "add", shape=x.shape, step="add")
    elements.softmax(call, total, call.integer("axis", 1), to_the_end=True)


# Linear models of ai.onnx.ml


def _linear_model(call: Call) -> None:
    """Coefficients are kept in attributes."""
    x = call.data(0)
    coefficients = list(call.attributes.get("coefficients", ()))
    require(len(x.shape) == 2 and bool(coefficients) and x.shape[1] > 0)
    features = x.shape[1]
    require(len(coefficients) % features == 0)
    rows = len(coefficients) // features
    held = [
        call.emitter.store_numbers(f"{call.name}/{name}", shape)
        for name, shape in (
            ("coefficients", (features, rows)),
            ("intercepts", (len(call.attributes.get("intercepts", ())),)),
        )
        if prod(shape)
    ]
    scores = 1 if call.op_type.endswith("Classifier") else 0
    named = scores < len(call.outputs) and bool(call.outputs[scores])
    last = call.output(scores).shape if named else (x.shape[0], rows)
    if not scores and last == (x.shape[0], rows):
        times(call, x, (features, rows), None, held)
        return
    inner = times(call, x, (features, rows), (x.shape[0], rows), held)
    for position in call.used:
        op = "softmax" if position else "arg_max"
        call.add("identity", [inner], op, position=position, step=op, axes=(1,))


def _scaled(call: Call) -> None:
    """Every feature shifted, scaled, filled in or cut at a threshold."""
    call.add("activation", [call.data(0)])


def _normalised(call: Call) -> None:
    x = call.data(0)
    call.add("norm", [x], axes=(len(x.shape) - 1,))


def _passed(call: Call) -> None:
    """Names put on numbers."""
    x = call.activations[0]
    call.add("identity", [x], axes=tuple(range(len(x.shape))))


_VENDORS: dict[str, Callable[[Call], None]] = {
    "Attention": attention.packed_attention,
    "BiasAdd": _elementwise,
    "BiasDropout": _elementwise,
    "BiasSoftmax": _softmax_of_sum,
    "BiasSplitGelu": _halved,
    "DecoderMaskedMultiHeadAttention": attention.decoder_attention,
    "DynamicQuantizeMatMul": quantised(_matmul, 2, 3, bias=4),
    "EmbedLayerNormalization": _embedded,
    "FusedConv": plus(products.conv, 3),
    "FusedGemm": products.gemm,
    "FusedMatMul": _fused_matmul,
    "FusedMatMulActivation": _fused_matmul,
    "GatherBlockQuantized": _gathered,
    "GemmFastGelu": partial(_matmul, bias=2),
    "GemmFloat8": quantised(_gemm, 3, 4, 5, left=0, right=1, term=2),
    "GroupNorm": _group_norm,
    "GroupQueryAttention": attention.grouped_query_attention,
    "MatMulBnb4": _packed_weight,
    "MatMulFpQ4": _packed_weight,
    "MatMulInteger16": _matmul,
    "MatMulIntegerToFloat": quantised(_matmul, 2, 3, 4, 5, bias=6),
    "MatMulNBits": partial(_packed_weight, bias=5),
    "MoE": _experts,
    "MulInteger": _quantised_pair(0, 2),
    "MultiHeadAttention": attention.multi_head_attention,
    "NhwcConv": _nhwc_conv,
    "NhwcFusedConv": _nhwc_conv,
    "NhwcMaxPool": _pool,
    "QAttention": quantised(attention.packed_attention, 3, 4, 6, 7, mask=5, bias=-1, past=8),
    "QGemm": quantised(_gemm, 1, 2, 4, 5, 7, 8, left=0, right=3, term=6),
    "QLinearAdd": _quantised_pair(0, 3),
    "QLinearAveragePool": _pool,
    "QLinearConcat": _q_concat,
    "QLinearConv": quantised(_qlinear_conv, 1, 2, 4, 5, 6, 7),
    "QLinearGlobalAveragePool": _pool,
    "QLinearReduceMean": _q_mean,
    "QLinearSoftmax": _q_softmax,
    "QLinearMul": _quantised_pair(0, 3),
    "QLinearWhere": _quantised_pair(1, 4),
    "QMoE": partial(_experts, matrices=(2, 5, 8), biases=(4, 7, 10), packed_bits=4),
    "SimplifiedLayerNormalization": _rms_norm,
    "SkipGroupNorm": _group_norm,
    "TransposeMatMul": _fused_matmul,
}

HANDLERS: dict[str, Callable[[Call], None]] = {
    **{f"com.microsoft.{name}": handler for name, handler in _VENDORS.items()},
    "com.microsoft.nchwc.Conv": plus(_blocked_conv, 3),
    **dict.fromkeys(
        (f"com.microsoft.nchwc.Reorder{end}" for end in ("Input", "Output")), _reordered
    ),
    **dict.fromkeys(
        (
            f"com.microsoft.nchwc.{name}"
            for name in "AveragePool GlobalAveragePool GlobalMaxPool MaxPool Upsample".split()
        ),
        _pool,
    ),
    "ai.onnx.ml.LinearClassifier": _linear_model,
    "ai.onnx.ml.LinearRegressor": _linear_model,
    "ai.onnx.ml.Normalizer": _normalised,
    **dict.fromkeys((f"ai.onnx.ml.{n}" for n in "Binarizer Imputer Scaler".split()), _scaled),
    **dict.fromkeys(
        (f"ai.onnx.ml.{n}" for n in "ArrayFeatureExtractor LabelEncoder ZipMap".split()), _passed
    ),
}
"""By domain and name."""

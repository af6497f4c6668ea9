"""What single ONNX operators mean to the planner.

A handler returns the activations that its node makes, one per output as far as it knows them,
or None where the node is not of the form that it understands: that node is opaque, and the
profile's coverage names it.
"""

from __future__ import annotations

from collections.abc import Callable

from profiles.from_onnx.attention import attention, multi_head_attention, packed_attention
from profiles.from_onnx.convolution import conv, convolution
from profiles.from_onnx.einsum import einsum
from profiles.from_onnx.emitter import Constant, Emitter, Made, Node
from profiles.from_onnx.loops import inside, loop
from profiles.from_onnx.ops import AXES, MOVES, SIMPLE_KINDS, WEIGHTLESS
from profiles.from_onnx.products import gemm, matmul
from profiles.from_onnx.quantized import (
    conv_integer,
    dynamic_quantize,
    matmul_integer,
    qlinear_conv,
    qlinear_matmul,
)
from profiles.from_onnx.rearranged import (
    concat,
    depth_to_space,
    gather,
    slice_,
    space_to_depth,
    split,
    transpose,
)
from profiles.from_onnx.recurrent import recurrent
from profiles.from_onnx.shape_rules import ASSUMED

Handler = Callable[[Emitter, Node], Made | None]


def opaque(e: Emitter, node: Node, position: int) -> Made:
    """Keep an operator that runs on one node: its work is not counted, its weights are."""
    weights = [c for c in (*e.constants(node), *inside(e, node)) if c.is_weight]
    made: Made = [None] * len(node.outputs)
    made[position] = e.emit(
        node,
        "opaque",
        e.activations(node),
        e.output(node, position),
        step=_assumption(e, node),
        weights=weights,
    )
    return made


def _assumption(e: Emitter, node: Node) -> str:
    if node.op_type not in ASSUMED:
        return ""
    step = "largest output assumed"
    e.assume(node.label, f"{node.op_type} {node.label!r}: {step}")
    return step


def _weights(e: Emitter, node: Node) -> list[Constant]:
    return [constant for constant in e.constants(node) if constant.is_weight]


def simple(e: Emitter, node: Node) -> Made | None:
    """Translate an operator that needs no more than a table."""
    kind = SIMPLE_KINDS.get(node.op_type)
    if kind is None:
        return None
    inputs = e.activations(node)
    if kind != "elementwise" and e.activation(node, 0) is None:
        return None
    if kind == "activation" and len(inputs) > 1:
        kind = "elementwise"
    elif kind != "elementwise":
        inputs = inputs[:1]  # computed settings, such as a size, are no data
    weights = [] if node.op_type in WEIGHTLESS else _weights(e, node)
    return [e.emit(node, kind, inputs, e.output(node), weights=weights)]


def _batch_norm(e: Emitter, node: Node) -> Made | None:
    x = e.activation(node, 0)
    given = [e.constant(node, position) for position in range(1, 5)]
    constants = [constant for constant in given if constant is not None]
    if x is None or len(constants) != 4:
        return None
    output = e.output(node)
    weights, statistics = constants[:2], constants[2:]
    return [e.emit(node, "batch_norm", [x], output, weights=weights, statistics=statistics)]


def _norm(e: Emitter, node: Node) -> Made | None:
    x = e.activation(node, 0)
    if x is None or len(e.activations(node)) > 1:
        return None
    rank = len(x.shape)
    last = int(node.attributes.get("axis", -1)) % max(rank, 1)
    axes = {
        "LayerNormalization": tuple(range(last, rank)),
        "RMSNormalization": tuple(range(last, rank)),
        "LpNormalization": (last,),
        "InstanceNormalization": tuple(range(2, rank)),
        "GroupNormalization": tuple(range(1, rank)),
        "LRN": (1,),
        "MeanVarianceNormalization": tuple(node.attributes.get("axes", (0, 2, 3))),
    }[node.op_type]
    groups = int(node.attributes.get("num_groups", 1))
    weights, output = e.constants(node), e.output(node)
    return [e.emit(node, "norm", [x], output, weights=weights, axes=axes, groups=groups)]


def _skip_norm(e: Emitter, node: Node) -> Made | None:
    """ONNX Runtime's sum of two tensors, normalised; the sum itself may be an output too."""
    x, skip = e.activation(node, 0), e.activation(node, 1)
    if x is None or skip is None:
        return None
    total = e.like(x, x.shape, e.label(f"{node.label}:add"))
    e.emit(node, "elementwise", [x, skip], total, op="add", step="add")
    axes = (len(x.shape) - 1,)
    weights = e.constants(node)
    shown = "rms_norm" if "Simplified" in node.op_type else "layer_norm"
    output = e.output(node)
    made: Made = [e.emit(node, "norm", [total], output, op=shown, weights=weights, axes=axes)]
    return [*made, None, None, total]


def _softmax(e: Emitter, node: Node) -> Made | None:
    x = e.activation(node, 0)
    if x is None:
        return None
    rank = max(len(x.shape), 1)
    flattening = e.opset < 13  # then everything from the axis on is one dimension
    axis = int(node.attributes.get("axis", 1 if flattening else -1)) % rank
    axes = tuple(range(axis, rank)) if flattening else (axis,)
    return [e.emit(node, "softmax", [x], e.output(node), axes=axes)]


def _reduce(e: Emitter, node: Node) -> Made | None:
    x = e.activation(node, 0)
    if x is None:
        return None
    rank = max(len(x.shape), 1)
    if node.op_type.startswith("Arg"):
        axes: tuple[int, ...] | None = (int(node.attributes.get("axis", 0)),)
    elif e.has_input(node, 1):
        axes = e.integers(node, 1)
    else:
        axes = tuple(node.attributes.get("axes", ()))
    if axes is None:
        return None
    if not axes and node.attributes.get("noop_with_empty_axes", 0):
        return [e.emit(node, "identity", [x], e.output(node))]
    axes = tuple(sorted({axis % rank for axis in axes})) or tuple(range(rank))
    return [e.emit(node, "reduce", [x], e.output(node), axes=axes)]


def _sampled(e: Emitter, node: Node) -> Made | None:
    """Every channel at computed places: places are data too."""
    x = e.activation(node, 0)
    if x is None:
        return None
    places = [t for p in range(1, len(node.inputs)) if (t := e.activation(node, p))]
    return [e.emit(node, "pool", [x, *places], e.output(node))]


def _along(e: Emitter, node: Node) -> Made | None:
    """Work along one dimension, which leaves the others alone."""
    x = e.activation(node, 0)
    if x is None:
        return None
    rank = max(len(x.shape), 1)
    axis: int | None = int(node.attributes.get("axis", AXES[node.op_type]))
    if node.op_type in ("CumSum", "CumProd"):
        axis = next(iter(e.integers(node, 1) or ()), None)
    axes = tuple(range(rank)) if axis is None else (axis % rank,)
    return _each_output(e, node, axes)


def _moved(e: Emitter, node: Node) -> Made | None:
    """Numbers picked or put anywhere: nothing to compute, and one node that does it."""
    first = e.activations(node)[0]
    return _each_output(e, node, tuple(range(len(first.shape))))


def _each_output(e: Emitter, node: Node, axes: tuple[int, ...]) -> Made:
    made: Made = []
    for position, name in enumerate(node.outputs):
        label = node.label if position == 0 else e.label(f"{node.label}:{position}")
        output = e.output(node, position, label) if name else None
        if output is not None:
            e.emit(
                node,
                "identity",
                e.activations(node),
                output,
                step=_assumption(e, node),
                weights=_weights(e, node),
                axes=axes,
            )
        made.append(output)
    return made


def _rotary(e: Emitter, node: Node) -> Made | None:
    """Pairs of a head's coordinates, turned: heads stay apart."""
    x = e.activation(node, 0)
    if x is None or len(x.shape) != 4:
        return _moved(e, node)
    return [e.emit(node, "softmax", [x], e.output(node), axes=(3,))]


def _deformed(e: Emitter, node: Node) -> Made | None:
    return convolution(e, node, x=0, weight=1, bias=3, places=(2, 4))


HANDLERS: dict[str, Handler] = {
    "Conv": conv,
    "ConvTranspose": conv,
    "ConvInteger": conv_integer,
    "QLinearConv": qlinear_conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "MatMulInteger": matmul_integer,
    "QLinearMatMul": qlinear_matmul,
    "DynamicQuantizeLinear": dynamic_quantize,
    "Einsum": einsum,
    "Attention": attention,
    "com.microsoft.MultiHeadAttention": multi_head_attention,
    "com.microsoft.Attention": packed_attention,
    **dict.fromkeys(("LSTM", "GRU", "RNN", "com.microsoft.DynamicQuantizeLSTM"), recurrent),
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Loop": loop,
    "Scan": loop,
    "BatchNormalization": _batch_norm,
    "DeformConv": _deformed,
    "com.microsoft.SkipLayerNormalization": _skip_norm,
    "com.microsoft.SkipSimplifiedLayerNormalization": _skip_norm,
    "RotaryEmbedding": _rotary,
    **dict.fromkeys(AXES, _along),
    **dict.fromkeys("GridSample MaxRoiPool MaxUnpool RoiAlign".split(), _sampled),
    **dict.fromkeys(MOVES, _moved),
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Gather": gather,
    "Transpose": transpose,
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
    **dict.fromkeys(
        (
            "GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization "
            "MeanVarianceNormalization RMSNormalization"
        ).split(),
        _norm,
    ),
    **dict.fromkeys(
        (
            "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean "
            "ReduceMin ReduceProd ReduceSum ReduceSumSquare"
        ).split(),
        _reduce,
    ),
}

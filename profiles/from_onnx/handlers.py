"""What single ONNX operators mean to the planner.

A handler translates a node's operands and attributes for `profiles.meanings`, and returns False
where the node is not of the form that it understands: that node is opaque, and the profile's
coverage names it.
"""

from __future__ import annotations

from collections.abc import Callable

from profiles.from_onnx.attention import attention, multi_head_attention, packed_attention
from profiles.from_onnx.call import Call
from profiles.from_onnx.emitter import stored_only
from profiles.from_onnx.loops import inside, loop
from profiles.from_onnx.ops import AXES, MOVES, SIMPLE_KINDS, WEIGHTLESS, shown_name
from profiles.from_onnx.products import (
    conv,
    conv_integer,
    deformed_conv,
    einsum,
    gemm,
    matmul,
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
from profiles.from_onnx.shape_rules import ASSUMED
from profiles.meanings import elements, layers
from profiles.meanings.moves import reshaped, turned

Handler = Callable[[Call], bool]


def opaque(call: Call, position: int) -> None:
    """Keep an operator that runs on one node: its work is not counted, its weights are."""
    weights = [c for c in (*call.all_constants, *inside(call)) if c.is_weight]
    step = _assumption(call)
    inputs = call.activations
    call.add("opaque", inputs, position=position, name="", step=step, weights=weights)


def _assumption(call: Call) -> str:
    if call.op_type not in ASSUMED:
        return ""
    step = "largest output assumed"
    call.emitter.assume(call.label, f"{call.op_type} {call.label!r}: {step}")
    return step


def simple(call: Call) -> bool:
    """Translate an operator that needs no more than a table."""
    kind = SIMPLE_KINDS.get(call.op_type)
    if kind is None:
        return False
    inputs = call.activations
    if kind != "elementwise" and call.tensor(0) is None:
        return False
    if kind == "activation" and len(inputs) > 1:
        kind = "elementwise"
    elif kind != "elementwise":
        inputs = inputs[:1]  # computed settings, such as a size, are no data
    call.add(kind, inputs, weights=[] if call.op_type in WEIGHTLESS else call.weights)
    return True


def _batch_norm(call: Call) -> bool:
    x, constants = call.tensor(0), call.constants(range(1, 5))
    if x is None or len(constants) != 4:
        return False
    call.add("batch_norm", [x], weights=[*constants[:2], *stored_only(constants[2:])])
    return True


def _norm(call: Call) -> bool:
    x = call.tensor(0)
    if x is None or len(call.activations) > 1:
        return False
    axis, groups = call.integer("axis", -1), call.integer("num_groups", 1)
    weights, op = call.all_constants, shown_name(call.op_type)
    return elements.norm(call, x, op, first=axis, groups=groups, weights=weights)


def _norm_over(*default: int) -> Handler:
    """A norm over the dimensions that it names, or else over these."""

    def handler(call: Call) -> bool:
        x = call.tensor(0)
        if x is None or len(call.activations) > 1:
            return False
        given = call.attributes
        axes = given.get("axes", (given["axis"],) if "axis" in given else default)
        rank = max(len(x.shape), 1)
        call.add("norm", [x], weights=call.all_constants, axes=tuple(a % rank for a in axes))
        return True

    return handler


def _skip_norm(call: Call) -> bool:
    """ONNX Runtime's sum of two tensors, normalised; the sum itself may be an output too."""
    x, skip = call.tensor(0), call.tensor(1)
    if x is None or skip is None:
        return False
    total = call.add("elementwise", [x, skip], "add", shape=x.shape, step="add")
    call.bind(total, 3)
    op = "rms_norm" if "Simplified" in call.op_type else "layer_norm"
    return elements.norm(call, total, op, weights=call.all_constants)


def _softmax(call: Call) -> bool:
    flattening = call.emitter.opset < 13  # then all from the axis on is one dimension
    axis = call.integer("axis", 1 if flattening else -1)
    return elements.softmax(call, call.tensor(0), axis, to_the_end=flattening)


def _reduce(call: Call) -> bool:
    x = call.tensor(0)
    if x is None:
        return False
    if call.op_type.startswith("Arg"):
        axes: tuple[int, ...] | None = (call.integer("axis", 0),)
    elif call.has_input(1):
        axes = call.integers(1)
    else:
        axes = tuple(call.attributes.get("axes", ()))
    if axes is None:
        return False
    if not axes and call.integer("noop_with_empty_axes", 0):
        call.add("identity", [x])
        return True
    return elements.reduce(call, x, axes)


def _sampled(call: Call) -> bool:
    """Every channel at computed places: places are data too."""
    x = call.tensor(0)
    if x is None:
        return False
    call.add("pool", [x, *call.tensors(range(1, len(call.inputs)))])
    return True


def _along(call: Call) -> bool:
    """Work along one dimension, which leaves the others alone."""
    x = call.tensor(0)
    if x is None:
        return False
    rank = max(len(x.shape), 1)
    axis: int | None = call.integer("axis", AXES[call.op_type])
    if call.op_type in ("CumSum", "CumProd"):
        axis = next(iter(call.integers(1) or ()), None)
    return _each_output(call, tuple(range(rank)) if axis is None else (axis % rank,))


def _moved(call: Call) -> bool:
    """Numbers picked or put anywhere: nothing to compute, and one node that does it."""
    return _each_output(call, tuple(range(len(call.activations[0].shape))))


def _each_output(call: Call, axes: tuple[int, ...]) -> bool:
    inputs, weights = call.activations, call.weights
    for position, name in enumerate(call.outputs):
        if name:
            step = _assumption(call)
            call.add("identity", inputs, position=position, step=step, weights=weights, axes=axes)
    return True


def _rotary(call: Call) -> bool:
    """Pairs of a head's coordinates, turned: heads stay apart."""
    x = call.tensor(0)
    if x is None or len(x.shape) != 4:
        return _moved(call)
    call.add("softmax", [x], axes=(3,))
    return True


def _dynamic_quantize(call: Call) -> bool:
    """The same numbers as bytes, and their scale and zero point, which all of them decide."""
    x = call.tensor(0)
    if x is None:
        return False
    call.add("identity", [x])
    axes = tuple(range(len(x.shape)))
    for position, name in enumerate(call.outputs):
        if position and name:
            call.add("reduce", [x], "range", position=position, step="range", axes=axes)
    return True


_QUANTIZED_LSTM = "com.microsoft.DynamicQuantizeLSTM"
_LSTM_SCALES = range(8, 12)  # of the input and recurrent weights, with their zero points
_LSTM_WEIGHTS = (1, 2, 3, 7)  # input weights, recurrent weights, bias; peepholes


def _recurrent(call: Call) -> bool:
    """A recurrent layer; the final states are parts of what it made."""
    x = call.tensor(0)
    matrices = [given.shape if (given := call.operand(p)) else () for p in (1, 2)]
    if x is None or len(x.shape) != 3 or any(len(shape) != 3 for shape in matrices):
        return False
    directions, hidden = matrices[0][0], matrices[1][2]
    if call.op_type == _QUANTIZED_LSTM:
        hidden = matrices[1][1]
        call.mark_settings(*_LSTM_SCALES)
    # The quantised form keeps other settings where peepholes stand: single numbers.
    trained = [c for c in call.constants(_LSTM_WEIGHTS) if c.elements > 1]
    # The directions' features stand side by side, whatever order of dimensions ONNX wants.
    output = layers.recurrent(
        call,
        x,
        call.tensors(range(1, len(call.inputs))),
        matrices,
        call.op_type.rpartition(".")[2].removeprefix("DynamicQuantize").lower(),
        shape=(*x.shape[:2], directions * hidden),
        weights=[*trained, *stored_only(call.all_constants)],
    )
    batch_first = bool(call.integer("layout", 0))
    whole = reshaped(call, output, (*x.shape[:2], directions, hidden))
    whole = whole if batch_first else turned(call, whole, (0, 2, 1, 3))
    call.bind(whole)
    for position, name in enumerate(call.outputs):
        if position and name:
            time = (1 if batch_first else 0,)
            call.add(
                "slice", [whole], "slice", position=position, step="state", axes=time, start=-1
            )
    return True


HANDLERS: dict[str, Handler] = {
    "Conv": conv,
    "ConvTranspose": conv,
    "ConvInteger": conv_integer,
    "QLinearConv": qlinear_conv,
    "DeformConv": deformed_conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "MatMulInteger": matmul_integer,
    "QLinearMatMul": qlinear_matmul,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "Einsum": einsum,
    "Attention": attention,
    "com.microsoft.MultiHeadAttention": multi_head_attention,
    "com.microsoft.Attention": packed_attention,
    **dict.fromkeys(("LSTM", "GRU", "RNN", _QUANTIZED_LSTM), _recurrent),
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Loop": loop,
    "Scan": loop,
    "BatchNormalization": _batch_norm,
    "com.microsoft.SkipLayerNormalization": _skip_norm,
    "com.microsoft.SkipSimplifiedLayerNormalization": _skip_norm,
    "LpNormalization": _norm_over(-1),
    "LRN": _norm_over(1),
    "MeanVarianceNormalization": _norm_over(0, 2, 3),
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
        ("GroupNormalization InstanceNormalization LayerNormalization RMSNormalization").split(),
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

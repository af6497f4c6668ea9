"""What single ONNX operators mean to the planner.

A handler translates a node's operands and attributes for `profiles.meanings`. Where the node is not
of the form that it understands it raises `UnknownFormError`: that node is opaque, and the profile's
coverage names it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from profiles.from_onnx import vendors
from profiles.from_onnx.attention import attention
from profiles.from_onnx.call import Call
from profiles.from_onnx.loops import inside, loop
from profiles.from_onnx.ops import AXES, MOVES, SIMPLE_KINDS, WEIGHTLESS
from profiles.from_onnx.products import conv, dft, einsum, gemm, matmul, stft
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
from profiles.from_onnx.spans import spans_of
from profiles.from_onnx.vendors import quantised
from profiles.meanings import elements, layers
from profiles.meanings.call import UnknownFormError, require, stored_only
from profiles.meanings.moves import reshaped, turned
from profiles.meanings.spans import across

Handler = Callable[[Call], None]


def opaque(call: Call, position: int, step: str = "") -> None:
    """Keep an operator that runs on one node: its work is not counted, its weights are."""
    constants = (*call.constants, *inside(call))
    weights = [c for c in constants if c.is_weight or call.is_packed(c)]
    inputs, step = call.activations, step or _assumption(call)
    call.add("opaque", inputs, position=position, beside="", step=step, weights=weights)


def _assumption(call: Call) -> str:
    if call.op_type not in ASSUMED:
        return ""
    step = "largest output assumed"
    call.emitter.assumed[call.name] = f"{call.op_type} {call.name!r}: {step}"
    return step


def simple(call: Call) -> None:
    """Translate an operator that needs no more than a table."""
    require(call.op_type in SIMPLE_KINDS)
    kind, inputs = SIMPLE_KINDS[call.op_type], call.activations
    require(kind == "elementwise" or call.tensor(0) is not None)
    if kind == "activation" and len(inputs) > 1:
        kind = "elementwise"
    elif kind != "elementwise":
        inputs = inputs[:1]  # computed settings, such as a size, are no data
    weights = [] if call.op_type in WEIGHTLESS else call.weights
    call.add(kind, inputs, weights=weights, spans=spans_of(call))


def _batch_norm(call: Call) -> None:
    x, constants = call.data(0), [call.weight(position) for position in range(1, 5)]
    weights = [*constants[:2], *stored_only(constants[2:])]
    spans = across(len(x.shape)) if call.integer("training_mode", 0) else ()
    call.add("batch_norm", [x], weights=weights, spans=spans)


def _norm(call: Call) -> None:
    x = call.data(0)
    require(len(call.activations) == 1)
    axis, groups = call.integer("axis", -1), call.integer("num_groups", 1)
    elements.norm(call, x, call.op, first=axis, groups=groups, weights=call.constants)


def _norm_over(*default: int) -> Handler:
    """A norm over the dimensions that it names, or else over these."""

    def handler(call: Call) -> None:
        x, given = call.data(0), call.attributes
        require(len(call.activations) == 1)
        axes = given.get("axes", (given["axis"],) if "axis" in given else default)
        rank = max(len(x.shape), 1)
        call.add("norm", [x], weights=call.constants, axes=tuple(axis % rank for axis in axes))

    return handler


def _skip_norm(call: Call) -> None:
    """ONNX Runtime's sum of two tensors, normalised; the sum itself may be an output too."""
    x, skip = call.data(0), call.data(1)
    total = call.add("elementwise", [x, skip], "add", shape=x.shape, step="add")
    call.made[3] = total
    op = "rms_norm" if "Simplified" in call.op_type else "layer_norm"
    elements.norm(call, total, op, weights=call.constants)


def _softmax(call: Call) -> None:
    flattening = call.emitter.opset < 13  # then all from the axis on is one dimension
    axis = call.integer("axis", 1 if flattening else -1)
    elements.softmax(call, call.data(0), axis, to_the_end=flattening)


def _reduce(call: Call) -> None:
    x = call.data(0)
    if call.op_type.startswith("Arg"):
        axes: tuple[int, ...] | None = (call.integer("axis", 0),)
    elif call.has_input(1):
        axes = call.integers(1)
    else:
        axes = tuple(call.attributes.get("axes", ()))
    if axes is None:
        raise UnknownFormError
    if not axes and call.integer("noop_with_empty_axes", 0):
        call.add("identity", [x])
    else:
        elements.reduce(call, x, axes)


def _sampled(call: Call) -> None:
    """Every channel at computed places: places are data too."""
    call.add("pool", [call.data(0), *call.tensors(range(1, len(call.inputs)))])


def _max_pool(call: Call) -> None:
    """A maximum, and where it stood if that is asked for."""
    x, spans = call.data(0), spans_of(call)
    for position in call.used:
        call.add("pool", [x], position=position, spans=spans)


def _along(call: Call) -> None:
    """Work along one dimension, which leaves the others alone."""
    rank = max(len(call.data(0).shape), 1)
    axis: int | None = call.integer("axis", AXES[call.op_type])
    if call.op_type in ("CumSum", "CumProd"):
        axis = next(iter(call.integers(1) or ()), None)
    _each_output(call, tuple(range(rank)) if axis is None else (axis % rank,))


def _moved(call: Call) -> None:
    """Numbers picked or put anywhere: nothing to compute, and one node that does it."""
    _each_output(call, tuple(range(len(call.activations[0].shape))))


def _each_output(call: Call, axes: tuple[int, ...]) -> None:
    inputs, weights = call.activations, call.weights
    for position, name in enumerate(call.outputs):
        if name:
            step = _assumption(call)
            call.add("identity", inputs, position=position, step=step, weights=weights, axes=axes)


def _rotary(call: Call) -> None:
    """Pairs of a head's coordinates, turned: heads stay apart."""
    x = call.tensor(0)
    if x is None or len(x.shape) != 4:
        _moved(call)
    else:
        call.add("softmax", [x], axes=(3,))


def _dynamic_quantize(call: Call) -> None:
    """The same numbers as bytes, and their scale and zero point, which all of them decide."""
    x = call.data(0)
    call.add("identity", [x], spans=(None,) * len(x.shape))
    axes = tuple(range(len(x.shape)))
    for position, name in enumerate(call.outputs):
        if position and name:
            call.add("reduce", [x], "range", position=position, step="range", axes=axes)


_QUANTIZED_LSTM = "com.microsoft.DynamicQuantizeLSTM"
_LSTM_SCALES = range(8, 12)  # of the input and recurrent weights, with their zero points
_LSTM_WEIGHTS = (1, 2, 3, 7)  # input weights, recurrent weights, bias; peepholes


def _recurrent(call: Call) -> None:
    """A recurrent layer; the final states are parts of what it made."""
    x, matrices = call.data(0), [call.operand(position).shape for position in (1, 2)]
    require(len(x.shape) == len(matrices[0]) == len(matrices[1]) == 3)
    directions, hidden = matrices[0][0], matrices[1][2]
    if call.op_type == _QUANTIZED_LSTM:
        hidden = matrices[1][1]
        call.mark_settings(*_LSTM_SCALES)
    # The quantised form keeps other settings where peepholes stand: single numbers.
    trained = [c for c in call.constants_at(_LSTM_WEIGHTS) if c.elements > 1]
    # The directions' features stand side by side, whatever order of dimensions ONNX wants.
    output = layers.recurrent(
        call,
        x,
        call.tensors(range(1, len(call.inputs))),
        matrices,
        call.op_type.rpartition(".")[2].removeprefix("DynamicQuantize").lower(),
        shape=(*x.shape[:2], directions * hidden),
        sequences=0 if call.integer("layout", 0) else 1,
        weights=[*trained, *stored_only(call.constants)],
    )
    batch_first = bool(call.integer("layout", 0))
    whole = reshaped(call, output, (*x.shape[:2], directions, hidden))
    whole = whole if batch_first else turned(call, whole, (0, 2, 1, 3))
    call.made[0] = whole
    time = (1 if batch_first else 0,)
    for position, name in enumerate(call.outputs):
        if position and name:
            call.add(
                "slice", [whole], "slice", position=position, step="state", axes=time, start=-1
            )


HANDLERS: dict[str, Handler] = {
    **vendors.HANDLERS,
    "Conv": conv,
    "ConvTranspose": conv,
    "ConvInteger": quantised(conv, 2, 3, bias=-1),
    "QLinearConv": quantised(conv, 1, 2, 4, 5, 6, 7, weight=3, bias=8),
    "DeformConv": partial(conv, bias=3, places=(2, 4)),
    "Gemm": gemm,
    "MatMul": matmul,
    "MatMulInteger": quantised(matmul, 2, 3),
    "QLinearMatMul": quantised(matmul, 1, 2, 4, 5, 6, 7, right=3),
    "DynamicQuantizeLinear": _dynamic_quantize,
    "Einsum": einsum,
    "DFT": dft,
    "STFT": stft,
    "Attention": attention,
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
    "MaxPool": _max_pool,
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

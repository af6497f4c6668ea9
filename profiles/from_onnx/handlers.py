"""What single ONNX operators mean to the planner.

A handler returns the activations that its node makes, one per output as far as it knows them,
or None where the node is not of the form that it understands: that node is opaque, and the
profile's coverage names it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from planner.errors import BadInputError
from profiles.from_onnx.emitter import Constant, Emitter, Made, Node
from profiles.from_onnx.file import tensors
from profiles.from_onnx.ops import SIMPLE_KINDS, WEIGHTLESS
from profiles.from_onnx.products import gemm, matmul
from profiles.graph import Kind, Tensor

Handler = Callable[[Emitter, Node], Made | None]


def opaque(e: Emitter, node: Node, position: int) -> Made:
    """Keep an operator that runs on one node: its work is not counted, its weights are."""
    inner = [
        e.store(f"{node.label}/{number}", tensor.data_type, tuple(tensor.dims), prod(tensor.dims))
        for number, tensor in enumerate(tensors(node.proto))
        if tensor.data_type != tensor.STRING
    ]
    weights = [constant for constant in (*e.constants(node), *inner) if constant.is_weight]
    made: Made = [None] * len(node.outputs)
    made[position] = e.emit(
        node, "opaque", e.activations(node), e.output(node, position), weights=weights
    )
    return made


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


def _conv(e: Emitter, node: Node) -> Made | None:
    x, weight = e.activation(node, 0), e.constant(node, 1)
    if x is None or weight is None or e.activation(node, 2) is not None:
        return None
    output = e.output(node)
    groups = int(node.attributes.get("group", 1))
    transposed = node.op_type == "ConvTranspose"
    if len(x.shape) < 3 or len(weight.shape) != len(x.shape) or groups < 1:
        raise _mismatch(node, x, weight)
    first, second = weight.shape[0], weight.shape[1] * groups
    read, made = (first, second) if transposed else (second, first)
    if x.shape[1] != read or read % groups or made % groups or output.shape[1] != made:
        raise _mismatch(node, x, weight)
    kind: Kind = "conv_transpose" if transposed else "conv"
    return [
        e.emit(
            node,
            kind,
            [x],
            output,
            op=kind,
            weights=e.constants(node),
            weight_shape=weight.shape,
            groups=groups,
        )
    ]


def _mismatch(node: Node, x: Tensor, weight: Constant) -> BadInputError:
    groups = node.attributes.get("group", 1)
    return BadInputError(
        f"node {node.label!r} ({node.op_type}) reads a tensor of shape {x.shape}, "
        f"which its weight of shape {weight.shape} in {groups} groups does not fit"
    )


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
    }[node.op_type]
    return [e.emit(node, "norm", [x], e.output(node), weights=e.constants(node), axes=axes)]


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


def _concat(e: Emitter, node: Node) -> Made | None:
    output = e.output(node)
    inputs = [tensor for i in range(len(node.inputs)) if (tensor := e.activation(node, i))]
    if len(inputs) == len(node.inputs):
        axis = int(node.attributes.get("axis", 1)) % max(len(output.shape), 1)
        return [e.emit(node, "concat", inputs, output, axes=(axis,))]
    if len(inputs) > 1:
        return None
    # A class token put before the others leaves the features alone, unlike constant features.
    return [e.emit(node, "identity", inputs, output, weights=_weights(e, node))]


def _split(e: Emitter, node: Node) -> Made | None:
    x = e.activation(node, 0)
    if x is None or not x.shape:
        return None
    axis = int(node.attributes.get("axis", 0)) % len(x.shape)
    made: Made = []
    start = 0
    for position, name in enumerate(node.outputs):
        if not name:
            return None
        alone = len(node.outputs) == 1
        label = node.label if alone else e.label(f"{node.label}:{position}")
        output = e.output(node, position, label)
        made.append(e.emit(node, "slice", [x], output, op="slice", axes=(axis,), start=start))
        start += output.shape[axis]
    return made


def _slice(e: Emitter, node: Node) -> Made | None:
    x = e.activation(node, 0)
    if x is None:
        return None
    output = e.output(node)
    if len(node.inputs) > 1:
        starts, axes, steps = (e.integers(node, position) for position in (1, 3, 4))
        plain = not e.has_input(node, 4) or (steps is not None and set(steps) <= {1})
        known = starts is not None and (axes is not None or not e.has_input(node, 3))
    else:
        starts = tuple(node.attributes.get("starts", ()))
        axes = node.attributes.get("axes")
        plain = known = True
    rank = len(x.shape)
    if not plain:  # steps may reverse a dimension without changing its size
        return [e.emit(node, "slice", [x], output, axes=tuple(range(rank)), start=-1)]
    cut = tuple(axis for axis in range(rank) if x.shape[axis] != output.shape[axis])
    start = -1
    if known and len(cut) == 1:
        named = [axis % rank for axis in (axes or range(len(starts or ())))]
        begin = dict(zip(named, starts or (), strict=False)).get(cut[0], 0)
        start = max(begin + x.shape[cut[0]], 0) if begin < 0 else begin
    return [e.emit(node, "slice", [x], output, axes=cut, start=start)]


def _gather(e: Emitter, node: Node) -> Made | None:
    """Look rows of a table up, or pick entries of an activation by fixed indices."""
    output = e.output(node)
    table, data = e.constant(node, 0), e.activation(node, 0)
    axis = int(node.attributes.get("axis", 0))
    if table is not None:
        if len(table.shape) != 2 or axis != 0:
            return None
        inputs = e.activations(node)
        return [
            e.emit(
                node,
                "embedding",
                inputs,
                output,
                op="embedding",
                weights=[table],
                weight_shape=table.shape,
            )
        ]
    indices = e.constant(node, 1)
    if data is None or indices is None:
        return None
    axis %= len(data.shape)
    picked = e.integers(node, 1)
    run = picked is not None and picked == tuple(range(picked[0], picked[0] + len(picked)))
    start = picked[0] % data.shape[axis] if picked is not None and run else -1
    kept = (*data.shape[:axis], indices.elements, *data.shape[axis + 1 :])
    if kept == output.shape:
        return [e.emit(node, "slice", [data], output, op="slice", axes=(axis,), start=start)]
    part = e.like(output, kept, e.label(f"{node.label}:slice"))
    e.emit(node, "slice", [data], part, op="slice", step="slice", axes=(axis,), start=start)
    return [e.emit(node, "reshape", [part], output, op="reshape")]


def _transpose(e: Emitter, node: Node) -> Made | None:
    x = e.activation(node, 0)
    if x is None:
        return None
    order = tuple(node.attributes.get("perm", range(len(x.shape))[::-1]))
    return [e.emit(node, "transpose", [x], e.output(node), permutation=order)]


HANDLERS: dict[str, Handler] = {
    "Conv": _conv,
    "ConvTranspose": _conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Transpose": _transpose,
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
    **dict.fromkeys(
        (
            "GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization "
            "RMSNormalization"
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

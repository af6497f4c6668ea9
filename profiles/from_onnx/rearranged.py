"""ONNX operators that move features: concat, split, slice, gather, transpose, pixel shuffles."""

from __future__ import annotations

from profiles.from_onnx.emitter import Emitter, Made, Node
from profiles.from_onnx.moves import reshaped, turned
from profiles.graph import Tensor


def concat(e: Emitter, node: Node) -> Made | None:
    """Tensors one behind the other; constants among them belong to nobody."""
    output = e.output(node)
    inputs = [tensor for i in range(len(node.inputs)) if (tensor := e.activation(node, i))]
    if len(inputs) == len(node.inputs):
        axis = int(node.attributes.get("axis", 1)) % max(len(output.shape), 1)
        return [e.emit(node, "concat", inputs, output, axes=(axis,))]
    if len(inputs) > 1:
        return None
    weights = [constant for constant in e.constants(node) if constant.is_weight]
    # A class token put before the others leaves the features alone, unlike constant features.
    return [e.emit(node, "identity", inputs, output, weights=weights)]


def split(e: Emitter, node: Node) -> Made | None:
    """A tensor in parts."""
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


def slice_(e: Emitter, node: Node) -> Made | None:
    """A part of a tensor: a run of one dimension, or anything else."""
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
        steps, plain, known = None, True, True
    rank = max(len(x.shape), 1)
    cut = {axis for axis in range(rank) if x.shape[axis] != output.shape[axis]}
    named = [axis % rank for axis in (axes or range(len(starts or ())))] if known else []
    if not plain:  # steps may reverse a dimension without changing its size
        if known and steps is not None and len(steps) == len(named):
            cut |= {axis for axis, step in zip(named, steps, strict=True) if step != 1}
        else:
            cut = set(range(rank))
        return [e.emit(node, "slice", [x], output, axes=tuple(sorted(cut)), start=-1)]
    start = -1
    if known and len(cut) == 1:
        (axis,) = cut
        begin = dict(zip(named, starts or (), strict=False)).get(axis, 0)
        start = max(begin + x.shape[axis], 0) if begin < 0 else begin
    return [e.emit(node, "slice", [x], output, axes=tuple(sorted(cut)), start=start)]


def gather(e: Emitter, node: Node) -> Made | None:
    """Look rows of a table up, or pick entries of an activation."""
    output = e.output(node)
    table, data = e.constant(node, 0), e.activation(node, 0)
    axis = int(node.attributes.get("axis", 0))
    if data is None:
        if table is None:
            return None
        inputs = e.activations(node)
        if len(table.shape) != 2 or axis != 0:  # a list, or a table of matrices: on one node
            axes = tuple(range(len(inputs[0].shape)))
            return [e.emit(node, "identity", inputs, output, weights=[table], axes=axes)]
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
    indices, computed = e.constant(node, 1), e.activation(node, 1)
    chosen = indices or computed
    if chosen is None or not data.shape:
        return None
    axis %= len(data.shape)
    picked = e.integers(node, 1) or ()
    run = bool(picked) and picked == tuple(range(picked[0], picked[0] + len(picked)))
    start = picked[0] % data.shape[axis] if run else -1
    sources = [data] if computed is None else [data, computed]
    kept = (*data.shape[:axis], chosen.elements, *data.shape[axis + 1 :])
    if kept == output.shape:
        return [e.emit(node, "slice", sources, output, op="slice", axes=(axis,), start=start)]
    part = e.like(output, kept, e.label(f"{node.label}:slice"))
    e.emit(node, "slice", sources, part, op="slice", step="slice", axes=(axis,), start=start)
    return [e.emit(node, "reshape", [part], output, op="reshape")]


def transpose(e: Emitter, node: Node) -> Made | None:
    """Dimensions in another order."""
    x = e.activation(node, 0)
    if x is None:
        return None
    order = tuple(node.attributes.get("perm", range(len(x.shape))[::-1]))
    return [e.emit(node, "transpose", [x], e.output(node), permutation=order)]


def depth_to_space(e: Emitter, node: Node) -> Made | None:
    """Channels become blocks of pixels."""
    x, output = e.activation(node, 0), e.output(node)
    block = int(node.attributes.get("blocksize", 0))
    if x is None or len(x.shape) != 4 or block < 1 or x.shape[1] % (block * block):
        return None
    few = x.shape[1] // block**2
    if node.attributes.get("mode", b"DCR") == b"DCR":
        x = _interleaved(e, node, x, block**2)
    batch, _, height, width = x.shape
    apart = reshaped(e, node, x, (batch, few, block, block, height, width))
    mixed = turned(e, node, apart, (0, 1, 4, 2, 5, 3))
    return [reshaped(e, node, mixed, output.shape, output)]


def space_to_depth(e: Emitter, node: Node) -> Made | None:
    """Blocks of pixels become channels."""
    x, output = e.activation(node, 0), e.output(node)
    block = int(node.attributes.get("blocksize", 0))
    if x is None or len(x.shape) != 4 or block < 1 or x.shape[2] % block or x.shape[3] % block:
        return None
    batch, channels, height, width = x.shape
    apart = reshaped(e, node, x, (batch, channels, height // block, block, width // block, block))
    mixed = turned(e, node, apart, (0, 1, 3, 5, 2, 4))
    return [_interleaved(e, node, reshaped(e, node, mixed, output.shape), channels, output)]


def _interleaved(
    e: Emitter, node: Node, x: Tensor, groups: int, output: Tensor | None = None
) -> Tensor:
    """A channel shuffle: channel (g, i) becomes channel (i, g)."""
    batch, channels, height, width = x.shape
    apart = reshaped(e, node, x, (batch, groups, channels // groups, height, width))
    mixed = turned(e, node, apart, (0, 2, 1, 3, 4))
    return reshaped(e, node, mixed, x.shape, output)

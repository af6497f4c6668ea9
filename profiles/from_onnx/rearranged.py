"""ONNX operators that move features: concat, split, slice, gather, transpose, pixel shuffles."""

from __future__ import annotations

from itertools import accumulate

from profiles.from_onnx.call import Call
from profiles.graph import Tensor
from profiles.meanings import layers, moves


def concat(call: Call) -> bool:
    """Tensors one behind the other; constants among them belong to nobody."""
    inputs = call.tensors(range(len(call.inputs)))
    if len(inputs) == len(call.inputs):
        return moves.concat(call, inputs, call.integer("axis", 1))
    if len(inputs) > 1:
        return False
    # A class token put before the others leaves the features alone, unlike constant features.
    call.add("identity", inputs, weights=call.weights)
    return True


def split(call: Call) -> bool:
    """A tensor in parts."""
    x = call.tensor(0)
    if x is None or not x.shape or not all(call.outputs):
        return False
    axis = call.integer("axis", 0) % len(x.shape)
    count = len(call.outputs)
    starts = accumulate((call.output_shape(p)[axis] for p in range(count)), initial=0)
    for position, start in zip(range(count), starts, strict=False):
        name = str(position) if count > 1 else None
        call.add("slice", [x], "slice", position=position, name=name, axes=(axis,), start=start)
    return True


def slice_(call: Call) -> bool:
    """A part of a tensor: a run of one dimension, or anything else."""
    x = call.tensor(0)
    if x is None:
        return False
    if len(call.inputs) > 1:
        starts, axes, steps = (call.integers(position) for position in (1, 3, 4))
        plain = not call.has_input(4) or (steps is not None and set(steps) <= {1})
        known = starts is not None and (axes is not None or not call.has_input(3))
    else:
        starts = tuple(call.attributes.get("starts", ()))
        axes = call.attributes.get("axes")
        steps, plain, known = None, True, True
    rank = max(len(x.shape), 1)
    output = call.output_shape()
    cut = {axis for axis in range(rank) if x.shape[axis] != output[axis]}
    named = [axis % rank for axis in (axes or range(len(starts or ())))] if known else []
    start = -1
    if not plain:  # steps may reverse a dimension without changing its size
        if known and steps is not None and len(steps) == len(named):
            cut |= {axis for axis, step in zip(named, steps, strict=True) if step != 1}
        else:
            cut = set(range(rank))
    elif known and len(cut) == 1:
        (axis,) = cut
        begin = dict(zip(named, starts or (), strict=False)).get(axis, 0)
        start = moves.first_index(begin, x.shape[axis])
    call.add("slice", [x], axes=tuple(sorted(cut)), start=start)
    return True


def gather(call: Call) -> bool:
    """Look rows of a table up, or pick entries of an activation."""
    table, data = call.constant(0), call.tensor(0)
    axis = call.integer("axis", 0)
    if data is None:
        return table is not None and _looked_up(call, axis)
    chosen = call.operand(1)
    if chosen is None or not data.shape:
        return False
    axis %= len(data.shape)
    picked = call.integers(1) or ()
    run = bool(picked) and picked == tuple(range(picked[0], picked[0] + len(picked)))
    start = picked[0] % data.shape[axis] if run else -1
    sources = [data, *call.tensors((1,))]
    kept = moves.resized(data.shape, axis, chosen.elements)
    if kept == call.output_shape():
        call.add("slice", sources, "slice", axes=(axis,), start=start)
        return True
    part = call.add("slice", sources, "slice", shape=kept, step="slice", axes=(axis,), start=start)
    call.add("reshape", [part], "reshape")
    return True


def _looked_up(call: Call, axis: int) -> bool:
    (table,) = call.constants((0,))
    inputs = call.activations
    if len(table.shape) == 2 and axis == 0:
        return layers.embedding(call, inputs, table, "embedding")
    axes = tuple(range(len(inputs[0].shape)))  # a list, or a table of matrices: on one node
    call.add("identity", inputs, weights=[table], axes=axes)
    return True


def transpose(call: Call) -> bool:
    """Dimensions in another order."""
    x = call.tensor(0)
    if x is None:
        return False
    return moves.transpose(call, x, tuple(call.attributes.get("perm", range(len(x.shape))[::-1])))


def depth_to_space(call: Call) -> bool:
    """Channels become blocks of pixels."""
    x, block = call.tensor(0), call.integer("blocksize", 0)
    if x is None or len(x.shape) != 4 or block < 1 or x.shape[1] % (block * block):
        return False
    if call.attributes.get("mode", b"DCR") == b"DCR":
        x = _interleaved(call, x, block**2)
    return moves.shuffled(call, x, *moves.channels_to_blocks(x.shape, block))


def space_to_depth(call: Call) -> bool:
    """Blocks of pixels become channels."""
    x, block = call.tensor(0), call.integer("blocksize", 0)
    if x is None or len(x.shape) != 4 or block < 1 or x.shape[2] % block or x.shape[3] % block:
        return False
    channels = x.shape[1]
    split, order = moves.blocks_to_channels(x.shape, block)
    mixed = moves.turned(call, moves.reshaped(call, x, split), order)
    deep = moves.reshaped(call, mixed, call.output_shape())
    return moves.shuffled(call, deep, *moves.channels_regrouped(deep.shape, channels))


def _interleaved(call: Call, x: Tensor, groups: int) -> Tensor:
    split, order = moves.channels_regrouped(x.shape, groups)
    mixed = moves.turned(call, moves.reshaped(call, x, split), order)
    return moves.reshaped(call, mixed, x.shape)

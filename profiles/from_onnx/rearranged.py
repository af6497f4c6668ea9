"""ONNX operators that move features: concat, split, slice, gather, transpose, pixel shuffles."""

from __future__ import annotations

from itertools import accumulate

from profiles.from_onnx.call import Call
from profiles.graph import Span, Tensor
from profiles.meanings import layers, moves
from profiles.meanings.call import require
from profiles.meanings.spans import SAME, sliced


def concat(call: Call) -> None:
    """Tensors one behind the other; constants among them belong to nobody."""
    parts = [
        call.tensor(position) or call.constant(position) for position in range(len(call.inputs))
    ]
    moves.concat(call, parts, call.integer("axis", 1), call.weights)


def split(call: Call) -> None:
    """A tensor in parts."""
    x = call.data(0)
    require(bool(x.shape) and all(call.outputs))
    axis = call.integer("axis", 0) % len(x.shape)
    count = len(call.outputs)
    parts = [call.output(position).shape for position in range(count)]
    require(all(len(shape) == len(x.shape) for shape in parts))
    starts = accumulate((shape[axis] for shape in parts), initial=0)
    for position, start in zip(range(count), starts, strict=False):
        beside = str(position) if count > 1 else ""
        call.add("slice", [x], "slice", position=position, beside=beside, axes=(axis,), start=start)


def slice_(call: Call) -> None:
    """A part of a tensor: a run of one dimension, or anything else."""
    x = call.data(0)
    if len(call.inputs) > 1:
        starts, axes, steps = (call.integers(position) for position in (1, 3, 4))
        plain = not call.has_input(4) or (steps is not None and set(steps) <= {1})
        known = starts is not None and (axes is not None or not call.has_input(3))
    else:
        starts = tuple(call.attributes.get("starts", ()))
        axes = call.attributes.get("axes")
        steps, plain, known = None, True, True
    rank, output = len(x.shape), call.output().shape
    require(rank == len(output) > 0)
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
    spans: list[Span | None] = [None if axis in cut else SAME for axis in range(rank)]
    for number, axis in enumerate(named):
        step = 1 if plain else steps[number] if steps and len(steps) == len(named) else 0
        if axis in cut and step > 0 and starts is not None and len(starts) == len(named):
            spans[axis] = sliced(moves.first_index(starts[number], x.shape[axis]), step)
    call.add("slice", [x], axes=tuple(sorted(cut)), start=start, spans=tuple(spans))


def gather(call: Call) -> None:
    """Look rows of a table up, or pick entries of an activation."""
    data, axis = call.tensor(0), call.integer("axis", 0)
    if data is None:
        _looked_up(call, axis)
        return
    chosen = call.operand(1)
    require(bool(data.shape))
    axis %= len(data.shape)
    picked = call.integers(1) or ()
    run = bool(picked) and picked == tuple(range(picked[0], picked[0] + len(picked)))
    start = picked[0] % data.shape[axis] if run else -1
    sources = [data, *call.tensors((1,))]
    kept = moves.resized(data.shape, axis, chosen.elements)
    if kept == call.output().shape:
        call.add("slice", sources, "slice", axes=(axis,), start=start)
        return
    part = call.add("slice", sources, "slice", shape=kept, step="slice", axes=(axis,), start=start)
    call.add("reshape", [part], "reshape")


def _looked_up(call: Call, axis: int) -> None:
    table, inputs = call.weight(0), call.activations
    if len(table.shape) == 2 and axis == 0:
        layers.embedding(call, inputs, table, "embedding")
    else:  # a list, or a table of matrices: on one node
        axes = tuple(range(len(inputs[0].shape)))
        call.add("identity", inputs, weights=[table], axes=axes)


def transpose(call: Call) -> None:
    """Dimensions in another order."""
    x = call.data(0)
    moves.transpose(call, x, tuple(call.attributes.get("perm", range(len(x.shape))[::-1])))


def depth_to_space(call: Call) -> None:
    """Channels become blocks of pixels."""
    x, block = call.data(0), call.integer("blocksize", 0)
    require(len(x.shape) == 4 and block > 0 and x.shape[1] % (block * block) == 0)
    if call.attributes.get("mode", b"DCR") == b"DCR":
        x = _interleaved(call, x, block**2)
    moves.shuffled(call, x, *moves.channels_to_blocks(x.shape, block))


def space_to_depth(call: Call) -> None:
    """Blocks of pixels become channels."""
    x, block = call.data(0), call.integer("blocksize", 0)
    require(len(x.shape) == 4 and block > 0 and x.shape[2] % block == x.shape[3] % block == 0)
    channels = x.shape[1]
    split, order = moves.blocks_to_channels(x.shape, block)
    mixed = moves.turned(call, moves.reshaped(call, x, split), order)
    deep = moves.reshaped(call, mixed, call.output().shape)
    moves.shuffled(call, deep, *moves.channels_regrouped(deep.shape, channels))


def _interleaved(call: Call, x: Tensor, groups: int) -> Tensor:
    split, order = moves.channels_regrouped(x.shape, groups)
    mixed = moves.turned(call, moves.reshaped(call, x, split), order)
    return moves.reshaped(call, mixed, x.shape)

"""ATen calls that move, cut and join: features keep their values and change places."""

from __future__ import annotations

from itertools import accumulate

from profiles.from_torch.emitter import Call
from profiles.from_torch.simple import simple
from profiles.graph import Kind
from profiles.meanings import layers, moves


def concat(call: Call) -> bool:
    """Join along a dimension; constants that take part have no owner."""
    return moves.concat(call, call.activations, call.integer("dim", 0), call.constants)


def stack(call: Call) -> bool:
    """Join along a new dimension."""
    return moves.stack(call, call.activations, call.integer("dim", 0), call.constants)


def pieces(call: Call) -> bool:
    """``split``, ``chunk`` and ``unbind``: one slice for each piece that is used."""
    x = call.tensor("self")
    if x is None or not x.shape:
        return False
    axis = 0 if call.base == "vsplit" else call.integer("dim", 0) % len(x.shape)
    if call.base == "hsplit":
        axis = min(1, len(x.shape) - 1)
    if call.base == "unbind":
        starts = list(range(len(call.node.outputs)))
    else:
        sizes = [call.output_shape(position)[axis] for position in range(len(call.node.outputs))]
        starts = [0, *accumulate(sizes)]
    for position in call.used:
        call.add("slice", [x], "slice", position=position, axes=(axis,), start=starts[position])
    return True


def cut(call: Call) -> bool:
    """``slice``, ``narrow`` and ``select``."""
    x = call.tensor("self")
    if x is None or not x.shape:
        return False
    axis = call.integer("dim", 0) % len(x.shape)
    size = x.shape[axis]
    given = call.value("index" if call.base.startswith("select") else "start", 0)
    start = -1
    if isinstance(given, int) and call.value("step", 1) == 1:
        start = moves.first_index(given, size)
    op = "select" if call.base.startswith("select") else "slice"
    call.add("slice", [x], op, axes=(axis,), start=start)
    return True


def picked(call: Call) -> bool:
    """Entries of one dimension by fixed indices; else elements wander."""
    x = call.tensor("self")
    if x is None or len(call.activations) != 1:
        return _looked_up(call)
    axis = -1
    if call.base == "index_select":
        axis = call.integer("dim", 0) % max(len(x.shape), 1)
    else:
        given = call.value("indices")
        named = (
            [n for n, item in enumerate(given) if item is not None]
            if isinstance(given, tuple)
            else []
        )
        axis = named[0] if len(named) == 1 else -1
    shape = call.output_shape()
    if axis < 0 or (*x.shape[:axis], *x.shape[axis + 1 :]) != (*shape[:axis], *shape[axis + 1 :]):
        return simple(call)
    call.add("slice", [x], "slice", weights=call.constants, axes=(axis,), start=-1)
    return True


def _looked_up(call: Call) -> bool:
    """Rows of a table by computed indices."""
    table = call.constant("self")
    by_rows = call.base == "index_select" and call.integer("dim", 0) == 0
    if call.base == "index":
        given = call.value("indices")
        by_rows = isinstance(given, tuple) and len(given) == 1
    if table is None or len(table.shape) != 2 or not by_rows:
        return simple(call)
    return layers.embedding(call, call.activations, table, "embedding")


def transpose(call: Call) -> bool:
    """Dimensions in another order."""
    x = call.tensor("self")
    if x is None:
        return False
    op = "permute" if call.base == "permute" else "transpose"
    return moves.transpose(call, x, _order(call, len(x.shape)), op)


def _order(call: Call, rank: int) -> tuple[int, ...] | None:
    """The permutation that a call means; None where it does not say."""
    base = call.base
    if base in ("permute", "permute_copy"):
        dims = call.integers("dims")
        return tuple(d % rank for d in dims) if dims is not None and rank else ()
    if base in ("movedim", "moveaxis"):
        source, target = call.integers("source"), call.integers("destination")
        if source is None or target is None or len(source) != len(target):
            return None
        to = dict(zip((t % rank for t in target), (s % rank for s in source), strict=True))
        others = iter(axis for axis in range(rank) if axis not in to.values())
        return tuple(to[axis] if axis in to else next(others) for axis in range(rank))
    if base in ("numpy_T", "T"):
        return tuple(range(rank))[::-1]
    names = {"swapaxes": ("axis0", "axis1")}.get(base, ("dim0", "dim1"))
    last = base in ("t", "mT", "adjoint", "mH", "matrix_H")
    if rank < 2:
        return tuple(range(rank))
    a, b = (-2, -1) if last else (call.integer(names[0], 0), call.integer(names[1], 1))
    exchanged = list(range(rank))
    exchanged[a % rank], exchanged[b % rank] = b % rank, a % rank
    return tuple(exchanged)


def moved(call: Call) -> bool:
    """``roll`` and ``flip``: positions change places along dimensions, features elsewhere stay."""
    x = call.tensor("self")
    if x is None:
        return False
    rank = max(len(x.shape), 1)
    dims = call.integers("dims")
    call.add("identity", [x], axes=tuple(d % rank for d in dims or range(rank)))
    return True


def repeat_interleave(call: Call) -> bool:
    """Every entry several times in a row."""
    x, times = call.tensor("self"), call.value("repeats")
    axis = call.value("dim")
    if x is None or not isinstance(times, int) or not isinstance(axis, int) or not x.shape:
        call.add("gather", call.activations, weights=call.constants)
        return True
    call.bind(moves.repeated(call, x, axis % len(x.shape), times))
    return True


def shuffle(call: Call) -> bool:
    """Pixel and channel shuffles."""
    x = call.tensor("self") or call.tensor("input")
    if x is None or len(x.shape) < 3:
        return False
    name, rule = {
        "channel_shuffle": ("groups", moves.channels_regrouped),
        "pixel_shuffle": ("upscale_factor", moves.channels_to_blocks),
        "pixel_unshuffle": ("downscale_factor", moves.blocks_to_channels),
    }[call.base]
    return moves.shuffled(call, x, *rule(x.shape, call.integer(name, 1)), call.base)


def same_or_cast(call: Call) -> bool:
    """``to`` of a tensor like another one, ``copy_``: the values come from one operand."""
    name = "src" if call.base == "copy" else "self"
    x = call.tensor(name)
    if x is None:
        return False
    kind: Kind = "identity" if x.shape == call.output_shape() else "elementwise"
    call.add(kind, [x], weights=call.constants)
    return True


def shaped_like(call: Call) -> bool:
    """``view_as``, ``expand_as``: the second operand gives its shape only."""
    x = call.tensor("self")
    if x is None:
        return False
    kind: Kind = "elementwise" if call.base == "expand_as" else "reshape"
    call.add(kind, [x], "expand" if kind == "elementwise" else "reshape", weights=call.constants)
    return True

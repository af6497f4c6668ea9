"""ATen calls that move, cut and join: features keep their values and change places."""

from __future__ import annotations

from itertools import accumulate

from profiles.from_torch.emitter import Call
from profiles.from_torch.program import Ref
from profiles.graph import Kind, Span, Tensor
from profiles.meanings import layers, moves
from profiles.meanings.call import Operand, require
from profiles.meanings.spans import SAME, rolled, sliced


def concat(call: Call) -> None:
    """Join along a dimension; constants that take part have no owner, empty ones take none."""
    joined = _parts(call)
    parts = [part for part in joined if part is None or part.elements]
    if len(parts) == 1 < len(joined) and isinstance(parts[0], Tensor):
        call.add("identity", [parts[0]], "identity")
    else:
        moves.concat(call, parts, call.integer("dim", 0), call.constants)


def stack(call: Call) -> None:
    """Join along a new dimension."""
    moves.stack(call, _parts(call), call.integer("dim", 0), call.constants)


def _parts(call: Call) -> list[Operand | None]:
    """What is joined, in order."""
    return [call.tensor(name) or call.constant(name) for name in map(Ref, call.reads)]


def pieces(call: Call) -> None:
    """``split``, ``chunk`` and ``unbind``: one slice for each piece that is used."""
    x = call.data("self")
    require(bool(x.shape))
    axis = 0 if call.base == "vsplit" else call.integer("dim", 0) % len(x.shape)
    if call.base == "hsplit":
        axis = min(1, len(x.shape) - 1)
    if call.base == "unbind":
        starts = list(range(len(call.node.outputs)))
    else:
        sizes = [call.output(position).shape[axis] for position in range(len(call.node.outputs))]
        starts = [0, *accumulate(sizes)]
    for position in call.used:
        call.add("slice", [x], "slice", position=position, axes=(axis,), start=starts[position])


def cut(call: Call) -> None:
    """``slice``, ``narrow`` and ``select``."""
    x = call.data("self")
    require(bool(x.shape))
    axis = call.integer("dim", 0) % len(x.shape)
    size = x.shape[axis]
    given = call.value("index" if call.base.startswith("select") else "start", 0)
    start, step = -1, call.value("step", 1)
    read: Span | None = None
    if isinstance(given, int) and isinstance(step, int) and step > 0:
        begin = moves.first_index(given, size)
        start = begin if step == 1 else -1
        read = sliced(begin, step)
    op = "select" if call.base.startswith("select") else "slice"
    spans = tuple(read if other == axis else SAME for other in range(len(x.shape)))
    call.add("slice", [x], op, axes=(axis,), start=start, spans=spans)


def picked(call: Call) -> None:
    """Entries of one dimension by fixed indices; else elements wander."""
    x = call.tensor("self")
    if x is None or len(call.activations) != 1:
        _looked_up(call)
        return
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
    shape = call.output().shape
    if axis < 0 or (*x.shape[:axis], *x.shape[axis + 1 :]) != (*shape[:axis], *shape[axis + 1 :]):
        call.add_all("gather")
    else:
        call.add("slice", [x], "slice", weights=call.constants, axes=(axis,), start=-1)


def _looked_up(call: Call) -> None:
    """Rows of a table by computed indices."""
    table = call.constant("self")
    by_rows = call.base == "index_select" and call.integer("dim", 0) == 0
    if call.base == "index":
        given = call.value("indices")
        by_rows = isinstance(given, tuple) and len(given) == 1
    if table is None or len(table.shape) != 2 or not by_rows:
        call.add_all("gather")
    else:
        layers.embedding(call, call.activations, table, "embedding")


def transpose(call: Call) -> None:
    """Dimensions in another order."""
    x = call.data("self")
    op = "permute" if call.base == "permute" else "transpose"
    moves.transpose(call, x, _order(call, len(x.shape)), op)


def _order(call: Call, rank: int) -> tuple[int, ...]:
    """The permutation that a call means; of no size where it does not say."""
    base = call.base
    if base in ("permute", "permute_copy"):
        dims = call.integers("dims")
        return tuple(d % rank for d in dims) if dims is not None and rank else ()
    if base in ("movedim", "moveaxis"):
        source, target = call.integers("source"), call.integers("destination")
        if source is None or target is None or len(source) != len(target):
            return ()
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


def moved(call: Call) -> None:
    """``roll`` and ``flip``: positions change places along dimensions, features elsewhere stay."""
    x = call.data("self")
    rank = max(len(x.shape), 1)
    dims = tuple(d % rank for d in call.integers("dims") or range(rank))
    shifts = call.integers("shifts") or ()
    known = call.base == "roll" and len(shifts) == len(set(dims)) == len(dims)
    by = dict(zip(dims, shifts, strict=True)) if known and call.value("dims") else {}
    spans = tuple(
        rolled(by[axis]) if axis in by else None if axis in dims else SAME for axis in range(rank)
    )
    call.add("identity", [x], axes=dims, spans=spans)


def repeat_interleave(call: Call) -> None:
    """Every entry several times in a row."""
    x, times = call.tensor("self"), call.value("repeats")
    axis = call.value("dim")
    if x is None or not isinstance(times, int) or not isinstance(axis, int) or not x.shape:
        call.add("gather", call.activations, weights=call.constants)
    else:
        call.made[0] = moves.repeated(call, x, axis % len(x.shape), times)


def shuffle(call: Call) -> None:
    """Pixel and channel shuffles."""
    x = call.tensor("self") or call.data("input")
    require(len(x.shape) > 2)
    name, rule = {
        "channel_shuffle": ("groups", moves.channels_regrouped),
        "pixel_shuffle": ("upscale_factor", moves.channels_to_blocks),
        "pixel_unshuffle": ("downscale_factor", moves.blocks_to_channels),
    }[call.base]
    moves.shuffled(call, x, *rule(x.shape, call.integer(name, 1)), call.base)


def same_or_cast(call: Call) -> None:
    """``to`` of a tensor like another one, ``copy_``: the values come from one operand."""
    x = call.tensor("src" if call.base == "copy" else "self")
    if x is None:  # a constant is written into a part of what was computed
        call.add("gather", call.activations, weights=call.constants)
        return
    kind: Kind = "identity" if x.shape == call.output().shape else "elementwise"
    call.add(kind, [x], weights=call.constants)


def shaped_like(call: Call) -> None:
    """``view_as``, ``expand_as``: the second operand gives its shape only."""
    x = call.data("self")
    kind: Kind = "elementwise" if call.base == "expand_as" else "reshape"
    call.add(kind, [x], "expand" if kind == "elementwise" else "reshape", weights=call.constants)

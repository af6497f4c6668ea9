"""ATen calls that move, cut and join: features keep their values and change places."""

from __future__ import annotations

from itertools import accumulate

from profiles.from_torch.attention import repeated
from profiles.from_torch.emitter import Call
from profiles.from_torch.simple import simple
from profiles.graph import Kind


def concat(call: Call) -> bool:
    """Join along a dimension; constants that take part have no owner."""
    inputs = call.activations
    axis = call.integer("dim", 0) % max(len(call.meta().shape), 1)
    if any(len(item.shape) != len(call.meta().shape) for item in inputs):
        return False
    call.emit("concat", inputs, op="concat", axes=(axis,))
    return True


def stack(call: Call) -> bool:
    """Join along a new dimension: reshapes, then a concat."""
    shape = call.meta().shape
    axis = call.integer("dim", 0) % max(len(shape), 1)
    apart = (*shape[:axis], 1, *shape[axis + 1 :])
    parts = [call.step("reshape", [item], apart, "reshape") for item in call.activations]
    call.emit("concat", parts, op="concat", axes=(axis,))
    return True


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
        sizes = [call.meta(position).shape[axis] for position in range(len(call.node.outputs))]
        starts = [0, *accumulate(sizes)]
    for position in call.used:
        call.emit("slice", [x], op="slice", position=position, axes=(axis,), start=starts[position])
    return True


def cut(call: Call) -> bool:
    """``slice``, ``narrow`` and ``select``."""
    x = call.tensor("self")
    if x is None or not x.shape:
        return False
    axis = call.integer("dim", 0) % len(x.shape)
    size = x.shape[axis]
    given = call.value("index" if call.base.startswith("select") else "start", 0)
    if not isinstance(given, int) or call.value("step", 1) != 1:
        start = -1
    else:
        start = max(given + size, 0) if given < 0 else min(given, size)
    op = "select" if call.base.startswith("select") else "slice"
    call.emit("slice", [x], op=op, axes=(axis,), start=start)
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
    shape = call.meta().shape
    if axis < 0 or (*x.shape[:axis], *x.shape[axis + 1 :]) != (*shape[:axis], *shape[axis + 1 :]):
        return simple(call)
    call.emit("slice", [x], op="slice", axes=(axis,), start=-1)
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
    call.emit("embedding", call.activations, op="embedding", weight_shape=table.shape)
    return True


def transpose(call: Call) -> bool:
    """Dimensions in another order."""
    x = call.tensor("self")
    if x is None:
        return False
    rank = len(x.shape)
    order = _order(call, rank)
    if order is None or tuple(x.shape[axis] for axis in order) != call.meta().shape:
        return False
    call.emit(
        "transpose", [x], op="permute" if call.base == "permute" else "transpose", permutation=order
    )
    return True


def _order(call: Call, rank: int) -> tuple[int, ...] | None:
    """The permutation that a call means; None where it does not say."""
    base = call.base
    if base in ("permute", "permute_copy"):
        dims = call.integers("dims")
        order = tuple(d % rank for d in dims) if dims is not None and rank else ()
        return order if sorted(order) == list(range(rank)) else None
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
    call.emit("identity", [x], axes=tuple(d % rank for d in dims or range(rank)))
    return True


def repeat_interleave(call: Call) -> bool:
    """Every entry several times in a row."""
    x, times = call.tensor("self"), call.value("repeats")
    axis = call.value("dim")
    if x is None or not isinstance(times, int) or not isinstance(axis, int) or not x.shape:
        return _gathered(call)
    call.bind(repeated(call, x, axis % len(x.shape), times))
    return True


def _gathered(call: Call) -> bool:
    """Elements that wander by computed numbers."""
    call.emit("gather", call.activations)
    return True


def shuffle(call: Call) -> bool:
    """Pixel and channel shuffles: a reshape, a transpose, a reshape."""
    x = call.tensor("self") or call.tensor("input")
    shape = call.meta().shape
    if x is None or len(shape) < 3:
        return False
    lead = () if call.base == "channel_shuffle" else x.shape[:-3]
    n = len(lead)
    if call.base == "channel_shuffle":
        groups = call.integer("groups", 1)
        split = (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
        order = (0, 2, 1, *range(3, len(split)))
    elif call.base == "pixel_shuffle":
        r = call.integer("upscale_factor", 1)
        split = (*lead, shape[-3], r, r, *x.shape[-2:])
        order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    else:
        r = call.integer("downscale_factor", 1)
        split = (*lead, x.shape[-3], shape[-2], r, shape[-1], r)
        order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    apart = call.step("reshape", [x], split, "reshape")
    turned = call.step(
        "transpose", [apart], [split[axis] for axis in order], "transpose", permutation=order
    )
    call.emit("reshape", [turned], op=call.base)
    return True


def same_or_cast(call: Call) -> bool:
    """``to`` of a tensor like another one, ``copy_``: the values come from one operand."""
    name = "src" if call.base == "copy" else "self"
    x = call.tensor(name)
    if x is None:
        return False
    call.emit("identity" if x.shape == call.meta().shape else "elementwise", [x])
    return True


def shaped_like(call: Call) -> bool:
    """``view_as``, ``expand_as``: the second operand gives its shape only."""
    x = call.tensor("self")
    if x is None:
        return False
    kind: Kind = "elementwise" if call.base == "expand_as" else "reshape"
    call.emit(kind, [x], op="expand" if kind == "elementwise" else "reshape")
    return True

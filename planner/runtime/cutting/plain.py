"""Layers whose outputs are where their inputs are: moves, element-wise ones, pooling."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import torch

from planner.runtime.cutting.patterns import recognised
from planner.runtime.cutting.regions import Sets, everything
from planner.runtime.cutting.work import Finding, Work, broadcast_sets, cut
from planner.runtime.reading.template import Constant, Slot, Template, replaced

MOVES = frozenset(
    (
        "alias cat channel_shuffle chunk clone concat concatenate contiguous detach expand "
        "expand_as flatten flip index index_select movedim narrow permute pixel_shuffle "
        "pixel_unshuffle repeat repeat_interleave reshape roll select slice split "
        "split_with_sizes squeeze stack swapaxes swapdims t tile transpose unbind unflatten "
        "unsqueeze unsafe_split view view_as _unsafe_view numpy_T moveaxis"
    ).split()
)
"""Operators whose every output element is an input element, whatever the values."""

_PADDINGS = frozenset({"constant_pad_nd", "pad", "tril", "triu"})
_UNCHANGED = frozenset("dropout feature_dropout alpha_dropout feature_alpha_dropout".split())
_ELEMENTWISE = frozenset(
    (
        "celu clamp clip divide elu fix gelu hardshrink hardsigmoid hardswish hardtanh "
        "leaky_relu log_sigmoid mish multiply negative relu relu6 selu silu softplus softshrink "
        "square subtract tanhshrink threshold to true_divide where rsub"
    ).split()
)
"""Without torch's own tag, or with it in some versions only."""
_INDICES = frozenset({"index", "indices", "repeats"})


def whole(work: Work, fill: float | None = None) -> Finding:
    """Everything at once, for a node that can read all operands and makes all outputs.

    Parameters
    ----------
    work : Work
    fill : float, optional
        What stands in place of elements that the node cannot read.
    """

    def change(name: str) -> Callable[[object], object]:
        def leaf(item: object) -> object:
            if isinstance(item, Slot):
                if fill is not None:
                    return work.take_known(item.tensor, fill)
                return work.take(item.tensor)
            if isinstance(item, Constant):
                known = name in work.weights
                label = f"{name}{len(work.weights)}" if known else name
                return work.weight(label, item.value)
            return item

        return leaf

    arguments = {k: replaced(v, change(k)) for k, v in work.template.arguments.items()}
    return "aten", work.template.target, arguments


def picked(work: Work) -> Finding:
    """Everything at once, of which the node keeps its part."""
    if not work.reads_all():
        raise work.view.unknown("its result does not follow from a part of its operands")
    out = work.out
    work.picks = recognised(out.positions, [prod(out.shape)], out.local_shape)
    return whole(work)


def is_move(template: Template) -> bool:
    """Whether the layer moves elements, or leaves them where they are."""
    return template.base in MOVES | _UNCHANGED


def moved(work: Work) -> Finding:
    """Elements that change places: found by moving their numbers in the same way."""
    template, view = work.template, work.view
    names: list[str] = []
    constants: dict[str, torch.Tensor] = {}
    start = 0

    def numbers(shape: tuple[int, ...]) -> torch.Tensor:
        nonlocal start
        found = torch.arange(start, start + prod(shape)).reshape(shape)
        start += prod(shape)
        return found

    known: dict[str, torch.Tensor] = {}

    def leaf(item: object) -> object:
        if isinstance(item, Slot):
            if item.tensor not in known:
                names.append(item.tensor)
                known[item.tensor] = numbers(view.shape(item.tensor))
            return known[item.tensor]
        if isinstance(item, Constant):
            name = f"constant{len(constants)}"
            names.append(name)
            constants[name] = item.value
            return numbers(tuple(item.value.shape))
        return item

    def as_it_is(item: object) -> object:
        return item.value if isinstance(item, Constant) else item

    if template.base in _UNCHANGED:
        made = leaf(template.arguments.get("self") or template.arguments.get("input"))
    else:
        arguments = {
            key: replaced(value, as_it_is if key in _INDICES else leaf)
            for key, value in template.arguments.items()
        }
        made = template.target(**arguments)
    if isinstance(made, (list, tuple)):
        made = made[template.position]
    assert isinstance(made, torch.Tensor)
    if tuple(made.shape) != view.out_shape:
        raise view.unknown(f"it makes the shape {tuple(made.shape)}, not {view.out_shape}")
    positions = made.reshape(-1).numpy()[work.out.positions]
    ref = work.gather(names, positions, work.out.local_shape, constants)
    return "take", None, {"self": ref}


def is_padding(template: Template) -> bool:
    """Whether the layer puts elements around a tensor, or in place of some."""
    return template.base in _PADDINGS or template.base.startswith(
        ("reflection_pad", "replication_pad")
    )


def padded(work: Work) -> Finding:
    """Elements found as those that move, and a constant beside them."""
    template, view = work.template, work.view
    name = template.slot("self") or template.slot("input")
    if name is None:
        raise view.unknown("its operand is of another form")
    key = "self" if "self" in template.arguments else "input"
    # numbers from 1 on, so that 0 is the constant; mirrored as torch mirrors numbers with a
    # fraction, of which these have none
    numbers = torch.arange(1, prod(view.shape(name)) + 1, dtype=torch.float64)
    arguments = {**template.arguments, key: numbers.reshape(view.shape(name))}
    value = template.value("value", 0.0)
    if value is not None and "value" in arguments:
        arguments["value"] = 0.0
    made = template.target(**arguments).to(torch.int64) - 1
    positions = made.reshape(-1).numpy()[work.out.positions]
    fill = float(value or 0.0) if (positions < 0).any() else None
    return "take", None, {"self": work.gather([name], positions, work.out.local_shape, fill=fill)}


def is_elementwise(template: Template) -> bool:
    """Whether every output element follows from the operands' elements at its place."""
    tagged = torch.Tag.pointwise in template.target.tags
    return (tagged or template.base in _ELEMENTWISE) and template.base not in MOVES


def elementwise(work: Work) -> Finding:
    """The operator on the node's elements, constants cut to them."""
    template, view = work.template, work.view
    box = work.out.box

    def by_place(shape: tuple[int, ...]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        numbers = torch.arange(prod(shape)).reshape(shape).expand(view.out_shape)
        return numbers.reshape(-1).numpy()[work.out.positions]

    def change(name: str) -> Callable[[object], object]:
        def leaf(item: object) -> object:
            if isinstance(item, Slot):
                shape = view.shape(item.tensor)
                if box is not None or not shape:
                    return work.take(item.tensor, broadcast_sets(shape, box or ()))
                places = by_place(shape)
                return work.gather([item.tensor], places, (len(places),))
            if isinstance(item, Constant):
                value = item.value
                if box is not None or not value.dim():
                    return work.weight(name, cut(value, box or ()))
                places = by_place(tuple(value.shape))
                return work.weight(name, value.reshape(-1)[torch.from_numpy(places)])
            return item

        return leaf

    arguments = {k: replaced(v, change(k)) for k, v in template.arguments.items()}
    return "aten", template.target, arguments


def is_along(template: Template) -> bool:
    """Whether the operator treats some dimensions of its first operand like a batch."""
    return batch_like(template, 4) is not None


def is_interpolation(base: str) -> bool:
    """Whether an operator makes maps of another size of all entries' neighbours."""
    return base.startswith(("upsample_", "_upsample_"))


def batch_like(template: Template, rank: int) -> tuple[int, ...] | None:
    """Dimensions whose entries the operator treats apart; None where it is not known."""
    base = template.base
    if base in _PER_CHANNEL:
        return tuple(range(rank))
    if base == "instance_norm":
        return (0, 1) if template.value("use_input_stats") else tuple(range(rank))
    if "pool" in base or is_interpolation(base):
        digits = [int(c) for c in base if c in "123"]
        return tuple(range(rank - digits[0])) if digits else None
    if base in ("softmax", "_softmax", "log_softmax", "_log_softmax", "cumsum"):
        return tuple(a for a in range(rank) if a != template.value("dim") % rank)
    if base in ("layer_norm", "rms_norm"):
        return tuple(range(rank - len(template.value("normalized_shape"))))
    return None


_PER_CHANNEL = frozenset({"batch_norm", "prelu"})
_CHANNEL_CONSTANTS = frozenset({"batch_norm", "prelu", "instance_norm"})


def along(work: Work) -> Finding:
    """The operator on the node's box, whole along the dimensions that it works on."""
    template, view = work.template, work.view
    name = template.slot("input") or template.slot("self")
    if name is None or len(view.shape(name)) != len(view.out_shape):
        raise view.unknown("its operand is of another form")
    shape, box = view.shape(name), work.box
    apart = batch_like(template, len(shape)) or ()
    sets = _along_sets(work, shape, box, apart)

    def leaf_of(key: str) -> Callable[[object], object]:
        def leaf(item: object) -> object:
            if isinstance(item, Slot):
                return work.take(item.tensor, sets)
            if isinstance(item, Constant):
                value = item.value
                if template.base in _CHANNEL_CONSTANTS and value.dim() == 1 and len(value) > 1:
                    value = value.index_select(0, torch.from_numpy(box[1]))
                return work.weight(key, value)
            return item

        return leaf

    arguments = {k: replaced(v, leaf_of(k)) for k, v in template.arguments.items()}
    return "aten", template.target, arguments


def _along_sets(work: Work, shape: tuple[int, ...], box: Sets, apart: tuple[int, ...]) -> Sets:
    sets = list(everything(shape))
    for axis, indices in enumerate(box):
        whole_axis = len(indices) == work.view.out_shape[axis]
        if axis in apart and shape[axis] == work.view.out_shape[axis]:
            sets[axis] = indices
        elif not whole_axis:
            raise work.view.unknown(f"it mixes what nodes hold apart (dimension {axis})")
    return tuple(sets)

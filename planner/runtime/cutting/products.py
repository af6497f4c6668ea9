"""Convolutions, linear layers, attention and matrix products in slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import torch

from planner.runtime.cutting.patterns import recognised
from planner.runtime.cutting.regions import Sets, box_positions, everything
from planner.runtime.cutting.spatial import (
    Reading,
    Sliding,
    is_cut,
    per_dimension,
    reading,
    reading_transposed,
    same_padding,
)
from planner.runtime.cutting.work import Finding, Work, broadcast_sets, cut
from planner.runtime.reading.template import Template, aten

CONVOLUTIONS = frozenset(
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d".split()
)
PRODUCTS = frozenset("linear mm matmul addmm".split())


def is_transposed(base: str) -> bool:
    """Whether a convolution's weight is stored as (I, O/groups, ...)."""
    return base.startswith("conv_transpose")


def weight_of(template: Template) -> torch.Tensor | None:
    """The weight that joins a mixing layer's features, shape (O, I, ...)."""
    base = template.base
    if base in CONVOLUTIONS and template.value("groups", 1) == 1:
        weight = template.constant("weight")
        return weight.transpose(0, 1) if is_transposed(base) and weight is not None else weight
    if base == "linear":
        return template.constant("weight")
    name = {"mm": "mat2", "matmul": "other", "addmm": "mat2"}.get(base)
    turned = template.constant(name) if name is not None else None
    return turned.T if turned is not None and turned.dim() == 2 else None


def convolution(work: Work) -> Finding:
    """Rows of the weight that the node makes, columns that it reads; whole groups."""
    template, view = work.template, work.view
    name, weight = template.slot("input"), template.constant("weight")
    if name is None or weight is None or len(view.shape(name)) != weight.dim():
        raise view.unknown("its input or its weight is of another form")
    shape, groups = view.shape(name), template.value("groups", 1)
    box = work.box
    made = box[1]
    transposed = is_transposed(template.base)
    if groups == 1:
        read, local_groups = work.features(name), 1
        if not len(read):
            return _bias_alone(work, template.constant("bias"), weight, axis=1)
        if view.holdings.numbers(name).max(initial=0) + 1 != shape[1]:
            raise view.unknown("features are not channels")
    else:
        per_group, reads = view.out_shape[1] // groups, shape[1] // groups
        mine = np.unique(made // per_group)
        if len(made) != len(mine) * per_group:
            raise view.unknown(f"{view.group[work.node]!r} makes no whole groups")
        read = (mine[:, None] * reads + np.arange(reads)).reshape(-1)
        local_groups = len(mine)
    rows, columns = torch.from_numpy(made), torch.from_numpy(read)
    if transposed:
        local = weight.index_select(0, columns)
        local = local.index_select(1, rows) if groups == 1 else local
    else:
        local = weight.index_select(0, rows)
        local = local.index_select(1, columns) if groups == 1 else local
    bias = template.constant("bias") if work.adds_bias else None
    arguments = dict(template.arguments)
    arguments |= {
        "weight": work.weight("weight", local),
        "bias": work.weight("bias", None if bias is None else bias[rows]),
        "groups": local_groups,
    }
    if not work.makes_part_of(range(2, len(shape))):
        arguments["input"] = work.take(name, (box[0], read, *everything(shape)[2:]))
        return "aten", template.target, arguments
    along = _sliding(template, weight.shape[2:])
    if transposed:
        return _part_of_transposed_maps(work, arguments, along, local, (box[0], read))
    found = list(map(reading, box[2:], shape[2:], along))
    padding = [0] * len(found)
    maps = list(zip(box[2:], view.out_shape[2:], shape[2:], along, strict=True))
    if any(is_cut(made, out) for made, out, _, _ in maps):
        # dimensions beside the one that is cut are whole on the node: the operator pads them itself
        for axis, (made, out, size, item) in enumerate(maps):
            if not is_cut(made, out) and item.makes(size) == out:
                entries = np.arange(size, dtype=np.int64)
                found[axis] = Reading(entries, item.stride, item.dilation)
                padding[axis] = item.padding
    sets = (box[0], read, *(item.entries for item in found))
    arguments |= {
        "input": work.take(name, sets, fill=0.0),
        "stride": [item.stride for item in found],
        "padding": padding,
        "dilation": [item.dilation for item in found],
    }
    return "aten", aten(f"{template.base}.default"), arguments


def _sliding(template: Template, kernel: Sequence[int]) -> list[Sliding]:
    """A convolution's kernel along every dimension of its maps."""
    count = len(kernel)
    strides = per_dimension(template.value("stride"), count, 1)
    dilations = per_dimension(template.value("dilation"), count, 1)
    padding = template.value("padding", 0)
    if padding == "same":
        paddings = same_padding(kernel, dilations)
    else:
        paddings = per_dimension(0 if padding == "valid" else padding, count, 0)
    return list(map(Sliding, kernel, strides, paddings, dilations))


def _part_of_transposed_maps(
    work: Work,
    arguments: dict[str, Any],
    along: Sequence[Sliding],
    local: torch.Tensor,
    outer: Sets,
) -> Finding:
    """A transposed convolution of what some rows need; of what it makes these rows are picked.

    Its MACs count its input's elements, of which neighbours' share some: the node's count as its
    rows' share of the whole.
    """
    template, view = work.template, work.view
    name = template.slot("input")
    assert name is not None
    shape, maps = view.shape(name)[2:], work.box[2:]
    extra = per_dimension(template.value("output_padding"), len(along), 0)
    sets, picked, padding, output_padding, sizes = [], [], [], [], []
    for axis, (made, size, out, item) in enumerate(
        zip(maps, shape, view.out_shape[2:], along, strict=True)
    ):
        if is_cut(made, out) or view.way == "positions":
            entries, places = reading_transposed(made, size, item)
            length = (len(entries) - 1) * item.stride + item.dilation * (item.kernel - 1) + 1
            padding.append(0)
            output_padding.append(0)
        else:
            entries, places, length = np.arange(size, dtype=np.int64), made, out
            padding.append(item.padding)
            output_padding.append(extra[axis])
        sets.append(entries)
        picked.append(places)
        sizes.append(length)
    arguments |= {
        "input": work.take(name, (*outer, *sets), fill=0.0),
        "padding": padding,
        "output_padding": output_padding,
    }
    made_shape = (*(len(s) for s in work.box[:2]), *sizes)
    kept = (*everything(made_shape)[:2], *picked)
    taken = box_positions(made_shape, kept)
    work.picks = recognised(taken, [prod(made_shape)], tuple(map(len, kept)))
    of_all = len(outer[0]) * local.numel() * prod(shape)
    work.macs = -(-of_all * prod(map(len, maps)) // prod(view.out_shape[2:]))
    return "aten", template.target, arguments


def product(work: Work) -> Finding:
    """``x · W + b``: rows of the weight that the node makes, columns that it reads."""
    template, view = work.template, work.view
    base = template.base
    name = template.slot({"linear": "input", "addmm": "mat1"}.get(base, "self"))
    weight = weight_of(template)
    if name is None or weight is None:
        return activations(work)
    bias = template.constant("bias" if base == "linear" else "self")
    known = bias is not None
    bias = bias if work.adds_bias else None
    scale = float(template.value("alpha", 1)) if base == "addmm" else 1.0
    if base == "addmm":
        if not known:
            raise view.unknown("what it adds is no constant")
        bias = None if bias is None else bias * template.value("beta", 1)
    box, shape = work.box, view.shape(name)
    read = work.features(name)
    if len(view.holdings.owners[name]) != shape[-1]:
        raise view.unknown("features are not the last dimension")
    if bias is not None and bias.dim() != 1:
        raise view.unknown("what it adds is no row")
    if not len(read):
        return _bias_alone(work, bias, weight, axis=len(box) - 1)
    local = weight.index_select(0, torch.from_numpy(box[-1]))
    local = local.index_select(1, torch.from_numpy(read)) * scale
    arguments = {
        "input": work.take(name, (*box[:-1], read)),
        "weight": work.weight("weight", local),
        "bias": work.weight("bias", None if bias is None else cut(bias, box)),
    }
    return "aten", aten("linear.default"), arguments


def _bias_alone(work: Work, bias: torch.Tensor | None, weight: torch.Tensor, axis: int) -> Finding:
    """Outputs of a node that reads no features at all."""
    made = torch.from_numpy(work.box[axis])
    bias = bias if work.adds_bias else None
    values = weight.new_zeros(len(made)) if bias is None else bias[made]
    shape = [1] * len(work.box)
    shape[axis] = len(made)
    arguments = {
        "self": work.weight("bias", values.reshape(shape)),
        "size": list(work.out.local_shape),
    }
    return "aten", aten("expand.default"), arguments


def activations(work: Work) -> Finding:
    """A product of two activations: rows of one, columns of the other."""
    template, view = work.template, work.view
    left = template.slot("self")
    right = template.slot("other") or template.slot("mat2")
    if left is None or right is None or min(map(len, map(view.shape, (left, right)))) < 2:
        raise view.unknown("its operands are of another form")
    *lead, rows, columns = work.box
    outer, (a, b) = tuple(lead), (view.shape(left), view.shape(right))
    inner = np.arange(a[-1], dtype=np.int64)
    arguments = {
        "self": work.take(left, (*broadcast_sets(a[:-2], outer), rows, inner)),
        "other": work.take(right, (*broadcast_sets(b[:-2], outer), inner, columns)),
    }
    return "aten", aten("matmul.default"), arguments


def attention(work: Work) -> Finding:
    """Softmax(q kᵀ) v of the node's heads."""
    template, view = work.template, work.view
    names = [template.slot(name) for name in ("query", "key", "value")]
    query, key, value = names
    if query is None or key is None or value is None:
        raise view.unknown("an operand is no activation")
    *lead, rows, columns = work.box
    outer = tuple(lead)
    q, k, v = (view.shape(name) for name in (query, key, value))
    if k[:-2] != q[:-2] or v[:-2] != q[:-2]:
        raise view.unknown("its operands have unlike heads")
    depth, keys = np.arange(q[-1], dtype=np.int64), np.arange(k[-2], dtype=np.int64)
    arguments = {name: item for name, item in template.arguments.items() if name != "enable_gqa"}
    arguments |= {
        "query": work.take(query, (*outer, rows, depth)),
        "key": work.take(key, (*outer, keys, depth)),
        "value": work.take(value, (*outer, keys, columns)),
    }
    mask, fixed = template.slot("attn_mask"), template.constant("attn_mask")
    over = (*outer, rows, keys)
    if mask is not None:
        arguments["attn_mask"] = work.take(mask, broadcast_sets(view.shape(mask), over))
    elif fixed is not None:
        arguments["attn_mask"] = work.weight("attn_mask", cut(fixed, over))
    elif template.value("is_causal", False) and len(rows) != q[-2]:
        # torch counts the queries that it is given: of some alone, which keys they see is told
        seen = torch.from_numpy(keys[None, :] <= rows[:, None])
        arguments |= {"attn_mask": work.weight("attn_mask", seen), "is_causal": False}
    return "aten", template.target, arguments


def embedding(work: Work) -> Finding:
    """Columns of the table."""
    template, view = work.template, work.view
    table, name = template.constant("weight"), template.slot("indices")
    if table is None or name is None:
        raise view.unknown("its table is no constant")
    *sets, made = work.box
    arguments = dict(template.arguments)
    arguments |= {
        "weight": work.weight("weight", table.index_select(1, torch.from_numpy(made))),
        "indices": work.take(name, tuple(sets)),
    }
    return "aten", template.target, arguments


SLICERS: dict[str, Callable[[Work], Finding]] = {
    **dict.fromkeys(CONVOLUTIONS, convolution),
    **dict.fromkeys(PRODUCTS, product),
    "bmm": activations,
    "scaled_dot_product_attention": attention,
    "embedding": embedding,
}

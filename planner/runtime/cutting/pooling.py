"""Pooling and interpolation of some rows of a map: the part of the operator that they need."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from planner.runtime.cutting.plain import is_interpolation
from planner.runtime.cutting.regions import Sets
from planner.runtime.cutting.spatial import Sliding, per_dimension, reading
from planner.runtime.cutting.work import Finding, Work
from planner.runtime.reading.template import Template, aten

_BESIDE = 2  # entries of the other dimensions: torch takes maps of one column for another format


def cuts_maps(work: Work) -> bool:
    """Whether the layer pools or interpolates maps of which the node makes a part."""
    base = work.template.base
    known = "pool" in base or is_interpolation(base)
    if not known or not _dimensions(work.template) or work.out.box is None:
        return False
    rank = len(work.view.out_shape)
    return work.makes_part_of(range(rank - _dimensions(work.template), rank))


def part_of_maps(work: Work) -> Finding:
    """The operator on what the node's rows are made of."""
    template, view = work.template, work.view
    name = template.slot("self") or template.slot("input")
    if name is None or template.position or len(view.shape(name)) != len(view.out_shape):
        raise view.unknown("its operand is of another form")
    if template.base.startswith("max_pool"):
        return _largest(work, name)
    if template.base.startswith("adaptive_max_pool"):
        return _largest_of_bins(work, name)
    if "avg_pool" in template.base or is_interpolation(template.base):
        return _resampled(work, name)
    raise view.unknown("its maps are not whole")


def _dimensions(template: Template) -> int:
    """Of the maps: 2 of ``max_pool2d``."""
    return next((int(c) for c in template.base if c in "123"), 0)


def _largest(work: Work, name: str) -> Finding:
    template, view = work.template, work.view
    count = _dimensions(template)
    start = len(view.out_shape) - count
    kernel = per_dimension(template.value("kernel_size"), count, 1)
    given = template.value("stride")
    strides = per_dimension(given, count, 1) if given else kernel
    paddings = per_dimension(template.value("padding"), count, 0)
    dilations = per_dimension(template.value("dilation"), count, 1)
    along = list(map(Sliding, kernel, strides, paddings, dilations))
    shape = view.shape(name)
    found = [reading(*item) for item in zip(work.box[start:], shape[start:], along, strict=True)]
    sets: Sets = (*work.box[:start], *(item.entries for item in found))
    arguments = dict(template.arguments)
    arguments |= {
        "self": work.take(name, sets, fill=-float("inf")),
        "kernel_size": kernel,
        "stride": [item.stride for item in found],
        "padding": [0] * count,
        "dilation": [item.dilation for item in found],
    }
    return "aten", template.target, arguments


def _largest_of_bins(work: Work, name: str) -> Finding:
    """Bins of unlike sizes, each filled up to the size of the largest."""
    view, count = work.view, _dimensions(work.template)
    shape, start = view.shape(name), len(view.out_shape) - count
    sets, kernel = list(work.box[:start]), []
    for axis in range(start, len(shape)):
        made, size, out = work.box[axis], shape[axis], view.out_shape[axis]
        first, behind = made * size // out, -(-(made + 1) * size // out)
        kernel.append(int((behind - first).max()))
        entries = first[:, None] + np.arange(kernel[-1])
        sets.append(np.where(entries < behind[:, None], entries, -1).reshape(-1))
    arguments = {
        "self": work.take(name, tuple(sets), fill=-float("inf")),
        "kernel_size": kernel,
        "stride": kernel,
    }
    return "aten", aten(f"max_pool{count}d.default"), arguments


def _resampled(work: Work, name: str) -> Finding:
    """Every output is a weighted sum of entries along each dimension by itself."""
    template, view = work.template, work.view
    shape, start = view.shape(name), len(view.out_shape) - _dimensions(template)
    sets = list(work.box[:start])
    matrices: list[Any] = [None] * start
    for axis in range(start, len(shape)):
        whole = _matrix(work, axis - start, shape[axis])
        rows = whole[work.box[axis]]
        read = np.flatnonzero((rows != 0).any(axis=0)).astype(np.int64)
        sets.append(read)
        matrices.append(work.weight(f"matrix{axis}", template.constant_of(rows[:, read])))
    return "resample", None, {"self": work.take(name, tuple(sets)), "matrices": matrices}


def _matrix(work: Work, axis: int, size: int) -> NDArray[np.float64]:
    """What the operator does along one dimension of the maps, shape (outputs, inputs).

    Found by the operator itself, on rows of ones and with nothing to do along the others.
    """
    template = work.template
    count = _dimensions(template)
    arguments: dict[str, Any] = dict(template.arguments)
    if arguments.get("divisor_override") is not None:
        raise work.view.unknown("its maps are not whole, and its divisor is given")
    for name, nothing in (
        ("kernel_size", 1), ("stride", 1), ("padding", 0), ("output_size", _BESIDE),
        ("scale_factors", 1.0),
    ):  # fmt: skip
        given = template.value(name)
        if name in arguments and given is not None and given != []:
            along = per_dimension(given, count, 1)
            arguments[name] = [along[a] if a == axis else nothing for a in range(count)]
    for place, name in enumerate(("scales_d", "scales_h", "scales_w")[3 - count :]):
        if name in arguments and place != axis:
            arguments[name] = None
    others = [1 if a == axis else _BESIDE for a in range(count)]
    shape = [size if a == axis else 1 for a in range(count)]
    entries = torch.eye(size, dtype=torch.float64).reshape(size, 1, *shape).repeat(1, 1, *others)
    key = "self" if "self" in arguments else "input"
    with torch.no_grad():
        made = template.target(**{**arguments, key: entries})
    along_axis = made[(slice(None), 0, *(slice(None) if a == axis else 0 for a in range(count)))]
    found: NDArray[np.float64] = along_axis.T.numpy().copy()
    return found

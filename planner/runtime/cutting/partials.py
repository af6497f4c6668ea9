"""Norms and reductions: on the node alone, or finished from all nodes' partial results."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from planner.runtime.cutting.plain import along, picked
from planner.runtime.cutting.regions import everything
from planner.runtime.cutting.work import Finding, Work, cut
from planner.runtime.reading.template import Template
from planner.runtime.running.partial import NUMBERS
from planner.runtime.running.records import Ref

NORMS = frozenset({"layer_norm", "rms_norm", "softmax", "log_softmax"})
REDUCTIONS = frozenset(
    (
        "all amax amin any count_nonzero linalg_vector_norm logsumexp max mean min norm prod std "
        "sum var argmax argmin"
    ).split()
)


def dimensions(template: Template, rank: int) -> tuple[int, ...]:
    """Dimensions that a norm or a reduction works on."""
    if "normalized_shape" in template.arguments:
        return tuple(range(rank - len(template.value("normalized_shape")), rank))
    given = template.value("dim")
    found = given if isinstance(given, (list, tuple)) else [] if given is None else [given]
    return tuple(sorted({axis % rank for axis in found})) or tuple(range(rank))


def normalised(work: Work) -> Finding:
    """With all that is normalised together on the node, or with statistics of every node."""
    template, view = work.template, work.view
    name = template.slot("input") or template.slot("self")
    if name is None or view.shape(name) != view.out_shape:
        raise view.unknown("its operand is of another form")
    dims = dimensions(template, len(view.out_shape))
    box = work.box
    if not _cuts(work, dims):
        return along(work)
    if not view.tells:
        return picked(work)
    arguments: dict[str, Any] = {"self": work.take(name, box), "dims": list(dims)}
    if template.base in ("layer_norm", "rms_norm"):
        weight, bias = template.constant("weight"), template.constant("bias")
        arguments |= {
            "weight": work.weight("weight", None if weight is None else cut(weight, box)),
            "bias": work.weight("bias", None if bias is None else cut(bias, box)),
            "eps": template.value("eps"),
        }
    else:
        arguments["dtype"] = template.value("dtype")
    return template.base, None, arguments


def _cuts(work: Work, dims: Sequence[int]) -> bool:
    """Whether the node makes a part of some of these dimensions alone."""
    return any(len(work.box[axis]) != work.view.out_shape[axis] for axis in dims)


def group_normalised(work: Work) -> Finding:
    """Whole groups, each on the node that holds them; else a group from all nodes' parts."""
    template, view = work.template, work.view
    name, groups = template.slot("input"), template.value("num_groups")
    if name is None:
        raise view.unknown("its operand is of another form")
    box, shape = work.box, view.out_shape
    weight, bias = template.constant("weight"), template.constant("bias")
    spread = _cuts(work, range(2, len(shape))) or (groups == 1 and _cuts(work, [1]))
    if spread and not view.tells:
        return picked(work)
    per_group = shape[1] // groups
    mine = np.unique(box[1] // per_group)
    if not spread:
        if len(mine) * per_group != len(box[1]):
            raise view.unknown(f"{view.group[work.node]!r} makes no whole groups")
        arguments = dict(template.arguments)
        arguments |= {
            "input": work.take(name, box),
            "num_groups": len(mine),
            "weight": work.weight("weight", None if weight is None else cut(weight, box[:2])),
            "bias": work.weight("bias", None if bias is None else cut(bias, box[:2])),
        }
        return "aten", template.target, arguments
    if groups > 1 and _cuts(work, [1]):
        raise view.unknown(f"{view.group[work.node]!r} makes no whole groups of whole maps")
    # one more dimension: what is normalised together is all but the first two
    inner = len(box[1]) // len(mine)
    local = len(box[0]), len(mine), inner, *(len(indices) for indices in box[2:])
    return _told_of_maps(work, work.take(name, box, local), (1, len(mine), inner))


def maps_normalised(work: Work) -> Finding:
    """Every map by itself, on the node or from all nodes' parts of it."""
    template, view = work.template, work.view
    name = template.slot("input")
    if name is None:
        raise view.unknown("its operand is of another form")
    box, given = work.box, template.value("use_input_stats")
    if not given or not _cuts(work, range(2, len(view.out_shape))):
        return along(work)
    if not view.tells:
        return picked(work)
    return _told_of_maps(work, work.take(name, box), (1, len(box[1])))


def _told_of_maps(work: Work, operand: Ref, channels: tuple[int, ...]) -> Finding:
    """A norm over all dimensions but the first two, from all nodes' parts."""
    template, box = work.template, work.box
    rank = len(work.operands[-1].shape)
    arguments: dict[str, Any] = {
        "self": operand,
        "dims": list(range(2, rank)),
        "eps": template.value("eps"),
    }
    for key in ("weight", "bias"):
        value = template.constant(key)
        if value is not None:
            value = cut(value, box[:2]).reshape(*channels, *[1] * (rank - len(channels)))
        arguments[key] = work.weight(key, value)
    return "layer_norm", None, arguments


def reduced(work: Work) -> Finding:
    """Over positions, on the node; over features, from every node's part."""
    template, view = work.template, work.view
    name = template.slot("self")
    if name is None:
        raise view.unknown("its operand is of another form")
    shape = view.shape(name)
    dims = dimensions(template, len(shape))
    if view.way == "features" and work.out.is_whole and not work.reads_all():
        return _told(work, name, dims)
    box, sets = work.box, list(everything(shape))
    left = [axis for axis in range(len(shape)) if axis not in dims]
    kept = len(view.out_shape) == len(shape)
    for position, axis in enumerate(left):
        sets[axis] = box[axis if kept else position]
    arguments = dict(template.arguments)
    arguments["self"] = work.take(name, tuple(sets))
    return "aten", template.target, arguments


def _told(work: Work, name: str, dims: tuple[int, ...]) -> Finding:
    template, view = work.template, work.view
    if template.base not in NUMBERS or template.position or template.value("dtype") is not None:
        raise view.unknown("its result does not follow from the nodes' own")
    if template.base in ("norm", "linalg_vector_norm"):
        order = template.value("ord", template.value("p", 2))
        if order != 2:
            raise view.unknown(f"the order {order} is not known")
    held = view.holdings.region(name, view.holdings.held(name, "features", work.node))
    arguments: dict[str, Any] = {
        "dims": list(dims),
        "correction": _correction(template),
        "self": None,
    }
    if not held.empty:
        if held.box is None:
            raise view.unknown("a node holds no whole rows")
        arguments["self"] = work.take(name, held.box)
    return template.base, None, arguments


def _correction(template: Template) -> float:
    if template.value("unbiased") is False:
        return 0.0
    return float(template.value("correction", 1))


def elements_of_part(shape: Sequence[int], dims: Sequence[int]) -> int:
    """Elements that each number of a partial result is worked out of, by the operand's shape."""
    return prod(shape[axis] for axis in dims)

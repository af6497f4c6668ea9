"""Cut one node's part out of a layer: the rule that an operator asks for."""

from __future__ import annotations

from planner.runtime.cutting.partials import (
    NORMS,
    REDUCTIONS,
    group_normalised,
    maps_normalised,
    normalised,
    reduced,
)
from planner.runtime.cutting.plain import (
    along,
    elementwise,
    is_along,
    is_elementwise,
    is_move,
    is_padding,
    moved,
    padded,
    whole,
)
from planner.runtime.cutting.pooling import cuts_maps, part_of_maps
from planner.runtime.cutting.products import SLICERS
from planner.runtime.cutting.recurrent import RECURRENT, some_samples
from planner.runtime.cutting.sums import in_parts
from planner.runtime.cutting.work import Finding, Work


def cut_out(work: Work) -> Finding:
    """Kernel, target and arguments of what a node does in a layer that it makes a part of.

    Raises
    ------
    BadInputError
        The runtime does not know the operator, or not in this form; names the layer.
    InconsistentResultError
        The node lacks what the operator reads.
    """
    template = work.template
    if work.view.way == "sums":
        return in_parts(work)
    if is_move(template):
        return moved(work)
    if is_padding(template):
        return padded(work)
    if not set(template.slots) <= set(work.view.layer.inputs):
        raise work.view.unknown("it reads what the layer does not name")
    if work.out.is_whole and work.reads_all():
        return whole(work)
    if template.base in RECURRENT:
        return some_samples(work)
    if template.base in SLICERS:
        return SLICERS[template.base](work)
    if template.base in NORMS:
        return normalised(work)
    if template.base == "group_norm":
        return group_normalised(work)
    if template.base == "instance_norm":
        return maps_normalised(work)
    if template.base in REDUCTIONS:
        return reduced(work)
    if cuts_maps(work):
        return part_of_maps(work)
    if is_along(template):
        return along(work)
    if is_elementwise(template):
        return elementwise(work)
    raise work.view.unknown("no rule covers it")

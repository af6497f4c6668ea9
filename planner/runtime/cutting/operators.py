"""Cut one node's part out of a layer: the rule that an operator asks for."""

from __future__ import annotations

from planner.runtime.cutting.partials import (
    NORMS,
    REDUCTIONS,
    group_normalised,
    normalised,
    reduced,
)
from planner.runtime.cutting.plain import (
    along,
    elementwise,
    is_along,
    is_elementwise,
    is_move,
    moved,
    whole,
)
from planner.runtime.cutting.products import SLICERS
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
    if is_move(template):
        return moved(work)
    if not set(template.slots) <= set(work.view.layer.inputs):
        raise work.view.unknown("it reads what the layer does not name")
    if work.out.is_whole and work.reads_all():
        return whole(work)
    if template.base in SLICERS:
        return SLICERS[template.base](work)
    if template.base in NORMS:
        return normalised(work)
    if template.base == "group_norm":
        return group_normalised(work)
    if template.base in REDUCTIONS:
        return reduced(work)
    if is_along(template):
        return along(work)
    if is_elementwise(template):
        return elementwise(work)
    raise work.view.unknown("no rule covers it")

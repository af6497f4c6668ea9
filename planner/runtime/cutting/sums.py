"""Parts of a sum: a full-size output of what the node holds of the input."""

from __future__ import annotations

import numpy as np

from planner.runtime.cutting.plain import whole
from planner.runtime.cutting.products import SLICERS
from planner.runtime.cutting.work import Finding, Work
from planner.runtime.reading.template import aten


def in_parts(work: Work) -> Finding:
    """A node's own features times their weights, or its own positions added up."""
    view = work.view
    if view.layer.flow.mixes:
        if work.template.base not in SLICERS:
            raise view.unknown("no rule multiplies some of its features alone")
        return SLICERS[work.template.base](work)
    # it adds up positions: those of other nodes are nothing here
    (name,) = work.template.slots
    if any((places >= 0).any() for _, places in work.sources(name)):
        return whole(work, fill=0.0)
    nothing = np.zeros([1] * len(view.out_shape))
    value = work.weight("nothing", work.template.constant_of(nothing))
    return "aten", aten("expand.default"), {"self": value, "size": list(view.out_shape)}

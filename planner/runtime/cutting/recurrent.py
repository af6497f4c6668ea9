"""Recurrent layers on some samples of the batch: all steps in time of each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from planner.runtime.cutting.regions import everything
from planner.runtime.cutting.spatial import is_cut
from planner.runtime.cutting.work import Finding, Work
from planner.runtime.reading.template import Constant, Slot, replaced

RECURRENT = frozenset("gru lstm rnn_relu rnn_tanh".split())
_STATES_BATCH = 1  # states are (layers, samples, units), whatever comes first in the input


def some_samples(work: Work) -> Finding:
    """The operator on the node's samples, with the states that belong to them."""
    template, view = work.template, work.view
    name = template.slot("input")
    if name is None or template.position or len(view.out_shape) != 3 or work.out.box is None:
        raise view.unknown("no rule covers it")
    batch = 0 if template.value("batch_first", False) else 1
    if any(is_cut(s, view.out_shape[a]) for a, s in enumerate(work.box) if a != batch):
        raise view.unknown("no rule covers it but for whole samples")
    mine = work.box[batch]

    def change(key: str, axis: int | None) -> Callable[[object], object]:
        def leaf(item: object) -> object:
            if isinstance(item, Slot):
                sets = list(everything(view.shape(item.tensor)))
                if axis is not None:
                    sets[axis] = mine
                return work.take(item.tensor, tuple(sets))
            if isinstance(item, Constant):
                value = item.value
                if axis is not None:
                    value = value.index_select(axis, torch.from_numpy(np.ascontiguousarray(mine)))
                return work.weight(f"{key}{len(work.weights)}", value)
            return item

        return leaf

    axes = {"input": batch, "hx": _STATES_BATCH}
    arguments = {
        key: replaced(value, change(key, axes.get(key)))
        for key, value in template.arguments.items()
    }
    return "aten", template.target, arguments

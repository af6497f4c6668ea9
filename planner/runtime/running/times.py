"""What the cost model says that a run takes, layer by layer, for the run to be held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.case import Case
from planner.domain.plan import StagePlan
from planner.runtime.running.traffic import handover_name
from planner.strategies.costed import cost_stages


@dataclass(frozen=True)
class LayerTime:
    """Seconds of a layer's exchanges, of its computation, and of both as they overlap or not."""

    latency_s: float
    comm_s: float
    compute_s: float


def predicted_times(case: Case, stages: Sequence[StagePlan]) -> dict[str, LayerTime]:
    """By layer, conversions before it included, and by change of group, in order.

    Handing the input out and collecting the output are not among them, counted or not.
    """
    costed = cost_stages(case, tuple(stages))
    names = [layer.name for layer in case.profile.layers]
    found: dict[str, LayerTime] = {}
    for number, stage in enumerate(costed.stages):
        if number:
            seconds = float(costed.handovers[number - 1].seconds)
            found[handover_name(number + 1)] = LayerTime(seconds, seconds, 0.0)
        table = stage.table
        for row in range(stage.rows.start, stage.rows.stop):
            found[names[row]] = LayerTime(
                float(table.latency_s[row, 0]),
                float(table.comm_s[row, 0]),
                float(table.compute_s[row, 0]),
            )
    return found

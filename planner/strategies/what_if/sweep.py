"""The best plan at every value of one hardware quantity, each with its certificate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from planner.case import Case
from planner.domain.arrays import Frozen
from planner.domain.request import Request
from planner.domain.settings import Limits, Objective
from planner.errors import BadInputError, InfeasibleError, SolverStoppedError
from planner.solve.deadline import Deadline
from planner.strategies.optimise import optimise
from planner.strategies.what_if.quantities import (
    UNITS,
    Quantity,
    Value,
    at_value,
    present_value,
    rising,
    with_room,
)
from planner.strategies.what_if.summary import PlanSummary, summary_of


class SweepPoint(Frozen):
    """The best plan at one value, or why there is none."""

    value: Value = Field(description="in the sweep's unit")
    best: PlanSummary | None
    failure: Literal["infeasible", "timeout"] | None = None
    reason: str = Field(default="", description="why there is no plan")


class Sweep(Frozen):
    """Points by rising value."""

    schema_version: Literal[1] = 1
    model: str
    cluster: str
    over: Quantity
    unit: str
    current: Value | None = Field(
        description="what the cluster has; null where nodes or links differ or none is known"
    )
    objective: Objective
    limits: Limits
    accuracy_model: str | None
    metric: str | None
    points: tuple[SweepPoint, ...]


def sweep(
    case: Case,
    request: Request,
    over: Quantity,
    values: Sequence[Value],
    watch: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Find the best plan at every value, as `planner.strategies.optimise.optimise` finds it.

    Plans come without their alternatives.

    Parameters
    ----------
    case : Case
    request : Request
        Holds at every value, its time limit for all of them together; its number of nodes is
        replaced in a sweep over ``nodes``.
    over : Quantity
        Set on every node or every link alike. Nodes beyond those of the cluster are copies of
        its last one.
    values : sequence of float
        In SI units; taken in rising order, each once. `quantities.spread_values` makes a range.
    watch : callable, optional
        Told before each value how many are done, and of how many. What it raises ends the work.

    Raises
    ------
    BadInputError
        No value, or one that no cluster may have; a limit that the model cannot keep.
    """
    wanted = rising(over, values)
    deadline = Deadline(request.time_limit_s)
    if request.exactly and over == "nodes":
        raise BadInputError("nodes are asked for as at most so many, not as exactly")
    roomy = with_room(case, int(wanted[-1])) if over == "nodes" else case
    points: list[SweepPoint] = []
    for value in wanted:
        if watch:
            watch(len(points), len(wanted))
        part = deadline.share(1.0 / (len(wanted) - len(points)))
        asked = replace(request, alternatives=False, time_limit_s=part.limit_s)
        points.append(best_at(value, *at_value(roomy, asked, over, value)))
    return Sweep(
        model=case.profile.name,
        cluster=case.cluster.name,
        over=over,
        unit=UNITS[over],
        current=request.max_nodes if over == "nodes" else present_value(case.cluster, over),
        objective=request.objective,
        limits=request.limits,
        accuracy_model=case.loss_model.name if case.loss_model else None,
        metric=case.loss_model.metric if case.loss_model else None,
        points=tuple(points),
    )


def best_at(value: Value, case: Case, request: Request) -> SweepPoint:
    """The best plan of a question with some value, or why there is none."""
    try:
        plan = optimise(case, request)
    except InfeasibleError as error:
        return SweepPoint(value=value, best=None, failure="infeasible", reason=str(error))
    except SolverStoppedError as error:
        return SweepPoint(value=value, best=None, failure="timeout", reason=str(error))
    return SweepPoint(value=value, best=summary_of(plan))

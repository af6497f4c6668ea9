"""What half and twice of each quantity does to the best plan, one quantity at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

from pydantic import Field

from planner.case import Case
from planner.domain.arrays import Frozen
from planner.domain.changes import FIGURES
from planner.domain.cluster import largest_figure, with_figures
from planner.domain.request import Request
from planner.domain.settings import Limits, Objective
from planner.solve.deadline import Deadline
from planner.strategies.optimise import optimise
from planner.strategies.what_if.quantities import Value, with_room
from planner.strategies.what_if.summary import PlanSummary, summary_of
from planner.strategies.what_if.sweep import SweepPoint, best_at


class Swing(Frozen):
    """One quantity: the best plan where everything has half as much of it, and twice as much."""

    of: str = Field(description="a figure as in `--change`, or nodes")
    half: SweepPoint
    double: SweepPoint


class Swings(Frozen):
    """Every quantity that the cluster has, the one that changes most first."""

    schema_version: Literal[1] = 1
    model: str
    cluster: str
    objective: Objective
    limits: Limits
    accuracy_model: str | None
    best: PlanSummary = Field(description="as everything is now")
    swings: tuple[Swing, ...]


def swings(case: Case, request: Request, watch: Callable[[int, int], None] | None = None) -> Swings:
    """Plan again with half and with twice of each quantity.

    What nodes or links have is halved and doubled on each of them, so that they need not be alike.

    Parameters
    ----------
    case : Case
    request : Request
        With a plan. Its time limit holds for the whole call.
    watch : callable, optional
        Told before each plan how many are done, and of how many. What it raises ends the work.

    Raises
    ------
    InfeasibleError, SolverStoppedError
        There is no plan as everything is now.
    """
    deadline = Deadline(request.time_limit_s)
    wanted = list(_wanted(case, request))
    total = 1 + 2 * len(wanted)
    done = 0

    def asked(other: Request) -> Request:
        nonlocal done
        if watch:
            watch(done, total)
        part = deadline.share(1.0 / (total - done))
        done += 1
        return replace(other, alternatives=False, time_limit_s=part.limit_s)

    best = summary_of(optimise(case, asked(request)))
    found = [
        Swing(
            of=of,
            half=best_at(half[0], half[1], asked(half[2])),
            double=best_at(double[0], double[1], asked(double[2])),
        )
        for of, half, double in wanted
    ]
    return Swings(
        model=case.profile.name,
        cluster=case.cluster.name,
        objective=request.objective,
        limits=request.limits,
        accuracy_model=case.loss_model.name if case.loss_model else None,
        best=best,
        swings=tuple(sorted(found, key=lambda swing: -_width(swing, best, request.objective))),
    )


_Other = tuple[Value, Case, Request]


def _wanted(case: Case, request: Request) -> Iterator[tuple[str, _Other, _Other]]:
    """Every quantity, and the question at half and at twice of it."""
    for name, (field, _) in FIGURES.items():
        now = largest_figure(case.cluster, field)
        if now:
            half, double = (
                (now * factor, case.on(with_figures(case.cluster, field, factor)), request)
                for factor in (0.5, 2.0)
            )
            yield name, half, double
    most = request.max_nodes
    if most > 1 and not request.exactly:
        fewer, more = (
            (nodes, with_room(case, nodes), replace(request, max_nodes=nodes))
            for nodes in (max(most // 2, 1), most * 2)
        )
        yield "nodes", fewer, more


def _width(swing: Swing, best: PlanSummary, objective: Objective) -> float:
    """How far the two ends are apart; without a plan at one of them infinitely far."""
    ends = (swing.half.best, swing.double.best)
    if None in ends:
        return float("inf")
    values = [_measure(end, objective) for end in (*ends, best) if end is not None]
    return max(values) / min(values)


def _measure(plan: PlanSummary, objective: Objective) -> float:
    return plan.latency_s if objective == "latency" else plan.throughput_per_s

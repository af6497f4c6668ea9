"""Frontiers: what latency an accuracy drop buys, and what throughput a latency buys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from planner.case import Case
from planner.domain.arrays import Frozen
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import Objective
from planner.errors import BadInputError, InfeasibleError, SolverStoppedError
from planner.solve.deadline import Deadline
from planner.strategies.optimise import find_plan
from planner.strategies.what_if.summary import PlanSummary, summary_of

Trade = Literal["accuracy", "throughput"]

_POINT_SHARE = 0.2  # of the time that is left, for one optimum: few are hard to prove
_STEP = 1e-7  # relative: a limit just below what a plan needs asks for another plan
_LOSS_LIMITS = {"accuracy": ("max_accuracy_drop", 1e6), "energy": ("max_energy_loss", 1.0)}
"""The limit on each kind of loss, and one that nothing exceeds."""
_SAME = 1e-8  # relative difference below which two objectives count as equal


class ParetoFrontier(Frozen):
    """Plans that no other one beats in both measures, by rising latency."""

    schema_version: Literal[1] = 1
    model: str
    cluster: str
    trade: Trade
    accuracy_model: str | None
    metric: str | None
    points: tuple[PlanSummary, ...]


def frontier(
    case: Case,
    request: Request,
    trade: Trade = "accuracy",
    points: int = 12,
    watch: Callable[[int, int], None] | None = None,
) -> ParetoFrontier:
    """Trade accuracy drop against latency, or latency against throughput.

    The range between the two ends is cut evenly, and every point is the optimum at its limit.
    Each solve starts from the structures of the ones before.

    Parameters
    ----------
    case : Case
    request : Request
        Its limits hold at every point; one on the accuracy drop ends the accuracy frontier. Its
        objective is replaced, and its time limit holds for the whole call.
    trade : {"accuracy", "throughput"}
    points : int
        At most so many.
    watch : callable, optional
        Told before each point how many are done, and of how many. What it raises ends the work.

    Raises
    ------
    BadInputError
        An accuracy frontier without an accuracy model, or fewer than two points.
    InfeasibleError
        No plan fits the limits.
    SolverStoppedError
        The solver stopped without a plan.
    """
    if points < 2:
        raise BadInputError(f"--points {points}: a frontier needs at least 2")
    if trade == "accuracy" and case.loss_model is None:
        raise BadInputError(
            f"{case.profile.name} has no accuracy model to trade with; name one "
            "(--accuracy-model curve:NAME) or trade throughput (--trade throughput)"
        )

    deadline = Deadline(request.time_limit_s)

    def best(objective: Objective, **changes: float) -> Plan | None:
        limits = request.limits.model_copy(update=changes)
        asked = replace(request, objective=objective, limits=limits)
        plan, result = find_plan(case, asked, deadline.share(_POINT_SHARE))
        if plan is None and result.certificate.status == "timeout":
            raise SolverStoppedError(
                f"the solver stopped after {request.time_limit_s:g} s without a plan"
            )
        return plan

    # what is traded gets a limit, if a wide one: without any nothing would be dropped
    field, widest_loss = _LOSS_LIMITS[case.loss_model.kind if case.loss_model else "accuracy"]
    given = getattr(request.limits, field)
    traded = case.loss_model is not None and trade == "accuracy"
    most = {field: widest_loss if given is None else given} if traded else {}
    fastest = best("latency", **most)
    metric = case.loss_model.metric if case.loss_model else None
    if fastest is None:
        raise InfeasibleError("no plan fits the limits at any point of the frontier")
    found = [fastest]
    if trade == "accuracy":
        for done, budget in enumerate(np.linspace(0.0, _loss(fastest), points)):
            if watch:
                watch(done, points)
            plan = best("latency", **{field: float(budget)})
            while plan is not None:  # of plans as fast the one that loses least
                found.append(plan)
                lost = _loss(plan)
                sparing = best("latency", **{field: lost * (1 - _STEP)}) if lost else None
                plan = sparing if sparing and _as_fast(sparing, plan) else None
    else:
        widest = best("throughput")
        least = largest = fastest.predicted.throughput_per_s
        if widest is not None:
            largest = max(least, widest.predicted.throughput_per_s * (1 - _STEP))
        for done, rate in enumerate(np.linspace(least, largest, points)[1:], start=1):
            if watch:
                watch(done, points)
            plan = best("latency", min_throughput_per_s=float(rate))
            found += [plan] if plan else []
    return ParetoFrontier(
        model=case.profile.name,
        cluster=case.cluster.name,
        trade=trade,
        accuracy_model=case.loss_model.name if case.loss_model else None,
        metric=metric,
        points=tuple(summary_of(plan) for plan in undominated(found, trade)),
    )


def undominated(plans: list[Plan], trade: Trade) -> list[Plan]:
    """Plans that no other one equals or beats in both measures, by rising latency."""
    kept: list[Plan] = []
    for plan in sorted(plans, key=lambda plan: (plan.predicted.latency_s, _price(plan, trade))):
        better = not kept or _price(plan, trade) < _price(kept[-1], trade) - _SAME * abs(
            _price(kept[-1], trade)
        )
        if better:
            kept.append(plan)
    return kept


def _price(plan: Plan, trade: Trade) -> float:
    """What is traded against the latency, less is better."""
    predicted = plan.predicted
    return _loss(plan) if trade == "accuracy" else -predicted.throughput_per_s


def _loss(plan: Plan) -> float:
    """Points of the metric, or the share of the weights' energy."""
    predicted = plan.predicted
    return predicted.accuracy_drop or predicted.energy_loss or 0.0


def _as_fast(plan: Plan, other: Plan) -> bool:
    return plan.predicted.latency_s <= other.predicted.latency_s * (1 + _SAME)

"""One node more never makes the best plan worse, whatever its speed, memory or place."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from planner.case import Case
from planner.domain.request import Request
from planner.domain.settings import Limits, Objective
from planner.solve.deadline import Deadline
from planner.strategies.optimise import _alternatives, find_plan, objective_s, optimise
from tests.planner.builders import chain, cluster, linear_loss, with_nodes
from tests.processor_time import at_most

LEVELS = (0.0, 0.5, 0.9, 1.0)


@pytest.mark.thorough
@pytest.mark.parametrize("objective", ["latency", "throughput"])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_one_node_more_never_worsens_a_plan(seed: int, objective: Objective) -> None:
    random = Random(seed)
    profile = chain(*(random.choice([8, 12, 24, 32]) for _ in range(5)))
    speeds = [random.choice([1e5, 2e5, 3e5, 5e5]) * random.uniform(0.9, 1.1) for _ in range(16)]
    ring = cluster(speeds, bandwidth_bytes_per_s=random.choice([1e4, 1e5]))
    ring = with_nodes(ring, memory_bytes=profile.totals.param_bytes)
    request = Request(5, objective=objective, limits=Limits(max_accuracy_drop=1.0))
    before = float("inf")
    for count in (6, 7, 8, 11, 16):
        case = Case(profile, ring.first(count), loss_model=linear_loss(profile), levels=LEVELS)
        plan, result = find_plan(case, request)
        assert plan is not None and result.certificate.status == "optimal"
        now = objective_s(plan)
        assert now <= before * (1 + 1e-9), f"{count} nodes"
        before = now


def test_more_nodes_allowed_never_worsen_a_plan() -> None:
    profile = chain(16, 8, 32, 8)
    ring = cluster([1e5, 3e5, 2e5, 1.5e5, 1.2e5])
    case = Case(profile, ring, loss_model=linear_loss(profile), levels=LEVELS)
    request = Request(1, limits=Limits(max_accuracy_drop=0.5))
    found = [find_plan(case, replace(request, max_nodes=n))[0] for n in range(1, 6)]
    times = [objective_s(plan) for plan in found if plan is not None]
    assert len(times) == 5 and times == sorted(times, reverse=True)


@pytest.mark.parametrize("solver", ["auto", "ilp"])
def test_sixty_four_unlike_nodes_end_with_a_plan_in_time(solver: str) -> None:
    """Of which the certificate claims no more than it knows; what was not found is said to be."""
    speeds = [1e5 * (1 + n / 7) for n in range(64)]
    profile = chain(*[16] * 30)
    case = Case(profile, cluster(speeds, latency_s=1.0))
    with at_most(30):
        plan = optimise(case, Request(64, solver=solver, time_limit_s=1.0))
    assert plan.certificate is not None
    assert plan.certificate.status in ("feasible", "optimal")
    assert plan.node_count == 1  # every message takes a second
    fastest = profile.totals.macs / speeds[-1]
    assert plan.predicted.latency_s == pytest.approx(fastest)
    assert (plan.certificate.bound or 0.0) <= fastest * (1 + 1e-9)


def test_a_search_that_time_ended_is_not_called_one_that_does_not_fit() -> None:
    case = Case(chain(*[16] * 6), cluster([1e5, 2e5, 3e5], latency_s=1.0))
    request = Request(3, solver="ilp", ways=("features",))
    best = optimise(case, replace(request, alternatives=False))
    late = replace(case)  # which knows no answer yet
    found = list(_alternatives(late, request, best, Deadline(0.0)))
    assert {other.reason for other in found} == {"not found in the time there was"}
    assert {other.strategy for other in found} >= {"optimal-allocation"}

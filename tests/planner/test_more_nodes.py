"""One node more never makes the best plan worse, whatever its speed, memory or place."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from planner.case import Case
from planner.domain.request import Request
from planner.domain.settings import Limits, Objective
from planner.strategies.optimise import find_plan, objective_s
from tests.planner.builders import chain, cluster, linear_loss, with_nodes

LEVELS = (0.0, 0.5, 0.9, 1.0)


@pytest.mark.thorough
@pytest.mark.parametrize("objective", ["latency", "throughput"])
@pytest.mark.parametrize("seed", range(2))
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

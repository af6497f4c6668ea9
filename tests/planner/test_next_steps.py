"""What to change first: every gain is what the plan gains once the step is done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.case import Case
from planner.domain.plan import NextStep, NextSteps
from planner.domain.request import Request
from planner.domain.settings import Limits, Objective
from planner.strategies.optimise import objective_s, optimise
from planner.strategies.what_if.next_steps import NamedLink, next_steps, with_step
from profiles.catalog import load_cluster, load_model
from tests.planner.builders import chain, cluster, linear_loss
from tests.processor_time import at_most

PROFILE = chain(16, 32, 32, 16)
LINKS = (
    NamedLink("slow", 4e5, 0.0, "full_duplex"),
    NamedLink("fast", 1e7, 1e-5, "full_duplex"),
    NamedLink("air", 6.5e5, 0.0, "shared"),
    NamedLink("better", 3e6, 1e-6, "half_duplex"),
)
SLOW = (1e5, 2e5, 1.5e5)
FREE = Request(3, alternatives=False)


def make(speeds: tuple[float, ...] = (1e6, 2e6, 1.5e6), memory: int | None = None) -> Case:
    group = cluster([*speeds], bandwidth_bytes_per_s=3e5, memory_bytes=memory)
    link = group.link.model_copy(update={"latency_s": 1e-4})
    nodes = tuple(
        node.model_copy(update={"memory_bytes_per_s": 2e6, "layer_overhead_s": 1e-3})
        for node in group.nodes
    )
    told = group.model_copy(update={"link": link, "nodes": nodes})
    return Case(PROFILE, told, loss_model=linear_loss(PROFILE))


def by_kind(found: NextSteps) -> dict[str, NextStep]:
    return {step.kind: step for step in found.steps}


@pytest.mark.parametrize("objective", ["latency", "throughput"])
@pytest.mark.parametrize("speeds", [(1e6, 2e6, 1.5e6), (1e6, 1e6, 1e6)])
def test_every_promise_is_kept(objective: Objective, speeds: tuple[float, ...]) -> None:
    request = replace(FREE, objective=objective)
    before = objective_s(optimise(make(speeds), request))
    found = next_steps(make(speeds), request, links=LINKS)
    assert not found.untried
    gains = [step.gain_s for step in found.steps]
    assert gains == sorted(gains, reverse=True) and min(gains) > 0
    kinds = [step.kind for step in found.steps]
    assert len(set(kinds)) == len(kinds) and not set(kinds) & set(found.idle)
    tried = {"loss", "compute", "bandwidth", "node", "link", "memory-bandwidth", "overhead"}
    assert tried <= {*kinds, *found.idle}
    for step in found.steps:
        plan = optimise(*with_step(make(speeds), request, step.settings, step.changes))
        assert before - objective_s(plan) == pytest.approx(step.gain_s, rel=1e-6)
        assert plan.predicted.latency_s == pytest.approx(step.latency_s, rel=1e-6)


def test_what_is_changed_is_what_is_said() -> None:
    unlike, like = (
        by_kind(next_steps(make(speeds), FREE, links=LINKS)) for speeds in (SLOW, (1e5, 1e5, 1e5))
    )
    assert like["compute"].settings == {"macs_per_s": 2e5} and not like["compute"].changes
    assert unlike["compute"].of and unlike["compute"].changes == (
        f"{unlike['compute'].of}:compute=2x",
    )
    assert like["bandwidth"].settings == {"bandwidth_bytes_per_s": 6e5}
    assert like["delay"].changes == ("link-latency=0.5x",)
    air = {*by_kind(next_steps(make(SLOW), FREE, links=LINKS[2:3]))}
    assert "link" not in air, "what all share is no better"
    link = like["link"]
    assert link.of == "better" and link.settings == {"medium": "half_duplex"}
    assert like["node"].settings["max_nodes"] == 4 and like["node"].value == 4
    assert like["loss"].settings == {"max_accuracy_drop": 0.5}


def test_limits_that_were_asked_for_are_steps() -> None:
    case = make(SLOW)
    narrow = replace(
        FREE,
        max_nodes=2,
        exactly=True,
        ways=("features",),
        parallelism="within-layer",
        limits=Limits(max_accuracy_drop=0.2),
    )
    found = next_steps(case, narrow)
    tried = {*by_kind(found), *found.idle}
    assert {"max-nodes", "ways", "parallelism", "loss"} <= tried and "node" not in tried
    steps = by_kind(found)
    assert steps["loss"].settings == {"max_accuracy_drop": 0.4}
    assert steps["max-nodes"].settings == {"max_nodes": 3, "exactly": False}
    _, free = with_step(case, narrow, steps["max-nodes"].settings, ())
    assert (free.max_nodes, free.exactly, free.ways) == (3, False, ("features",))
    rate = optimise(case, FREE).predicted.throughput_per_s
    hurried = replace(FREE, limits=Limits(min_throughput_per_s=rate * 1.2))
    step = by_kind(next_steps(case, hurried)).get("throughput-limit")
    assert step is None or step.settings == {"min_throughput_per_s": None}


def test_memory_is_a_step_where_it_binds() -> None:
    size = PROFILE.totals.param_bytes // 2
    found = by_kind(next_steps(make(memory=size), FREE))
    assert found["memory"].settings == {"memory_bytes": 2 * size}


def test_it_can_be_left_and_says_what_it_did_not_try() -> None:
    class LeftError(Exception):
        pass

    calls = 0

    def watch() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise LeftError

    with pytest.raises(LeftError):
        next_steps(make(), FREE, watch)
    hurried = next_steps(make(), replace(FREE, time_limit_s=1e-6))
    assert not hurried.steps or hurried.untried


def test_one_node_has_no_links_and_nothing_is_found_without_a_plan() -> None:
    alone = make((1e6,))
    kinds = {*by_kind(next_steps(alone, replace(FREE, max_nodes=1))), "node"}
    assert "bandwidth" not in kinds and "compute" in kinds
    assert next_steps(make(memory=10), FREE) == NextSteps(steps=())


def test_the_page_is_answered_quickly() -> None:
    case = Case(load_model("resnet50"), load_cluster("small-nodes"))
    request = Request(4, alternatives=False)
    optimise(case, request)
    with at_most(6.0):  # twice of what an idle machine takes and more
        found = next_steps(case, request)
    assert {step.kind for step in found.steps} >= {"compute", "max-nodes", "bandwidth"}

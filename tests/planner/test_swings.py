"""Half and twice of each quantity: the very plan that is found with so much of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.case import Case
from planner.domain.changes import FIGURES
from planner.domain.cluster import with_figures
from planner.domain.request import Request
from planner.domain.settings import Limits, Objective
from planner.errors import InfeasibleError
from planner.strategies.optimise import objective_s, optimise
from planner.strategies.what_if.swings import swings
from tests.planner.builders import chain, cluster

PROFILE = chain(16, 32, 32, 16)
FREE = Request(2, alternatives=False)


def make(memory: int | None = None, nodes: int = 4) -> Case:
    speeds = (1e6, 2e6, 1.5e6, 1.5e6)[:nodes]
    group = cluster([*speeds], bandwidth_bytes_per_s=3e5, memory_bytes=memory)
    link = group.link.model_copy(update={"latency_s": 1e-4})
    told = tuple(
        node.model_copy(update={"memory_bytes_per_s": 2e6, "layer_overhead_s": 1e-3})
        for node in group.nodes
    )
    return Case(PROFILE, group.model_copy(update={"link": link, "nodes": told}))


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_each_end_is_the_best_plan_there_and_less_is_never_better(objective: Objective) -> None:
    case, request = make(), replace(FREE, objective=objective)
    told: list[tuple[int, int]] = []
    found = swings(case, request, lambda done, total: told.append((done, total)))
    assert told == [(k, 13) for k in range(13)]
    now = objective_s(optimise(case, request))
    assert objective_s(found.best.plan) == pytest.approx(now)
    widths = []
    for swing in found.swings:
        assert swing.half.best and swing.double.best
        ends = [objective_s(point.best.plan) for point in (swing.half, swing.double)]
        for factor, point, end in zip((0.5, 2.0), (swing.half, swing.double), ends, strict=True):
            if swing.of == "nodes":
                assert point.value == request.max_nodes * factor
                there = optimise(case, replace(request, max_nodes=int(point.value)))
            else:
                field = FIGURES[swing.of][0]
                there = optimise(case.on(with_figures(case.cluster, field, factor)), request)
            assert end == pytest.approx(objective_s(there))
        more_is_worse = swing.of in ("link-latency", "overhead")
        assert sorted([*ends, now], reverse=not more_is_worse) == [ends[0], now, ends[1]]
        widths.append(max(*ends, now) / min(*ends, now))
    assert widths == sorted(widths, reverse=True)
    assert {swing.of for swing in found.swings} == {*FIGURES, "nodes"} - {"memory"}


def test_nodes_beyond_the_clusters_are_copies_and_memory_that_is_too_little_comes_first() -> None:
    needed = max(optimise(make(nodes=2), FREE).predicted.memory_bytes.values())
    found = swings(make(memory=needed, nodes=2), FREE)
    assert found.swings[0].of == "memory"
    assert found.swings[0].half.failure == "infeasible" and found.swings[0].double.best
    (nodes,) = (swing for swing in found.swings if swing.of == "nodes")
    assert nodes.double.best and nodes.double.value == 4


def test_where_nothing_fits_now_nothing_is_swung() -> None:
    limits = Limits(max_latency_s=1e-9)
    with pytest.raises(InfeasibleError):
        swings(make(), replace(FREE, limits=limits))

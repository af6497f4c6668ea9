"""Where the time of both phases goes, and what fewer nodes make of the same question."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.domain.cluster import Cluster, Link, Node
from planner.domain.request import Request
from planner.domain.workload import Workload
from planner.strategies.phases.costs import LanguageCase
from planner.strategies.phases.fewer import Fewer, parts_of, with_fewer
from planner.strategies.phases.optimise import optimise_answer
from planner.strategies.phases.times import times_of_phases
from profiles.catalog import load_language

GB = 10**9


def cluster(bandwidth: float, *sizes: tuple[float, float, int]) -> Cluster:
    """Nodes of so many MACs and bytes a second and so much memory."""
    return Cluster(
        name="some",
        nodes=tuple(
            Node(name=f"n{k}", macs_per_s=speed, memory_bytes_per_s=reads, memory_bytes=memory)
            for k, (speed, reads, memory) in enumerate(sizes)
        ),
        link=Link(bandwidth_bytes_per_s=bandwidth, latency_s=1e-5),
    )


UNLIKE = ((1e12, 5e10, 3 * GB), (3e12, 9e10, 2 * GB), (5e11, 2e10, 8 * GB))


@pytest.mark.parametrize("goal", ["answer", "token", "first-token"])
@pytest.mark.parametrize("bandwidth", [1e8, 1e10])
def test_every_nodes_time_adds_up_to_both_phases(goal: str, bandwidth: float) -> None:
    """Also where unlike nodes share out by another phase's time, or by memory."""
    workload = Workload(prompt=64, answer=16, goal=goal)  # type: ignore[arg-type]
    case = LanguageCase(load_language("llama-3.2-1b"), cluster(bandwidth, *UNLIKE), workload)
    plan = optimise_answer(case, Request(3, exactly=True))
    times = times_of_phases(case, plan)
    for phase, seconds in (
        ("prompt", plan.predicted.first_token_s),
        ("step", plan.predicted.token_s),
    ):
        assert {time.node for time in times[phase]} == {"n0", "n1", "n2"}
        for time in times[phase]:
            assert time.total_s == pytest.approx(seconds, rel=1e-9)


def test_of_a_prompt_in_chunks_the_last_one_is_shown() -> None:
    workload = Workload(prompt=4096, answer=4, goal="first-token", chunk="best")
    case = LanguageCase(load_language("llama-3.2-1b"), cluster(1e10, *UNLIKE[:2]), workload)
    plan = optimise_answer(case, Request(2, "pipeline", exactly=True))
    assert plan.workload.chunks > 1
    times = times_of_phases(case, plan)
    assert times["prompt"][0].total_s == pytest.approx(plan.phases["prompt"].predicted.latency_s)
    assert times["prompt"][0].total_s < plan.predicted.first_token_s


def test_one_node_beside_several_and_two_beside_one() -> None:
    model, alike = load_language("llama-3.2-1b"), ((1e12, 5e10, 8 * GB),) * 3
    workload = Workload(prompt=64, answer=16)
    for bandwidth, nodes in ((1e10, 3), (1e4, 1)):
        case = LanguageCase(model, cluster(bandwidth, *alike), workload)
        best = optimise_answer(case, Request(3))
        assert best.node_count == nodes
        fewer = with_fewer(case, Request(3), best)
        assert fewer.alone is not None and fewer.alone.node_count == 1
        if nodes == 1:
            assert fewer.two is not None and fewer.two.node_count == 2
            assert fewer.two.predicted.answer_s > best.predicted.answer_s
        else:
            assert fewer.two is None
    tight = tuple((speed, reads, 2 * GB) for speed, reads, _ in alike)
    case = LanguageCase(model, cluster(1e10, *tight), workload)
    fewer = with_fewer(case, Request(3), optimise_answer(case, Request(3)))
    assert fewer.alone is None and "memory of n0 binds" in fewer.why_not


def test_what_time_was_too_short_for_is_not_said_to_be_impossible() -> None:
    workload = Workload(prompt=64, answer=16)
    nodes = cluster(1e10, *((1e12, 5e10, 8 * GB),) * 2)
    case = LanguageCase(load_language("llama-3.2-1b"), nodes, workload)
    best = optimise_answer(case, Request(2))
    assert best.node_count == 2
    unknown = replace(case)  # with no cost worked out
    assert with_fewer(unknown, Request(2, time_limit_s=1e-9), best) == Fewer()


def test_computation_and_messages_make_the_answer_where_nothing_overlaps() -> None:
    workload = Workload(prompt=64, answer=16)
    case = LanguageCase(
        load_language("llama-3.2-1b"), cluster(1e9, *((1e12, 5e10, 8 * GB),) * 2), workload
    )
    plan = optimise_answer(case, Request(2, exactly=True, parallelism="within-layer"))
    assert sum(parts_of(workload, plan)) == pytest.approx(plan.predicted.answer_s, rel=1e-9)
    token = workload.model_copy(update={"goal": "token"})
    assert sum(parts_of(token, plan)) == pytest.approx(plan.predicted.token_s, rel=1e-9)

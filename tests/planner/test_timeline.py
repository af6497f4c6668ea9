"""Where the time goes: computing, sending and waiting are the latency on every node."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.case import Case
from planner.domain.cluster import Cluster, Medium
from planner.domain.layouts import WAYS, Way
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Parallelism
from planner.strategies.optimise import optimise
from planner.strategies.timeline import busiest, node_times, spans
from tests.planner.builders import chain, cluster, with_nodes

PROFILE = chain(16, 32, 32, 16)


def with_messages(group: Cluster) -> Cluster:
    """Delays, and software that occupies the nodes."""
    link = group.link.model_copy(update={"latency_s": 0.003})
    told = {"message_send_s": 1e-3, "message_receive_s": 2e-3, "message_bytes_per_s": 1e6}
    return with_nodes(group.model_copy(update={"link": link}), **told)


@given(
    speeds=st.lists(st.sampled_from([1e5, 1e6, 3e6]), min_size=1, max_size=3),
    parallelism=st.sampled_from(["hybrid", "pipeline", "within-layer"]),
    overlap=st.booleans(),
    messages=st.booleans(),
    counted=st.booleans(),
    medium=st.sampled_from(["full_duplex", "half_duplex", "shared"]),
    ways=st.sampled_from([WAYS, ("features",)]),
)
def test_the_three_parts_are_the_latency_on_every_node(
    speeds: list[float],
    parallelism: Parallelism,
    overlap: bool,
    messages: bool,
    counted: bool,
    medium: Medium,
    ways: tuple[Way, ...],
) -> None:
    group = cluster(speeds, bandwidth_bytes_per_s=3e5)
    settings = CostSettings(
        overlap=overlap, medium=medium, count_input=counted, count_output=counted
    )
    case = Case(PROFILE, with_messages(group) if messages else group, settings)
    asked = Request(
        len(speeds), parallelism=parallelism, exactly=True, ways=ways, alternatives=False
    )
    plan = optimise(case, asked)
    times = node_times(case, plan)
    latency_s = plan.predicted.latency_s
    assert [time.node for time in times] == list(plan.running_nodes)
    for time in times:
        parts = (time.computing_s, time.sending_s, time.for_messages_s)
        parts += (time.for_nodes_s, time.for_stages_s)
        assert min(parts) >= -1e-12 * latency_s
        assert sum(parts) == pytest.approx(latency_s, rel=1e-9)
        assert time.total_s == pytest.approx(latency_s, rel=1e-9)
        assert (time.for_stages_s > 0) <= (len(plan.stages) > 1 or counted)
    assert busiest(times).busy_s == max(time.busy_s for time in times)
    check_spans(case, plan, overlap)


def check_spans(case: Case, plan: Plan, overlap: bool) -> None:
    """No node is in two places at once, and the spans are what the times add up."""
    found = list(spans(case, plan))
    by_node = defaultdict(list)
    for span in found:
        by_node[span.node].append(span)
        assert 0 <= span.start_s < span.end_s <= plan.predicted.latency_s * (1 + 1e-9)
        assert bool(span.cause) == (span.kind == "waiting")
    for time in node_times(case, plan):
        mine = sorted(by_node[time.node], key=lambda span: (span.start_s, span.end_s))
        length = defaultdict(float)
        for span in mine:
            length[span.kind] += span.end_s - span.start_s
            length[span.cause] += span.end_s - span.start_s
        scale = {"abs": 1e-8 * plan.predicted.latency_s}
        assert length["computation"] == pytest.approx(time.computing_s, **scale)
        assert length["messages"] == pytest.approx(time.for_messages_s, **scale)
        assert length["nodes"] == pytest.approx(time.for_nodes_s, **scale)
        assert length["stages"] == pytest.approx(time.for_stages_s, **scale)
        if overlap:
            continue
        sent = length["communication"] + length["handed over"]
        assert sent == pytest.approx(time.sending_s, **scale)
        for before, after in itertools.pairwise(mine):
            assert after.start_s >= before.end_s - scale["abs"]


def test_who_waits_for_whom() -> None:
    """Equal shares on unlike nodes: the fast one waits for the slow one, both for the delay."""
    settings = CostSettings(shares="equal")
    group = with_messages(cluster([1e6, 4e6], bandwidth_bytes_per_s=1e9))
    case = Case(PROFILE, group, settings)
    plan = optimise(case, Request(2, parallelism="within-layer", exactly=True, ways=("features",)))
    slow, fast = node_times(case, plan)
    assert slow.computing_s == pytest.approx(4 * fast.computing_s, rel=0.05)
    assert fast.for_nodes_s == pytest.approx(slow.computing_s - fast.computing_s)
    assert slow.for_nodes_s == 0 and min(slow.for_messages_s, fast.for_messages_s) >= 0.003
    assert busiest((slow, fast)) is slow
    assert slow.macs == fast.macs == PROFILE.totals.macs // 2


def test_in_a_pipeline_a_node_waits_for_its_turn() -> None:
    case = Case(PROFILE, cluster([1e6, 1e6], bandwidth_bytes_per_s=1e6))
    plan = optimise(case, Request(2, parallelism="pipeline", exactly=True))
    first, second = node_times(case, plan)
    assert (first.stage, second.stage) == (1, 2)
    assert first.for_stages_s == pytest.approx(second.computing_s)
    assert second.for_stages_s == pytest.approx(first.computing_s)
    assert first.sending_s == pytest.approx(second.sending_s) and first.sending_s > 0


def test_another_sharing_than_the_case_has_is_followed() -> None:
    """The plan of equal shares is costed with these, though the case is open."""
    case = Case(PROFILE, cluster([1e6, 2e6], bandwidth_bytes_per_s=3e5))
    request = Request(2, parallelism="within-layer", exactly=True)
    plan = optimise(replace(case, settings=CostSettings(shares="equal")), request)
    assert plan.settings.shares == "equal"
    times = node_times(case, plan)
    assert times[0].total_s == pytest.approx(plan.predicted.latency_s, rel=1e-9)

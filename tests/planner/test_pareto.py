"""Frontiers: certified points, none of them dominated."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.case import Case
from planner.domain.request import Request
from planner.domain.settings import Limits
from planner.errors import BadInputError, InfeasibleError
from planner.strategies.optimise import optimise
from planner.strategies.what_if.frontier import frontier
from tests.examples import some
from tests.planner.builders import chain, cluster, linear_loss
from tests.planner.test_strategies import studies


@pytest.mark.thorough
@given(studies(least=2), st.integers(2, 6))
@some(0.4)
def test_no_point_of_the_accuracy_frontier_is_dominated(case: Case, points: int) -> None:
    nodes = len(case.cluster.nodes)
    found = frontier(case, Request(nodes, limits=Limits()), points=points).points
    for before, after in itertools.pairwise(found):
        assert before.accuracy_drop is not None and after.accuracy_drop is not None
        assert before.latency_s < after.latency_s
        assert before.accuracy_drop > after.accuracy_drop
    for point in found:
        assert point.certificate.status == "optimal"
        assert point.accuracy_drop is not None
        # nothing as fast loses less, nothing that loses as little is faster
        limits = Limits(max_accuracy_drop=point.accuracy_drop)
        same = optimise(case, Request(nodes, limits=limits))
        assert same.predicted.latency_s == pytest.approx(point.latency_s, rel=1e-7)
        if point.accuracy_drop > 1e-6:
            limits = Limits(max_accuracy_drop=point.accuracy_drop * (1 - 1e-6))
            less = optimise(case, Request(nodes, limits=limits))
            assert less.predicted.latency_s > point.latency_s * (1 + 1e-9)
    fastest = optimise(case, Request(nodes, limits=Limits(max_accuracy_drop=1e6)))
    assert found[0].latency_s == pytest.approx(fastest.predicted.latency_s, rel=1e-8)
    assert found[-1].accuracy_drop == pytest.approx(0.0, abs=1e-9)


@given(studies(least=2), st.integers(2, 5))
@some(0.4)
def test_the_throughput_frontier_goes_from_the_fastest_to_the_busiest(
    case: Case, points: int
) -> None:
    nodes = len(case.cluster.nodes)
    limits = Limits(max_accuracy_drop=0.5)
    found = frontier(case, Request(nodes, limits=limits), "throughput", points=points).points
    for before, after in itertools.pairwise(found):
        assert before.latency_s < after.latency_s
        assert before.throughput_per_s < after.throughput_per_s
    fastest = optimise(case, Request(nodes, limits=limits))
    widest = optimise(case, Request(nodes, objective="throughput", limits=limits))
    assert found[0].latency_s == pytest.approx(fastest.predicted.latency_s, rel=1e-8)
    assert found[-1].throughput_per_s == pytest.approx(widest.predicted.throughput_per_s, rel=1e-6)
    assert all((point.accuracy_drop or 0.0) <= 0.5 + 1e-9 for point in found)


def test_bad_frontiers_are_refused() -> None:
    profile = chain(8, 8)
    known = Case(profile, cluster(2), loss_model=linear_loss(profile))
    with pytest.raises(BadInputError, match="at least 2"):
        frontier(known, Request(2, limits=Limits()), points=1)
    with pytest.raises(BadInputError, match="no accuracy model to trade with"):
        frontier(Case(profile, cluster(2)), Request(2, limits=Limits()))
    with pytest.raises(InfeasibleError, match="no plan fits"):
        frontier(known, Request(2, limits=Limits(max_latency_s=1e-12)))


def test_a_frontier_of_throughput_drops_nothing_unasked() -> None:
    profile = chain(16, 32, 32, 16)
    nodes = cluster([1e6, 2e6, 1.5e6], bandwidth_bytes_per_s=3e5)
    case = Case(profile, nodes, loss_model=linear_loss(profile))
    found = frontier(case, Request(3), "throughput", points=4)
    assert all(not point.accuracy_drop for point in found.points)

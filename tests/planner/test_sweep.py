"""Sweeps: what is found at a value is what planning there finds, and follows the algebra."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.case import Case
from planner.domain.cluster import Cluster, tuned_cluster
from planner.domain.layouts import WAYS
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Limits, Objective
from planner.errors import BadInputError, InfeasibleError
from planner.strategies.costed import predict
from planner.strategies.optimise import optimise
from planner.strategies.what_if.quantities import Quantity, Value, present_value, spread_values
from planner.strategies.what_if.sweep import Sweep, sweep
from tests.examples import some
from tests.planner.builders import chain, cluster, linear_loss
from tests.planner.test_strategies import OBJECTIVES, studies

FASTER: tuple[Quantity, ...] = ("bandwidth", "compute", "nodes", "memory")
LIMITS = Limits(max_accuracy_drop=0.8)


def latencies(found: Sweep) -> list[float]:
    return [point.best.latency_s for point in found.points if point.best]


def at(case: Case, quantity: Quantity, value: Value) -> Cluster:
    """The cluster that a value stands for, worked out apart from the sweep."""
    if quantity == "nodes":
        return case.cluster
    field = {
        "bandwidth": "bandwidth_bytes_per_s",
        "compute": "macs_per_s",
        "memory": "memory_bytes",
        "link-latency": "latency_s",
    }[quantity]
    return tuned_cluster(case.cluster, **{field: value})


@given(
    studies(least=2),
    st.sampled_from([*FASTER, "link-latency"]),
    st.sampled_from(OBJECTIVES),
    st.lists(st.floats(0.05, 20.0), min_size=1, max_size=3),
)
@some(0.4)
def test_every_point_is_what_planning_there_finds(
    case: Case, over: Quantity, objective: Objective, factors: list[float]
) -> None:
    nodes = len(case.cluster.nodes)
    size = case.profile.totals.param_bytes
    scale = {"memory": size, "nodes": 1}.get(over, case.cluster.link.bandwidth_bytes_per_s)
    values: list[Value] = [factor * scale for factor in factors]
    if over == "link-latency":
        values = [factor / scale for factor in factors]
    elif over == "memory":
        values = [round(value) + 1 for value in values]
    elif over == "nodes":
        values = [min(round(value) + 1, nodes) for value in values]
    request = Request(nodes, objective=objective, limits=LIMITS)
    found = sweep(case, request, over, values)
    assert [point.value for point in found.points] == sorted(set(values))
    for point in found.points:
        there = replace(case, cluster=at(case, over, point.value))
        asked = replace(request, max_nodes=int(point.value)) if over == "nodes" else request
        if point.best is None:
            assert point.failure == "infeasible" and point.reason.startswith("no plan fits")
            with pytest.raises(InfeasibleError):
                optimise(there, asked)
            continue
        plan = optimise(there, asked)
        assert point.best.certificate.status == "optimal"
        assert point.best.latency_s == pytest.approx(plan.predicted.latency_s, rel=1e-8)
        assert point.best.throughput_per_s == pytest.approx(
            plan.predicted.throughput_per_s, rel=1e-6
        )
        sharing = there.sharing(point.best.plan.settings.shares)
        assert predict(sharing, point.best.plan.stages) == point.best.plan.predicted
        assert point.best.nodes == point.best.plan.node_count


@pytest.mark.thorough
@given(studies(least=2), st.sampled_from(FASTER))
@some(0.3)
def test_more_of_a_resource_never_makes_the_best_plan_slower(case: Case, over: Quantity) -> None:
    nodes = len(case.cluster.nodes)
    scale: Value = case.cluster.link.bandwidth_bytes_per_s
    if over in ("nodes", "memory"):
        scale = {"nodes": 1, "memory": case.profile.totals.param_bytes // 2 + 1}[over]
    values = [scale * 2**power for power in range(5)]
    found = latencies(sweep(case, Request(nodes, limits=LIMITS), over, values))
    for before, after in itertools.pairwise(found):
        assert after <= before * (1 + 1e-9)


def test_at_unlimited_bandwidth_only_the_computation_is_left() -> None:
    profile = chain(8, 8, 8, 8)
    case = Case(profile, cluster(4, macs_per_s=1e6, bandwidth_bytes_per_s=1e3))
    none_lost = Request(4, limits=Limits(max_accuracy_drop=0.0), ways=("features",))
    lossless = replace(case, loss_model=linear_loss(profile))
    slow, *_, fast = sweep(lossless, none_lost, "bandwidth", [1e-3, 1e3, 1e18]).points
    assert slow.best and fast.best
    macs = profile.totals.macs
    assert slow.best.nodes == 1 and slow.best.latency_s == pytest.approx(macs / 1e6)
    # four equal nodes share the MACs of every layer
    assert fast.best.nodes == 4 and fast.best.latency_s == pytest.approx(macs / 4 / 1e6)
    assert fast.best.comm_s == pytest.approx(0.0, abs=1e-12)
    # whatever the way: all do the layers before the last whole, and share out the last
    freely = replace(none_lost, ways=WAYS)
    slow, *_, fast = sweep(lossless, freely, "bandwidth", [1e-3, 1e3, 1e18]).points
    assert slow.best and fast.best
    last = profile.layers[-1].macs
    assert slow.best.comm_s == 0.0
    assert slow.best.latency_s == pytest.approx((macs - last + last / 4) / 1e6)
    assert fast.best.nodes == 4 and fast.best.latency_s == pytest.approx(macs / 4 / 1e6)


def test_at_unlimited_speed_one_node_is_enough() -> None:
    case = Case(chain(8, 8, 8), cluster(3), loss_model=linear_loss(chain(8, 8, 8)))
    request = Request(3, limits=Limits(max_accuracy_drop=0.0), ways=("features",))
    last = sweep(case, request, "compute", [1e5, 1e20]).points[-1].best
    assert last and last.nodes == 1 and last.comm_s == 0.0
    assert last.latency_s == pytest.approx(case.profile.totals.macs / 1e20)
    # where the output is collected, it is no use that others make a part of it
    counted = replace(case, settings=CostSettings(count_output=True))
    last = sweep(counted, replace(request, ways=WAYS), "compute", [1e20]).points[-1].best
    assert last and last.nodes == 1 and last.comm_s == 0.0


def test_nodes_beyond_the_clusters_are_copies_of_its_last() -> None:
    case = Case(chain(16, 16, 16), cluster([1e6, 5e5], bandwidth_bytes_per_s=1e9))
    request = Request(2, limits=Limits())
    found = sweep(case, request, "nodes", [1, 2, 4])
    assert found.current == 2
    used = [point.best.plan.cluster for point in found.points if point.best]
    assert [node.macs_per_s for node in used[-1].nodes] == [1e6, 5e5, 5e5, 5e5]
    assert [point.best.nodes for point in found.points if point.best] == [1, 2, 4]


def test_the_work_is_told_of_and_can_be_stopped() -> None:
    case = Case(chain(8, 8), cluster(2))
    seen: list[tuple[int, int]] = []

    class EnoughError(Exception):
        pass

    def watch(done: int, of: int) -> None:
        seen.append((done, of))
        if done == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        sweep(case, Request(2), "bandwidth", [1e3, 1e4, 1e5, 1e6], watch)
    assert seen == [(0, 4), (1, 4), (2, 4)]


@pytest.mark.parametrize(
    ("quantity", "first", "last", "count", "values"),
    [
        ("bandwidth", 1.0, 1000.0, 4, (1.0, 10.0, 100.0, 1000.0)),
        ("compute", 3.3333333, 33.333333, 3, (3.3333333, 10.54, 33.333333)),
        ("nodes", 1, 8, 20, (1, 2, 3, 4, 5, 6, 7, 8)),
        ("nodes", 1, 64, 7, (1, 2, 4, 8, 16, 32, 64)),
        ("nodes", 1, 8, 7, (1, 2, 3, 4, 6, 8)),
        ("memory", 100, 10_000, 3, (100, 1000, 10_000)),
    ],
)
def test_a_range_is_spread_by_factors(
    quantity: Quantity, first: Value, last: Value, count: int, values: tuple[Value, ...]
) -> None:
    found = spread_values(quantity, first, last, count)
    assert found == values
    assert all(type(one) is type(other) for one, other in zip(found, values, strict=True))


@pytest.mark.parametrize(
    ("quantity", "values", "message"),
    [
        ("bandwidth", [], "no value"),
        ("bandwidth", [1e6, 0.0], "found 0; give above 0"),
        ("compute", [float("nan")], "found nan"),
        ("bandwidth", [1e30], "at most 1e\\+29 bytes/s"),
        ("link-latency", [-1.0], "found -1; give 0 or more"),
        ("nodes", [0], "found 0; give 1 or more, at most 256"),
        ("nodes", [1.5], "whole number"),
        ("nodes", [257], "found 257"),
        ("memory", [0], "found 0; give 1 or more"),
    ],
)
def test_values_that_no_cluster_has_are_refused(
    quantity: Quantity, values: list[float], message: str
) -> None:
    case = Case(chain(8, 8), cluster(2))
    with pytest.raises(BadInputError, match=message):
        sweep(case, Request(2), quantity, values)


@pytest.mark.parametrize(
    ("first", "last", "count", "message"),
    [(2.0, 1.0, 5, "must rise"), (0.0, 1.0, 5, "above 0"), (1.0, 2.0, 1, "at least 2")],
)
def test_ranges_that_are_none_are_refused(
    first: float, last: float, count: int, message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        spread_values("bandwidth", first, last, count)


def test_exactly_so_many_nodes_cannot_be_swept() -> None:
    with pytest.raises(BadInputError, match="not as exactly"):
        sweep(Case(chain(8, 8), cluster(2)), Request(2, exactly=True), "nodes", [1, 2])


def test_the_present_value_is_one_that_all_share() -> None:
    pair = [{"between": ["a", "b"], "bandwidth_bytes_per_s": 5.0}]
    unlike = cluster([1.0, 2.0], memory_bytes=[3, 4], pair_links=pair)
    alike = cluster(2, memory_bytes=3)
    for quantity in ("bandwidth", "compute", "memory"):
        assert present_value(unlike, quantity) is None
    assert present_value(alike, "bandwidth") == present_value(alike, "compute") == 1e6
    assert present_value(alike, "memory") == 3 and present_value(cluster(2), "memory") is None
    assert present_value(alike, "link-latency") == present_value(unlike, "link-latency") == 0.0
    assert present_value(unlike, "nodes") == 2

"""What the planner answers against every plan of small cases, in every way."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from planner.case import Case
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import CostSettings
from planner.errors import BadInputError
from planner.strategies.limits import find_broken_limits
from planner.strategies.optimise import find_plan, objective_s
from tests.planner.builders import linear_loss
from tests.planner.spread_nets import SpreadNet
from tests.planner.way_cases import LEVELS, limited, random_case, random_cluster
from tests.planner.ways_oracle import WaysOracle
from tests.planner.ways_search import Everything

SLACK = 1 + 1e-9


def answer(case: Case, request: Request) -> float | None:
    """The planner's optimum, proven, within all limits and costed as its elements are."""
    plan, result = find_plan(case, request)
    if plan is None:
        assert result.certificate.status == "infeasible" and result.binding
        return None
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    losses = plan.predicted.accuracy_drop, plan.predicted.energy_loss
    assert not list(find_broken_limits(plan.predicted, case.cluster, request.limits, *losses))
    is_within(plan, request)
    costed = WaysOracle(case.profile, case.cluster, case.settings).cost(plan.stages)
    assert plan.predicted.latency_s == pytest.approx(costed.latency_s, rel=1e-12)
    assert plan.predicted.memory_bytes == costed.memory_bytes
    assert plan.predicted.accuracy_drop == pytest.approx(costed.loss, abs=1e-9)
    value = costed.latency_s if request.objective == "latency" else costed.bottleneck_s
    assert objective_s(plan) == pytest.approx(value, rel=1e-12)
    return value


def is_within(plan: Plan, request: Request) -> None:
    """It uses the nodes and the ways that it may, and drops nothing where nothing may be."""
    assert plan.node_count <= request.max_nodes
    assert not request.exactly or plan.node_count == request.max_nodes
    if request.parallelism == "within-layer":
        assert len(plan.stages) == 1
    if request.parallelism == "pipeline":
        assert all(len(stage.nodes) == 1 for stage in plan.stages)
    for stage in plan.stages:
        for layer in stage.layers:
            assert layer.way in (None, "features", *request.ways)
            assert request.may_drop or not layer.sparsity


def is_best(seed: int, most: int = 4) -> str:
    """The answer to a random case is the best of all plans; what was found, in a word."""
    rng = Random(seed)
    case, request = random_case(rng, most)
    if rng.random() < 0.35 and (best_s := Everything(case, request).best()):
        request = limited(rng, request, best_s)
    wanted = Everything(case, request).best()
    try:
        found = answer(case, request)
    except BadInputError as error:  # what nobody reads is not made inside of a run
        assert "no layer takes any time" in str(error)
        assert Everything(case, request, runs=True).best() == 0
        return "no time"
    if found is None:
        assert wanted is None
        return "infeasible"
    assert wanted is None or found <= wanted * SLACK
    if wanted is not None and found >= wanted / SLACK:
        return "equal"
    # better only by a run of fused halos, and no better than the best of these
    least = Everything(case, request, runs=True).best()
    assert least is not None and found >= least / SLACK
    return "fused"


@pytest.mark.parametrize("first", range(0, 240, 40))
def test_no_plan_is_better(first: int) -> None:
    found = Counter(is_best(seed) for seed in range(first, first + 40))
    assert found["equal"] > 20


@pytest.mark.thorough
@pytest.mark.parametrize("first", range(1000, 1080, 40))
def test_no_longer_plan_is_better(first: int) -> None:
    for seed in range(first, first + 40):
        is_best(seed, 5)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(2000, 4000, 100))
def test_no_plan_of_thousands_is_better(first: int) -> None:
    for seed in range(first, first + 100):
        is_best(seed, 4 + seed % 2)


@pytest.mark.parametrize("seed", range(12))
def test_the_program_and_trying_everything_say_the_same(seed: int) -> None:
    case, request = random_case(Random(seed), 3)
    if request.ways[0] == "features" and len(request.ways) == 1:
        request = replace(request, ways=("features", "positions"))
    try:
        fast, program = (answer(case, replace(request, solver=x)) for x in ("auto", "ilp"))
    except BadInputError as error:
        assert "no layer takes any time" in str(error)
        return
    assert (fast is None) == (program is None)
    if fast is not None:
        assert program == pytest.approx(fast, rel=1e-8)


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_what_lies_behind_is_not_gone_on_with_and_was_no_plan(objective: str) -> None:
    """The search here leaves nothing out by leaving out what is behind in everything."""
    for seed in range(3):
        rng = Random(seed)
        net = SpreadNet(2, rows=4)
        net.linear(net.window("image", 3), 2)
        case = Case(
            net.profile(),
            random_cluster(rng, 2),
            CostSettings(),
            linear_loss(net.profile()),
            levels=LEVELS,
        )
        request = Request(2, objective=objective)  # type: ignore[arg-type]
        whole = Everything(case, request)
        keeps_all = Everything(case, request)
        keeps_all._keep = lambda front, place, label: front.setdefault(place, []).append(label)  # type: ignore[method-assign]
        assert whole.best() == pytest.approx(keeps_all.best(), rel=1e-12)


def test_an_output_that_is_also_read_may_lie_in_two_layouts() -> None:
    """Rows are turned into features for the mean that reads them, and stay rows for the user."""
    net = SpreadNet(1, rows=6)
    mixed = net.linear(net.depthwise(net.norm("image"), multiplier=2), 3, bias=False)
    mean = net.total(mixed)
    profile = net.profile(mixed, mean)
    group = random_cluster(Random(0), 3, equal=True)
    link = group.link.model_copy(update={"bandwidth_bytes_per_s": 1e6, "latency_s": 8e-6})
    nodes = tuple(
        node.model_copy(update={"macs_per_s": 1e6, "layer_overhead_s": 4e-6})
        for node in group.nodes
    )
    group = group.model_copy(
        update={"nodes": nodes, "link": link, "medium": "full_duplex", "casting": "unicast"}
    )
    case = Case(profile, group, CostSettings(overlap=True))
    plan, _ = find_plan(case, Request(3))
    assert plan is not None
    # twice a third of the MACs and the time per layer; then messages of two rows, all at once
    two = 2 * (36 / 3 / 1e6 + 4e-6)
    turned = 8e-6 + 2 * 2 * 4 / 1e6
    assert plan.predicted.latency_s == pytest.approx(two + turned, rel=1e-9)


def test_a_model_without_work_is_refused_whatever_is_asked() -> None:
    net = SpreadNet(2, rows=4)
    net.pointwise(net.norm("image"))
    case = Case(net.profile(), random_cluster(Random(0), 2), loss_model=linear_loss(net.profile()))
    for objective in ("latency", "throughput"):
        with pytest.raises(BadInputError, match="no layer takes any time"):
            find_plan(case, Request(2, objective=objective))  # type: ignore[arg-type]

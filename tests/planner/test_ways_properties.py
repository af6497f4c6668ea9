"""What must hold between answers in some ways and in others."""

from __future__ import annotations

import itertools
from dataclasses import replace
from random import Random

import pytest

from planner.case import Case
from planner.domain.cluster import Cluster
from planner.domain.layouts import WAYS, Way
from planner.domain.request import Request
from planner.domain.settings import Limits
from planner.errors import BadInputError, InfeasibleError
from planner.solve.problem import Problem
from planner.solve.solver import solve
from planner.strategies.compare import compare
from planner.strategies.optimise import find_plan, objective_s, optimise
from profiles.catalog import load_cluster, load_model
from tests.planner.builders import with_nodes
from tests.planner.problems import problem_for
from tests.planner.spread_nets import random_net
from tests.planner.way_cases import random_case, random_cluster

SLACK = 1 + 1e-9


def seconds(case: Case, request: Request) -> float:
    """The optimum; infinite where nothing fits, 0 where nothing takes any time."""
    try:
        plan, result = find_plan(case, request)
    except BadInputError as error:
        assert "no layer takes any time" in str(error)
        return 0.0
    assert result.certificate.status == ("infeasible" if plan is None else "optimal")
    return float("inf") if plan is None else objective_s(plan)


def chain_of_ways(rng: Random) -> list[tuple[Way, ...]]:
    """Growing sets of ways, all of them at last."""
    order = rng.sample(WAYS, len(WAYS))
    sizes = [*sorted(rng.sample(range(1, len(WAYS)), 2)), len(WAYS)]
    return [tuple(way for way in WAYS if way in order[:size]) for size in sizes]


@pytest.mark.parametrize("first", range(0, 60, 15))
def test_more_ways_never_worsen_a_plan(first: int) -> None:
    """Features are there for what can run in no way: they are among all of the sets."""
    for seed in range(first, first + 15):
        rng = Random(seed)
        case, request = random_case(rng)
        sets = [tuple(dict.fromkeys(("features", *ways))) for ways in chain_of_ways(rng)]
        found = [seconds(case, replace(request, ways=ways)) for ways in (("features",), *sets)]  # type: ignore[arg-type]
        for fewer, more in itertools.pairwise(found):
            assert more <= fewer * SLACK, seed


@pytest.mark.parametrize("seed", range(20))
def test_no_loss_makes_a_plan_in_every_way_slower_than_by_features(seed: int) -> None:
    """Limits on the loss from nothing to everything, on nodes that are unlike."""
    rng = Random(seed)
    case, request = random_case(rng)
    before = float("inf")
    for drop in (None, 0.0, 0.2, 0.5, 1.0, 100.0):
        asked = replace(request, limits=Limits(max_accuracy_drop=drop), max_sparsity=None)
        freely = seconds(case, replace(asked, ways=WAYS))
        assert freely <= seconds(case, replace(asked, ways=("features",))) * SLACK
        assert freely <= before * SLACK
        before = freely


def renamed(group: Cluster, order: list[int]) -> Cluster:
    """Equal nodes in another order, from the same place in the ring."""
    nodes = tuple(group.nodes[k] for k in order)
    return group.model_copy(update={"nodes": nodes, "source_node": nodes[0].name})


@pytest.mark.parametrize("seed", range(40))
def test_equal_nodes_can_be_renamed(seed: int) -> None:
    rng = Random(seed)
    case, request = random_case(rng)
    group = random_cluster(rng, 3, equal=True)
    group = renamed(group, [0, 1, 2])
    other = renamed(group, rng.choice([[1, 2, 0], [2, 1, 0], [1, 0, 2]]))
    asked = replace(request, max_nodes=3)
    first, second = (seconds(replace(case, cluster=x), asked) for x in (group, other))
    assert first == second or first == pytest.approx(second, rel=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_one_node_is_the_same_in_every_way(seed: int) -> None:
    rng = Random(seed)
    profile = random_net(rng, rng.randint(2, 6))
    case = Case(profile, random_cluster(rng, 1))
    sets: list[tuple[Way, ...]] = [*((way,) for way in WAYS), WAYS]
    if not profile.totals.macs:
        return
    plans = [optimise(case, Request(1, ways=ways)) for ways in sets]
    assert len({(plan.predicted.latency_s, plan.stages) for plan in plans}) == 1
    (node,) = case.cluster.nodes
    expected = 0.0
    for layer in profile.layers:
        touched = layer.param_bytes + layer.input_bytes + layer.output_bytes
        memory_s = touched / node.memory_bytes_per_s if node.memory_bytes_per_s else 0.0
        if layer.macs:
            expected += max(layer.macs / node.macs_per_s, memory_s) + node.layer_overhead_s
        elif layer.kind is not None:  # where the bandwidth is known, it touches its bytes
            expected += memory_s
    assert plans[0].predicted.latency_s == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(60))
def test_features_alone_are_the_joint_problem_of_levels_and_groups(seed: int) -> None:
    """DISCO's plans are looked for by the engines that know nothing of layouts."""
    case, request = random_case(Random(seed))
    asked = replace(request, ways=("features",))
    problem = problem_for(case, asked)
    assert isinstance(problem, Problem)
    result = solve(problem)
    value = float("inf") if result.objective_s is None else result.objective_s
    found = seconds(case, asked)
    assert found == value or found == pytest.approx(value, rel=1e-9)
    plan, _ = find_plan(case, asked) if found else (None, None)
    if plan is not None:
        ways = {layer.way for stage in plan.stages for layer in stage.layers}
        assert ways <= {None, "features"} and not any(s.arrives for s in plan.stages)


@pytest.mark.parametrize("seed", range(20))
def test_a_time_that_nothing_keeps_is_named_with_the_least_that_works(seed: int) -> None:
    case, request = random_case(Random(seed), 3)
    case = replace(case, cluster=with_nodes(case.cluster, memory_bytes=None))
    asked = replace(request, objective="latency", limits=Limits())
    least = seconds(case, asked)
    if not 0 < least < float("inf"):
        return
    with pytest.raises(InfeasibleError, match="latency binds") as raised:
        optimise(case, replace(asked, limits=Limits(max_latency_s=least / 2)))
    named = float(str(raised.value).split("works is ")[1].split(" s")[0])
    assert named == pytest.approx(least, rel=1e-5)


def test_the_best_without_loss_beats_every_split_of_the_same_nodes() -> None:
    """Whatever one way throughout takes, layer by layer nothing is slower."""
    named = {"dense", "rows", "fused-rows", "tokens", "tensor-parallel", "sequence-parallel"}
    named |= {"data-parallel"}
    found = 0
    for seed in range(20):
        rng = Random(seed)
        case, _ = random_case(rng, 6)
        case = replace(case, cluster=with_nodes(case.cluster, memory_bytes=None))
        nodes = len(case.cluster.nodes)
        try:
            rows = {row.strategy: row for row in compare(case, Request(nodes), (nodes,)).rows}
        except BadInputError:
            continue
        best_s = rows["optimal-lossless"].latency_s
        for name in named & rows.keys():
            found += 1
            other_s = rows[name].latency_s
            assert best_s is not None and other_s is not None
            assert best_s <= other_s * SLACK, (seed, name)
    assert found > 40


@pytest.mark.parametrize("way", ["positions", "sums", "one-node"])
def test_ways_that_do_not_join_are_no_reason_to_refuse(way: Way) -> None:
    """SSD300's maps end in one row, and heads of all sizes wait for one concat."""
    profile = load_model("ssd300-vgg16")
    case = Case(profile, load_cluster("small-nodes").first(2))
    asked = Request(2, "within-layer", exactly=True, ways=(way,), alternatives=False)
    plan, result = find_plan(case, asked)
    assert plan is not None and result.certificate.status == "optimal"
    assert {layer.way for layer in plan.stages[0].layers} <= {way, "features"}

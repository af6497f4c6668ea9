"""Stages on groups of nodes: what a change of group costs, and what the joint choice is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.accuracy.model import curve_model
from planner.case import Case, sparsifiable_layers
from planner.domain.cluster import Node
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import REPLICATED, count_handed_over
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Limits, Objective, Parallelism
from planner.errors import InfeasibleError
from planner.strategies.costed import predict
from planner.strategies.groups import all_groups
from planner.strategies.optimise import find_plan, optimise
from planner.structure import allocation_units, tensors_across
from profiles.catalog import load_cluster, load_curve, load_model
from tests.examples import some
from tests.planner.builders import Net, best, chain, cluster, linear_loss, with_nodes
from tests.planner.generators import clusters, networks
from tests.planner.test_strategies import OBJECTIVES, seconds, studies

FEATURE = 4 * 4  # bytes of a feature of four float32 elements


def staged(*stages: tuple[str, tuple[str, ...], int | None], profile: ModelProfile) -> tuple:
    """Stages from nodes (one letter each), layers, and the features kept in each layer."""
    return tuple(
        StagePlan(
            nodes=tuple(nodes),
            layers=tuple(
                LayerPlan(
                    name=name,
                    nodes=len(nodes),
                    kept_features=kept if len(nodes) > 1 and name != "conv_0" else None,
                )
                for name in names
            ),
        )
        for nodes, names, kept in stages
    )


def test_a_hybrid_by_hand() -> None:
    # 3 nodes of 1e6 MAC/s and 1e6 bytes/s; widths 8, 8, 8 on maps of four elements
    profile = chain(8, 8, 8)
    case = Case(profile, cluster(3), loss_model=linear_loss(profile))
    stages = staged(("ab", ("conv_0", "conv_1"), 1), ("c", ("conv_2",), None), profile=profile)
    predicted = predict(case, stages)
    first = 3 * 4 * 4  # MACs of a node: three image features, four outputs, four elements
    second = (4 + 1) * 4 * 4
    exchange = 1 * FEATURE / 1e6
    handover = 8 * FEATURE / 1e6  # four features from each of two nodes into one interface
    third = 8 * 8 * 4 / 1e6
    assert predicted.compute_s == pytest.approx((first + second) / 1e6 + third)
    assert predicted.comm_s == pytest.approx(exchange + handover)
    assert predicted.latency_s == pytest.approx(predicted.compute_s + predicted.comm_s)
    assert predicted.throughput_per_s == pytest.approx(1 / third)
    assert predicted.accuracy_drop == pytest.approx(0.75)  # one of four features is kept
    assert predicted.mean_comm_sparsity is not None
    weights = {"c": 8 * 8 * 4, "a": 3 * 4 * 4 + 4 * 5 * 4}
    live = {"c": 16 * FEATURE, "a": (4 + 4 + 1) * FEATURE}
    assert predicted.memory_bytes["c"] == weights["c"] + live["c"]
    assert predicted.memory_bytes["a"] == weights["a"] + live["a"]


def test_two_groups_hand_over_share_by_share() -> None:
    profile = chain(8, 8)
    case = Case(profile, cluster([1e6, 1e6, 3e6, 1e6], latency_s=0.5))
    # 4 and 4 features become 6 and 2: the fast node receives 4 from one and 2 from the other
    transfers = case.transfers([(("a", "b"), ("c", "d"))])
    assert transfers.seconds[0].tolist() == pytest.approx([6 * FEATURE / 1e6 + 0.5])
    back = case.transfers([(("c", "d"), ("a", "b"))])
    assert back.seconds[0].tolist() == pytest.approx([6 * FEATURE / 1e6 + 0.5])


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 20), st.randoms())
def test_every_feature_arrives_once_at_each_node_that_needs_it(
    senders: int, receivers: int, features: int, random: object
) -> None:
    draw = random.randint  # type: ignore[attr-defined]
    has = np.array([draw(-1, senders - 1) for _ in range(features)], dtype=np.int16)
    needs = np.array([draw(-1, receivers - 1) for _ in range(features)], dtype=np.int16)
    moves = count_handed_over(has, needs, senders, receivers)
    wanted = np.array([np.sum((needs == j) | (needs == REPLICATED)) for j in range(receivers)])
    assert moves.sum(axis=0).tolist() == wanted.tolist()


@given(networks(), clusters(least=2))
def test_between_single_nodes_all_live_bytes_move(profile: ModelProfile, group: object) -> None:
    case = Case(profile, group)  # type: ignore[arg-type]
    names = case.names(2)
    units = allocation_units(profile)
    sizes = {spec.name: spec.bytes for spec in profile.inputs}
    sizes |= {layer.name: layer.output_bytes for layer in profile.layers}
    across = tensors_across(profile, with_inputs=False)
    moved = [sum(sizes[name] for name in across[unit.stop - 1]) for unit in units[:-1]]
    (found,) = case.transfers([((names[0],), (names[1],))]).seconds
    pair = case.cluster.only(names)
    bandwidth = pair.pair_bandwidth_bytes_per_s()[0, 1]
    if case.medium == "shared":  # the whole ring's slowest link
        b = case.cluster.pair_bandwidth_bytes_per_s()
        bandwidth = b[~np.eye(len(b), dtype=np.bool_)].min()
    delay_s = pair.pair_latency_s()[0, 1]
    expected = [size / bandwidth + delay_s if size else 0.0 for size in moved]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


@given(studies(least=2), st.sampled_from([0.0, 0.3, 2.5]), st.sampled_from(OBJECTIVES))
@some(0.5)
def test_a_hybrid_is_never_worse_than_either_kind(
    case: Case, drop: float, objective: Objective
) -> None:
    hybrid = seconds(best(case, drop, objective=objective), objective)
    for parallelism in ("within-layer", "pipeline"):
        one = best(case, drop, objective=objective, parallelism=parallelism)
        assert hybrid <= seconds(one, objective) * (1 + 1e-8)


@given(studies(least=2, equal=True), st.sampled_from(OBJECTIVES), st.randoms())
@some(0.4)
def test_equal_nodes_can_be_renamed(case: Case, objective: Objective, random: object) -> None:
    nodes = list(case.cluster.nodes)
    random.shuffle(nodes)  # type: ignore[attr-defined]
    renamed = replace(case, cluster=case.cluster.model_copy(update={"nodes": tuple(nodes)}))
    assert seconds(best(renamed, 0.3, objective=objective), objective) == pytest.approx(
        seconds(best(case, 0.3, objective=objective), objective), rel=1e-8
    )


def test_one_more_node_of_any_kind_never_hurts() -> None:
    profile = chain(16, 16, 16, 16)
    group = cluster([1e6, 3e6, 0.5e6], bandwidth_bytes_per_s=1e6)
    for objective in OBJECTIVES:
        case = Case(profile, group, loss_model=linear_loss(profile))
        before = seconds(best(case, 0.5, objective=objective), objective)
        for speed in (1e4, 1e6, 1e8):
            more = Node(name="more", macs_per_s=speed)
            wider = group.model_copy(update={"nodes": (*group.nodes, more)})
            after = best(replace(case, cluster=wider), 0.5, objective=objective)
            assert seconds(after, objective) <= before * (1 + 1e-9)


def test_a_slow_node_in_the_middle_of_the_ring_is_left_out() -> None:
    profile = chain(64, 64, 64)
    case = Case(profile, cluster([1e6, 1e3, 1e6], bandwidth_bytes_per_s=1e7))
    plan = best(case, objective="throughput")
    assert {name for stage in plan.stages for name in stage.nodes} == {"a", "c"}


def test_memory_makes_a_true_hybrid() -> None:
    # the wide middle fits two nodes together, never one; the ends are not worth an exchange
    net = Net(4, 64)
    wide = net.conv(net.conv("image", 16), 256)
    net.conv(wide, 4, pixels=1)
    profile = net.profile()
    group = cluster(3, macs_per_s=1e6, bandwidth_bytes_per_s=1e6)
    found = set()
    for limit in range(20_000, 140_000, 4_000):
        case = Case(profile, with_nodes(group, memory_bytes=limit), levels=(0.0,))
        try:
            plan = optimise(case, Request(3))
        except InfeasibleError as error:
            assert "memory" in str(error)
            continue
        assert max(plan.predicted.memory_bytes.values()) <= limit
        found.add(plan.strategy)
    assert "optimal-hybrid" in found and len(found) > 1


def test_groups_are_told_apart_by_type_not_by_name() -> None:
    def kinds(case: Case, parallelism: Parallelism = "hybrid") -> int:
        (groups,) = all_groups(case, parallelism)
        return len(groups.uses)

    assert kinds(Case(chain(8), cluster(4))) == 4
    unlike = Case(chain(8), cluster([1.0, 2.0, 3.0, 4.0]))
    assert kinds(unlike) == 15
    assert kinds(unlike, "pipeline") == 4
    assert kinds(Case(chain(8), cluster([1.0, 1.0, 2.0, 2.0]))) == 8
    counted = Case(chain(8), cluster(4), CostSettings(count_input=True))
    assert kinds(counted) == 7  # the source is its own type
    assert kinds(Case(chain(8), cluster([float(n + 1) for n in range(7)]))) == 127


def test_of_many_unlike_nodes_two_families_of_groups_are_searched() -> None:
    case = Case(chain(8), cluster([float(n + 1) for n in range(9)]))
    prefix, neighbours = all_groups(case, "hybrid")
    assert len(prefix.uses) == 127 and len(neighbours.uses) == 45
    assert all(case.names(9).index(name) < 7 for names in prefix.types for name in names)
    assert neighbours.runs == tuple(
        case.names(9)[start : start + size] for size in range(1, 10) for start in range(10 - size)
    )


@pytest.mark.parametrize("nodes", [9, 16, 17, 40, 80])
def test_a_node_more_only_adds_groups(nodes: int) -> None:
    def groups(count: int) -> set[tuple[str, ...]]:
        case = Case(chain(8), cluster([float(n + 1) for n in range(count)]))
        return {names for family in all_groups(case, "hybrid") for names in family.runs}

    assert groups(nodes) < groups(nodes + 1)


@pytest.mark.slow
def test_neighbours_in_the_ring_are_planned_to_proof() -> None:
    profile = chain(32, 32, 32, 32)
    speeds = [1e6 * (1 + n / 7) for n in range(9)]
    case = Case(profile, cluster(speeds), loss_model=linear_loss(profile))
    _, neighbours = all_groups(case, "hybrid")
    request = Request(9, limits=Limits(max_accuracy_drop=1.0))
    plan, result = find_plan(case, request, families=(neighbours,))
    assert plan is not None and result.certificate.status == "optimal"
    by_program, _ = find_plan(case, replace(request, solver="ilp"), families=(neighbours,))
    assert by_program is not None
    assert plan.predicted.latency_s == pytest.approx(by_program.predicted.latency_s, rel=1e-8)
    assert best(case, 1.0).predicted.latency_s <= plan.predicted.latency_s * (1 + 1e-9)


def test_resnet50_on_unlike_nodes_is_proven_by_the_fast_path() -> None:
    profile = load_model("resnet50")
    nodes = load_cluster("small-nodes").first(4)
    unlike = tuple(
        node.model_copy(update={"macs_per_s": node.macs_per_s * factor})
        for node, factor in zip(nodes.nodes, (1.0, 0.7, 1.6, 0.4), strict=True)
    )
    model = curve_model(load_curve("resnet50-imagenet"), profile, sparsifiable_layers(profile))
    case = Case(profile, nodes.model_copy(update={"nodes": unlike}), loss_model=model)
    for objective in OBJECTIVES:
        request = Request(4, objective=objective, limits=Limits(max_accuracy_drop=0.5))
        gathered = optimise(case, replace(request, ways=("features",)))
        assert gathered.certificate is not None and gathered.certificate.status == "optimal"
        assert gathered.certificate.solver.startswith("Lagrangian dual")
        if objective == "latency":
            plan = optimise(case, request)
            assert plan.certificate is not None and plan.certificate.status == "optimal"
            assert plan.certificate.solver.startswith("dynamic programming over layouts")
            assert seconds(plan, objective) <= seconds(gathered, objective) * (1 + 1e-9)

"""Shares follow the time that nodes take, and what fits them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.case import Case
from planner.cost.shares import share_ratios
from planner.domain.cluster import Cluster, Link, Node
from planner.domain.layouts import WAYS, Way
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import Ratios, speed_ratio
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Parallelism
from planner.strategies.optimise import optimise
from profiles.catalog import load_model
from tests.examples import some
from tests.planner.builders import chain, cluster, with_nodes
from tests.planner.generators import clusters, networks


def card(name: str, memory_gb: float, rate_gb: float, macs_per_s: float = 30e12) -> Node:
    return Node(
        name=name,
        macs_per_s=macs_per_s,
        memory_bytes=int(memory_gb * 1e9),
        memory_bytes_per_s=rate_gb * 1e9,
    )


def pair(*cards: Node) -> Cluster:
    link = Link(bandwidth_bytes_per_s=25e9)
    return Cluster(name="pair", nodes=cards, link=link)


@given(networks(), clusters())
def test_with_one_rate_shares_are_the_speeds_exactly(profile: ModelProfile, group: Cluster) -> None:
    bare = with_nodes(group, memory_bytes_per_s=None, macs_per_s_by_kind={})
    ratios = share_ratios(profile, bare.nodes)
    assert ratios == Ratios(speed_ratio(node.macs_per_s for node in group.nodes))


@given(networks(), st.integers(1, 5), st.floats(1e3, 1e12))
def test_equal_nodes_have_equal_shares_whatever_is_known_of_them(
    profile: ModelProfile, nodes: int, rate: float
) -> None:
    group = with_nodes(cluster(nodes), memory_bytes_per_s=rate, macs_per_s_by_kind={"conv": 7e5})
    ratios = share_ratios(profile, group.nodes)
    assert set(ratios.whole) == {1} and not ratios.by_layer


def test_where_memory_bandwidth_binds_shares_follow_it() -> None:
    """Tokens of a language model are read, not computed: C says nothing of how fast."""
    profile = load_model("llama-3.1-8b-decode")
    fast, slow = card("fast", 24, 900), card("slow", 24, 300)
    a, b = share_ratios(profile, (fast, slow)).whole
    assert a / b == pytest.approx(3, rel=0.01)
    # by C alone, which is equal, the slow card takes half and holds the fast one up
    plan = optimise(Case(profile, pair(fast, slow)), Request(2, exactly=True))
    by_halves = profile.totals.param_bytes / 2 / 300e9
    assert plan.predicted.compute_s < 0.6 * by_halves


def test_shares_are_cut_to_what_fits() -> None:
    """13 GB of weights on 12 + 4 GB: halves do not fit, three quarters and a quarter do."""
    profile = load_model("llama-3.1-8b-decode")
    scale = profile.totals.param_bytes / 26e9
    large, small = card("large", 24 * scale, 400), card("small", 8 * scale, 400)
    a, b = share_ratios(profile, (large, small)).whole
    assert a * 1.0 / (a + b) * 26 <= 24 and b * 1.0 / (a + b) * 26 <= 8
    plan = optimise(Case(profile, pair(large, small)), Request(2, exactly=True))
    limits = {node.name: node.memory_bytes for node in (large, small)}
    assert all(held <= (limits[name] or 0) for name, held in plan.predicted.memory_bytes.items())


def test_where_all_fits_or_nothing_does_memory_changes_no_share() -> None:
    profile = chain(8, 16, 16)
    speeds = [1e6, 3e6]
    for memory in (10**9, profile.totals.param_bytes // 4):
        group = cluster(speeds, memory_bytes=memory)
        assert share_ratios(profile, group.nodes) == Ratios((1, 3))


def test_rates_of_kinds_decide_where_they_are_known() -> None:
    """Equal C, but one node runs convolutions at a third of it: it gets a quarter."""
    profile = chain(8, 16, 16, 16)  # 1×1 convolutions
    one, other = cluster(2).nodes
    slow = other.model_copy(update={"macs_per_s_by_kind": {"conv-1x1": other.macs_per_s / 3}})
    assert share_ratios(profile, (one, slow)).whole == (1000, 333)


def test_features_of_a_layer_are_shared_out_by_its_own_time() -> None:
    """One layer is computed, one is read: their nodes share them out in two ratios."""
    profile = chain(8, 16, 4096)
    one = Node(name="one", macs_per_s=0.5e9, memory_bytes_per_s=1e9)
    other = Node(name="other", macs_per_s=8e9, memory_bytes_per_s=2e9)
    ratios = share_ratios(profile, (one, other))
    for row, layer in enumerate(profile.layers):
        times = [
            max(layer.macs / node.macs_per_s, layer.touched_bytes / node.memory_bytes_per_s)
            for node in (one, other)
            if node.memory_bytes_per_s
        ]
        a, b = ratios.of(row)
        assert a / b == pytest.approx(times[1] / times[0], rel=2e-3)
    assert ratios.of(0) != ratios.of(1)


def test_layers_whose_outputs_are_added_are_shared_out_alike() -> None:
    profile = load_model("resnet50")
    one = Node(name="one", macs_per_s=1e9, memory_bytes_per_s=1e9)
    other = Node(name="other", macs_per_s=9e9, memory_bytes_per_s=1e9)
    case = Case(profile, pair(one, other))
    shares = case.shares(("one", "other"))
    assert len(set(shares.ratios.by_layer)) > 1
    moving = shares.moved_bytes.any(axis=(1, 2)).tolist()
    plain = Case(
        profile, pair(*(n.model_copy(update={"memory_bytes_per_s": None}) for n in (one, other)))
    )
    assert moving == plain.shares(("one", "other")).moved_bytes.any(axis=(1, 2)).tolist()


def at_speed(macs_per_s: float) -> Cluster:
    nodes = [Node(name=f"n{i}", macs_per_s=s) for i, s in enumerate((macs_per_s, 3.75e9, 3.75e9))]
    return Cluster(name="three", nodes=tuple(nodes), link=Link(bandwidth_bytes_per_s=37.5e6))


def test_a_faster_node_does_not_make_the_plan_slower() -> None:
    """By time it would compute more, and send more: its messages hold the layer up."""
    profile = load_model("resnet50")
    asked = Request(3, "within-layer", exactly=True, ways=("features",), alternatives=False)
    equal = optimise(Case(profile, at_speed(3.75e9)), asked)
    for speed in (5e9, 7.5e9):
        plan = optimise(Case(profile, at_speed(speed)), asked)
        assert plan.predicted.latency_s <= equal.predicted.latency_s
        assert plan.settings.shares == "equal"
        by_time = Case(profile, at_speed(speed), CostSettings(shares="by-time"))
        assert optimise(by_time, asked).predicted.latency_s > equal.predicted.latency_s


@some(0.3)
@given(
    networks(),
    st.lists(st.floats(1.0, 8.0), min_size=2, max_size=4),
    st.sampled_from([1e4, 1e5, 1e6]),
    st.sampled_from([0.0, 1e-3]),
    st.sampled_from([("features",), WAYS]),
    st.sampled_from(["within-layer", "hybrid"]),
)
def test_faster_nodes_among_equal_ones_never_make_the_plan_slower(
    profile: ModelProfile,
    factors: list[float],
    bandwidth: float,
    latency_s: float,
    ways: tuple[Way, ...],
    parallelism: Parallelism,
) -> None:
    """Whatever equal shares did for the equal nodes they still do."""
    asked = Request(
        len(factors),
        parallelism,
        exactly=parallelism == "within-layer",
        ways=ways,
        alternatives=False,
    )
    before, after = (
        optimise(Case(profile, cluster(speeds, 1.0, bandwidth, latency_s)), asked)
        for speeds in ([1e6] * len(factors), [1e6 * factor for factor in factors])
    )
    assert after.certificate is not None and after.certificate.status == "optimal"
    assert after.predicted.latency_s <= before.predicted.latency_s * (1 + 1e-9)


@some(0.2)
@given(networks(), clusters())
def test_either_is_the_better_of_both(profile: ModelProfile, group: Cluster) -> None:
    asked = Request(len(group.nodes), alternatives=False)
    both = [
        optimise(Case(profile, group, CostSettings(shares=shares)), asked)
        for shares in ("either", "by-time", "equal")
    ]
    either, *alone = (plan.predicted.latency_s for plan in both)
    assert either == pytest.approx(min(alone), rel=1e-9)
    assert both[0].certificate is not None and both[0].certificate.status == "optimal"

"""Shares follow the time that nodes take, and what fits them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.case import Case
from planner.cost.shares import share_ratio
from planner.domain.cluster import Cluster, Link, Node
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import speed_ratio
from planner.domain.request import Request
from planner.strategies.optimise import optimise
from profiles.catalog import load_model
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
    ratio = share_ratio(profile, bare.nodes)
    assert ratio == speed_ratio(node.macs_per_s for node in group.nodes)


@given(networks(), st.integers(1, 5), st.floats(1e3, 1e12))
def test_equal_nodes_have_equal_shares_whatever_is_known_of_them(
    profile: ModelProfile, nodes: int, rate: float
) -> None:
    group = with_nodes(cluster(nodes), memory_bytes_per_s=rate, macs_per_s_by_kind={"conv": 7e5})
    assert set(share_ratio(profile, group.nodes)) == {1}


def test_where_memory_bandwidth_binds_shares_follow_it() -> None:
    """Tokens of a language model are read, not computed: C says nothing of how fast."""
    profile = load_model("llama-3.1-8b-decode")
    fast, slow = card("fast", 24, 900), card("slow", 24, 300)
    a, b = share_ratio(profile, (fast, slow))
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
    a, b = share_ratio(profile, (large, small))
    assert a * 1.0 / (a + b) * 26 <= 24 and b * 1.0 / (a + b) * 26 <= 8
    plan = optimise(Case(profile, pair(large, small)), Request(2, exactly=True))
    limits = {node.name: node.memory_bytes for node in (large, small)}
    assert all(held <= (limits[name] or 0) for name, held in plan.predicted.memory_bytes.items())


def test_where_all_fits_or_nothing_does_memory_changes_no_share() -> None:
    profile = chain(8, 16, 16)
    speeds = [1e6, 3e6]
    for memory in (10**9, profile.totals.param_bytes // 4):
        group = cluster(speeds, memory_bytes=memory)
        assert share_ratio(profile, group.nodes) == (1, 3)


def test_rates_of_kinds_decide_where_they_are_known() -> None:
    """Equal C, but one node runs convolutions at a third of it: it gets a quarter."""
    profile = chain(8, 16, 16, 16)  # 1×1 convolutions
    one, other = cluster(2).nodes
    slow = other.model_copy(update={"macs_per_s_by_kind": {"conv-1x1": other.macs_per_s / 3}})
    assert share_ratio(profile, (one, slow)) == (1000, 333)

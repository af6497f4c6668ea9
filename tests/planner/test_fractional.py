"""Fractions of features: the same formulas as for whole counts, without the rounding."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.cost.layers import LayerCosts, layer_costs
from planner.cost.sparsity import FeatureCounts, kept_features, kept_fractions
from planner.cost.table import cost_table, group_shares
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings
from profiles.catalog import load_cluster, load_model
from tests.planner.builders import chain, cluster
from tests.planner.generators import SPARSITIES, chains, clusters, networks
from tests.planner.test_goldens import (
    HEAD_MOUNTED_MACS_PER_S,
    SMALL_NODE_MACS_PER_S,
    by_hand,
    fractional_count,
)

SETTINGS = CostSettings()


def costs(
    profile: ModelProfile,
    group: Cluster,
    *levels: float,
    whole: bool = False,
    settings: CostSettings = SETTINGS,
) -> LayerCosts[np.float64] | LayerCosts[np.int64]:
    shares = group_shares(profile, group)
    count = kept_features if whole else kept_fractions
    counts = FeatureCounts.by_sender(shares, count(shares.kinds.owned, np.array(levels)))
    return layer_costs(profile, group, settings, shares, counts, [])


@pytest.mark.parametrize("percent", [0, 60, 80, 99, 100])
@pytest.mark.parametrize(
    "name, nodes, macs_per_s",
    [
        ("head-mounted", 2, HEAD_MOUNTED_MACS_PER_S),
        ("small-nodes", 2, SMALL_NODE_MACS_PER_S),
        ("small-nodes", 4, SMALL_NODE_MACS_PER_S),
        ("small-nodes", 8, SMALL_NODE_MACS_PER_S),
    ],
)
def test_resnet50_equals_the_second_computation(
    name: str, nodes: int, macs_per_s: float, percent: int
) -> None:
    found = costs(load_model("resnet50"), load_cluster(name).first(nodes), percent / 100)
    comm_s, compute_s = by_hand(nodes, Fraction(percent, 100), macs_per_s, fractional_count)
    assert found.comm_s.sum() == pytest.approx(comm_s, rel=1e-12)
    assert found.compute_s.sum() == pytest.approx(compute_s, rel=1e-12)


def test_speed_up_at_80_percent() -> None:
    found = costs(load_model("resnet50"), load_cluster("head-mounted"), 0.0, 0.8)
    dense, sparse = found.latency_s.sum(axis=0)
    assert f"{dense / sparse:.2f}" == "4.72"


@given(networks(), clusters(least=2), st.booleans())
def test_whole_fractions_cost_what_whole_counts_cost(
    profile: ModelProfile, group: Cluster, overlap: bool
) -> None:
    settings = CostSettings(overlap=overlap)
    fractional = costs(profile, group, 0.0, 1.0, settings=settings)
    whole = costs(profile, group, 0.0, 1.0, whole=True, settings=settings)
    for field in fields(LayerCosts):
        assert np.array_equal(getattr(fractional, field.name), getattr(whole, field.name))


def test_half_of_an_even_share_is_whole_and_half_of_an_odd_one_is_not() -> None:
    even = chain(8, 8, image=4)
    group = cluster(2)
    assert np.array_equal(costs(even, group, 0.5).macs, costs(even, group, 0.5, whole=True).macs)
    odd = chain(6, 6, image=4)  # three features a node, of which 1.5 against 2 are sent
    sent = costs(odd, group, 0.5).sent_bytes[1, 0]
    assert sent / costs(odd, group, 0.5, whole=True).sent_bytes[1, 0] == pytest.approx([0.75] * 2)


@given(chains(), clusters(least=2, equal=True), SPARSITIES, SPARSITIES)
def test_fractions_leave_no_step(
    profile: ModelProfile, group: Cluster, one: float, other: float
) -> None:
    """On equal nodes without delays, time is a straight line between dense and independent."""
    nodes = tuple(node.model_copy(update={"layer_overhead_s": 0.0}) for node in group.nodes)
    link = group.link.model_copy(update={"latency_s": 0.0})
    group = group.model_copy(update={"nodes": nodes, "link": link})
    low, high = sorted((one, other))
    found = costs(profile, group, 0.0, low, high, 1.0)
    for seconds in (found.comm_s, found.compute_s):
        dense, first, second, independent = seconds.T
        for level, between in ((low, first), (high, second)):
            line = (1 - level) * dense + level * independent
            assert between == pytest.approx(line, rel=1e-9, abs=1e-12 * dense.max())
        assert np.all(second <= first * (1 + 1e-12))


@given(networks(), clusters(least=2), SPARSITIES)
def test_whole_counts_stay_whole_numbers(
    profile: ModelProfile, group: Cluster, sparsity: float
) -> None:
    found = costs(profile, group, sparsity, whole=True)
    table = cost_table(profile, group, SETTINGS, (sparsity,))
    for name in ("macs", "weight_bytes", "live_bytes"):
        assert getattr(found, name).dtype == np.int64
        assert np.array_equal(getattr(found, name), getattr(table, name))
    assert found.sent_bytes.dtype == np.int64
    assert costs(profile, group, sparsity).macs.dtype == np.float64

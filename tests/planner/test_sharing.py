"""Layers that read one tensor and share its transmission."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from planner.case import Case
from planner.cost.table import cost_table
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Limits
from planner.strategies.optimise import optimal_sparsity
from tests.planner.builders import Net, cluster, linear_loss
from tests.planner.generators import clusters, networks

LEVELS = (0.0, 0.5, 1.0)
SHARED = CostSettings(share_inputs=True)


def two_readers() -> ModelProfile:
    net = Net(3, 4)
    source = net.conv("image", 8)
    net.add(net.conv(source, 8), net.conv(source, 8))
    return net.profile()


def test_what_a_node_has_is_not_sent_again() -> None:
    apart = cost_table(two_readers(), cluster(2), levels=LEVELS)
    table = cost_table(two_readers(), cluster(2), SHARED, LEVELS)
    assert np.array_equal(table.comm_s[1], apart.comm_s[1])
    assert apart.comm_s[1].tolist() == pytest.approx([4 * 16 / 1e6, 2 * 16 / 1e6, 0])
    assert not table.comm_s[2].any() and np.array_equal(apart.comm_s[2], apart.comm_s[1])
    assert np.array_equal(table.compute_s, apart.compute_s)
    # the four features of the other node stay until the second reader has run
    assert (table.live_bytes[2, 0] - apart.live_bytes[2, 0]).tolist() == [0, 0]
    assert (table.live_bytes[2, 2] - apart.live_bytes[2, 2]).tolist() == [64, 64]
    assert table.decisions.tolist() == [0, 1, 1, 2]


def test_readers_of_one_tensor_take_one_level() -> None:
    profile = two_readers()
    case = Case(profile, cluster(2), SHARED, loss_model=linear_loss(profile), levels=LEVELS)
    plan, result = optimal_sparsity(case, Request(2, limits=Limits(max_accuracy_drop=1.2)))
    assert plan is not None and result.certificate.status == "optimal"
    counts = {layer.name: layer.kept_features for layer in plan.stages[0].layers}
    assert counts["conv_1"] == counts["conv_2"] == 2
    assert plan.predicted.comm_s == pytest.approx(2 * 16 / 1e6)


@given(networks(), clusters())
def test_sharing_never_sends_more(profile: ModelProfile, group: Cluster) -> None:
    apart = cost_table(profile, group, levels=LEVELS)
    table = cost_table(profile, group, SHARED, LEVELS)
    assert (table.wire_bytes <= apart.wire_bytes).all()
    assert (table.comm_s <= apart.comm_s).all()
    assert (table.live_bytes.max(axis=0) >= 0).all()
    assert np.array_equal(table.macs, apart.macs)

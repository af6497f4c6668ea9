"""The cost model's word on plans, node by node; those that do not fit are refused in a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.case import Case
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.settings import CostSettings
from planner.errors import BadInputError
from planner.strategies.baselines import pipeline_equal, uniform
from planner.strategies.costed import cost_stages, predict
from tests.planner.builders import Net, chain, cluster
from tests.planner.generators import clusters, networks

CASE = Case(chain(8, 8, 8), cluster(3))


def stage(nodes: tuple[str, ...] = ("a", "b"), **kept: Any) -> StagePlan:
    """All three layers, sending what is given."""
    names = [layer.name for layer in CASE.profile.layers]
    plans = [LayerPlan(name=name, nodes=len(nodes), kept_features=kept.get(name)) for name in names]
    return StagePlan(nodes=nodes, layers=tuple(plans))


def test_a_plan_by_hand() -> None:
    # 4 of 4 features of 16 bytes each way, then 1 and 3
    one_three = ((0, 1), (3, 0))
    found = predict(CASE, (stage(conv_1=4, conv_2=one_three),))
    assert found.comm_s == pytest.approx((4 * 16 + 3 * 16) / 1e6)
    macs = 3 * 4 * 4, 4 * 8 * 4, 4 * (4 + 3) * 4  # image, dense, the node that gets three
    assert found.compute_s == pytest.approx(sum(macs) / 1e6)
    assert found.latency_s == pytest.approx(found.comm_s + found.compute_s)
    assert found.throughput_per_s == pytest.approx(1 / found.latency_s)
    assert found.mean_comm_sparsity == pytest.approx(8 * 0.5 / (3 + 8 + 8))
    assert found.accuracy is None and found.accuracy_drop is None


def test_times_of_nodes_by_hand() -> None:
    one_three = ((0, 1), (3, 0))
    (found,) = cost_stages(CASE, (stage(conv_1=4, conv_2=one_three),)).stages
    times = found.table
    assert times.node_comm_s[:, 0].tolist() == [[0, 0], [4 * 16 / 1e6] * 2, [3 * 16 / 1e6] * 2]
    assert times.node_compute_s[:, 0] * 1e6 == pytest.approx(
        np.array([[48, 48], [128, 128], [4 * 4 * (4 + 3), 4 * 4 * (4 + 1)]])
    )


@given(networks(), clusters(least=2), st.sampled_from([0.0, 0.5, 0.9, 1.0]), st.booleans())
def test_the_slowest_node_makes_the_layers_time(
    profile: ModelProfile, group: Cluster, sparsity: float, share: bool
) -> None:
    case = Case(profile, group, CostSettings(share_inputs=share))
    plan = uniform(case, len(group.nodes), sparsity)
    (found,) = cost_stages(case, plan.stages).stages
    times = found.table
    assert np.array_equal(times.node_compute_s[:, 0].max(axis=1), times.compute_s[:, 0])
    assert np.all(times.node_comm_s[:, 0].max(axis=1) <= times.comm_s[:, 0])
    assert np.array_equal(times.node_comm_s[:, 0].any(axis=1), times.comm_s[:, 0] > 0)


def test_layers_without_counts_send_nothing() -> None:
    assert predict(CASE, (stage(),)).comm_s == 0
    assert predict(CASE, (stage(),)) == uniform(CASE, 2, 1.0).predicted


def with_layers(names: list[str]) -> StagePlan:
    return StagePlan(
        nodes=("a", "b"), layers=tuple(LayerPlan(name=name, nodes=2) for name in names)
    )


def single(node: str, *names: str) -> StagePlan:
    return StagePlan(nodes=(node,), layers=tuple(LayerPlan(name=n, nodes=1) for n in names))


ALL = ("conv_0", "conv_1", "conv_2")


@pytest.mark.parametrize(
    "stages, words",
    [
        ((with_layers(["conv_0", "conv_1"]),), "has 'nothing' where net has 'conv_2'"),
        ((with_layers(["conv_0", "conv_2", "conv_1"]),), "has 'conv_2' where net has 'conv_1'"),
        ((with_layers(["conv_1", "conv_2"]),), "has 'conv_1' where net has 'conv_0'"),
        ((with_layers([*ALL, "conv_3"]),), "has 'conv_3' where net has 'nothing'"),
        ((with_layers(["conv_0", "conv_0", "conv_1", "conv_2"]),), "has 'conv_0' where net has"),
        ((stage(conv_1=5),), "'conv_1': keeps 5 features of a node; a node holds at most 4"),
        ((stage(conv_1=((0, 4), (5, 0))),), "'conv_1': keeps 5 features of a node"),
        ((stage(conv_0=1),), "'conv_0': keeps 1 features of a node; a node holds at most 0"),
        ((stage(("a", "a")),), "'a' comes more than once"),
        ((stage(("a", "x")),), "'x' is no node of cluster; nodes are "),
        ((single("x", *ALL),), "'x' is no node of cluster; nodes are "),
        ((single("a", "conv_0"), single("a", *ALL[1:])), "'a' comes more than once"),
        (
            (single("a", "conv_0"), StagePlan(nodes=("a", "c"), layers=stage().layers[1:])),
            "'a' comes more than once",
        ),
    ],
)
def test_a_plan_for_something_else_is_refused(stages: tuple[StagePlan, ...], words: str) -> None:
    with pytest.raises(BadInputError) as raised:
        predict(CASE, stages)
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_a_cut_between_fused_layers_is_refused() -> None:
    net = Net(3, 4)
    relu = net.local(net.conv("image", 8))
    net.conv(relu, 8)
    case = Case(net.profile(), cluster(2))
    with pytest.raises(BadInputError, match="the cut behind 'conv_0' parts layers that run as one"):
        predict(case, (single("a", "conv_0"), single("b", "relu_1", "conv_2")))
    assert len(pipeline_equal(case, 2).stages) == 2


def test_a_model_without_any_work_is_refused() -> None:
    net = Net(3, 4)
    net.local("image")
    case = Case(net.profile(), cluster(2))
    for nodes in (1, 2):
        with pytest.raises(BadInputError, match="net: no layer takes any time"):
            uniform(case, nodes, 0.0)


def test_a_pipeline_by_hand() -> None:
    # two units on a, one on c, which is twice as slow
    case = Case(chain(8, 8, 8), cluster([1e6, 1e6, 5e5], latency_s=0.25))
    found = predict(case, (single("a", "conv_0", "conv_1"), single("c", "conv_2")))
    first, second = (3 * 8 + 8 * 8) * 4 / 1e6, 8 * 8 * 4 / 5e5
    sent = 8 * 4 * 4 / 1e6 + 0.25
    assert found.comm_s == pytest.approx(sent)
    assert found.latency_s == pytest.approx(first + sent + second)
    assert found.throughput_per_s == pytest.approx(1 / max(first, sent - 0.25, second))
    weights = 4 * np.array([3 * 8 + 8 * 8, 8 * 8])
    live = 2 * 8 * 4 * 4  # an input and an output; the image and its output are fewer
    assert found.memory_bytes == {"a": weights[0] + live, "c": weights[1] + live}


def test_a_stage_has_room_for_the_largest_of_its_fused_layers() -> None:
    net = Net(1, 4)
    first = net.conv("image", 8)
    net.add(net.local(first), first)
    case = Case(net.profile(), cluster(1))
    # the activation's output stands beside the convolution's, which is read again
    weights, live = 8 * 4, 2 * 8 * 16
    assert uniform(case, 1, 0.0).predicted.memory_bytes == {"a": weights + live}


def test_skipped_tensors_cross_every_cut() -> None:
    net = Net(4, 4)
    first = net.conv("image", 8)
    second = net.conv(first, 8)
    third = net.conv(second, 8)
    net.conv(net.add(third, first), 8)
    case = Case(net.profile(), cluster(3))
    bytes_ = 8 * 4 * 4
    # behind the second layer its output and the first one's are alive
    cut = (single("a", first, second), single("b", third, "add_3", "conv_4"))
    assert predict(case, cut).comm_s == pytest.approx(2 * bytes_ / 1e6)
    cut = (single("a", first), single("b", second, third, "add_3"), single("c", "conv_4"))
    assert predict(case, cut).comm_s == pytest.approx(2 * bytes_ / 1e6)


@pytest.mark.parametrize("measured, origin", [("generic", "measured"), ("other", "derived")])
def test_origins_follow_the_device_that_was_measured(measured: str, origin: str) -> None:
    profile = chain(8, 8)
    layers = tuple(
        layer.model_copy(update={"measured_s": {measured: 1.0}}) for layer in profile.layers
    )
    case = Case(profile.model_copy(update={"layers": layers}), cluster(2))
    for plan in (uniform(case, 2, 0.5), uniform(case, 1, 0.0), pipeline_equal(case, 2)):
        assert plan.predicted.origin["latency_s"] == origin
        assert plan.predicted.origin["comm_s"] == "derived"

"""Algebra of the cost model: what must hold at its limits, for any model and any cluster."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from planner.case import Case
from planner.cost.sparsity import comm_sparsity, kept_features, to_each_other
from planner.cost.table import cost_table, group_shares
from planner.domain.cluster import Cluster, Link, Node, tuned_cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import shares_by_speed
from planner.domain.settings import CostSettings
from planner.strategies.baselines import single_node
from profiles.catalog import load_model
from tests.planner.builders import Net, chain, cluster, with_nodes
from tests.planner.generators import SPARSITIES, chains, clusters, networks

Counts = np.ndarray[Any, np.dtype[np.int64]]
LEVELS = (0.0, 0.3, 0.5, 0.8, 0.95, 1.0)
ENDLESS = 1e29


@given(
    st.integers(2, 8),
    st.integers(0, 100).map(lambda percent: Fraction(percent, 100)),
    st.integers(1, 4),
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
)
def test_computation_sparsity_is_exact_where_widths_divide(
    nodes: int, sparsity: Fraction, scale: int, widths: list[int]
) -> None:
    # widths such that (1 - S)·I/N is whole: nothing is rounded
    unit = nodes * 100 * scale
    profile = chain(*(unit * width for width in widths), unit)
    table = cost_table(profile, cluster(nodes), levels=(float(sparsity),))
    assert table.comm_sparsity[1:, 0] == pytest.approx(float(sparsity), abs=1e-12)
    assert table.comp_sparsity[1:, 0] == pytest.approx(
        float(Fraction(nodes - 1, nodes) * sparsity), abs=1e-12
    )
    macs = [layer.macs for layer in profile.layers[1:]]
    per_node = [m * (1 - Fraction(nodes - 1, nodes) * sparsity) / nodes for m in macs]
    assert table.macs[1:, 0].tolist() == [[share] * nodes for share in per_node]


@given(chains(), clusters(least=2), SPARSITIES)
def test_computation_sparsity_follows_from_the_kept_counts(
    profile: ModelProfile, group: Cluster, sparsity: float
) -> None:
    # Whole counts and unequal shares: the share of MACs that vanish is the share of
    # (output of j, input of i) pairs that are not kept, S_comp = Σ O_j (I_i - k_ij) / (I O).
    # Weighted by O_j it is (N-1)/N · S_comm only where the outputs are shared equally.
    table = cost_table(profile, group, levels=(sparsity,))
    shares = group_shares(profile, group)
    nodes = range(len(group.nodes))
    for row, layer in enumerate(profile.layers):
        if not shares.owned[row].any():
            continue
        kept = table.kept_features[row, 0]
        vanished = sum(
            int(shares.outputs[row, j]) * (int(shares.owned[row, i]) - int(kept[i, j]))
            for i in nodes
            for j in nodes
            if i != j
        )
        expected = Fraction(vanished, layer.in_features * layer.out_features)
        assert table.comp_sparsity[row, 0] == pytest.approx(float(expected), abs=1e-12)
        outputs, owned = set(shares.outputs[row]), set(shares.owned[row])
        if len(outputs) == len(owned) == 1:
            share = (len(nodes) - 1) / len(nodes)
            assert table.comp_sparsity[row, 0] == pytest.approx(
                share * table.comm_sparsity[row, 0], abs=1e-12
            )


@given(networks(), clusters(equal=True))
def test_with_endless_bandwidth_only_computation_is_left(
    profile: ModelProfile, group: Cluster
) -> None:
    link = group.link.model_copy(update={"bandwidth_bytes_per_s": ENDLESS, "latency_s": 0.0})
    table = cost_table(profile, group.model_copy(update={"link": link}), levels=LEVELS)
    assert table.latency_s == pytest.approx(table.compute_s, abs=1e-15)
    assert table.comm_s == pytest.approx(0, abs=1e-15)


@given(networks(), clusters())
def test_with_endless_speed_only_communication_is_left(
    profile: ModelProfile, group: Cluster
) -> None:
    fast = with_nodes(group, macs_per_s=ENDLESS, layer_overhead_s=0.0, memory_bytes_per_s=None)
    table = cost_table(profile, fast, levels=LEVELS)
    assert table.latency_s == pytest.approx(table.comm_s, abs=1e-15)


@given(networks(), clusters())
def test_overlap_hides_the_shorter_one(profile: ModelProfile, group: Cluster) -> None:
    apart = cost_table(profile, group, levels=LEVELS)
    table = cost_table(profile, group, CostSettings(overlap=True), LEVELS)
    assert np.array_equal(apart.latency_s, apart.comm_s + apart.compute_s)
    assert np.array_equal(table.latency_s, np.maximum(apart.comm_s, apart.compute_s))
    assert np.array_equal(table.comm_s, apart.comm_s)


@given(networks(), clusters(most=1))
def test_one_node_sends_nothing_and_does_everything(profile: ModelProfile, group: Cluster) -> None:
    table = cost_table(profile, group, levels=LEVELS)
    macs = np.array([layer.macs for layer in profile.layers])
    assert not table.comm_s.any() and not table.wire_bytes.any()
    assert not table.sparsifiable.any() and not table.allowed[:, 1:].any()
    assert np.array_equal(table.macs[:, 0, 0], macs)
    assert table.weight_bytes[:, 0, 0].tolist() == [layer.param_bytes for layer in profile.layers]
    node = group.nodes[0]
    if node.memory_bytes_per_s is None:
        expected = macs / node.macs_per_s + (macs > 0) * node.layer_overhead_s
        assert table.compute_s[:, 0] == pytest.approx(expected, rel=1e-12)


@given(chains(), clusters(least=2))
def test_independent_branches_send_nothing(profile: ModelProfile, group: Cluster) -> None:
    table = cost_table(profile, group, levels=(1.0,))
    assert not table.kept_features.any() and not table.comm_s.any()
    # what could be sent is known all the same, and none of it is
    assert np.array_equal(
        table.sparsifiable, cost_table(profile, group, levels=(0.0,)).sparsifiable
    )
    assert (table.comm_sparsity[:, 0] == table.sparsifiable).all()


@given(st.integers(2, 6), st.integers(1, 5), st.integers(1, 5))
def test_independent_branches_leave_one_nth_of_a_nodes_macs(nodes: int, a: int, b: int) -> None:
    profile = chain(a * nodes, b * nodes)
    table = cost_table(profile, cluster(nodes), levels=(0.0, 1.0))
    assert (table.macs[1, 1] * nodes == table.macs[1, 0]).all()


@given(networks(), clusters())
def test_dense_work_and_weights_add_up_to_the_layers(profile: ModelProfile, group: Cluster) -> None:
    table = cost_table(profile, group, levels=(0.0,))
    shares = group_shares(profile, group)
    for row, layer in enumerate(profile.layers):
        outputs = shares.outputs[row]
        if outputs.sum() > layer.out_features:
            continue  # an output that every node has is computed by every node
        assert table.macs[row, 0].sum() == layer.macs
        assert table.weight_bytes[row, 0].sum() == layer.param_bytes
        assert outputs.sum() == layer.out_features


@given(networks(), clusters())
def test_more_sparsity_never_costs_more(profile: ModelProfile, group: Cluster) -> None:
    table = cost_table(profile, group, levels=LEVELS)
    for falling in (
        table.latency_s,
        table.comm_s,
        table.compute_s,
        table.medium_s,
        table.wire_bytes,
        table.macs,
        table.weight_bytes,
        table.live_bytes,
    ):
        assert (np.diff(falling, axis=1) <= 0).all()
    assert (np.diff(table.comm_sparsity, axis=1) >= 0).all()
    assert (table.comp_sparsity[:, 0] <= 1e-12).all()


@given(networks(), clusters(), st.sampled_from([2.0, 4.0, 1024.0]))
def test_seconds_scale_with_the_slowness_of_everything(
    profile: ModelProfile, group: Cluster, factor: float
) -> None:
    slow_nodes = tuple(
        node.model_copy(
            update={
                "macs_per_s": node.macs_per_s / factor,
                "layer_overhead_s": node.layer_overhead_s * factor,
                "memory_bytes_per_s": node.memory_bytes_per_s and node.memory_bytes_per_s / factor,
            }
        )
        for node in group.nodes
    )
    slow = group.model_copy(
        update={
            "nodes": slow_nodes,
            "link": group.link.model_copy(
                update={
                    "bandwidth_bytes_per_s": group.link.bandwidth_bytes_per_s / factor,
                    "latency_s": group.link.latency_s * factor,
                }
            ),
            "pair_links": tuple(
                pair.model_copy(
                    update={
                        "bandwidth_bytes_per_s": pair.bandwidth_bytes_per_s / factor,
                        "latency_s": pair.latency_s * factor,
                    }
                )
                for pair in group.pair_links
            ),
        }
    )
    before, after = (
        cost_table(profile, group, levels=LEVELS),
        cost_table(profile, slow, levels=LEVELS),
    )
    assert after.latency_s == pytest.approx(before.latency_s * factor, rel=1e-12)


def sent(owned: Counts, sparsity: float, receives: np.ndarray[Any, np.dtype[np.bool_]]) -> Counts:
    """What every node sends to every other at one level, shape (L, 1, n, n)."""
    return to_each_other(kept_features(owned, np.array([sparsity])), receives[:, None])


@given(st.integers(0, 4096), st.fractions(0, 1, max_denominator=1000), st.integers(2, 5))
def test_kept_features_are_the_nearest_whole_number(
    held: int, sparsity: Fraction, nodes: int
) -> None:
    owned = np.full((1, nodes), held)
    receives = np.ones((1, nodes), dtype=np.bool_)
    kept = sent(owned, float(sparsity), receives)[0, 0]
    assert not np.diag(kept).any()
    count = int(kept[0, 1])
    assert (kept[~np.eye(nodes, dtype=np.bool_)] == count).all()
    wanted = (1 - sparsity) * held
    if sparsity == 1 or held == 0:
        assert count == 0
    elif wanted < Fraction(1, 2):
        assert count == 1
    else:
        # at a half both neighbours are nearest
        assert abs(count - wanted) <= Fraction(1, 2)


@pytest.mark.parametrize(
    "held, sparsity, kept",
    [
        (10, 0.0, 10),
        (10, 0.75, 3),  # 2.5 rounds up
        (10, 0.76, 2),
        (10, 0.99, 1),
        (10, 0.999999, 1),
        (10, 1.0, 0),
        (1, 0.6, 1),
        (32, 0.8, 6),
        (0, 0.0, 0),
    ],
)
def test_kept_features_by_hand(held: int, sparsity: float, kept: int) -> None:
    both = np.ones((1, 2), dtype=np.bool_)
    found = sent(np.array([[held, held]]), sparsity, both)
    assert found[0, 0].tolist() == [[0, kept], [kept, 0]]


def test_a_node_without_outputs_receives_nothing() -> None:
    receives = np.array([[True, False]])
    found = sent(np.array([[4, 4]]), 0.5, receives)
    assert found[0, 0].tolist() == [[0, 0], [2, 0]]
    # the only exchange that there is counts for S_comm
    assert comm_sparsity(found, np.array([[4, 4]]), receives).tolist() == [[0.5]]


@given(
    st.integers(0, 500),
    st.lists(st.integers(1, 1000), min_size=1, max_size=8),
    st.sampled_from([1, 2, 8]),
)
def test_shares_by_speed(units: int, speeds: list[int], granularity: int) -> None:
    features = units * granularity
    shares = shares_by_speed(features, np.array(speeds, dtype=float), granularity)
    assert shares.sum() == features
    assert (shares % granularity == 0).all()
    for share, speed in zip(shares.tolist(), speeds, strict=True):
        ideal = Fraction(units * speed, sum(speeds))
        assert math.floor(ideal) <= share // granularity <= math.ceil(ideal)
    if len(set(speeds)) == 1:
        assert shares.max() - shares.min() <= granularity
        assert shares.tolist() == sorted(shares.tolist(), reverse=True)


def test_six_heads_on_four_nodes() -> None:
    assert shares_by_speed(6, np.ones(4)).tolist() == [2, 2, 1, 1]
    assert shares_by_speed(6 * 64, np.ones(4), 64).tolist() == [128, 128, 64, 64]
    net = Net(3, 4)
    net.conv("image", 6 * 64, granularity=64)
    found = group_shares(net.profile(), cluster(4))
    assert found.outputs[0].tolist() == [128, 128, 64, 64]


def test_speeds_divide_the_work() -> None:
    profile = chain(8, 8)
    table = cost_table(profile, cluster([3e6, 1e6]), levels=(0.0,))
    assert table.macs[1, 0].tolist() == [6 * 8 * 4, 2 * 8 * 4]
    assert table.compute_s[1, 0] == pytest.approx(6 * 8 * 4 / 3e6)


def test_the_roofline_and_the_overhead() -> None:
    profile = chain(8, 8, pixels=4)
    node = (
        cluster(1).nodes[0].model_copy(update={"memory_bytes_per_s": 1e3, "layer_overhead_s": 0.5})
    )
    group = cluster(1).model_copy(update={"nodes": (node,)})
    table = cost_table(profile, group, levels=(0.0,))
    touched = (8 * 8 + 8 * 4 + 8 * 4) * 4  # weights, input, output
    assert table.compute_s[1, 0] == pytest.approx(touched / 1e3 + 0.5)
    fast = node.model_copy(update={"memory_bytes_per_s": 1e12})
    table = cost_table(profile, group.model_copy(update={"nodes": (fast,)}), levels=(0.0,))
    assert table.compute_s[1, 0] == pytest.approx(8 * 8 * 4 / 1e6 + 0.5)


def test_measured_seconds_replace_the_analytic_ones() -> None:
    profile = chain(8, 8)
    layers = tuple(
        layer.model_copy(update={"measured_s": {"generic": 2.0}}) for layer in profile.layers
    )
    measured = profile.model_copy(update={"layers": layers})
    table = cost_table(measured, cluster(2), levels=(0.0, 1.0))
    assert table.measured and not cost_table(profile, cluster(2)).measured
    # half of the outputs; then half of the inputs of those as well
    assert table.compute_s[1] == pytest.approx([1.0, 0.5])
    other = with_nodes(cluster(2), device_type="another")
    assert not cost_table(measured, other).measured


def test_memory_by_hand() -> None:
    net = Net(3, 4)
    first = net.conv("image", 8, bias=True)
    net.conv(first, 6, kernel=3, bias=True)
    table = cost_table(net.profile(), cluster(2), levels=(0.0, 0.5, 1.0))
    # node a: 3 of 6 outputs, its own 4 inputs and what it receives, 9 weights each; 3 biases
    assert table.weight_bytes[1, :, 0].tolist() == [
        4 * (3 * (4 + kept) * 9 + 3) for kept in (4, 2, 0)
    ]
    # its halves of input and output (4 elements each) and the receive buffer
    assert table.live_bytes[1, :, 0].tolist() == [4 * 4 * (4 + 3 + kept) for kept in (4, 2, 0)]
    # the image is on both nodes while it is read
    assert table.live_bytes[0, 0].tolist() == [4 * 4 * (3 + 4)] * 2


@pytest.mark.parametrize("casting", ["unicast", "broadcast"])
def test_memory_has_room_for_what_is_received_not_sent(casting: str) -> None:
    table = cost_table(chain(8, 8), cluster([3e6, 1e6], casting=casting), levels=(0.0,))
    # 6 and 2 features of 16 bytes in and out; the fast node receives 2, the slow one 6
    assert table.live_bytes[1, 0].tolist() == [16 * (6 + 6 + 2), 16 * (2 + 2 + 6)]


@given(networks(), clusters(least=2))
def test_counting_input_and_output(profile: ModelProfile, group: Cluster) -> None:
    names = tuple(node.name for node in group.nodes)
    off = Case(profile, group)
    assert [end.seconds for end in off.ends(names)] == [0, 0]
    on = Case(profile, group, CostSettings(count_input=True, count_output=True))
    assert on.ends(names)[0].seconds > 0
    assert np.array_equal(on.table(names).latency_s, off.table(names).latency_s)


def test_input_and_output_by_hand() -> None:
    profile = chain(8, image=3, pixels=4)
    settings = CostSettings(count_input=True, count_output=True)
    image, half_output = 3 * 4 * 4, 4 * 4 * 4
    for nodes, casting, sent in ((2, "unicast", 1), (3, "unicast", 2), (3, "broadcast", 1)):
        case = Case(profile, cluster(nodes, casting=casting), settings)
        assert case.ends(case.names(nodes))[0].seconds == pytest.approx(sent * image / 1e6)
    case = Case(profile, cluster(2, latency_s=0.1), settings)
    output = case.ends(case.names(2))[1]
    assert output.seconds == pytest.approx(half_output / 1e6 + 0.1)
    assert output.busy_s == pytest.approx(half_output / 1e6)
    alone = Case(profile, cluster(1), settings)
    assert [end.seconds for end in alone.ends(alone.names(1))] == [0, 0]


@given(networks(), clusters(equal=True))
def test_equal_nodes_are_equal_within_one(profile: ModelProfile, group: Cluster) -> None:
    assume(len(group.nodes) > 1)
    shares = group_shares(profile, group)
    for row, layer in enumerate(profile.layers):
        if layer.feature_flow == "mixing":
            assert np.ptp(shares.outputs[row]) <= layer.granularity


def test_a_time_per_operator_of_a_kind_is_paid_by_that_kind_alone() -> None:
    """Layers without MACs have one only where it is given; views never."""
    profile = load_model("mobilenetv2-224")
    node = Node(name="one", macs_per_s=1e10)
    group = Cluster(name="one", nodes=(node,), link=Link(bandwidth_bytes_per_s=1e6))

    def seconds(**overheads: float) -> float:
        field = {"layer_overhead_s_by_kind": {k.replace("_", "-"): v for k, v in overheads.items()}}
        return single_node(Case(profile, with_nodes(group, **field))).predicted.latency_s

    kinds = Counter(layer.kind for layer in profile.layers)
    assert kinds["element-wise"] > 30 and kinds["depthwise"] == 17 and kinds[None] > 50
    bare = seconds()
    assert seconds(element_wise=1e-3) == pytest.approx(bare + 1e-3 * kinds["element-wise"])
    assert seconds(depthwise=1e-3) == pytest.approx(bare + 1e-3 * 17)
    assert seconds(attention=1e-3) == bare


def test_the_memory_bandwidth_of_a_kind_binds_that_kind_alone() -> None:
    """So slow that it binds every operator, it costs them their bytes over it, and no other."""
    profile = load_model("mobilenetv2-224")
    node = Node(name="one", macs_per_s=1e10)
    group = Cluster(name="one", nodes=(node,), link=Link(bandwidth_bytes_per_s=1e6))

    def seconds(case: Cluster) -> float:
        return single_node(Case(profile, case)).predicted.latency_s

    def of_kind(field: str) -> float:
        layers = [layer for layer in profile.layers if layer.kind == "depthwise"]
        return sum(float(getattr(layer, field)) for layer in layers)

    slow = with_nodes(group, memory_bytes_per_s_by_kind={"depthwise": 1e6})
    expected = seconds(group) - of_kind("macs") / 1e10 + of_kind("touched_bytes") / 1e6
    assert seconds(slow) == pytest.approx(expected)
    common = with_nodes(group, memory_bytes_per_s=1e6)
    spared = with_nodes(
        group, memory_bytes_per_s=1e6, memory_bytes_per_s_by_kind={"depthwise": 1e18}
    )
    gained = of_kind("touched_bytes") / 1e6 - of_kind("macs") / 1e10
    assert seconds(common) - seconds(spared) == pytest.approx(gained)
    faster = tuned_cluster(slow, memory_bytes_per_s=2e6)
    assert faster.nodes[0].memory_bytes_per_s_by_kind == {"depthwise": 1e6}  # it had no other
    twice = tuned_cluster(spared, memory_bytes_per_s=2e6)
    assert twice.nodes[0].memory_bytes_per_s_by_kind == {"depthwise": 2e18}

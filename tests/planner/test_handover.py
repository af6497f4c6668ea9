"""Changes of group: every pair of groups at once, single nodes among them, inputs read again."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.case import Case
from planner.cost import handover
from planner.cost.handover import Handovers, Member
from planner.cost.table import group_shares
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings
from planner.structure import allocation_units, tensor_bytes
from profiles.catalog import load_cluster, load_model
from tests.planner.builders import Net, chain, cluster
from tests.planner.generators import clusters, networks

FEATURE = 4 * 4  # bytes of a feature of four float32 elements
COUNTED = CostSettings(count_input=True, count_output=True)


def pairs_alone(profile: ModelProfile, group: Cluster) -> list[tuple[Member, Member]]:
    """Every node to every other, each a group of its own."""
    shares = group_shares(profile, group.first(1))
    alone = [Member((index,), shares) for index in range(len(group.nodes))]
    return list(itertools.permutations(alone, 2))


@given(networks(), clusters(least=2))
def test_a_message_between_two_nodes_takes_its_bytes_and_the_delay(
    profile: ModelProfile, group: Cluster
) -> None:
    pairs = list(itertools.permutations(range(len(group.nodes)), 2))
    found = Handovers(profile, group, CostSettings()).between_pairs(pairs_alone(profile, group))
    sizes = tensor_bytes(profile)
    b, delay = group.pair_bandwidth_bytes_per_s(), group.pair_latency_s()
    slowest = min(b[pair] for pair in pairs)
    for cut, unit in enumerate(allocation_units(profile)[:-1]):
        made = [layer.name for layer in profile.layers[: unit.stop]]
        read = {name for layer in profile.layers[unit.stop :] for name in layer.inputs}
        size = sum(sizes[name] for name in made if name in read or name in profile.outputs)
        for row, pair in enumerate(pairs):
            bandwidth = slowest if group.medium == "shared" else b[pair]
            assert found.seconds[row, cut] == (size / bandwidth + delay[pair] if size else 0)
            assert found.busy_s[row, cut] == size / bandwidth  # a delay occupies nothing


@given(networks(), clusters(least=3), st.booleans())
def test_all_pairs_at_once_are_the_pairs_one_by_one(
    profile: ModelProfile, group: Cluster, counted: bool
) -> None:
    nodes = range(len(group.nodes))
    names = [node.name for node in group.nodes]
    groups = [(0,), (1,), (2, 1), (0, 1), tuple(nodes)[1:], tuple(nodes)]
    members = [
        Member(positions, group_shares(profile, group.only([names[p] for p in positions])))
        for positions in groups
    ]
    handovers = Handovers(profile, group, CostSettings(count_input=counted))
    pairs = [
        (sender, receiver)
        for sender, receiver in itertools.product(members, repeat=2)
        if not set(sender.positions) & set(receiver.positions)
    ]
    found = handovers.between_pairs(pairs)
    for row, pair in enumerate(pairs):
        one = handovers.between_pairs([pair])
        assert np.array_equal(found.seconds[row], one.seconds[0])
        assert np.array_equal(found.busy_s[row], one.busy_s[0])
        assert np.array_equal(found.medium_s[row], one.medium_s[0])


def test_equal_nodes_are_counted_and_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_model("esrgan")
    ring = load_cluster("small-nodes")
    nodes = tuple(ring.nodes[0].model_copy(update={"name": f"n{k}"}) for k in range(64))
    ring = ring.model_copy(update={"nodes": nodes, "source_node": None})
    calls = []
    timed = handover.time_exchange
    monkeypatch.setattr(handover, "time_exchange", lambda *a: calls.append(1) or timed(*a))
    found = Handovers(profile, ring, CostSettings()).between_pairs(pairs_alone(profile, ring))
    assert len(calls) == 1
    assert found.seconds.shape == (64 * 63, len(allocation_units(profile)) - 1)
    assert (found.seconds == found.seconds[0]).all()


def test_a_long_count_can_be_stopped() -> None:
    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    profile, ring = chain(8, 8), cluster(2)
    with pytest.raises(Stopped):
        Handovers(profile, ring, CostSettings()).between_pairs(pairs_alone(profile, ring), stop)


def image_read_again() -> ModelProfile:
    """8 features made of the image twice, and the image added behind the second."""
    net = Net(8, 4)
    net.add(net.conv(net.conv("image", 8), 8), "image")
    net.conv("add_2", 8)
    return net.profile()


def test_an_input_that_is_read_again_is_on_every_node_already() -> None:
    case = Case(image_read_again(), cluster(3))
    found = case.transfers([(("a",), ("b",))]).seconds[0]
    assert found.tolist() == pytest.approx([8 * FEATURE / 1e6, 8 * FEATURE / 1e6])
    # half of the features come from each of two nodes, into one interface
    assert case.transfers([(("a", "b"), ("c",))]).seconds[0].tolist() == found.tolist()


def test_an_input_that_is_counted_goes_on_with_the_live_tensors() -> None:
    case = Case(image_read_again(), cluster(3), CostSettings(count_input=True))
    once, twice = 8 * FEATURE / 1e6, 16 * FEATURE / 1e6
    # behind the first cut the image is still to be read, behind the second it is not
    assert case.transfers([(("a",), ("b",))]).seconds[0].tolist() == pytest.approx([twice, once])
    # the source holds it: the first group need not be sent it, another one is
    assert case.ends(("a",))[0].seconds == 0
    assert case.ends(("b",))[0].seconds == pytest.approx(once)


def test_whoever_reads_an_input_last_pays_for_it_once() -> None:
    """Through any groups on the way, each cut before the last reader carries the input."""
    profile = image_read_again()
    plain = Case(profile, cluster(3))
    counted = replace(plain, settings=CostSettings(count_input=True))
    more = [
        counted.transfers([pair]).seconds[0] - plain.transfers([pair]).seconds[0]
        for pair in ((("a",), ("b",)), (("b",), ("c",)))
    ]
    image = 8 * FEATURE / 1e6
    assert [[round(s / image, 9) for s in seconds] for seconds in more] == [[1, 0], [1, 0]]

"""Algorithms of collectives: the bytes that pass each link, the rounds, what occupies whom."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, log2
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.case import Case
from planner.cost.exchange import Exchanged, Links, time_exchange
from planner.cost.rounds import rounds_of
from planner.domain.cluster import Cluster, Collective
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.request import Request
from planner.domain.settings import CostSettings
from planner.strategies.costed import predict
from planner.strategies.optimise import find_plan
from tests.planner.builders import chain, cluster

B, DELAY = 1e6, 0.01
RELAYS: tuple[Collective, ...] = ("ring", "tree", "star")
Matrix = np.ndarray[Any, np.dtype[np.int64]]


def nothing(nodes: int) -> Matrix:
    return np.zeros((nodes, nodes), dtype=np.int64)


def all_gather(sizes: list[int]) -> Matrix:
    """What each node holds, to all others."""
    sent = np.repeat(np.array(sizes)[:, None], len(sizes), axis=1)
    np.fill_diagonal(sent, 0)
    return sent


def timed(
    group: Cluster, collective: Collective, selected: Matrix, moved: Matrix, added: Matrix
) -> Exchanged:
    links = Links.of(group, CostSettings(collective=collective), element_bytes=4)
    return time_exchange(selected, moved, links, added)


def gathered(nodes: int, collective: Collective, size: int = 1000, **fields: Any) -> Exchanged:
    """An all-gather of equal parts."""
    group = cluster(nodes, bandwidth_bytes_per_s=B, **fields)
    none = nothing(nodes)
    return timed(group, collective, all_gather([size] * nodes), none, none)


@pytest.mark.parametrize("nodes", range(2, 10))
def test_an_all_gather_of_equal_parts_takes_as_many_bytes_however_it_is_passed_on(
    nodes: int,
) -> None:
    wire_s = (nodes - 1) * 1000 / B
    for collective in ("direct", "ring", "tree"):
        assert gathered(nodes, collective).wire_s == pytest.approx(wire_s, rel=1e-12), collective
    # through a root: all parts into it but its own, and everything out to each of the others
    out = (nodes - 1) * (nodes - 1)
    star = gathered(nodes, "star").wire_s
    assert star == pytest.approx(((nodes - 1) + out) * 1000 / B, rel=1e-12)


@pytest.mark.parametrize("nodes", range(2, 10))
def test_delays_are_those_of_the_rounds(nodes: int) -> None:
    rounds = {"direct": 1, "ring": nodes - 1, "tree": ceil(log2(nodes)), "star": 2}
    for collective, count in rounds.items():
        found = gathered(nodes, collective, latency_s=DELAY)  # type: ignore[arg-type]
        known = gathered(nodes, collective)  # type: ignore[arg-type]
        assert found.latency_s == pytest.approx(known.latency_s + count * DELAY, rel=1e-9)
        assert found.wire_s == known.wire_s and found.medium_s == known.medium_s


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=7))
def test_a_reduce_scatter_is_an_all_gather_backwards(sizes: list[int]) -> None:
    """Node j ends with the sum of ``sizes[j]`` bytes, of which all others have their parts."""
    nodes = len(sizes)
    group, none = cluster(nodes, bandwidth_bytes_per_s=B), nothing(nodes)
    for collective in ("ring", "tree"):
        there = rounds_of(all_gather(sizes), none, none, collective)
        back = rounds_of(none, none, all_gather(sizes).T, collective)
        total = [sum(sent.moved for sent in each) for each in (there, back)]
        # as many bytes altogether, over each link the other way round or along the ring
        assert total[0].sum() == total[1].sum()
    star = timed(group, "star", none, none, all_gather(sizes).T)
    up = sum(sum(sizes) - sizes[k] for k in range(1, nodes))
    assert star.wire_s == pytest.approx((up + sum(sizes[1:])) / B, rel=1e-12)


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=8))
def test_every_block_arrives_whatever_its_size(sizes: list[int]) -> None:
    """Blocks are followed by name through the rounds: bytes are those of what is passed on."""
    nodes = len(sizes)
    for collective in RELAYS:
        has = [{k} for k in range(nodes)]
        for sent in rounds_of(all_gather(sizes), nothing(nodes), nothing(nodes), collective):
            before = [set(blocks) for blocks in has]
            for i, j in np.argwhere(sent.moved > 0).tolist():
                has[j] |= _passed(before[i], int(sent.moved[i, j]), sizes, before[j])
        assert all(blocks == set(range(nodes)) for blocks in has), collective


def _passed(has: set[int], size: int, sizes: list[int], known: set[int]) -> set[int]:
    """Blocks that a node has, the other lacks, and that make up so many bytes."""
    new = sorted(has - known)
    for count in range(1, 1 << len(new)):
        chosen = {block for at, block in enumerate(new) if count >> at & 1}
        if sum(sizes[block] for block in chosen) == size:
            return chosen
    raise AssertionError(f"no blocks of {size} bytes")


@given(st.integers(2, 6), st.data())
def test_the_best_is_the_best_of_those_without_a_root(nodes: int, data: st.DataObject) -> None:
    sizes = st.integers(0, 10**6)
    drawn = [
        np.array([[data.draw(sizes) * (i != j) for j in range(nodes)] for i in range(nodes)])
        for _ in range(3)
    ]
    group = cluster(nodes, bandwidth_bytes_per_s=B, latency_s=data.draw(st.sampled_from([0, 0.1])))
    found = timed(group, "best", *drawn)
    each = [timed(group, collective, *drawn) for collective in ("direct", "ring", "tree")]
    assert found.latency_s == min(other.latency_s for other in each)
    assert any(found.wire_s == other.wire_s for other in each)


def test_what_goes_to_one_node_alone_is_sent_directly() -> None:
    halo = np.diag([500, 500, 500], k=1) + np.diag([500, 500, 500], k=-1)
    group = cluster(4, bandwidth_bytes_per_s=B, latency_s=DELAY)
    direct = timed(group, "direct", nothing(4), halo, nothing(4))
    for collective in ("ring", "tree"):
        found = timed(group, collective, nothing(4), halo, nothing(4))  # type: ignore[arg-type]
        assert found.latency_s == direct.latency_s and found.wire_s == direct.wire_s


def with_software(group: Cluster, **fields: float) -> Cluster:
    return group.model_copy(
        update={"nodes": tuple(node.model_copy(update=fields) for node in group.nodes)}
    )


def test_software_of_messages_occupies_the_nodes_by_hand() -> None:
    group = cluster(3, bandwidth_bytes_per_s=B)
    slow = with_software(
        group, message_send_s=0.5, message_receive_s=0.25, message_bytes_per_s=1000.0
    )
    none = nothing(3)
    found = timed(slow, "direct", all_gather([100] * 3), none, none)
    # two messages out and two in of 100 bytes each; the packing of a byte takes 1 ms
    send, receive = 2 * 0.5 + 0.2, 2 * 0.25 + 0.2
    assert found.software_s == pytest.approx(send + receive)
    assert found.latency_s == pytest.approx(200 / B + send + receive)
    assert found.wire_s == pytest.approx(200 / B)
    assert found.node_s.tolist() == pytest.approx([200 / B + send + receive] * 3)
    # a broadcast is one message, and all others receive it
    cast = slow.model_copy(update={"casting": "broadcast"})
    once = timed(cast, "direct", all_gather([100] * 3), none, none)
    assert once.software_s == pytest.approx(0.5 + 0.1 + receive)


def test_without_software_or_delay_nothing_is_added() -> None:
    for collective in ("direct", *RELAYS):
        found = gathered(4, collective)  # type: ignore[arg-type]
        assert found.software_s == 0 and found.latency_s == found.wire_s


def test_a_switch_carries_so_much_together() -> None:
    group = cluster(4, bandwidth_bytes_per_s=B)
    none = nothing(4)
    sent = all_gather([1000] * 4)
    for switch in (B, 3 * B, 1e9):
        through = group.model_copy(update={"switch_bytes_per_s": switch})
        found = timed(through, "direct", sent, none, none)
        assert found.medium_s == pytest.approx(12_000 / switch)
        assert found.wire_s == pytest.approx(max(12_000 / switch, 3000 / B))


def test_a_roots_port_is_its_own() -> None:
    group = cluster(3, bandwidth_bytes_per_s=B)
    nodes = (group.nodes[0].model_copy(update={"interface_bytes_per_s": B / 4}), *group.nodes[1:])
    narrow = group.model_copy(update={"nodes": nodes})
    none = nothing(3)
    wide = timed(group, "star", all_gather([1000] * 3), none, none)
    found = timed(narrow, "star", all_gather([1000] * 3), none, none)
    assert found.wire_s == pytest.approx(4 * wide.wire_s)


@pytest.mark.parametrize("delay_s", [0.0, 0.03, 10.0])
def test_a_links_delay_never_limits_the_rate(delay_s: float) -> None:
    """However long a link is, as many inputs a second pass it: they follow one another."""
    profile = chain(8, 8, 8, 8)
    case = Case(profile, cluster(3, latency_s=delay_s))
    request = Request(3, objective="throughput")
    plan, result = find_plan(case, request)
    known, _ = find_plan(Case(profile, cluster(3)), request)
    assert plan is not None and known is not None
    assert result.certificate.status == "optimal"
    assert plan.predicted.throughput_per_s == known.predicted.throughput_per_s
    assert predict(case, plan.stages).latency_s >= known.predicted.latency_s


def test_more_software_never_makes_an_exchange_shorter() -> None:
    group = cluster(4, bandwidth_bytes_per_s=B, latency_s=DELAY)
    none, sent = nothing(4), all_gather([1000, 10, 300, 7])
    for collective in ("direct", "in-series", *RELAYS, "best"):
        found = [
            timed(with_software(group, message_send_s=s), collective, sent, none, none)  # type: ignore[arg-type]
            for s in (0.0, 1e-3, 0.1)
        ]
        assert all(a.latency_s < b.latency_s for a, b in pairwise(found))
        assert all(a.software_s < b.software_s for a, b in pairwise(found))


def test_software_of_a_handover_occupies_the_nodes_of_both_stages() -> None:
    """They cannot compute meanwhile: between two results each does both."""
    profile = chain(8, 8, 8)
    slow = with_software(cluster(2, latency_s=5.0), message_send_s=0.5, message_receive_s=0.25)
    case = Case(profile, slow)
    names = [layer.name for layer in profile.layers]
    stages = tuple(
        StagePlan(nodes=(node,), layers=tuple(LayerPlan(name=n, nodes=1) for n in mine))
        for node, mine in (("a", names[:2]), ("b", names[2:]))
    )
    found = predict(case, stages)
    first, second = (3 * 8 + 8 * 8) * 4 / 1e6, 8 * 8 * 4 / 1e6
    wire = 8 * 4 * 4 / 1e6
    assert found.latency_s == pytest.approx(first + 0.5 + wire + 5.0 + 0.25 + second)
    assert found.throughput_per_s == pytest.approx(1 / max(first + 0.5, second + 0.25, wire))
    # with overlap links and nodes are apart, but software keeps a node from computing all the same
    hidden = predict(Case(profile, slow, CostSettings(overlap=True)), stages)
    assert hidden.throughput_per_s == found.throughput_per_s

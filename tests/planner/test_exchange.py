"""Seconds of an exchange on every medium: limit cases and a second computation in plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.cost.exchange import Links, time_exchange, transfer_s
from planner.domain.cluster import Casting, Cluster, Medium, PairLink
from planner.domain.settings import CostSettings
from tests.planner.builders import cluster
from tests.planner.generators import clusters

B = 1e6
MEDIA: tuple[Medium, ...] = ("full_duplex", "half_duplex", "shared")


def links(group: Cluster, medium: Medium | None = None, casting: Casting | None = None) -> Links:
    return Links.of(group, CostSettings(medium=medium, casting=casting), element_bytes=4)


def matrix(nodes: int, size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Every node sends ``size`` bytes to every other."""
    return size * (1 - np.eye(nodes, dtype=np.int64))


def exchange_s(selected: Any, moved: Any, on: Links) -> Any:
    return time_exchange(selected, moved, on).latency_s


def medium_s(selected: Any, moved: Any, on: Links) -> Any:
    return time_exchange(selected, moved, on).medium_s


def node_exchange_s(selected: Any, moved: Any, on: Links) -> Any:
    return time_exchange(selected, moved, on).node_s


def nothing(nodes: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.zeros((nodes, nodes), dtype=np.int64)


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[Cluster, list[list[int]], list[list[int]]]:
    group = draw(clusters(least=2))
    n = len(group.nodes)
    sizes = st.integers(0, 10) | st.integers(0, 10**7)

    def square() -> list[list[int]]:
        return [[0 if i == j else draw(sizes) for j in range(n)] for i in range(n)]

    return group, square(), square()


def in_plain_loops(group: Cluster, selected: list[list[int]], moved: list[list[int]]) -> float:
    """Eq. 3 to 5 of docs/model.md, node by node."""
    n = len(group.nodes)
    b = [[group.link.bandwidth_bytes_per_s] * n for _ in range(n)]
    delay = [[group.link.latency_s] * n for _ in range(n)]
    names = [node.name for node in group.nodes]
    for pair in group.pair_links:
        i, j = (names.index(end) for end in pair.between)
        b[i][j] = b[j][i] = pair.bandwidth_bytes_per_s
        delay[i][j] = delay[j][i] = pair.latency_s
    others = [[j for j in range(n) if j != i] for i in range(n)]
    broadcast = group.casting == "broadcast"
    sent = [(max if broadcast else sum)(selected[i]) + sum(moved[i]) for i in range(n)]
    received = [sum(selected[i][j] + moved[i][j] for i in others[j]) for j in range(n)]
    pairs = [[selected[i][j] + moved[i][j] for j in range(n)] for i in range(n)]
    if group.medium == "shared":
        seconds = sum(sent) / min(b[i][j] for i in range(n) for j in others[i])
    else:
        both = [
            max(s, r) if group.medium == "full_duplex" else s + r
            for s, r in zip(sent, received, strict=True)
        ]
        by_interface = [both[i] / max(b[i][j] for j in others[i]) for i in range(n)]
        by_pair = [pairs[i][j] / b[i][j] for i in range(n) for j in others[i]]
        seconds = max(*by_interface, *by_pair)
    sent_on = [(i, j) for i in range(n) for j in others[i] if pairs[i][j]]
    if group.collective == "in-series":
        out = [sum(delay[i][j] for i, j in sent_on if i == k) for k in range(n)]
        back = [sum(delay[i][j] for i, j in sent_on if j == k) for k in range(n)]
        return seconds + max(*out, *back)
    return seconds + max((delay[i][j] for i, j in sent_on), default=0.0)


@given(exchanges())
def test_exchange_equals_a_computation_in_plain_loops(
    drawn: tuple[Cluster, list[list[int]], list[list[int]]],
) -> None:
    group, selected, moved = drawn
    for collective in ("direct", "in-series"):
        group = group.model_copy(update={"collective": collective})
        found = exchange_s(np.array(selected), np.array(moved), links(group))
        assert found == pytest.approx(in_plain_loops(group, selected, moved), rel=1e-12)


@given(st.integers(2, 6), st.integers(1, 10**9))
def test_half_duplex_is_twice_full_duplex_when_all_send_alike(nodes: int, size: int) -> None:
    group = cluster(nodes, bandwidth_bytes_per_s=B)
    bytes_ = matrix(nodes, size)
    full = exchange_s(bytes_, nothing(nodes), links(group, "full_duplex"))
    half = exchange_s(bytes_, nothing(nodes), links(group, "half_duplex"))
    assert full == pytest.approx((nodes - 1) * size / B, rel=1e-15)
    assert half == pytest.approx(2 * full, rel=1e-15)


@given(st.integers(2, 6), st.integers(1, 10**9))
def test_a_shared_medium_carries_the_sum_of_all_bytes(nodes: int, size: int) -> None:
    group = cluster(nodes, bandwidth_bytes_per_s=B, medium="shared")
    bytes_ = matrix(nodes, size)
    found = exchange_s(bytes_, nothing(nodes), links(group))
    assert found == pytest.approx(nodes * (nodes - 1) * size / B, rel=1e-15)
    assert medium_s(bytes_, nothing(nodes), links(group)) == found
    for medium in ("full_duplex", "half_duplex"):
        assert medium_s(bytes_, nothing(nodes), links(group, medium)) == 0


def test_a_broadcast_carries_each_senders_largest_subset_once() -> None:
    group = cluster(3, bandwidth_bytes_per_s=B, medium="shared")
    selected = np.array([[0, 300, 200], [100, 0, 100], [0, 0, 0]])
    moved = np.array([[0, 0, 10], [0, 0, 0], [5, 0, 0]])
    unicast = exchange_s(selected, moved, links(group, casting="unicast"))
    broadcast = exchange_s(selected, moved, links(group, casting="broadcast"))
    assert unicast == pytest.approx((500 + 200 + 15) / B)
    assert broadcast == pytest.approx((300 + 100 + 15) / B)  # a move has one receiver


@given(exchanges())
def test_broadcast_never_takes_longer_than_unicast(
    drawn: tuple[Cluster, list[list[int]], list[list[int]]],
) -> None:
    group, selected, moved = drawn
    sizes = np.array(selected), np.array(moved)
    unicast = exchange_s(*sizes, links(group, casting="unicast"))
    assert exchange_s(*sizes, links(group, casting="broadcast")) <= unicast


@given(clusters(least=2), st.integers(0, 10**9), st.data())
def test_a_transfer_is_an_exchange_with_a_single_pair(
    group: Cluster, size: int, data: st.DataObject
) -> None:
    pairs = st.permutations(range(len(group.nodes))).map(lambda order: order[:2])
    sender, receiver = data.draw(pairs)
    message = nothing(len(group.nodes))
    message[sender, receiver] = size
    for medium in MEDIA:
        on = links(group, medium)
        found = transfer_s(np.array(size), on)
        assert found[sender, receiver] == exchange_s(nothing(len(message)), message, on)
        assert not np.diag(found).any()


def test_a_direct_exchange_is_delayed_once() -> None:
    """As the messages go at once; one after another only where the cluster says so."""
    group = cluster(4, bandwidth_bytes_per_s=1e20, latency_s=0.01)
    assert exchange_s(matrix(4, 1), nothing(4), links(group)) == pytest.approx(0.01)
    in_series = group.model_copy(update={"collective": "in-series"})
    assert exchange_s(matrix(4, 1), nothing(4), links(in_series)) == pytest.approx(3 * 0.01)
    one_message = nothing(4)
    one_message[0, 1] = 1
    assert exchange_s(nothing(4), one_message, links(group)) == pytest.approx(0.01)
    assert exchange_s(nothing(4), nothing(4), links(group)) == 0


def test_no_pair_is_faster_than_its_own_link() -> None:
    slow = PairLink(between=("a", "b"), bandwidth_bytes_per_s=B / 10)
    group = cluster(3, bandwidth_bytes_per_s=B, pair_links=(slow,))
    found = exchange_s(matrix(3, 1000), nothing(3), links(group))
    assert found == pytest.approx(1000 / (B / 10))
    # with most bytes elsewhere the interface binds: all that node c sends
    uneven = matrix(3, 1000)
    uneven[2] = [9000, 9000, 0]
    assert exchange_s(uneven, nothing(3), links(group)) == pytest.approx(18000 / B)


def test_a_shared_medium_is_as_fast_as_its_slowest_pair_that_exists() -> None:
    fast = PairLink(between=("a", "b"), bandwidth_bytes_per_s=10 * B)
    group = cluster(2, bandwidth_bytes_per_s=B, pair_links=(fast,), medium="shared")
    found = exchange_s(matrix(2, 1000), nothing(2), links(group))
    assert found == pytest.approx(2000 / (10 * B))


@given(exchanges(), st.sampled_from(MEDIA), st.sampled_from(["unicast", "broadcast"]))
def test_no_node_is_busy_for_longer_than_the_exchange(
    case: tuple[Cluster, list[list[int]], list[list[int]]], medium: Medium, casting: Casting
) -> None:
    group, *sizes = case
    selected, moved = (np.array(size) for size in sizes)
    among = links(group, medium, casting)
    mine = node_exchange_s(selected, moved, among)
    whole = exchange_s(selected, moved, among)
    assert mine.shape == (len(group.nodes),)
    assert mine.max() <= whole
    pairs = selected + moved
    alone = (pairs.sum(axis=0) == 0) & (pairs.sum(axis=1) == 0)
    assert np.array_equal(mine > 0, ~alone)
    if not among.pair_latency_s.any():
        assert mine.max() == whole
    assert mine.max() == time_exchange(selected, moved, among).wire_s  # a delay occupies nothing


def test_nodes_that_send_alike_are_busy_for_the_whole_exchange() -> None:
    group = cluster(3)
    bytes_ = matrix(3, 1000)
    for medium in MEDIA:
        mine = node_exchange_s(bytes_, nothing(3), links(group, medium))
        assert mine.tolist() == [exchange_s(bytes_, nothing(3), links(group, medium))] * 3

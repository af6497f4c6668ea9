"""Runs by algebra: what one, two and four nodes take for acts that are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.cost.exchange import Ends, Links
from planner.domain.cluster import Cluster, Link, Node, PairLink
from planner.errors import InconsistentResultError
from planner.run.simulated import Act, Sends, Waits, Works, simulate_run

B, DELAY = 1e6, 1e-3


def network(nodes: int = 2, **changes: object) -> Links:
    made = tuple(Node(name=f"n{i}", macs_per_s=1.0) for i in range(nodes))
    link = Link(bandwidth_bytes_per_s=B, latency_s=DELAY)
    found = Links.of(Cluster(name="c", nodes=made, link=link), element_bytes=4)
    return replace(found, **changes)  # type: ignore[arg-type]


def test_a_node_alone_takes_the_sum_of_its_work() -> None:
    found = simulate_run([[Works(0.25), Works(0.5)]], network(1))
    assert found.latency_s == pytest.approx(0.75)
    assert found.spans_s[0].tolist() == [[0.0, 0.25], [0.25, 0.75]]


def test_a_message_takes_software_bytes_and_delay() -> None:
    net = network(
        out=Ends(np.full(2, B), np.array([1e-4, 0]), np.full(2, 1e-8)),
        into=Ends(np.full(2, B), np.array([0, 2e-4]), np.full(2, 3e-8)),
    )
    acts: list[list[Act]] = [[Works(0.1), Sends(1, "m", 1000)], [Waits(0, "m"), Works(0.2)]]
    found = simulate_run(acts, net)
    sent = 0.1 + 1e-4 + 1000 * 1e-8
    assert found.spans_s[0][1].tolist() == pytest.approx([0.1, sent])
    assert found.latency_s == pytest.approx(sent + 1000 / B + DELAY + 2e-4 + 1000 * 3e-8 + 0.2)


def test_sending_does_not_hold_the_sender_up() -> None:
    acts: list[list[Act]] = [[Sends(1, "m", 10**6), Works(0.3)], [Waits(0, "m")]]
    found = simulate_run(acts, network())
    assert found.spans_s[0][1].tolist() == pytest.approx([0.0, 0.3])
    assert found.latency_s == pytest.approx(1 + DELAY)


def test_messages_of_a_pair_follow_one_another() -> None:
    acts: list[list[Act]] = [
        [Sends(1, "a", 10**6), Sends(1, "b", 10**6)],
        [Waits(0, "a"), Waits(0, "b")],
    ]
    found = simulate_run(acts, network())
    assert found.spans_s[1][:, 1].tolist() == pytest.approx([1 + DELAY, 2 + DELAY])


def exchange(nodes: int, size: int) -> list[list[Act]]:
    """Everybody sends everybody else a message."""
    acts: list[list[Act]] = [[] for _ in range(nodes)]
    for i, j in permutations(range(nodes), 2):
        acts[i].append(Sends(j, f"{i}>{j}", size))
    for i, j in permutations(range(nodes), 2):
        acts[j].append(Waits(i, f"{i}>{j}"))
    return acts


@given(st.integers(2, 5), st.integers(1, 10**6))
def test_an_exchange_of_all_fills_what_the_medium_has(nodes: int, size: int) -> None:
    acts = exchange(nodes, size)
    each = (nodes - 1) * size / B
    for medium, factor in (("full_duplex", 1), ("half_duplex", 2), ("shared", nodes)):
        found = simulate_run(acts, network(nodes, medium=medium))
        assert found.latency_s == pytest.approx(each * factor + DELAY)
    switch = simulate_run(acts, network(nodes, switch_bytes_per_s=B / 2))
    assert switch.latency_s == pytest.approx(2 * nodes * each + DELAY)


def test_what_shares_nothing_is_not_slowed_down() -> None:
    """0 to 1 and 2 to 3 at once; 0 to 1 and 0 to 2 share the sender, and a slow link its own."""
    apart: list[list[Act]] = [
        [Sends(1, "a", 10**6)],
        [Waits(0, "a")],
        [Sends(3, "b", 10**6)],
        [Waits(2, "b")],
    ]
    assert simulate_run(apart, network(4)).latency_s == pytest.approx(1 + DELAY)
    nodes = tuple(Node(name=f"n{i}", macs_per_s=1.0) for i in range(3))
    slow = PairLink(between=("n0", "n1"), bandwidth_bytes_per_s=B / 4)
    link = Link(bandwidth_bytes_per_s=B)
    star = Links.of(Cluster(name="c", nodes=nodes, link=link, pair_links=(slow,)), element_bytes=4)
    acts: list[list[Act]] = [
        [Sends(1, "a", 10**6), Sends(2, "b", 10**6)],
        [Waits(0, "a")],
        [Waits(0, "b")],
    ]
    found = simulate_run(acts, star)
    # the slow link takes a quarter of the sender's, the other message all that is left
    assert found.spans_s[1][0, 1] == pytest.approx(4)
    assert found.spans_s[2][0, 1] == pytest.approx(4 / 3)


def test_a_wait_for_nothing_is_said() -> None:
    with pytest.raises(InconsistentResultError, match="waits for 'm' of node 0"):
        simulate_run([[Works(1.0)], [Waits(0, "m")]], network())


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0, 1))
def test_more_work_or_a_later_start_never_ends_earlier(works: list[float], more: float) -> None:
    def run(extra: float, start: float) -> float:
        acts: list[list[Act]] = [[], []]
        for number, seconds in enumerate(works):
            me, other = number % 2, 1 - number % 2
            acts[me] += [Works(seconds + extra), Sends(other, str(number), 1000)]
            acts[other].append(Waits(me, str(number)))
        return simulate_run(acts, network(), [0.0, start]).latency_s

    assert run(more, 0.0) >= run(0.0, 0.0) - 1e-12
    assert run(0.0, more) >= run(0.0, 0.0) - 1e-12

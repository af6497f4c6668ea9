"""Shares of features in exact arithmetic: ties, units of speed, nodes in another order."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.case import Case
from planner.cost.ownership import feature_shares
from planner.domain.flows import FLOWS
from planner.domain.owners import (
    REPLICATED,
    count_handed_over,
    count_moves,
    shares_by_speed,
    speed_ratio,
)
from tests.planner.builders import chain, cluster


def by_largest_remainder(units: int, speeds: list[Fraction]) -> list[int]:
    """The same rule, one unit at a time."""
    ideal = [units * speed / sum(speeds) for speed in speeds]
    shares = [int(share) for share in ideal]
    while sum(shares) < units:
        left = [exact - share for exact, share in zip(ideal, shares, strict=True)]
        shares[left.index(max(left))] += 1  # the first of those that tie
    return shares


@given(
    st.integers(0, 300),
    st.lists(st.decimals("0.001", "1e6", places=3), min_size=1, max_size=8),
    st.sampled_from([1, 8]),
)
def test_shares_are_those_of_exact_fractions(
    units: int, speeds: list[object], granularity: int
) -> None:
    exact = [Fraction(str(speed)) for speed in speeds]
    found = shares_by_speed(units * granularity, map(float, exact), granularity)
    assert (found // granularity).tolist() == by_largest_remainder(units, exact)


@pytest.mark.parametrize(
    "features, speeds, shares",
    [
        (3, [0.3, 0.2, 0.1], [2, 1, 0]),  # 1.5, 1 and 0.5: the earlier of the two halves
        (3, [0.1, 0.2, 0.3], [1, 1, 1]),
        (9, [0.1, 0.2, 0.3], [2, 3, 4]),
        (6, [0.1, 0.2, 0.3], [1, 2, 3]),
        (1, [0.1, 0.1, 0.1], [1, 0, 0]),
        (4, [1e9 / 3, 1e9 / 3, 1e9 / 3], [2, 1, 1]),
        (2, [1e9 / 3, 1e9 / 3, 1e9 / 3, 1e9 / 3], [1, 1, 0, 0]),
        (10**9 + 1, [1.0, 1.0], [5 * 10**8 + 1, 5 * 10**8]),
        (7, [3.75e9, 3.75e9 / 2], [5, 2]),  # 4.67 and 2.33
        (2**60, [7.0, 1.0], [7 * 2**57, 2**57]),  # beyond what a float tells apart
        (5, [1e-9, 1e29], [0, 5]),
    ],
)
def test_shares_by_hand(features: int, speeds: list[float], shares: list[int]) -> None:
    assert shares_by_speed(features, speeds).tolist() == shares


@pytest.mark.parametrize("speeds", [[0.1, 0.2, 0.3], [1.1, 2.2, 3.3], [0.7, 0.1, 0.2, 0.4]])
def test_the_unit_of_speed_makes_no_difference(speeds: list[float]) -> None:
    whole = speed_ratio(speeds)
    for power in range(-9, 19, 3):
        assert speed_ratio(float(f"{speed}e{power}") for speed in speeds) == whole
    assert speed_ratio(whole) == whole
    assert speed_ratio(np.array(whole, dtype=np.int64)) == whole
    for features in range(60):
        tripled = [3 * part for part in whole]
        assert np.array_equal(shares_by_speed(features, speeds), shares_by_speed(features, tripled))


def test_a_study_divides_features_as_its_cluster_does() -> None:
    profile = chain(9, 9)
    speeds = [0.1, 0.2, 0.3]
    case = Case(profile, cluster(speeds))
    expected = feature_shares(profile, speeds).outputs.tolist()
    assert case.shares(case.names(3)).outputs.tolist() == expected == [[2, 3, 4]] * 2


@given(st.integers(1, 200), st.lists(st.sampled_from([0.1, 0.3, 1e9 / 3]), min_size=2, max_size=6))
def test_equal_nodes_in_another_order_hold_the_same_shares(
    features: int, speeds: list[float]
) -> None:
    shares = shares_by_speed(features, speeds).tolist()
    order = list(range(len(speeds)))
    Random(features).shuffle(order)
    again = shares_by_speed(features, [speeds[k] for k in order]).tolist()
    by_kind = {
        speed: sorted(s for s, v in zip(shares, speeds, strict=True) if v == speed)
        for speed in set(speeds)
    }
    # equal remainders of unlike nodes may go to another kind: within one of each other
    for speed, mine in by_kind.items():
        other = sorted(s for s, k in zip(again, order, strict=True) if speeds[k] == speed)
        assert max(abs(a - b) for a, b in zip(mine, other, strict=True)) <= 1
    if len(by_kind) == 1:
        assert sorted(shares) == sorted(again)


@given(st.integers(1, 5), st.integers(1, 30), st.randoms())
def test_moves_within_a_group_equal_a_count_one_by_one(
    nodes: int, features: int, random: object
) -> None:
    draw = random.randint  # type: ignore[attr-defined]
    has = np.array([draw(REPLICATED, nodes - 1) for _ in range(features)], dtype=np.int16)
    needs = np.array([draw(REPLICATED, nodes - 1) for _ in range(features)], dtype=np.int16)
    expected = np.zeros((nodes, nodes), dtype=np.int64)
    handed = np.zeros((nodes, nodes), dtype=np.int64)
    for current, needed in zip(has.tolist(), needs.tolist(), strict=True):
        for receiver in range(nodes) if needed == REPLICATED else [needed]:
            if current not in (REPLICATED, receiver):
                expected[current, receiver] += 1
            handed[max(current, 0), receiver] += 1
    assert np.array_equal(count_moves(has, needs, nodes), expected)
    assert np.array_equal(count_handed_over(has, needs, nodes, nodes), handed)


def test_every_flow_has_a_rule_of_its_own() -> None:
    assert len({type(flow) for flow in FLOWS.values()}) == len(FLOWS) == 8
    assert [name for name, flow in FLOWS.items() if flow.mixes] == ["mixing"]
    assert [name for name, flow in FLOWS.items() if flow.gathers] == ["one-node"]

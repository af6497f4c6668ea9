"""The bisection: both ends close in on a threshold, and what is open stays open."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.strategies.what_if.bisection import Bracket, Verdict

MOST_TRIALS = 80


def searched(bracket: Bracket, start: float, least: float, unsure_from: float) -> int:
    """Ask until nothing is left: enough from ``least`` on, open from ``unsure_from`` to there."""

    def verdict(value: float) -> Verdict:
        if value >= least:
            return "enough"
        return "open" if value >= unsure_from else "not enough"

    bracket.note(start, verdict(start))
    if bracket.high is None:
        top = 1e12 if not bracket.whole else 256
        bracket.note(top, verdict(top))
    trials = 0
    while (value := bracket.next_value()) is not None:
        assert bracket.low is None or bracket.low < value
        assert bracket.high is not None and value < bracket.high
        assert value not in bracket.open, "nothing is asked twice"
        bracket.note(value, verdict(value))
        trials += 1
        assert trials <= MOST_TRIALS
    return trials


positive = st.floats(-6.0, 9.0).map(lambda power: 10.0**power)


@given(positive, positive, st.sampled_from([1e-6, 1e-3, 0.01, 0.5]))
def test_the_ends_close_in_on_the_threshold(start: float, least: float, tolerance: float) -> None:
    bracket = Bracket(least=1e-9, tolerance=tolerance)
    trials = searched(bracket, start, least, least)
    assert bracket.low is not None and bracket.high is not None
    assert bracket.low < least <= bracket.high <= bracket.low * (1 + tolerance) * (1 + 1e-12)
    assert bracket.proven and not bracket.open
    assert trials <= 12 + math.ceil(math.log2(math.log(1e12) / math.log1p(tolerance)))


@given(positive, positive, st.floats(1.1, 100.0))
def test_around_open_values_both_ends_close_in(start: float, least: float, width: float) -> None:
    bracket = Bracket(least=1e-12, tolerance=0.01)
    unsure_from = least / width
    searched(bracket, start, least, unsure_from)
    assert bracket.low is not None and bracket.high is not None and bracket.open
    assert not bracket.proven
    first, last = bracket.open[0], bracket.open[-1]
    assert bracket.low < unsure_from <= first <= bracket.low * 1.01 * (1 + 1e-12)
    assert last < least <= bracket.high <= last * 1.01 * (1 + 1e-12)


@given(st.integers(1, 256), st.integers(1, 256), st.integers(0, 20))
def test_counts_are_found_exactly(start: int, least: int, unsure: int) -> None:
    bracket = Bracket(least=1, tolerance=0.01, whole=True, low=0)
    searched(bracket, start, least, max(least - unsure, 1))
    assert bracket.high == least and isinstance(bracket.high, int)
    assert bracket.low == max(least - unsure, 1) - 1
    assert bracket.proven == (bracket.low == least - 1)


def test_where_every_value_is_enough_the_search_ends_at_the_least() -> None:
    bracket = Bracket(least=1e-3, tolerance=0.01)
    searched(bracket, 5.0, 1e-9, 1e-9)
    assert bracket.high == 1e-3 and bracket.low is None and not bracket.proven


def test_where_none_is_known_to_be_enough_there_is_nothing_to_ask() -> None:
    for verdict in ("not enough", "open"):
        bracket = Bracket(least=1e-3, tolerance=0.01)
        bracket.note(1e12, verdict)
        assert bracket.next_value() is None and not bracket.proven


@pytest.mark.parametrize(
    ("low", "high", "left"), [(1.0, 2.0, 7), (1.0, 1.005, 0), (None, None, 12)]
)
def test_how_many_halvings_are_left(low: float | None, high: float | None, left: int) -> None:
    bracket = Bracket(least=1.0, tolerance=0.01, low=low, high=high)
    assert bracket.halvings(1e15) == left

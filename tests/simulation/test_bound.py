"""The limit: formulas where it is known, and no policy beyond it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.simulation.arrivals import arrival_times
from planner.simulation.bound import ALL_MODES, carried_share, least_makespan_s, ways_of
from planner.simulation.costing import network_of
from planner.simulation.scenario import BUILT_IN, Scenario
from planner.simulation.study import simulate
from tests.examples import some
from tests.simulation.cases import (
    check_everything_is_done_once,
    poisson,
    run_policy,
    scenario_of,
)


def limit_of(scenario: Scenario, modes: tuple[str, ...] = ALL_MODES) -> float:
    network = network_of(scenario)
    ways = ways_of(network, scenario.send == "blocking", scenario.count_output).only(modes)
    steady = len(network.change_s) == 1
    return least_makespan_s(ways, arrival_times(scenario), network, steady)


def test_alone_a_node_carries_one_over_its_time() -> None:
    network = network_of(scenario_of([0.25], 0.1, [poisson(0, 8.0, 10)]))
    share = carried_share(ways_of(network, False, False), np.array([8.0]))
    assert share == pytest.approx(0.5, rel=1e-6)


def test_the_published_fixed_split() -> None:
    """Source 1 local, source 2 distributed: 25 800 T on two workers and 20 800 T on three."""
    for workers, expected in ((2, 25_800), (3, 20_800)):
        scenario = scenario_of(
            [1.0] * workers,
            0.36,
            [poisson(0, 1e6, 10_000), poisson(1, 1e6, 30_000)],
            send="blocking",
        )
        # All there at once; on fewer than twelve units shares of T/2 and T/3 are exact.
        assert limit_of(scenario, ("local", "distributed")) == pytest.approx(expected, rel=1e-4)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    seconds = st.floats(0.05, 0.5)
    whole_s = draw(st.lists(seconds, min_size=1, max_size=5))
    homes = draw(st.lists(st.integers(0, len(whole_s) - 1), min_size=1, max_size=3, unique=True))
    sources = [
        poisson(home, draw(st.floats(0.5, 30.0)), draw(st.integers(1, 40))) for home in homes
    ]
    churn = []
    movable = sorted(set(range(len(whole_s))) - set(homes))
    if movable and draw(st.booleans()):
        churn = [{"node": f"n{movable[0]}", "leaves_s": 1.0, "rejoins_s": 3.0}]
    drift = []
    if draw(st.booleans()):
        factor = draw(st.floats(0.3, 2.0))
        drift = [{"at_s": 1.5, "compute_factor": factor, "bandwidth_factor": 1 / factor}]
    return scenario_of(
        whole_s,
        draw(st.floats(0.001, 0.5)),
        sources,
        medium=draw(st.sampled_from(["full_duplex", "half_duplex", "shared"])),
        delay_s=draw(st.sampled_from([0.0, 0.01])),
        send=draw(st.sampled_from(["blocking", "overlapped"])),
        count_output=draw(st.booleans()),
        churn=churn,
        drift=drift,
        seed=draw(st.integers(0, 1000)),
    )


@some(0.4)
@given(scenarios())
def test_no_policy_beats_the_limit_and_none_loses_an_input(scenario: Scenario) -> None:
    limit = limit_of(scenario)
    for policy in BUILT_IN:
        record = run_policy(scenario, policy)
        check_everything_is_done_once(scenario, record)
        assert record.makespan_s >= limit * (1 - 1e-9)


@some(0.2)
@given(scenarios())
def test_every_way_has_its_own_limit(scenario: Scenario) -> None:
    if scenario.churn or scenario.drift:
        return
    for policy, modes in (
        ("local", ("local",)),
        ("ar-mdi", ("distributed",)),
        ("ddi", ("local", "ship")),
        ("ms-mdi", ("local", "distributed")),
        ("balance", ("local", "distributed")),
    ):
        record = run_policy(scenario, policy)
        assert record.makespan_s >= limit_of(scenario, modes) * (1 - 1e-9)


def test_the_limit_is_close_where_a_policy_can_reach_it() -> None:
    scenario = scenario_of([0.2], 0.1, [poisson(0, 20.0, 500)])
    record = run_policy(scenario, "local")
    assert record.makespan_s <= limit_of(scenario) * 1.01


def test_an_unstable_system_says_so_with_what_it_could_carry() -> None:
    sources = [{"node": "n0", "arrivals": {"kind": "poisson", "rate_per_s": 50.0}}]
    scenario = scenario_of([0.2, 0.2], 1e-6, sources, horizon_s=20.0, policies=["local", "ar-mdi"])
    result = simulate(scenario, compiled=False)
    assert result.limit.stable is False
    assert result.limit.carried_per_s == pytest.approx(10.0, rel=1e-4)
    assert "offer 50 inputs/s, no policy can carry more than 10" in (result.limit.sentence or "")
    for row, carries in zip(result.policies, (5.0, 10.0), strict=True):
        assert row.status == "stopped at the horizon"
        assert row.carried_per_s == pytest.approx(carries, rel=1e-4)
        assert row.completed == pytest.approx(20 * carries, rel=0.05)
        assert row.makespan_s is None and row.bound_ratio is None

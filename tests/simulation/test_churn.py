"""Workers that leave and rejoin, and speeds that change."""

from __future__ import annotations

import numpy as np
import pytest

from planner.errors import BadInputError
from planner.simulation.costing import network_of
from planner.simulation.scenario import BUILT_IN, Scenario
from tests.simulation.cases import (
    check_everything_is_done_once,
    poisson,
    run_policy,
    scenario_of,
)


def random_script(seed: int) -> Scenario:
    """Two sources that stay, three workers that come and go."""
    generator = np.random.default_rng(seed)
    churn = []
    for node in ("n1", "n3", "n4"):
        times = np.sort(generator.uniform(0.5, 25.0, 2 * generator.integers(0, 4)))
        churn += [
            {"node": node, "leaves_s": leaves, "rejoins_s": rejoins}
            for leaves, rejoins in times.reshape(-1, 2).tolist()
        ]
    if generator.random() < 0.3:
        churn.append({"node": "n3", "leaves_s": 26.0})
    return scenario_of(
        generator.uniform(0.1, 0.4, 5).tolist(),
        float(generator.uniform(0.005, 0.2)),
        [poisson(0, 6.0, 60), poisson(2, 4.0, 60)],
        medium=str(generator.choice(["full_duplex", "half_duplex", "shared"])),
        delay_s=float(generator.choice([0.0, 0.05])),
        send=str(generator.choice(["blocking", "overlapped"])),
        count_output=bool(generator.random() < 0.5),
        churn=churn,
        seed=seed,
    )


@pytest.mark.parametrize("seed", range(100))
def test_nothing_is_lost_and_nothing_done_twice(seed: int) -> None:
    scenario = random_script(seed)
    network = network_of(scenario)
    for policy in BUILT_IN:
        record = run_policy(scenario, policy, network=network)
        check_everything_is_done_once(scenario, record)
        sojourn = (record.finish_s - record.arrival_s).sum()
        assert record.in_system_area_s == pytest.approx(sojourn, rel=1e-9)


def test_scripts_do_interrupt_work() -> None:
    again = [run_policy(random_script(seed), "ar-mdi").resent for seed in range(20)]
    assert sum(count > 0 for count in again) > 10


def test_what_a_worker_held_is_sent_again_by_its_predecessor() -> None:
    """One input, a worker that leaves while it computes: the second half is done by the first."""
    trace = {"node": "n0", "arrivals": {"kind": "trace", "times_s": [1.0]}}
    whole, link = 1.2, 0.3
    churn = [{"node": "n1", "leaves_s": 2.0}]
    scenario = scenario_of([whole, whole], link, [trace], churn=churn)
    record = run_policy(scenario, "ar-mdi")
    assert record.resent == 1
    # Half the model by 1.6 s, at the other by 1.9 s; from 2.0 s on the first runs the rest.
    assert record.finish_s[0] == pytest.approx(2.0 + whole / 2)


def test_where_the_predecessor_left_too_the_source_begins_again() -> None:
    """Thirds of 0.4 s and links of 0.3 s: the third worker has the input from 2.4 s on."""
    trace = {"node": "n0", "arrivals": {"kind": "trace", "times_s": [1.0]}}
    churn = [{"node": "n1", "leaves_s": 2.5}, {"node": "n2", "leaves_s": 2.7}]
    scenario = scenario_of([1.2, 1.2, 1.2], 0.3, [trace], churn=churn)
    record = run_policy(scenario, "ar-mdi")
    assert record.resent == 1
    assert record.finish_s[0] == pytest.approx(2.7 + 1.2)


def test_shares_follow_who_is_there_and_how_fast() -> None:
    scenario = scenario_of(
        [1.0, 1.0, 1.0],
        0.01,
        [poisson(0, 1.0, 5)],
        churn=[{"node": "n1", "leaves_s": 10.0, "rejoins_s": 20.0}],
        drift=[{"at_s": 30.0, "node": "n2", "compute_factor": 0.5}],
    )
    network = network_of(scenario)
    assert network.change_s.tolist() == [0.0, 10.0, 20.0, 30.0]
    shares = [
        {node: end - begin for node, begin, end in network.route(0, epoch)} for epoch in range(4)
    ]
    assert shares[0] == shares[2] == {0: 4, 1: 4, 2: 4}
    assert shares[1] == {0: 6, 2: 6}
    assert shares[3] == {0: 5, 1: 5, 2: 2}


def test_a_slower_link_takes_longer_from_its_moment_on() -> None:
    times = [1.0, 11.0]
    source = {"node": "n0", "arrivals": {"kind": "trace", "times_s": times}}
    scenario = scenario_of(
        [1.2, 1.2], 0.3, [source], drift=[{"at_s": 10.0, "bandwidth_factor": 0.5}]
    )
    record = run_policy(scenario, "ar-mdi")
    assert record.sojourn_s.tolist() == pytest.approx([1.5, 1.8])


def test_a_source_that_leaves_with_work_is_said_in_one_line() -> None:
    scenario = scenario_of(
        [0.2, 0.2], 0.01, [poisson(0, 4.0, 100)], churn=[{"node": "n0", "leaves_s": 10.0}]
    )
    with pytest.raises(BadInputError, match=r"source 'n0' leaves at 10 s with \d+ inputs unf"):
        run_policy(scenario, "local")


def test_a_source_may_leave_when_all_of_its_inputs_are_done() -> None:
    scenario = scenario_of(
        [0.1, 0.1],
        0.01,
        [poisson(0, 10.0, 20), poisson(1, 4.0, 100)],
        churn=[{"node": "n0", "leaves_s": 10.0}],
    )
    for policy in BUILT_IN:
        check_everything_is_done_once(scenario, run_policy(scenario, policy))

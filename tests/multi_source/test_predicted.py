"""From what workers wrote to rows and a table: numbers alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.multi_source import predicted
from benchmarks.multi_source.predicted import WHOLE, measured, route_name, row, with_times
from benchmarks.multi_source.table import markdown
from planner.errors import InconsistentResultError
from planner.simulation.arrivals import arrival_times
from planner.simulation.costing import network_of
from planner.simulation.scenario import Scenario
from tests.simulation.cases import poisson, run_policy, scenario_of

POLICIES = ("local", "ar-mdi", "ms-mdi")


@pytest.fixture
def scenario() -> Scenario:
    sources = [poisson(0, 4.0, 12), poisson(2, 6.0, 20)]
    return scenario_of([0.2, 0.4, 0.2, 0.4], 1e-3, sources, split="macs", seed=3)


def test_pieces_take_what_was_measured(scenario: Scenario) -> None:
    network = network_of(scenario)
    times = [
        {route_name(0): 0.1, route_name(1): 0.12, WHOLE: 0.31},
        {route_name(0): 0.2, route_name(1): 0.07},
        {route_name(0): 0.09, route_name(1): 0.11, WHOLE: 0.33},
        {},
    ]
    found = with_times(network, times)
    for node, measured_s in enumerate(times):
        for source in (0, 1):
            if route_name(source) in measured_s:
                assert found.part_s()[0, source, node] == pytest.approx(
                    measured_s[route_name(source)]
                )
        if WHOLE in measured_s:
            assert found.whole_s()[0, node] == pytest.approx(measured_s[WHOLE])
    np.testing.assert_allclose(found.done_s[3], network.done_s[3])  # nothing was measured there


def test_two_shares_that_make_up_the_whole_model() -> None:
    # both workers are sources: each has the first half for itself and the second for the other
    scenario = scenario_of([0.2, 0.2], 1e-3, [poisson(0, 4.0, 3), poisson(1, 4.0, 3)], split="macs")
    times = [{route_name(0): 0.1, route_name(1): 0.2, WHOLE: 0.3}, {}]
    found = with_times(network_of(scenario), times)
    np.testing.assert_allclose(found.part_s()[0, :, 0], (0.1, 0.2))
    assert found.whole_s()[0, 0] == pytest.approx(0.3)


def workers_that_did_as_predicted(scenario: Scenario) -> list[dict[str, Any]]:
    """All inputs finished at worker 0, at the moments that the simulator says."""
    network = network_of(scenario)
    alone = [
        {route_name(k): float(network.part_s()[0, k, n]) for k in (0, 1)}
        | {WHOLE: float(network.whole_s()[0, n])}
        for n in range(4)
    ]
    turns: list[list[dict[str, Any]]] = [[] for _ in range(4)]
    for policy in POLICIES:
        record = run_policy(scenario, policy)
        for rank in range(4):
            done = record.finish_s.tolist() if rank == 0 else []
            whole = np.flatnonzero(record.whole).tolist() if rank == 0 else []
            finish_s = {str(item): at for item, at in enumerate(done)}
            said = {"finish_s": finish_s, "whole": whole, "lasted_s": {}, "late_s": 0.0}
            turns[rank].append({"policy": policy, **said})
    return [
        json.loads(json.dumps({"alone": [alone[rank]] * 2, "turns": turns[rank] * 2}))
        for rank in range(4)
    ]


def test_workers_that_do_as_predicted_have_no_error(scenario: Scenario) -> None:
    workers = workers_that_did_as_predicted(scenario)
    network = network_of(scenario)
    rows = [row(scenario, network, policy, workers) for policy in POLICIES]
    for found in rows:
        assert len(found["measured"]) == len(found["predicted_by_repeat"]) == 2
        for turn in found["measured"]:
            assert turn == pytest.approx(found["predicted"])
            assert turn == pytest.approx(found["predicted_as_run"])
    lines = markdown({"rows": rows}).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| Local", "| AR-MDI", "| MS-MDI"]
    assert len({line.count("|") for line in lines}) == 1
    assert all(line.count("0.0 %") == 4 for line in lines[2:])


def test_the_table_says_how_far_off() -> None:
    def said(mean_s: float, makespan_s: float, distributed: float = 0.25) -> dict[str, float]:
        return {"mean_s": mean_s, "makespan_s": makespan_s, "distributed": distributed}

    found = {
        "policy": "ms-mdi",
        "measured": [said(1.0, 4.0), said(3.0, 6.0)],
        "predicted": said(1.5, 5.5, 0.5),
        "predicted_by_repeat": [said(1.25, 5.25), said(1.75, 5.75)],
        "predicted_as_run": said(2.0, 5.0),
    }
    assert markdown({"rows": [found]}).splitlines()[-1] == (
        "| MS-MDI | 2.00 ± 1.00 | 1.50 (1.25 to 1.75) | −25.0 % | 2.00 | +0.0 % "
        "| 5.00 ± 1.00 | 5.50 (5.25 to 5.75) | +10.0 % | 5.00 | +0.0 % | 25 % | 50 % |"
    )


def test_an_input_that_is_lost_or_done_twice_is_an_error(scenario: Scenario) -> None:
    count = sum(map(len, arrival_times(scenario)))
    done = {str(item): 100.0 for item in range(count)}
    nodes = [{"policy": "local", "finish_s": done, "whole": []}]
    assert measured(scenario, nodes)["distributed"] == 1.0
    with pytest.raises(InconsistentResultError, match=f"{count + 1} results of {count} inputs"):
        measured(scenario, [*nodes, {"finish_s": {"0": 1.0}, "whole": []}])
    del done["3"]
    with pytest.raises(InconsistentResultError, match="results of"):
        measured(scenario, nodes)


def test_pieces_that_never_ran_are_left_out_of_means() -> None:
    assert predicted.means([{"a": 1.0}, {"a": 2.0, "b": 4.0}]) == {"a": 1.5, "b": 4.0}

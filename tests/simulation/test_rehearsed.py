"""REHEARSED follows what rehearsals say, and knows nothing of the run's own inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.simulation.arrivals import arrival_times
from planner.simulation.costing import network_of
from planner.simulation.policies import rule_of
from planner.simulation.rehearsed import (
    MARGIN,
    REHEARSALS,
    SEED,
    as_declared,
    rehearsed_choice,
)
from planner.simulation.result import PolicyResult
from planner.simulation.scenario import BUILT_IN, MsMdiSettings, Scenario
from planner.simulation.study import simulate
from tests.app.command import planner
from tests.simulation.cases import (
    BYTES,
    check_everything_is_done_once,
    even_model,
    poisson,
    run_policy,
    scenario_of,
)

TWO = [poisson(0, 4.0, 120), poisson(1, 8.0, 120)]
FOR_BALANCE = scenario_of(
    [0.4, 0.1, 0.1], 0.1, TWO, send="blocking", medium="half_duplex", count_output=True, seed=1
)


def with_large_inputs() -> ModelProfile:
    """Inputs of twenty times the tensors within, so that it does not pay to send them."""
    model = even_model()
    first = model.layers[0].model_copy(update={"input_bytes": 20 * BYTES})
    given = model.inputs[0].model_copy(update={"bytes": 20 * BYTES})
    return model.model_copy(update={"inputs": (given,), "layers": (first, *model.layers[1:])})


FOR_MS_MDI = scenario_of(
    [0.2] * 4, 0.1, [poisson(0, 20.0, 200)], send="blocking", seed=1, model=with_large_inputs()
)


def choice(scenario: Scenario) -> str:
    return rehearsed_choice(scenario, network_of(scenario), compiled=False)


def row_of(scenario: Scenario, **options: Any) -> PolicyResult:
    return simulate(scenario, ["rehearsed"], compiled=False, **options).policies[0]


def ratios(scenario: Scenario) -> dict[str, list[float]]:
    """Makespans of all rehearsals over MS-MDI's."""
    declared = as_declared(scenario)
    found = {
        policy: [run_policy(declared, policy, k).makespan_s for k in range(REHEARSALS)]
        for policy in BUILT_IN
    }
    return {policy: (np.array(times) / found["ms-mdi"]).tolist() for policy, times in found.items()}


def test_it_follows_balance_where_that_wins_every_rehearsal() -> None:
    found = ratios(FOR_BALANCE)
    assert max(found["balance"]) < 1 - MARGIN
    means = {policy: np.mean(times) for policy, times in found.items()}
    assert (
        means["balance"] < min(means[policy] for policy in BUILT_IN if policy != "balance") - 0.02
    )
    row = row_of(FOR_BALANCE)
    assert (row.policy, row.follows) == ("rehearsed", "balance")
    assert row.makespan_s == run_policy(FOR_BALANCE, "balance").makespan_s


def test_it_follows_ms_mdi_where_nobody_is_better() -> None:
    found = ratios(FOR_MS_MDI)
    assert min(found["local"] + found["ddi"] + found["balance"]) > 1.01
    assert min(found["ar-mdi"]) > 1 - MARGIN
    row = row_of(FOR_MS_MDI)
    assert row.follows == "ms-mdi"
    assert row.makespan_s == run_policy(FOR_MS_MDI, "ms-mdi").makespan_s


def test_ms_mdi_is_the_scenario_s_own_reading() -> None:
    """One input a slot of a second is slower than all coming at once round the ring."""
    slow = FOR_MS_MDI.model_copy(update={"ms_mdi": MsMdiSettings(slot_s=1.0)})
    assert choice(slow) == "ar-mdi"


@pytest.mark.parametrize("scenario", [FOR_BALANCE, FOR_MS_MDI], ids=["balance", "ms-mdi"])
def test_the_choice_does_not_know_the_run_s_seed(scenario: Scenario) -> None:
    chosen = choice(scenario)
    for seed in (2, 3, 2**63 - 1):
        other = scenario.model_copy(update={"seed": seed})
        assert not np.array_equal(arrival_times(other)[0], arrival_times(scenario)[0])
        assert choice(other) == chosen
        assert as_declared(other) == as_declared(scenario)
    assert as_declared(scenario).seed == SEED


def with_trace(times_s: list[float], **fields: Any) -> Scenario:
    trace = {"node": "n0", "arrivals": {"kind": "trace", "times_s": times_s}, "start_s": 2.0}
    return scenario_of([0.2, 0.2, 0.3], 0.05, [trace, poisson(1, 3.0, 60)], seed=4, **fields)


def test_of_a_trace_only_count_begin_and_end_are_known() -> None:
    even = with_trace(np.linspace(1.0, 11.0, 101).tolist())
    burst = with_trace([1.0] * 100 + [11.0])
    assert as_declared(even) == as_declared(burst)
    assert choice(even) == choice(burst)
    times = arrival_times(as_declared(even), 3)[0]
    assert len(times) == 101 and times[0] > 3.0
    assert times[-1] == pytest.approx(13.0, rel=0.3)


def test_a_trace_of_one_moment_is_rehearsed_as_one() -> None:
    times = arrival_times(as_declared(with_trace([5.0] * 20)))[0]
    assert times == pytest.approx(np.full(20, 7.0))


def test_it_takes_whatever_a_scenario_holds_and_repeats() -> None:
    scenario = with_trace(
        np.linspace(0.0, 20.0, 150).tolist(),
        churn=[{"node": "n2", "leaves_s": 5.0, "rejoins_s": 12.0}],
        drift=[{"at_s": 8.0, "node": "n1", "compute_factor": 0.5, "bandwidth_factor": 0.5}],
        service="exponential",
        delay_s=0.01,
    )
    row = row_of(scenario, replications=3)
    assert row == row_of(scenario, replications=3)
    assert row.status == "finished" and row.interval is not None
    assert row.follows in BUILT_IN
    followed = simulate(scenario, [row.follows], 3, compiled=False).policies[0]
    assert row == followed.model_copy(update={"policy": "rehearsed", "follows": row.follows})
    check_everything_is_done_once(scenario, run_policy(scenario, row.follows))


def test_inputs_without_an_end_are_rehearsed_up_to_the_horizon() -> None:
    """Where local work alone is too slow, whoever gets more done is followed."""
    endless = {"node": "n0", "arrivals": {"kind": "poisson", "rate_per_s": 50.0}}
    row = row_of(scenario_of([0.2] * 4, 0.001, [endless], horizon_s=10.0, seed=1))
    assert row.status == "stopped at the horizon"
    assert row.follows in ("ms-mdi", "ddi", "balance", "ar-mdi")
    few = simulate(
        scenario_of([0.2] * 4, 0.001, [endless], horizon_s=10.0, seed=1), ["local"], compiled=False
    )
    assert row.completed > 2 * few.policies[0].completed


def test_a_policy_whose_source_leaves_with_work_is_not_followed() -> None:
    """Local cannot be done in time here; which others can is for the rehearsals to say."""
    scenario = scenario_of(
        [0.4, 0.05, 0.05],
        0.01,
        [poisson(0, 6.0, 60), poisson(1, 2.0, 60)],
        churn=[{"node": "n0", "leaves_s": 18.0}],
        seed=2,
    )
    with pytest.raises(BadInputError, match="leaves at 18 s with"):
        run_policy(scenario, "local")
    assert choice(scenario) != "local"


def test_only_what_was_chosen_has_numbers_for_the_engine() -> None:
    with pytest.raises(BadInputError, match="rehearsals choose"):
        rule_of("rehearsed", MsMdiSettings())


def test_progress_counts_the_rehearsals_and_may_end_them() -> None:
    told: list[tuple[float, str]] = []
    simulate(
        FOR_MS_MDI,
        ["local", "rehearsed"],
        compiled=False,
        progress=lambda share, policy: told.append((share, policy)),
    )
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[0] == 0.0 and shares[-1] < 1.0
    assert [told[0][1], told[-1][1]] == ["rehearsed", "rehearsed"]

    class Cancelled(Exception):
        pass

    def cancel(share: float, policy: str) -> None:
        if share > 0.02:
            raise Cancelled

    with pytest.raises(Cancelled):
        simulate(FOR_MS_MDI, ["rehearsed"], compiled=False, progress=cancel)


def test_the_command_says_whom_it_follows(tmp_path: Any) -> None:
    path = tmp_path / "scenario.json"
    path.write_text(FOR_BALANCE.model_dump_json(), encoding="utf-8")
    done = planner("simulate", str(path), "--policy", "rehearsed")
    assert done.code == 0
    assert "rehearsed follows balance" in done.out + done.err

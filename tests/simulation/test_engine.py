"""The engine against an independent model, against itself uncompiled, and against its own laws."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest

from planner.simulation.arrivals import arrival_times
from planner.simulation.costing import network_of
from planner.simulation.engine.kernel import can_compile
from planner.simulation.engine.state import Sizes
from planner.simulation.engine.tables import Tables, shapes
from planner.simulation.scenario import BUILT_IN, Scenario
from tests.simulation.cases import check_everything_is_done_once, poisson, run_policy, scenario_of
from tests.simulation.simpy_model import Ring


def two_sources(
    medium: str, send: str, total: int = 150, delay_s: float = 0.0, form: str = "corrected"
) -> Scenario:
    return scenario_of(
        [0.1803, 0.2311, 0.1537],  # no two things happen at once by accident
        0.0517,
        [poisson(0, 5.0, total), poisson(1, 9.0, 2 * total)],
        medium=medium,
        send=send,
        delay_s=delay_s,
        ms_mdi={"form": form},
        seed=7,
    )


@pytest.mark.parametrize("policy", ["local", "ar-mdi", "ms-mdi"])
@pytest.mark.parametrize("send", ["blocking", "overlapped"])
@pytest.mark.parametrize("medium", ["full_duplex", "shared"])
@pytest.mark.parametrize("delay_s", [0.0, 0.003])
def test_finish_times_are_those_of_a_simpy_model(
    policy: str, send: str, medium: str, delay_s: float
) -> None:
    scenario = two_sources(medium, send, delay_s=delay_s)
    network = network_of(scenario)
    theirs = Ring(network, arrival_times(scenario), policy, send == "blocking").run()
    ours = run_policy(scenario, policy, network=network)
    assert np.array_equal(ours.finish_s, theirs)


def test_the_literal_form_is_that_of_a_simpy_model() -> None:
    scenario = two_sources("full_duplex", "blocking", form="literal")
    network = network_of(scenario)
    theirs = Ring(network, arrival_times(scenario), "ms-mdi", True, corrected=False).run()
    ours = run_policy(scenario, "ms-mdi")
    assert np.array_equal(ours.finish_s, theirs)
    corrected = run_policy(two_sources("full_duplex", "blocking"), "ms-mdi")
    assert not np.array_equal(ours.finish_s, corrected.finish_s)


@pytest.mark.parametrize("policy", BUILT_IN)
def test_runs_repeat_and_seeds_matter(policy: str) -> None:
    scenario = two_sources("shared", "overlapped", 60)
    once, again = run_policy(scenario, policy), run_policy(scenario, policy)
    other = run_policy(scenario.model_copy(update={"seed": 8}), policy)
    assert np.array_equal(once.finish_s, again.finish_s)
    assert not np.array_equal(once.arrival_s, other.arrival_s)


@pytest.mark.parametrize("arrays", [False, True])
def test_tables_lie_apart_and_come_back_in_their_shapes(arrays: bool) -> None:
    sizes = Sizes(**{field.name: 2 + k for k, field in enumerate(fields(Sizes))})
    given = {}
    for kind in (int, float):
        for name, shape in shapes(sizes, kind).items():
            given[name] = len(given) + 1 + np.arange(math.prod(shape)).reshape(shape)
    tables = Tables.of(sizes, given, arrays)
    assert len(tables.i) + len(tables.f) == sum(numbers.size for numbers in given.values())
    for name, numbers in given.items():
        assert np.array_equal(tables.get(name), numbers), name
        if arrays:
            assert tables.layout[0][name] == getattr(tables.at, name)


QUICK = {("ms-mdi", "half_duplex"), ("balance", "shared")}


@pytest.mark.skipif(not can_compile(), reason="numba is not installed")
@pytest.mark.parametrize(
    ("policy", "medium"),
    [
        pytest.param(policy, medium, marks=() if (policy, medium) in QUICK else pytest.mark.slow)
        for policy in BUILT_IN
        for medium in ("full_duplex", "half_duplex", "shared")
    ],
)
def test_the_compiled_engine_gives_the_same_bits(policy: str, medium: str) -> None:
    for send in ("blocking", "overlapped"):
        scenario = scenario_of(
            [0.1803, 0.2311, 0.1537],
            0.0517,
            [poisson(0, 5.0, 400), poisson(1, 9.0, 800)],
            medium=medium,
            send=send,
            delay_s=0.002,
            count_output=True,
            churn=[{"node": "n2", "leaves_s": 9.0, "rejoins_s": 21.0}],
            drift=[{"at_s": 30.0, "node": "n1", "compute_factor": 0.7}],
            seed=7,
        )
        plain = run_policy(scenario, policy)
        quick = run_policy(scenario, policy, compiled=True)
        for field in ("finish_s", "started_s", "busy_s", "held_s", "sent_s", "samples"):
            assert np.array_equal(getattr(plain, field), getattr(quick, field)), field
        assert plain.in_system_area_s == quick.in_system_area_s


@pytest.mark.parametrize("policy", BUILT_IN)
@pytest.mark.parametrize("send", ["blocking", "overlapped"])
def test_work_is_conserved_and_little_s_law_holds(policy: str, send: str) -> None:
    scenario = two_sources("half_duplex", send, 80)
    network = network_of(scenario)
    record = run_policy(scenario, policy)
    check_everything_is_done_once(scenario, record)
    work = 0.0
    for source in range(2):
        mine = slice(record.first[source], record.first[source + 1])
        whole = int(record.whole[mine].sum())
        parts = (record.first[source + 1] - record.first[source]) - whole
        work += parts * network.part_s()[0, source].sum()
        if policy != "ddi":  # whole models run elsewhere there
            work += whole * network.whole_s()[0, network.source_node[source]]
    if policy != "ddi":
        assert record.busy_s.sum() == pytest.approx(work, rel=1e-9)
    sojourn = (record.finish_s - record.arrival_s).sum()
    assert record.in_system_area_s == pytest.approx(sojourn, rel=1e-9)


@pytest.mark.parametrize("policy", BUILT_IN)
def test_queues_in_the_samples_are_all_that_is_in_the_system(policy: str) -> None:
    scenario = two_sources("full_duplex", "blocking", 100)
    record = run_policy(scenario, policy)
    waiting = record.samples.sum(axis=1)
    for when, count in zip(record.sample_s, waiting, strict=True):
        inside = ((record.arrival_s < when) & (record.finish_s > when)).sum()
        # What a worker is computing stands in no queue; what it sends is still in its outbox.
        assert inside - len(record.busy_s) <= count <= inside


@pytest.mark.parametrize("policy", ["ms-mdi", "balance"])
@pytest.mark.parametrize("send", ["blocking", "overlapped"])
def test_a_source_without_a_share_hands_on_all_of_its_reservoir(policy: str, send: str) -> None:
    # By speed the source, n2, has no layer of its own; two inputs come while it runs the first.
    scenario = scenario_of(
        [0.125, 12 / 219.42857142857142, 0.5, 0.25, 0.0625],
        0.5,
        [poisson(2, 3.0, 3)],
        send=send,
        seed=0,
    )
    check_everything_is_done_once(scenario, run_policy(scenario, policy))

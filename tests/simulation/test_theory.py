"""Queues whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from planner.simulation.costing import network_of
from tests.planner.builders import Net
from tests.simulation.cases import poisson, run_policy, scenario_of


def test_a_single_node_is_an_m_d_1_queue() -> None:
    service, rate = 0.1, 6.0
    scenario = scenario_of([service], 0.01, [poisson(0, rate, 40_000)], seed=3)
    record = run_policy(scenario, "local")
    load = rate * service
    expected = service + load * service / (2 * (1 - load))
    assert record.sojourn_s.mean() == pytest.approx(expected, rel=0.03)


def test_exponential_services_make_it_an_m_m_1_queue() -> None:
    service, rate = 0.1, 6.0
    scenario = scenario_of(
        [service], 0.01, [poisson(0, rate, 40_000)], service="exponential", seed=4
    )
    record = run_policy(scenario, "local")
    expected = 1 / (1 / service - rate)
    assert record.sojourn_s.mean() == pytest.approx(expected, rel=0.05)
    # The time in the system is exponential, so that its quantiles are known too.
    assert np.quantile(record.sojourn_s, 0.95) == pytest.approx(-expected * np.log(0.05), rel=0.06)


def test_tandem_queues_each_behave_as_if_alone() -> None:
    """Burke: what leaves an M/M/1 queue is Poisson again."""
    rate = 4.0
    scenario = scenario_of(
        [0.3, 0.3], 1e-7, [poisson(0, rate, 25_000)], service="exponential", seed=5
    )
    parts = network_of(scenario).part_s()[0, 0]
    record = run_policy(scenario, "ar-mdi")
    expected = sum(1 / (1 / part - rate) for part in parts)
    assert record.sojourn_s.mean() == pytest.approx(expected, rel=0.05)


def test_a_deterministic_tandem_follows_its_recursion() -> None:
    """D_n = max(D_n of the input before, D_(n-1)) + s_n, links among the stations."""
    scenario = scenario_of([0.2, 0.3, 0.25], 0.11, [poisson(0, 6.0, 400)], seed=6)
    network = network_of(scenario)
    route = network.route(0)
    stations = []
    for k, (node, begin, end) in enumerate(route):
        stations.append(network.done_s[node, end] - network.done_s[node, begin])
        if k + 1 < len(route):
            stations.append(network.send_s[node, route[k + 1][0], end])
    record = run_policy(scenario, "ar-mdi")
    free = [0.0] * len(stations)
    for come, done in zip(record.arrival_s, record.finish_s, strict=True):
        when = come
        for k, seconds in enumerate(stations):
            when = free[k] = max(free[k], when) + seconds
        assert done == pytest.approx(when, rel=1e-12)


def test_blocking_sends_add_to_the_sender_s_service() -> None:
    scenario = scenario_of([0.2, 0.2], 0.05, [poisson(0, 20.0, 300)], send="blocking", seed=6)
    record = run_policy(scenario, "ar-mdi")
    part = network_of(scenario).part_s()[0, 0]
    # Overloaded: the first worker is never idle, the second works off what it sends.
    expected = record.arrival_s[0] + 300 * (part[0] + 0.05) + part[1]
    assert record.makespan_s == pytest.approx(expected, rel=1e-9)


def test_a_shared_medium_carries_one_message_at_a_time() -> None:
    sources = [poisson(0, 50.0, 200), poisson(1, 50.0, 200)]
    apart = run_policy(scenario_of([0.01, 0.01], 0.1, sources), "ar-mdi")
    shared = run_policy(scenario_of([0.01, 0.01], 0.1, sources, medium="shared"), "ar-mdi")
    half = run_policy(scenario_of([0.01, 0.01], 0.1, sources, medium="half_duplex"), "ar-mdi")
    assert shared.makespan_s > 400 * 0.1
    assert half.makespan_s > 400 * 0.1
    assert apart.makespan_s == pytest.approx(200 * 0.1, rel=0.1)


def test_an_input_that_is_read_again_is_sent_on() -> None:
    """Only its source has it, whatever plans assume: it crosses each link up to its last reader."""
    net = Net(10, 25)  # tensors of the even model's size
    net.add(net.conv(net.conv("image", 10), 10), "image")
    net.conv("add_2", 10)
    scenario = scenario_of([0.2, 0.2], 0.05, [poisson(0, 1.0, 1)], model=net.profile())
    found = network_of(scenario).send_s[0, 1]
    # the input, the first cut with the image still to be read, the second without it, the output
    assert found == pytest.approx([0.05, 0.1, 0.05, 0.05])

"""Workers that decide each for itself do what the simulator has all of them do at once."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest

from benchmarks.multi_source.ledger import Ledger, Task
from planner.simulation.arrivals import arrival_times
from planner.simulation.costing import network_of
from planner.simulation.engine import state as s
from planner.simulation.network import Network
from planner.simulation.policies import rule_of
from planner.simulation.run import run_once
from planner.simulation.scenario import Scenario
from tests.simulation.cases import poisson, scenario_of

LINK_S = 1e-9  # of a message: what links do is not asked here


@dataclass
class Bench:
    """Ledgers that hear each other at once, on a clock that jumps from event to event."""

    scenario: Scenario
    network: Network
    policy: str
    finish_s: dict[int, float] = field(default_factory=dict)
    whole: set[int] = field(default_factory=set)

    def run(self) -> None:
        arrivals = arrival_times(self.scenario)
        rule = rule_of(self.policy, self.scenario.ms_mdi)
        ranks = range(len(self.network.names))
        self.ledgers = [Ledger(self.scenario, self.network, rule, arrivals, rank) for rank in ranks]
        self.running: dict[int, Task] = {}
        self.serial = itertools.count()
        self.events = [
            (float(at), next(self.serial), "input", int(self.network.source_node[source]), 0)
            for source, times in enumerate(arrivals)
            for at in times
        ]
        heapq.heapify(self.events)
        while self.events:
            now_s, _, kind, rank, item = heapq.heappop(self.events)
            ledger = self.ledgers[rank]
            if kind == "end":
                del self.running[rank]
                finished = ledger.end(now_s)
                if finished is not None:
                    assert finished not in self.finish_s
                    self.finish_s[finished] = now_s
                for sent, _, receiver in ledger.to_send():
                    self._at(now_s + LINK_S, "message", receiver, sent)
            elif kind == "message":
                ledger.receive(item)
            ledger.pass_time(now_s)
            self._tell()
            if rank not in self.running and (task := ledger.begin()):
                self.running[rank] = task
                self._at(now_s + self._seconds(rank, task), "end", rank, task.item)
                self._tell()
        for ledger in self.ledgers:
            self.whole.update(ledger.ran_whole())

    def _at(self, when_s: float, kind: str, rank: int, item: int) -> None:
        heapq.heappush(self.events, (when_s, next(self.serial), kind, rank, item))

    def _seconds(self, rank: int, task: Task) -> float:
        if task.whole:
            return float(self.network.whole_s()[0, rank])
        return float(self.network.part_s()[0, task.source, rank])

    def _tell(self) -> None:
        for rank, ledger in enumerate(self.ledgers):
            for source in range(len(self.network.source_node)):
                for other in self.ledgers:
                    if other is not ledger:
                        other.hear(rank, source, ledger.length(source))


@pytest.mark.parametrize("policy", ["local", "ar-mdi", "ms-mdi"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_inputs_are_done_at_the_same_times(policy: str, seed: int) -> None:
    whole_s = [0.17, 0.29, 0.19, 0.31]
    sources = [poisson(0, 6.0, 40), poisson(2, 9.0, 60)]
    scenario = scenario_of(whole_s, LINK_S, sources, split="macs", seed=seed)
    network = network_of(scenario)
    bench = Bench(scenario, network, policy)
    bench.run()
    rule = rule_of(policy, scenario.ms_mdi)
    record = run_once(scenario, network, rule, arrival_times(scenario), compiled=False)
    found = [bench.finish_s[item] for item in range(100)]
    np.testing.assert_allclose(found, record.finish_s, atol=1e-6)
    assert bench.whole == set(np.flatnonzero(record.whole))
    if policy == "ms-mdi":
        assert 0 < len(bench.whole) < 100  # else nothing was decided


def test_a_worker_without_a_source_waits_for_messages_alone() -> None:
    scenario = scenario_of([0.2, 0.2], LINK_S, [poisson(0, 5.0, 3)])
    rule = rule_of("ar-mdi", scenario.ms_mdi)
    network, arrivals = network_of(scenario), arrival_times(scenario)
    ledger = Ledger(scenario, network, rule, arrivals, 1)
    assert ledger.next_input_s == s.NEVER
    ledger.pass_time(1e6)
    assert ledger.begin() is None
    ledger.receive(2)
    assert ledger.begin() == Task(2, 0, whole=False)
    assert ledger.end(1e6 + 1) == 2
    assert list(ledger.to_send()) == []

"""What one worker knows and decides: the simulator's own tables and rules, on a real clock.

The engine simulates all workers in one set of tables. Here each worker has a set of its own in
which only it is alive to what happens: other sources' inputs never come, nobody else computes, and
what it knows of another worker's queue is what that worker told it. Arrivals, admission, the choice
of the next queue and what becomes of a finished part are the engine's functions, not copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.simulation.engine import state as s
from planner.simulation.engine.advance import admit, decide, end_service, receive_inputs
from planner.simulation.engine.queues import unpost, wake
from planner.simulation.engine.sending import route
from planner.simulation.network import Network
from planner.simulation.policies import Rule
from planner.simulation.run import run_tables
from planner.simulation.scenario import Scenario


@dataclass(frozen=True)
class Task:
    """An input, and which part of its source's model is to be run: all of it, or the own share."""

    item: int
    source: int
    whole: bool


class Ledger:
    """A worker's queues and decisions in one run.

    Parameters
    ----------
    scenario, network, rule, arrivals : as `planner.simulation.run.run_once` takes them
        The rule is Local's, AR-MDI's or MS-MDI's.
    node : int
        Whose ledger it is.
    """

    def __init__(
        self,
        scenario: Scenario,
        network: Network,
        rule: Rule,
        arrivals: list[NDArray[np.float64]],
        node: int,
    ) -> None:
        self._tables = run_tables(scenario, network, rule, arrivals, 0, arrays=False)
        self._node = node
        at, i, f = self._at = self._tables.at, self._tables.i, self._tables.f
        self._own = i[at.source_at + node]
        self._enters = {
            source: begin
            for source in range(at.sources)
            for worker, begin, _ in network.route(source)
            if worker == node
        }
        for item in range(at.items):
            if i[at.item_source + item] != self._own:
                f[at.arrival_s + item] = s.NEVER

    @property
    def next_input_s(self) -> float:
        """When the source at this worker has its next input; NEVER where there is none."""
        at, i, f = self._at
        if self._own == s.NONE:
            return s.NEVER
        item = i[at.first + self._own] + i[at.come + self._own]
        return f[at.arrival_s + item] if item < i[at.first + self._own + 1] else s.NEVER

    def pass_time(self, now_s: float) -> None:
        """Take in the inputs that have come by now."""
        at, i, f = self._at
        f[at.now] = now_s
        receive_inputs(at, i, f)
        admit(at, i, f)

    def receive(self, item: int) -> None:
        """An input came from the worker before, on its source's route."""
        at, i, _ = self._at
        i[at.units_done + item] = self._enters[i[at.item_source + item]]
        route(at, i, item, self._node)

    def hear(self, node: int, source: int, length: int) -> None:
        """Another worker told how many parts of a source wait there."""
        at, i, _ = self._at
        i[at.length + node * at.kinds + source] = length

    def length(self, source: int) -> int:
        """How many parts of a source wait here."""
        at, i, _ = self._at
        return i[at.length + self._node * at.kinds + source]

    def begin(self) -> Task | None:
        """What the policy has this worker do next; it must be free."""
        at, i, f = self._at
        decide(at, i, f)
        item = i[at.cpu_item + self._node]
        if item == s.NONE:
            return None
        return Task(item, i[at.item_source + item], bool(i[at.whole + item]))

    def end(self, now_s: float) -> int | None:
        """The task is done; the item where it was the last one of its input."""
        at, i, f = self._at
        f[at.now] = now_s
        item, before = i[at.cpu_item + self._node], i[at.finished]
        end_service(at, i, f, self._node)
        return item if i[at.finished] > before else None

    def to_send(self) -> Iterator[tuple[int, int, int]]:
        """Item, source and receiver of what leaves now, in order."""
        at, i, _ = self._at
        while i[at.out_count + self._node]:
            item = unpost(at, i, self._node)
            wake(at, i, self._node)
            yield item, i[at.item_source + item], i[at.goes_to + item]

    def ran_whole(self) -> list[int]:
        """Inputs of this worker's source that were run whole."""
        return np.flatnonzero(self._tables.get("whole")).tolist()

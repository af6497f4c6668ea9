"""The workers, links and routes of a scenario as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.domain.cluster import Medium
from planner.simulation.engine.state import LAST, OFF_ROUTE

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Network:
    """N workers, S sources, a model of U units, E epochs between churn and drift.

    Attributes
    ----------
    names : workers in ring order
    source_node : int array, shape (S,)
    medium : full_duplex, half_duplex or shared
    done_s : shape (N, U + 1)
        Seconds of the first u units on each worker at the cluster's speed.
    send_s : shape (N, N, U + 1)
        Seconds that a link carries what u units leave; 0 units: the input; U: the output.
    delay_s : shape (N, N)
        Seconds between a message's leaving and its coming, which occupy nobody.
    change_s : shape (E,), the first 0
        Seconds since the start at which an epoch begins.
    alive : bool, shape (E, N)
    pace, wire_pace : shape (E, N)
        Seconds now per second at the cluster's speed, of computing and of what a node sends: not
        the speed, but one over it.
    owner, stop : int, shape (E, S, U)
        The worker of each unit of each source's route, and where its share ends.
    """

    names: tuple[str, ...]
    source_node: NDArray[np.int64]
    medium: Medium
    done_s: Array
    send_s: Array
    delay_s: Array
    change_s: Array
    alive: NDArray[np.bool_]
    pace: Array
    wire_pace: Array
    owner: NDArray[np.int64]
    stop: NDArray[np.int64]

    @property
    def units(self) -> int:
        """U."""
        return int(self.done_s.shape[1]) - 1

    def follows(self) -> NDArray[np.int64]:
        """Who comes next on each route, LAST or OFF_ROUTE, shape (E, S, N)."""
        epochs, sources, _ = self.owner.shape
        after = np.full((epochs, sources, len(self.names)), OFF_ROUTE, dtype=np.int64)
        for epoch, source in np.ndindex(epochs, sources):
            route = [node for node, _, _ in self.route(source, epoch)]
            after[epoch, source, route] = [*route[1:], LAST]
        return after

    def route(self, source: int, epoch: int = 0) -> list[tuple[int, int, int]]:
        """Worker, first unit and end of every share of a source's model, in order."""
        shares = []
        begin = 0
        while begin < self.units:
            end = int(self.stop[epoch, source, begin])
            shares.append((int(self.owner[epoch, source, begin]), begin, end))
            begin = end
        return shares

    def part_s(self) -> Array:
        """Seconds of one distributed input at every worker, shape (E, S, N)."""
        epochs, sources, _ = self.owner.shape
        work = np.zeros((epochs, sources, len(self.names)))
        for epoch, source in np.ndindex(epochs, sources):
            for node, begin, end in self.route(source, epoch):
                seconds = self.done_s[node, end] - self.done_s[node, begin]
                work[epoch, source, node] += seconds * self.pace[epoch, node]
        return work

    def hops(self, source: int, epoch: int, returns: bool) -> list[tuple[int, int, float]]:
        """Sender, receiver and seconds on the link of every message of a distributed input."""
        home = int(self.source_node[source])
        holder = home
        found = []
        for node, begin, _ in self.route(source, epoch):
            if node != holder:
                found.append((holder, node, self._seconds(epoch, holder, node, begin)))
            holder = node
        if returns and holder != home:
            found.append((holder, home, self._seconds(epoch, holder, home, self.units)))
        return found

    def round_trip(self, source: int, node: int, returns: bool) -> list[tuple[int, int, float]]:
        """The messages of an input that another worker runs whole, in the first epoch."""
        home = int(self.source_node[source])
        there = [(home, node, self._seconds(0, home, node, 0))]
        back = [(node, home, self._seconds(0, node, home, self.units))] if returns else []
        return there + back

    def channel_out(self, node: int) -> int:
        """What a message occupies at its sender; all of a medium that is shared."""
        return 0 if self.medium == "shared" else node

    def channel_in(self, node: int) -> int:
        """What a message occupies at its receiver."""
        if self.medium == "shared":
            return 0
        return node + len(self.names) * (self.medium == "full_duplex")

    def part_wire_s(self, returns: bool) -> Array:
        """Seconds that every worker sends for one distributed input, shape (E, S, N)."""
        sent = np.zeros((*self.owner.shape[:2], len(self.names)))
        for epoch, source in np.ndindex(*sent.shape[:2]):
            for sender, _, seconds in self.hops(source, epoch, returns):
                sent[epoch, source, sender] += seconds
        return sent

    def part_port_s(self, returns: bool) -> Array:
        """Seconds that it occupies every worker's interface, shape (E, S, N).

        That is what the worker sends; on half-duplex links what it receives as well.
        """
        occupied = self.part_wire_s(returns)
        if self.medium == "half_duplex":
            for epoch, source in np.ndindex(*occupied.shape[:2]):
                for _, receiver, seconds in self.hops(source, epoch, returns):
                    occupied[epoch, source, receiver] += seconds
        return occupied

    def whole_s(self) -> Array:
        """Seconds of a whole model at every worker, shape (E, N)."""
        whole: Array = self.done_s[:, -1] * self.pace
        return whole

    def ship_s(self) -> Array:
        """Seconds that a source's link carries an input to every worker, shape (E, S, N)."""
        return np.stack(
            [
                self.send_s[self.source_node, :, 0] * pace[self.source_node, None]
                for pace in self.wire_pace
            ]
        )

    def _seconds(self, epoch: int, sender: int, receiver: int, units: int) -> float:
        seconds = self.send_s[sender, receiver, units] * self.wire_pace[epoch, sender]
        return float(seconds)

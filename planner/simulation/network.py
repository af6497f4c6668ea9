"""From a scenario to the numbers that a run works on, by the planner's own costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.cost.chain import ChainCosts
from planner.cost.exchange import Links, transfer_s
from planner.domain.cluster import Cluster, Medium
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings
from planner.errors import BadInputError
from planner.simulation.scenario import MAX_NODES, Scenario
from planner.simulation.state import LAST, OFF_ROUTE
from planner.solve.allocation.shares import ar_mdi_workers
from planner.strategies.pipeline import seconds_per_param
from planner.strategies.study import Study

Array = NDArray[np.float64]
MAX_CELLS = 20_000_000


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
    change_s : shape (E,), the first 0
    alive : bool, shape (E, N)
    pace, wire_pace : shape (E, N)
        Seconds now per second at the cluster's speed.
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
        at = home
        found = []
        for node, begin, _ in self.route(source, epoch):
            if node != at:
                found.append((at, node, self._seconds(epoch, at, node, begin)))
            at = node
        if returns and at != home:
            found.append((at, home, self._seconds(epoch, at, home, self.units)))
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


def network_of(scenario: Scenario) -> Network:
    """Cost a scenario's model on its workers and lay out every source's route, epoch by epoch.

    Raises
    ------
    BadInputError
        A node that is named is none, or the scenario is larger than what is simulated.
    """
    profile, cluster = _documents(scenario)
    ring = _ring(scenario, cluster)
    names = tuple(node.name for node in ring.nodes)
    _check_names(scenario, names)
    study = Study(profile, _without_delay(ring), CostSettings(medium=scenario.medium))
    chain = study.chain(len(names))
    done_s = np.concatenate([np.zeros((len(names), 1)), np.cumsum(chain.compute_s, axis=1)], axis=1)
    sources = np.array([names.index(source.node) for source in scenario.sources])
    change_s = _changes(scenario)
    if len(change_s) * len(sources) * len(chain.units) > MAX_CELLS:
        raise BadInputError(
            f"scenario {scenario.name!r}: {len(change_s)} epochs of churn and drift, "
            f"{len(sources)} sources and {len(chain.units)} units of the model; their product "
            f"may be at most {MAX_CELLS:,}"
        )
    alive = _alive(scenario, names, change_s)
    pace, wire_pace = _paces(scenario, names, change_s)
    gamma = seconds_per_param(study, len(names))
    for name, value in scenario.gamma_s_per_param.items():
        gamma[names.index(name)] = value
    weights = chain.params if scenario.split == "params" else chain.macs
    if not weights.any():
        raise BadInputError(
            f"split: model {profile.name} has no {scenario.split}; give params or macs, "
            "whichever it has"
        )
    owner = np.empty((len(change_s), len(sources), len(chain.units)), dtype=np.int64)
    for epoch, source in np.ndindex(*owner.shape[:2]):
        order = np.roll(np.arange(len(names)), -sources[source])
        order = order[alive[epoch, order]]
        workers = ar_mdi_workers(weights, (gamma * pace[epoch])[order])
        owner[epoch, source] = order[workers]
    return Network(
        names=names,
        source_node=sources,
        medium=study.medium,
        done_s=done_s,
        send_s=_send_s(study, chain),
        delay_s=ring.pair_latency_s() * ~np.eye(len(names), dtype=np.bool_),
        change_s=change_s,
        alive=alive,
        pace=pace,
        wire_pace=wire_pace,
        owner=owner,
        stop=_ends(owner),
    )


def _documents(scenario: Scenario) -> tuple[ModelProfile, Cluster]:
    for field, value in (("model", scenario.model), ("cluster", scenario.cluster)):
        if isinstance(value, str):
            raise BadInputError(f"{field}: found the name {value!r}; the document itself is needed")
    assert isinstance(scenario.model, ModelProfile) and isinstance(scenario.cluster, Cluster)
    return scenario.model, scenario.cluster


def _ring(scenario: Scenario, cluster: Cluster) -> Cluster:
    names = list(scenario.ring or [node.name for node in cluster.nodes])
    known = [node.name for node in cluster.nodes]
    for name in names:
        if name not in known:
            raise BadInputError(f"ring: {name!r} is no node of {cluster.name}; nodes are {known}")
        if names.count(name) > 1:
            raise BadInputError(f"ring: {name!r} is there twice")
    if len(names) > MAX_NODES:
        raise BadInputError(
            f"ring: {len(names)} nodes; at most {MAX_NODES} are simulated, name those in `ring`"
        )
    # The costs of a ring begin at its first node; each source's route is turned to begin at it.
    return cluster.only(names).model_copy(update={"source_node": names[0]})


def _check_names(scenario: Scenario, names: tuple[str, ...]) -> None:
    named = [(f"sources[{i}].node", s.node) for i, s in enumerate(scenario.sources)]
    named += [(f"churn[{i}].node", a.node) for i, a in enumerate(scenario.churn)]
    named += [(f"drift[{i}].node", d.node) for i, d in enumerate(scenario.drift) if d.node]
    named += [("gamma_s_per_param", name) for name in scenario.gamma_s_per_param]
    for where, name in named:
        if name not in names:
            raise BadInputError(
                f"{where}: {name!r} is no worker of the ring; workers are {', '.join(names)}"
            )


def _without_delay(ring: Cluster) -> Cluster:
    """The same links for what occupies them: a message's delay does not."""
    return ring.model_copy(
        update={
            "link": ring.link.model_copy(update={"latency_s": 0.0}),
            "pair_links": tuple(p.model_copy(update={"latency_s": 0.0}) for p in ring.pair_links),
        }
    )


def _send_s(study: Study, chain: ChainCosts) -> Array:
    """Occupation of a link by the input, by what crosses each cut, and by the output."""
    profile = study.profile
    sizes = {layer.name: layer.output_bytes for layer in profile.layers}
    sizes |= {spec.name: spec.bytes for spec in profile.inputs}
    ends = np.array(
        [sum(spec.bytes for spec in profile.inputs), sum(sizes[n] for n in profile.outputs)]
    )
    outer = transfer_s(ends, Links.of(study.cluster, study.medium, None))
    return np.concatenate([outer[:, :, :1], chain.transfer_s, outer[:, :, 1:]], axis=2)


def _changes(scenario: Scenario) -> Array:
    times = {0.0}
    for absence in scenario.churn:
        times.add(absence.leaves_s)
        if absence.rejoins_s is not None:
            times.add(absence.rejoins_s)
    times.update(drift.at_s for drift in scenario.drift)
    return np.array(sorted(times))


def _alive(scenario: Scenario, names: tuple[str, ...], change_s: Array) -> NDArray[np.bool_]:
    alive = np.ones((len(change_s), len(names)), dtype=np.bool_)
    for absence in scenario.churn:
        back_s = np.inf if absence.rejoins_s is None else absence.rejoins_s
        alive[(change_s >= absence.leaves_s) & (change_s < back_s), names.index(absence.node)] = (
            False
        )
    for source in scenario.sources:
        gone = ~alive[:, names.index(source.node)]
        if gone[0]:
            raise BadInputError(f"churn: source {source.node!r} leaves at 0 s, before its inputs")
    return alive


def _paces(scenario: Scenario, names: tuple[str, ...], change_s: Array) -> tuple[Array, Array]:
    speed = np.ones((2, len(change_s), len(names)))
    for drift in sorted(scenario.drift, key=lambda d: d.at_s):
        nodes = slice(None) if drift.node is None else names.index(drift.node)
        for kind, factor in enumerate((drift.compute_factor, drift.bandwidth_factor)):
            if factor is not None:
                speed[kind, change_s >= drift.at_s, nodes] = factor
    return 1.0 / speed[0], 1.0 / speed[1]


def _ends(owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the run of equal owners that holds each unit ends."""
    stop = np.empty_like(owner)
    units = owner.shape[-1]
    stop[..., -1] = units
    for unit in range(units - 2, -1, -1):
        same = owner[..., unit] == owner[..., unit + 1]
        stop[..., unit] = np.where(same, stop[..., unit + 1], unit + 1)
    return stop

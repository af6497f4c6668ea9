"""The least cost of the rest from every state, at given multipliers (docs/model.md, eq. 40).

A dynamic program goes backwards over the layers. Its states are pairs: which nodes are used and
which group runs the present stage (`planner.solve.stages.stage_graph`), and how the live tensors
lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.solve.layout_problem import (
    ALONE,
    START,
    CutCosts,
    Floats,
    Ints,
    LayerArcs,
    LayoutProblem,
)
from planner.solve.problem import Choice
from planner.solve.stages.stage_graph import StageGraph, stage_graph


@dataclass(frozen=True, eq=False)
class Network:
    """A problem with its graph of stages; Q pairs of used nodes and group.

    Attributes
    ----------
    problem : LayoutProblem
    graph : StageGraph
    group : int array, shape (Q,)
    alone : bool array, shape (Q,)
        The group is one node.
    """

    problem: LayoutProblem
    graph: StageGraph

    @classmethod
    def of(cls, problem: LayoutProblem) -> Network:
        """Build it.

        Raises
        ------
        TooManyStatesError
        """
        return cls(problem, stage_graph(problem))

    @property
    def group(self) -> Ints:
        """The group of each pair, shape (Q,)."""
        return self.graph.group

    @cached_property
    def alone(self) -> NDArray[np.bool_]:
        """Pairs whose group is one node, shape (Q,)."""
        alone: NDArray[np.bool_] = self.problem.nodes[self.group] == 1
        return alone

    def begin(self, q: Ints) -> Ints:
        """The state before the first layer."""
        return np.where(self.alone[q], ALONE, START)


@dataclass(frozen=True, eq=False)
class Charges:
    """What the dynamic program adds up.

    Attributes
    ----------
    options : tuple of float arrays, shape (G, O)
        Of every kind of layer; infinite where not allowed.
    cuts : tuple of float arrays, shape (G, G, M)
    entry : float array, shape (G,)
        Of beginning a stage on a group.
    first : float array, shape (G,)
        Of beginning the first one.
    end : float array, shape (G, S)
    """

    options: tuple[Floats, ...]
    cuts: tuple[Floats, ...]
    entry: Floats
    first: Floats
    end: Floats


@dataclass(frozen=True, eq=False)
class Capacity:
    """How much of their time the nodes of every group take from all nodes' time.

    A node of a type counts by its weight. Within a bottleneck T no node works longer than T, so
    that all layers' busy seconds, each times the weight of its group, are at most T times the
    weight of all nodes.

    Attributes
    ----------
    of_group : float array, shape (G,)
    of_all : float
        Of all nodes that may be used together.
    """

    of_group: Floats
    of_all: float

    @classmethod
    def of(cls, problem: LayoutProblem) -> Capacity:
        """Weights by speed, so that a layer takes as much on any node: then the bound is high."""
        weights = np.ones(len(problem.available))
        single = [
            (int(problem.uses[group].argmax()), group)
            for group in np.flatnonzero(problem.nodes == 1)
        ]
        takes = {kind: _alone_s(problem, int(group)) for kind, group in single}
        fastest = min(takes.values(), default=0.0)
        for kind, seconds in takes.items():
            weights[kind] = fastest / seconds if seconds > 0 else 1.0
        each = np.sort(np.repeat(weights, problem.available))[::-1]
        return cls(problem.uses @ weights, float(each[: problem.max_nodes].sum()))


def _alone_s(problem: LayoutProblem, group: int) -> float:
    """Seconds of all layers on a node alone, by its first options."""
    first = [float(arcs.latency_s[group, 0]) for arcs in problem.arcs]
    return sum(first[int(kind)] for kind in problem.kind)


def work_of(arcs: LayerArcs, capacity: Capacity) -> Floats:
    """What each option takes of all nodes' time, shape (G, O): the mean of its resources."""
    work: Floats = arcs.busy_s.mean(axis=0) * capacity.of_group[:, None]
    return work


def charges_of(
    problem: LayoutProblem,
    latency: float = 0.0,
    loss: float = 0.0,
    entry: Floats | None = None,
    medium: float = 0.0,
    capacity: Capacity | None = None,
) -> Charges:
    """So much for each second of latency, unit of loss, second of the medium, and nodes' time.

    Parameters
    ----------
    problem : LayoutProblem
    latency, loss, medium : float
    entry : float array, shape (G,), optional
        What a group's stage begins with.
    capacity : Capacity, optional
        Where the nodes' time is charged, once for each of its seconds.
    """
    ends = np.isfinite(problem.output_s)
    begun = np.zeros(len(problem.uses)) if entry is None else entry
    options = []
    for arcs in problem.arcs:
        cost = latency * arcs.latency_s + loss * arcs.loss + medium * arcs.medium_s
        if capacity is not None:
            cost = cost + work_of(arcs, capacity)
        options.append(np.where(arcs.allowed, cost, np.inf))
    cuts = []
    for costs in problem.cut_costs:
        known = np.isfinite(costs.seconds)
        charge = latency * np.where(known, costs.seconds, 0.0) + medium * costs.medium_s
        cuts.append(np.where(known, charge, np.inf))
    output = latency * np.where(ends, problem.output_s, 0.0) + medium * problem.output_medium_s
    return Charges(
        options=tuple(options),
        cuts=tuple(cuts),
        entry=begun,
        first=latency * problem.input_s + medium * problem.input_medium_s + begun,
        end=np.where(ends, output, np.inf),
    )


class Completions:
    """The least charge of the rest before every layer: ``rest[l][q, s]``.

    ``stays[l][q, s]`` is that without a change of group at the very place.
    """

    def __init__(self, network: Network, charges: Charges) -> None:
        self.network, self.charges = network, charges
        problem, graph = network.problem, network.graph
        group = network.group
        last = np.where(graph.final[:, None], charges.end[group], np.inf)
        self.rest: list[Floats] = [last]
        self.stays: list[Floats] = [last]
        spread = [costs[group] for costs in charges.options]
        for layer in range(problem.layers - 1, -1, -1):
            arcs = problem.arc(layer)
            through = spread[int(problem.kind[layer])][:, arcs.option]
            through += self.rest[-1][:, arcs.after]
            here = np.full((len(group), int(problem.states[layer])), np.inf)
            states, first = arcs.begins
            here[:, states] = np.minimum.reduceat(through, first, axis=1)
            self.stays.append(here)
            if layer and problem.cut_kind[layer - 1] >= 0 and len(graph.sources):
                here = self._cut(here, int(problem.cut_kind[layer - 1]))
            self.rest.append(here)
        self.rest.reverse()
        self.stays.reverse()

    def _cut(self, stays: Floats, kind: int) -> Floats:
        """The cheaper of going on and of the cheapest change of group."""
        network, graph = self.network, self.network.graph
        costs = network.problem.cut_costs[kind]
        behind = self.edge_costs(stays, kind)
        here = stays.copy()
        begins = np.flatnonzero(np.diff(graph.first_edge))
        best = np.minimum.reduceat(behind, graph.first_edge[begins], axis=0)
        lies = np.flatnonzero(costs.main >= 0)
        for row, q in enumerate(begins):
            if network.alone[q]:
                here[q, ALONE] = min(here[q, ALONE], best[row].min())
            else:
                here[q, lies] = np.minimum(here[q, lies], best[row, costs.main[lies]])
        return here

    def edge_costs(self, stays: Floats, kind: int) -> Floats:
        """Charge of every change of group and of the rest behind it, shape (E, M)."""
        network, graph = self.network, self.network.graph
        costs = network.problem.cut_costs[kind]
        sources, targets = graph.sources, graph.targets
        group = network.group
        arrival = arrivals(network, costs, targets)
        rest = stays[targets[:, None], np.maximum(arrival, 0)]
        rest = np.where(arrival < 0, np.inf, rest)
        moved = self.charges.cuts[kind][group[sources], group[targets]]
        entry: Floats = moved + rest + self.charges.entry[group[targets]][:, None]
        return entry

    @property
    def first(self) -> Floats:
        """The least charge of everything, for each pair that may begin."""
        network = self.network
        starts = network.graph.starts
        rest = self.rest[0][starts, np.minimum(network.begin(starts), self.rest[0].shape[1] - 1)]
        total: Floats = rest + self.charges.first[network.group[starts]]
        return total

    @property
    def least(self) -> float:
        """The least charge of everything; infinite where there is no way through."""
        return float(self.first.min(initial=np.inf))

    def cheapest(self) -> Choice:
        """The way with the least charge; one must exist."""
        network, problem, graph = self.network, self.network.problem, self.network.graph
        q = int(graph.starts[self.first.argmin()])
        state = int(network.begin(np.array(q)))
        starts, groups, options = [0], [int(network.group[q])], []
        for layer in range(problem.layers):
            if layer and problem.cut_kind[layer - 1] >= 0:
                moved = self._moves_on(layer, q, state)
                if moved is not None:
                    q, state = moved
                    starts.append(layer)
                    groups.append(int(network.group[q]))
            arcs = problem.arc(layer)
            costs = self.charges.options[int(problem.kind[layer])][network.group[q]]
            mine = np.flatnonzero(arcs.before == state)
            through = costs[arcs.option[mine]] + self.rest[layer + 1][q, arcs.after[mine]]
            arc = int(mine[through.argmin()])
            options.append(arc)
            state = int(arcs.after[arc])
        return Choice(starts=tuple(starts), groups=tuple(groups), options=np.array(options))

    def _moves_on(self, layer: int, q: int, state: int) -> tuple[int, int] | None:
        """The change of group before a layer, where that is cheapest: the pair and state behind."""
        network, problem, graph = self.network, self.network.problem, self.network.graph
        edges = slice(graph.first_edge[q], graph.first_edge[q + 1])
        if edges.start == edges.stop:
            return None
        kind = int(problem.cut_kind[layer - 1])
        costs = problem.cut_costs[kind]
        behind = self.edge_costs(self.stays[layer], kind)[edges]
        if not network.alone[q]:
            main = int(costs.main[state])
            if main < 0:
                return None
            lying = np.full_like(behind, np.inf)
            lying[:, main] = behind[:, main]
            behind = lying
        if behind.min(initial=np.inf) >= self.stays[layer][q, state]:
            return None
        edge, lies = divmod(int(behind.argmin()), behind.shape[1])
        target = int(graph.targets[edges][edge])
        arrival = arrivals(network, costs, np.array([target]))[0, lies]
        return target, int(arrival)


def arrivals(network: Network, costs: CutCosts, targets: Ints) -> Ints:
    """The state in which each target begins, by how tensors lie, shape (E, M)."""
    alone = network.alone[targets]
    arrival: Ints = np.where(alone[:, None], ALONE, costs.arrival[None, :])
    return arrival

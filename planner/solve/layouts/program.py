"""The layered problem as one integer linear program: a flow through layers, groups and layouts.

Whoever runs, on which pair of used nodes and group, in which state: one unit of flow goes from
the first layer to the last (docs/model.md, eq. 42). Without limits every vertex of the program
is whole; what is limited are sums over the flow, per stage or over all of it.
"""

from __future__ import annotations

import numpy as np

from planner.solve.deadline import Deadline
from planner.solve.layout_problem import LayoutProblem
from planner.solve.layouts.bounds import Network, arrivals
from planner.solve.milp import MEGA, Milp, MilpOutcome, units_per_second
from planner.solve.problem import NO_LIMIT, Choice

Terms = list[tuple[int, float]]

_SECONDS_PER_VARIABLE = 1e-4  # to write a program down and hand it to HiGHS
_MOST_VARIABLES = 100_000  # beyond, HiGHS finds less in minutes than the labels did


def count_variables(problem: LayoutProblem) -> int:
    """How many arcs over all layers and groups there are at least."""
    allowed = np.array([int(arcs.allowed[:, arcs.option].sum()) for arcs in problem.arcs])
    return int(allowed[problem.kind].sum())


def is_too_long(problem: LayoutProblem, deadline: Deadline) -> bool:
    """Whether the program could not be written down in memory, or in the time that is left."""
    variables = count_variables(problem)
    left_s = deadline.left_s
    return variables > _MOST_VARIABLES or (
        left_s is not None and variables * _SECONDS_PER_VARIABLE > left_s
    )


class LayoutProgram:
    """A binary variable for every arc of every pair, every change of group and every beginning.

    Parameters
    ----------
    problem : LayoutProblem
    at_most_s : float, optional
        Objective of a known plan: nothing worse is looked for.
    deadline : Deadline, optional
        Within which it is to be written down.

    Raises
    ------
    OutOfTimeError
    """

    def __init__(
        self,
        problem: LayoutProblem,
        at_most_s: float | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        self._problem = problem
        self._network = Network.of(problem)
        self.longest_s = _longest_s(problem)
        if at_most_s is not None:
            self.longest_s = min(self.longest_s, at_most_s)
        self.units = units_per_second(self.longest_s)
        self._at_most_s = at_most_s
        self.milp = Milp(deadline or Deadline())
        # flow into and out of every (layer, pair, state)
        self._into: dict[tuple[int, int, int], Terms] = {}
        self._out: dict[tuple[int, int, int], Terms] = {}
        self._arcs: dict[int, tuple[int, int, int]] = {}  # variable: layer, pair, arc
        self._cuts: dict[int, tuple[int, int, int, int]] = {}  # layer, edge, main, state before
        self._begins: dict[int, int] = {}
        self._ends: dict[int, tuple[int, int]] = {}
        self._add_ends()
        for layer in range(problem.layers):
            if layer and problem.cut_kind[layer - 1] >= 0:
                self._add_cuts(layer)
            self._add_arcs(layer)
        self._balance()
        if problem.max_loss is not None:
            terms = [(v, float(self._of(v, "loss"))) for v in self._arcs]
            self.milp.add_row([t for t in terms if t[1]], "<=", problem.max_loss)
        self._limit_memory()
        if problem.max_latency_s is not None:
            self._limit(self._latency(), problem.max_latency_s)
        if problem.max_bottleneck_s is not None:
            for terms in self._resources():
                self._limit(terms, problem.max_bottleneck_s)
        self._minimise()

    def solve(self, time_limit_s: float | None = None) -> tuple[MilpOutcome, Choice | None]:
        """Minimise to gap 0; the outcome counts in ``units`` per second."""
        outcome = self.milp.solve(time_limit_s)
        return outcome, None if outcome.values is None else self._choice(outcome.values)

    def _of(self, variable: int, field: str) -> float:
        layer, q, arc = self._arcs[variable]
        group = int(self._network.group[q])
        arcs = self._problem.arc(layer)
        return float(getattr(arcs, field)[group, arcs.option[arc]])

    def _busy(self, variable: int, resource: int) -> float:
        layer, q, arc = self._arcs[variable]
        arcs, group = self._problem.arc(layer), int(self._network.group[q])
        return float(arcs.busy_s[resource, group, arcs.option[arc]])

    def _add_ends(self) -> None:
        problem, network = self._problem, self._network
        choose: Terms = []
        for q in network.graph.starts.tolist():
            variable = self.milp.add_variable(integer=True, upper=1)
            self._begins[variable] = q
            state = int(network.begin(np.array(q)))
            self._into.setdefault((0, q, state), []).append((variable, 1.0))
            choose.append((variable, 1.0))
        self.milp.add_row(choose, "==", 1)
        last = problem.layers
        for q in np.flatnonzero(network.graph.final).tolist():
            for state in range(int(problem.states[-1])):
                if np.isfinite(problem.output_s[network.group[q], state]):
                    variable = self.milp.add_variable(integer=True, upper=1)
                    self._ends[variable] = q, state
                    self._out.setdefault((last, q, state), []).append((variable, 1.0))

    def _add_arcs(self, layer: int) -> None:
        """A variable for every arc of every pair."""
        problem, network = self._problem, self._network
        arcs = problem.arc(layer)
        for q, group in enumerate(network.group.tolist()):
            for arc in np.flatnonzero(arcs.allowed[group, arcs.option]).tolist():
                variable = self.milp.add_variable(integer=True, upper=1)
                self._arcs[variable] = layer, q, arc
                before, after = int(arcs.before[arc]), int(arcs.after[arc])
                self._out.setdefault((layer, q, before), []).append((variable, 1.0))
                self._into.setdefault((layer + 1, q, after), []).append((variable, 1.0))

    def _add_cuts(self, layer: int) -> None:
        problem, network, graph = self._problem, self._network, self._network.graph
        costs = problem.cut_costs[int(problem.cut_kind[layer - 1])]
        arrival = arrivals(network, costs, graph.targets)
        coming: dict[int, Terms] = {}
        going: dict[int, Terms] = {}
        for edge, (q, to) in enumerate(zip(graph.sources, graph.targets, strict=True)):
            for main in range(len(costs.arrival)):
                if arrival[edge, main] < 0 or (network.alone[q] and network.alone[to] and main):
                    continue
                states = [0] if network.alone[q] else np.flatnonzero(costs.main == main).tolist()
                for state in states:
                    variable = self.milp.add_variable(integer=True, upper=1)
                    self._cuts[variable] = layer, edge, main, int(state)
                    self._out.setdefault((layer, int(q), int(state)), []).append((variable, 1.0))
                    key = (layer, int(to), int(arrival[edge, main]))
                    self._into.setdefault(key, []).append((variable, 1.0))
                    going.setdefault(int(q), []).append((variable, 1.0))
                    coming.setdefault(int(to), []).append((variable, 1.0))
        # no stage is empty: what comes by a change of group does not leave by another one
        for pair in coming.keys() & going.keys():
            self.milp.add_row([*coming[pair], *going[pair]], "<=", 1)

    def _balance(self) -> None:
        for key in {**self._into, **self._out}:
            terms = self._into.get(key, []) + [(v, -c) for v, c in self._out.get(key, [])]
            self.milp.add_row(terms, "==", 0)

    def _by_pair(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for variable, (_, q, _) in self._arcs.items():
            found.setdefault(q, []).append(variable)
        return found

    def _limit_memory(self) -> None:
        """Weights of a stage and its fullest layer; a pair of used nodes and group is one stage."""
        problem, network = self._problem, self._network
        positions = problem.arcs[0].weight_bytes.shape[2]
        for q, variables in self._by_pair().items() if positions else ():
            group = int(network.group[q])
            by_layer: dict[int, list[int]] = {}
            for variable in variables:
                by_layer.setdefault(self._arcs[variable][0], []).append(variable)
            for position in range(positions):
                limit = int(problem.memory_limit_bytes[group, position])
                if limit >= NO_LIMIT:
                    continue
                peak = self.milp.add_variable()
                stored: Terms = [(peak, 1.0)]
                for layer, mine in by_layer.items():
                    arcs = problem.arc(layer)
                    live: Terms = [(peak, -1.0)]
                    for variable in mine:
                        arc = self._arcs[variable][2]
                        weights = arcs.weight_bytes[group, arcs.option[arc], position]
                        stored.append((variable, weights / MEGA))
                        held = arcs.held_bytes(group, arc)[position]
                        live.append((variable, held / MEGA))
                    self.milp.add_row(live, "<=", 0)
                self.milp.add_row(stored, "<=", limit / MEGA)

    def _latency(self) -> Terms:
        problem, network = self._problem, self._network
        terms: Terms = [(v, self._of(v, "latency_s")) for v in self._arcs]
        for variable, (layer, edge, main, _) in self._cuts.items():
            terms.append((variable, self._cut_s("seconds", layer, edge, main)))
        for variable, q in self._begins.items():
            terms.append((variable, float(problem.input_s[network.group[q]])))
        for variable, (q, state) in self._ends.items():
            terms.append((variable, float(problem.output_s[network.group[q], state])))
        return terms

    def _cut_s(self, name: str, layer: int, edge: int, main: int) -> float:
        problem, network, graph = self._problem, self._network, self._network.graph
        costs = problem.cut_costs[int(problem.cut_kind[layer - 1])]
        pair = network.group[graph.sources[edge]], network.group[graph.targets[edge]], main
        return float(getattr(costs, name)[pair])

    def _resources(self) -> list[Terms]:
        """Everything that can be the bottleneck: stages' resources, transfers, ends, the medium."""
        problem, network = self._problem, self._network
        found: list[Terms] = []
        nodes, software = len(problem.arcs[0].busy_s) - 1, self._software()
        for pair, variables in self._by_pair().items():
            for resource in range(nodes + 1):
                terms = [(v, self._busy(v, resource)) for v in variables]
                found.append(terms + (software.get(pair, []) if resource == nodes else []))
        medium: Terms = [(v, self._of(v, "medium_s")) for v in self._arcs]
        for variable, (layer, edge, main, _) in self._cuts.items():
            found.append([(variable, self._cut_s("busy_s", layer, edge, main))])
            medium.append((variable, self._cut_s("medium_s", layer, edge, main)))
        for variable, q in self._begins.items():
            found.append([(variable, float(problem.input_busy_s[network.group[q]]))])
            medium.append((variable, float(problem.input_medium_s[network.group[q]])))
        for variable, (q, state) in self._ends.items():
            found.append([(variable, float(problem.output_busy_s[network.group[q], state]))])
            occupied = float(problem.output_medium_s[network.group[q], state])
            medium.append((variable, occupied))
        return [terms for terms in [*found, medium] if any(c for _, c in terms)]

    def _software(self) -> dict[int, Terms]:
        """For how long the software of changes of group occupies the nodes of each pair."""
        graph, found = self._network.graph, dict[int, Terms]()
        for variable, (layer, edge, main, _) in self._cuts.items():
            for ends, name in ((graph.sources, "send_s"), (graph.targets, "receive_s")):
                if seconds := self._cut_s(name, layer, edge, main):
                    found.setdefault(int(ends[edge]), []).append((variable, seconds))
        return found

    def _limit(self, terms: Terms, most_s: float) -> None:
        units = units_per_second(most_s or self.longest_s)
        self.milp.add_row(_scaled(terms, units, most_s), "<=", most_s * units)

    def _minimise(self) -> None:
        most_s = self._at_most_s
        if self._problem.objective == "latency":
            terms = self._latency()
            for variable, cost in _scaled(terms, self.units, most_s):
                self.milp.costs[variable] += cost
            if most_s is not None:
                self._limit(terms, most_s)
            return
        upper = None if most_s is None else most_s * self.units
        bottleneck = self.milp.add_variable(cost=1.0, upper=upper)
        for terms in self._resources():
            scaled = _scaled(terms, self.units, most_s)
            self.milp.add_row([*scaled, (bottleneck, -1.0)], "<=", 0)

    def _choice(self, values: np.ndarray) -> Choice:
        chosen = sorted(at for v, at in self._arcs.items() if values[v] > 0.5)
        pairs = [q for _, q, _ in chosen]
        starts = [0, *(n for n in range(1, len(pairs)) if pairs[n] != pairs[n - 1])]
        return Choice(
            starts=tuple(starts),
            groups=tuple(int(self._network.group[pairs[start]]) for start in starts),
            options=np.array([arc for _, _, arc in chosen]),
        )


def _scaled(terms: Terms, units: float, most_s: float | None) -> Terms:
    """Seconds in units; what alone is longer than the most is twice as long, too long as well."""
    most = np.inf if not most_s else 2 * most_s
    return [(variable, min(seconds, most) * units) for variable, seconds in terms]


def _longest_s(problem: LayoutProblem) -> float:
    """No plan takes longer than each layer's slowest arc and all transfers."""
    total = sum(
        float(arcs.latency_s[arcs.allowed].max(initial=0.0)) * int((problem.kind == kind).sum())
        for kind, arcs in enumerate(problem.arcs)
    )
    for kind, costs in enumerate(problem.cut_costs):
        finite = costs.seconds[np.isfinite(costs.seconds)]
        total += float(finite.max(initial=0.0)) * int((problem.cut_kind == kind).sum())
    ends = problem.output_s[np.isfinite(problem.output_s)]
    return total + float(problem.input_s.max()) + float(ends.max(initial=0.0))

"""Layers whose options lead from one state of the live tensors to the next, as bare arrays.

Beside `planner.solve.problem.Problem` the costs of a layer hang on what the layers before it
chose: an option is an *arc* from a state to a state, and a plan is a way through a layered graph.
Layers that are alike share their arcs.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from planner.solve.check import Evaluation, Times, cap, exceeds
from planner.solve.problem import NO_LIMIT, Choice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALONE = 0
"""The state of a group of one node, between any two layers."""
START = 1
"""The state of a larger group before the first layer."""


@dataclass(frozen=True, eq=False)
class LayerArcs:
    """The options of one kind of layer: A arcs and O options over G groups and P positions.

    Attributes
    ----------
    before, after : int array, shape (A,)
        States; ``before`` rises.
    option : int array, shape (A,)
        What an arc costs: several lead from state to state alike.
    rest : int array, shape (A,)
        Which of ``rest_bytes`` lie beside it.
    latency_s, medium_s, loss : float array, shape (G, O)
    busy_s : float array, shape (R, G, O)
        What each resource of a stage does.
    allowed : bool array, shape (G, O)
    weight_bytes, live_bytes : int array, shape (G, O, P)
        P is 0 where no limit on memory can bind.
    rest_bytes : int array, shape (G, ..., P)
        Live bytes of what the layer does not touch.
    """

    before: Ints
    after: Ints
    option: Ints
    rest: Ints
    latency_s: Floats
    busy_s: Floats
    medium_s: Floats
    loss: Floats
    allowed: NDArray[np.bool_]
    weight_bytes: Ints
    live_bytes: Ints
    rest_bytes: Ints

    def held_bytes(self, group: Ints | int, arc: Ints | int) -> Ints:
        """Live bytes of arcs on groups, shape (..., P)."""
        held: Ints = self.live_bytes[group, self.option[arc]] + self.rest_bytes[
            group, self.rest[arc]
        ]
        return held

    @cached_property
    def begins(self) -> tuple[Ints, Ints]:
        """States that any arc leaves, and the first arc of each."""
        states, first = np.unique(self.before, return_index=True)
        return states, first.astype(np.int64)

    @cached_property
    def stops(self) -> Ints:
        """One behind the last arc of each state in `begins`."""
        return np.append(self.begins[1][1:], len(self.before))


@dataclass(frozen=True, eq=False)
class CutCosts:
    """What a change of group between two layers costs, for M ways in which tensors can lie.

    Attributes
    ----------
    main : int array, shape (S,)
        How the tensors of each state lie when they are handed over, from 0; below 0: not at all.
    arrival : int array, shape (M,)
        The state of a larger group in which they arrive like that; below 0: there is none.
    seconds, medium_s : float array, shape (G, G, M)
        Between larger groups they arrive as they lay; a node alone holds everything.
    """

    main: Ints
    arrival: Ints
    seconds: Floats
    medium_s: Floats


@dataclass(frozen=True, eq=False)
class LayoutProblem:
    """Cut a chain of L layers into stages, give each a group of nodes and each layer an arc.

    Groups, nodes and limits are those of `planner.solve.problem.Problem`, whose fields have the
    same names.

    Attributes
    ----------
    arcs : tuple of LayerArcs
        Of every kind of layer.
    kind : int array, shape (L,)
    states : int array, shape (L + 1,)
        How many there are before every layer and behind the last one, `ALONE` included.
    cut_costs : tuple of CutCosts
    cut_kind : int array, shape (L - 1,)
        Which of them a change of group behind a layer costs; below 0 where none is allowed.
    input_s, input_medium_s : float array, shape (G,)
    output_s, output_medium_s : float array, shape (G, S)
        By the state behind the last layer; infinite where a plan must not end.
    """

    objective: Literal["latency", "bottleneck"]
    group_names: tuple[str, ...]
    arcs: tuple[LayerArcs, ...]
    kind: Ints
    states: Ints
    cut_costs: tuple[CutCosts, ...]
    cut_kind: Ints
    memory_limit_bytes: Ints
    input_s: Floats
    output_s: Floats
    input_medium_s: Floats
    output_medium_s: Floats
    uses: Ints
    available: Ints
    follows: NDArray[np.bool_]
    max_nodes: int
    all_nodes: bool = False
    single_stage: bool = False
    max_loss: float | None = None
    loss_name: str = "accuracy drop"
    loss_unit: str = "points"
    loss_exponent: int = 1
    max_latency_s: float | None = None
    max_bottleneck_s: float | None = None
    node_kinds: tuple[tuple[str, ...], ...] = ()

    @property
    def cuttable(self) -> NDArray[np.bool_]:
        """Places where a stage may end, shape (L - 1,)."""
        cuttable: NDArray[np.bool_] = self.cut_kind >= 0
        return cuttable

    @property
    def nodes(self) -> Ints:
        """Nodes that each group uses, shape (G,)."""
        total: Ints = self.uses.sum(axis=1)
        return total

    @property
    def layers(self) -> int:
        """Number of layers, L."""
        return len(self.kind)

    def but(self, **changes: object) -> LayoutProblem:
        """The same problem with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def arc(self, layer: int) -> LayerArcs:
        """The arcs of a layer."""
        return self.arcs[int(self.kind[layer])]

    def option(self, choice: Choice, layer: int) -> int:
        """What the arc that was chosen for a layer costs."""
        return int(self.arc(layer).option[choice.options[layer]])

    def arrival(self, group: int, costs: CutCosts, main: int) -> int:
        """The state in which a group begins behind a cut."""
        return ALONE if self.nodes[group] == 1 else int(costs.arrival[main])


def find_faults(problem: LayoutProblem, choice: Choice) -> list[str]:
    """What is wrong with the cuts, the groups or the states, whatever they cost."""
    found = []
    groups = np.array(choice.groups)
    if choice.starts[0] != 0 or any(b <= a for a, b in itertools.pairwise(choice.starts)):
        found.append("stages are out of order")
    if problem.single_stage and len(groups) > 1:
        found.append("more than one stage")
    if not problem.follows[groups[:-1], groups[1:]].all():
        found.append("a group behind one that it may not follow")
    if np.any(problem.uses[groups].sum(axis=0) > problem.available):
        found.append("a node in two stages")
    nodes = int(problem.nodes[groups].sum())
    if nodes > problem.max_nodes or (problem.all_nodes and nodes < problem.max_nodes):
        found.append(f"{nodes} nodes of {problem.max_nodes}")
    if any(problem.cut_kind[start - 1] < 0 for start in choice.starts[1:]):
        found.append("a cut between layers that stay together")
    for start, last, group in choice.runs():
        for layer in range(start, last + 1):
            arcs, arc = problem.arc(layer), int(choice.options[layer])
            if not arcs.allowed[group, arcs.option[arc]]:
                found.append("an option that is not allowed")
            if layer > start and arcs.before[arc] != behind:
                found.append("an option that does not begin where the one before ends")
            behind = arcs.after[arc]
    return found


def begins_in(problem: LayoutProblem, choice: Choice) -> list[int]:
    """The state in which every stage begins."""
    return [int(problem.arc(start).before[choice.options[start]]) for start in choice.starts]


def times_of(problem: LayoutProblem, choice: Choice) -> Times:
    """Latency, busiest resource and medium of a choice; infinite where stages do not join."""
    latency = busiest = medium = 0.0
    first = choice.groups[0]
    begun = begins_in(problem, choice)
    if begun[0] != (ALONE if problem.nodes[first] == 1 else START):
        return Times(np.inf, np.inf, np.inf)
    for start, last, group in choice.runs():
        busy = np.zeros(len(problem.arcs[0].busy_s))
        for layer in range(start, last + 1):
            arcs, arc = problem.arc(layer), int(choice.options[layer])
            option = int(arcs.option[arc])
            latency += arcs.latency_s[group, option]
            medium += arcs.medium_s[group, option]
            busy += arcs.busy_s[:, group, option]
        busiest = max(busiest, float(busy.max()))
    for (_, last, group), (start, _, following) in itertools.pairwise(choice.runs()):
        costs = problem.cut_costs[problem.cut_kind[last]]
        lies = int(costs.main[problem.arc(last).after[choice.options[last]]])
        state = begun[choice.starts.index(start)]
        if problem.nodes[group] == 1:  # a node alone holds everything, however it arrives
            fits = np.flatnonzero(costs.arrival == state)
            lies = 0 if problem.nodes[following] == 1 else int(fits[0]) if len(fits) else -1
        if lies < 0 or state != problem.arrival(following, costs, lies):
            return Times(np.inf, np.inf, np.inf)
        latency += costs.seconds[group, following, lies]
        busiest = max(busiest, float(costs.seconds[group, following, lies]))
        medium += costs.medium_s[group, following, lies]
    end = int(problem.arc(problem.layers - 1).after[choice.options[-1]])
    last_group = choice.groups[-1]
    for seconds in (problem.input_s[first], problem.output_s[last_group, end]):
        latency += seconds
        busiest = max(busiest, float(seconds))
    medium += problem.input_medium_s[first] + problem.output_medium_s[last_group, end]
    return Times(float(latency), busiest, float(medium))


def loss_of(problem: LayoutProblem, choice: Choice) -> float:
    """The limited loss, summed over the layers."""
    return float(
        sum(
            problem.arc(layer).loss[group, problem.option(choice, layer)]
            for start, last, group in choice.runs()
            for layer in range(start, last + 1)
        )
    )


def needed_bytes(problem: LayoutProblem, choice: Choice) -> list[tuple[int, Ints]]:
    """Group and memory of every stage: stored weights and the largest live bytes, shape (P,)."""
    needed = []
    for start, last, group in choice.runs():
        layers = range(start, last + 1)
        stored = [problem.arc(n).weight_bytes[group, problem.option(choice, n)] for n in layers]
        live = [problem.arc(n).held_bytes(group, int(choice.options[n])) for n in layers]
        needed.append((group, np.sum(stored, axis=0) + np.max(live, axis=0)))
    return needed


def evaluate(problem: LayoutProblem, choice: Choice) -> Evaluation:
    """Objective of a choice, and every limit that it breaks in words."""
    violations = find_faults(problem, choice)
    for group, needed in needed_bytes(problem, choice):
        limits = problem.memory_limit_bytes[group, : len(needed)]
        for position in np.flatnonzero(needed > limits):
            violations.append(
                f"memory of {problem.group_names[group]}: {needed[position]} > "
                f"{limits[position]} bytes"
            )
    loss = loss_of(problem, choice)
    if exceeds(loss, problem.max_loss):
        violations.append(f"{problem.loss_name}: {loss:.9g} > {problem.max_loss:.9g}")
    times = times_of(problem, choice)
    if not np.isfinite(times.latency_s):
        violations.append("stages that do not join")
    for name, value, most in (
        ("latency", times.latency_s, problem.max_latency_s),
        ("bottleneck", times.bottleneck_s, problem.max_bottleneck_s),
    ):
        if exceeds(value, most):
            violations.append(f"{name}: {value:.9g} > {most:.9g} s")
    objective = times.latency_s if problem.objective == "latency" else times.bottleneck_s
    return Evaluation(objective, tuple(violations))


def most(limit: float | None) -> float:
    """The most that a limited sum may be; infinite without a limit."""
    return np.inf if limit is None else cap(limit)


def drop_idle_positions(problem: LayoutProblem) -> LayoutProblem:
    """The problem without positions whose memory binds only where another's of the group does.

    Those that have no limit, and those that never need more than another one that has no more: of
    equal nodes the one with the largest share is left.
    """
    limits = problem.memory_limit_bytes
    parts = [
        np.concatenate([a.weight_bytes, a.live_bytes, a.rest_bytes], axis=1) for a in problem.arcs
    ]
    if not parts[0].shape[2]:
        return problem
    kept: list[list[int]] = []
    for group, row in enumerate(limits):
        needs = np.concatenate([part[group] for part in parts])
        left = [int(p) for p in np.lexsort((-needs.sum(axis=0), row)) if row[p] < NO_LIMIT]
        mine: list[int] = []
        while left:
            first = left.pop(0)
            mine.append(first)
            left = [
                p for p in left if row[p] < row[first] or (needs[:, p] > needs[:, first]).any()
            ]
        kept.append(sorted(mine))
    width = max(map(len, kept))
    at = np.array([[*mine, *[0] * (width - len(mine))] for mine in kept], dtype=np.int64)
    unused = np.array([[p >= len(mine) for p in range(width)] for mine in kept], dtype=np.bool_)
    at, unused = (x.reshape(len(limits), width) for x in (at, unused))

    def narrowed(values: Ints) -> Ints:
        taken = np.take_along_axis(values, at[:, None, :], axis=2)
        return np.where(unused[:, None, :], 0, taken)

    return problem.but(
        arcs=tuple(
            replace(
                arcs,
                weight_bytes=narrowed(arcs.weight_bytes),
                live_bytes=narrowed(arcs.live_bytes),
                rest_bytes=narrowed(arcs.rest_bytes),
            )
            for arcs in problem.arcs
        ),
        memory_limit_bytes=np.where(unused, NO_LIMIT, np.take_along_axis(limits, at, axis=1)),
    )

"""Which stage may follow which, and the cheapest way through (docs/model.md, eq. 24).

A state is a pair: the nodes used so far, by type, and the group that runs the present stage. The
dynamic program goes backwards from the last unit and keeps, for every state and every unit that
its stage may begin with, the least cost of the rest.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.solve.deadline import Deadline
from planner.solve.layout_problem import AnyProblem
from planner.solve.problem import Structure

ROUNDING = 1e-13
"""Relative to the sums of a chain: more than adding and subtracting them in floats can be off."""


MAX_EDGES = 1_000_000
"""Transitions beyond which the dynamic program is not begun."""


@dataclass(frozen=True)
class StageGraph:
    """States and the transitions between them.

    Attributes
    ----------
    group : int array, shape (S,)
        Group of each state's present stage.
    starts : int array
        States that may run the first stage.
    final : bool array, shape (S,)
        States that may run the last one.
    levels : tuple of int arrays
        States by the number of nodes used, most first.
    sources, targets : int array, shape (E,)
        Transitions, sorted by source.
    first_edge : int array, shape (S + 1,)
        Slice of each state's transitions.
    """

    group: NDArray[np.int64]
    starts: NDArray[np.int64]
    final: NDArray[np.bool_]
    levels: tuple[NDArray[np.int64], ...]
    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    first_edge: NDArray[np.int64]


class TooManyStatesError(Exception):
    """The nodes are of so many types that the dynamic program would not end."""


def stage_graph(problem: AnyProblem) -> StageGraph:
    """Every state that can be reached within the nodes, and the cuts, that there are.

    Raises
    ------
    TooManyStatesError
    """
    uses = [tuple(int(n) for n in row) for row in problem.uses]
    sizes = [sum(row) for row in uses]
    behind = [np.flatnonzero(row) for row in problem.follows]
    limit = tuple(int(n) for n in problem.available)
    number: dict[tuple[tuple[int, ...], int], int] = {}
    queue: deque[tuple[tuple[int, ...], int]] = deque()
    for group, row in enumerate(uses):
        fits = all(a <= b for a, b in zip(row, limit, strict=True))
        if fits and sizes[group] <= problem.max_nodes:
            number[row, group] = len(number)
            queue.append((row, group))
    begin = len(number)
    edges: list[tuple[int, int]] = []
    most = 1 if problem.single_stage else int(problem.cuttable.sum()) + 1
    stages = [1] * begin
    while queue:
        used, group = queue.popleft()
        if stages[number[used, group]] == most:
            continue
        for following in behind[group]:
            total = tuple(a + b for a, b in zip(used, uses[following], strict=True))
            if sum(total) > problem.max_nodes or any(
                a > b for a, b in zip(total, limit, strict=True)
            ):
                continue
            state = total, int(following)
            if state not in number:
                number[state] = len(number)
                stages.append(stages[number[used, group]] + 1)
                queue.append(state)
            edges.append((number[used, group], number[state]))
        if len(edges) > MAX_EDGES:
            raise TooManyStatesError
    count = np.array([sum(used) for used, _ in number], dtype=np.int64)
    pairs = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
    return StageGraph(
        group=np.array([group for _, group in number], dtype=np.int64),
        starts=np.arange(begin),
        final=count == problem.max_nodes if problem.all_nodes else count > 0,
        levels=tuple(np.flatnonzero(count == n) for n in np.unique(count)[::-1]),
        sources=pairs[:, 0],
        targets=pairs[:, 1],
        first_edge=np.searchsorted(pairs[:, 0], np.arange(len(number) + 1)),
    )


@dataclass(frozen=True)
class Chain:
    """What the dynamic program adds up: additive costs per unit, group and cut.

    Attributes
    ----------
    run : float array, shape (G, U)
        Cost of each unit on each group.
    transfer : float array, shape (G, G, U - 1)
        Infinite where no cut is allowed.
    last : int array, shape (G, U)
        Last unit of the longest stage that may begin with a unit; below the unit: none.
    first, output : float array, shape (G,)
        Cost of beginning and of ending on a group.
    stage : float array, shape (G, U, U), optional
        Cost of a stage by first and last unit, where it is no sum over its units.
    """

    run: NDArray[np.float64]
    transfer: NDArray[np.float64]
    last: NDArray[np.int64]
    first: NDArray[np.float64]
    output: NDArray[np.float64]
    stage: NDArray[np.float64] | None = None


class Completions:
    """The least cost of the rest, from every state and first unit of its stage.

    ``rest[s, a]`` counts the stage of state s from its first unit a on; ``after[s, u]`` what
    comes behind a stage of state s that ends with unit u.
    """

    def __init__(self, graph: StageGraph, chain: Chain) -> None:
        self.graph = graph
        self.chain = chain
        units = chain.run.shape[1]
        self.prefix = np.concatenate(
            [np.zeros((len(chain.run), 1)), np.cumsum(chain.run, axis=1)], axis=1
        )
        self.rest = np.full((len(graph.group), units), np.inf)
        self.after = np.full((len(graph.group), units), np.inf)
        self.after[graph.final, -1] = chain.output[graph.group[graph.final]]
        unlimited = bool((chain.last == units - 1).all())
        stage = None if chain.stage is None else _within(chain.stage, chain.last)
        for states in graph.levels:
            self._link(states)
            groups = graph.group[states]
            if stage is not None:
                self.rest[states] = (stage[groups] + self.after[states, None, :]).min(axis=2)
                continue
            through = self.prefix[groups, 1:] + self.after[states]
            if unlimited:
                least = np.minimum.accumulate(through[:, ::-1], axis=1)[:, ::-1]
            else:
                least = _window_minimum(through, chain.last[groups])
            self.rest[states] = least - self.prefix[groups, :-1]

    def _link(self, states: NDArray[np.int64]) -> None:
        """The cheapest transition behind each of these states, at every cut."""
        graph, last_cut = self.graph, self.chain.run.shape[1] - 1
        counts = graph.first_edge[states + 1] - graph.first_edge[states]
        sources = states[counts > 0]
        if not len(sources) or last_cut == 0:
            return
        counts = counts[counts > 0]
        begin = np.concatenate([[0], np.cumsum(counts)[:-1]])
        edges = np.repeat(graph.first_edge[sources] - begin, counts) + np.arange(counts.sum())
        targets = graph.targets[edges]
        cost = self.chain.transfer[graph.group[graph.sources[edges]], graph.group[targets]]
        cost = cost + self.rest[targets, 1:]
        self.after[sources, :last_cut] = np.minimum.reduceat(cost, begin, axis=0)

    @property
    def least(self) -> float:
        """Cost of the cheapest way through, infinite without one."""
        return float(self.first_costs().min(initial=np.inf))

    @property
    def rounding(self) -> float:
        """What a cost may be too high by."""
        return ROUNDING * float(np.abs(self.prefix).max())

    def first_costs(self) -> NDArray[np.float64]:
        """Cost of the cheapest way from each starting state, in the order of ``starts``."""
        starts = self.graph.starts
        total: NDArray[np.float64] = (
            self.chain.first[self.graph.group[starts]] + self.rest[starts, 0]
        )
        return total

    def stage_costs(self, state: int, begin: int) -> NDArray[np.float64]:
        """Cost of a stage from unit ``begin`` to every last unit that it may have."""
        group = self.graph.group[state]
        end = int(self.chain.last[group, begin]) + 1
        if self.chain.stage is not None:
            return self.chain.stage[group, begin, begin:end]
        cost: NDArray[np.float64] = (
            self.prefix[group, begin + 1 : end + 1] - self.prefix[group, begin]
        )
        return cost

    def edge_costs(self, state: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """States that may follow a stage that ends with a unit, and the cost of all the rest."""
        edges = slice(self.graph.first_edge[state], self.graph.first_edge[state + 1])
        targets = self.graph.targets[edges]
        group = self.graph.group[state]
        cost = self.chain.transfer[group, self.graph.group[targets], last]
        return targets, cost + self.rest[targets, last + 1]

    def cheapest(self) -> Structure:
        """First units and groups of the stages of the cheapest way; one must exist."""
        state = int(self.graph.starts[self.first_costs().argmin()])
        begin, starts, groups = 0, [], []
        units = self.chain.run.shape[1]
        while True:
            starts.append(begin)
            groups.append(int(self.graph.group[state]))
            costs = self.stage_costs(state, begin)
            last = begin + int((costs + self.after[state, begin : begin + len(costs)]).argmin())
            if last == units - 1:
                return tuple(starts), tuple(groups)
            targets, rest = self.edge_costs(state, last)
            state, begin = int(targets[rest.argmin()]), last + 1


def by_cost(
    completions: Completions, deadline: Deadline, most: float = np.inf
) -> Iterator[tuple[float, Structure | None]]:
    """All structures of at most a cost in their order, least first, made as they are asked for.

    When time is up, a last bound on all that remain comes with no structure.
    """
    units = completions.chain.run.shape[1]
    tie = itertools.count(0, -1)  # of equal costs the latest first: it is nearer to its end
    heap: list[tuple[float, int, float, int, tuple[int, ...], tuple[int, ...]]] = []
    graph = completions.graph
    for state, cost in zip(graph.starts, completions.first_costs(), strict=True):
        if cost <= most and np.isfinite(cost):
            group = int(graph.group[state])
            begun = float(completions.chain.first[group])
            heap.append((float(cost), next(tie), begun, int(state), (0,), (group,)))
    heapq.heapify(heap)
    while heap:
        bound, _, before, state, starts, groups = heapq.heappop(heap)
        if state < 0:
            yield bound, (starts, groups)
            continue
        if deadline.passed:
            yield bound, None
            return
        begin = starts[-1]
        costs = before + completions.stage_costs(state, begin)
        if begin + len(costs) == units and graph.final[state]:
            total = float(costs[-1] + completions.after[state, units - 1])
            if total <= most and np.isfinite(total):
                heapq.heappush(heap, (total, next(tie), total, -1, starts, groups))
        for last in range(begin, min(begin + len(costs), units - 1)):
            if not np.isfinite(completions.after[state, last] + costs[last - begin]):
                continue
            targets, rest = completions.edge_costs(state, last)
            here = float(costs[last - begin])
            within = np.isfinite(rest) & (here + rest <= most)
            for target, more in zip(targets[within], rest[within], strict=True):
                begun = here + float(more - completions.rest[target, last + 1])
                group = int(graph.group[target])
                entry = (here + float(more), next(tie), begun, int(target))
                heapq.heappush(heap, (*entry, (*starts, last + 1), (*groups, group)))


def _within(stage: NDArray[np.float64], last: NDArray[np.int64]) -> NDArray[np.float64]:
    """Costs of stages that are no longer than they may be, infinite else, shape (G, U, U)."""
    unit = np.arange(stage.shape[1])
    inside = (unit >= unit[:, None]) & (unit <= last[..., None])
    return np.where(inside, stage, np.inf)


def _window_minimum(values: NDArray[np.float64], last: NDArray[np.int64]) -> NDArray[np.float64]:
    """Least of ``values[i, a : last[i, a] + 1]`` for every i and a; infinite where empty."""
    rows, units = values.shape
    first = np.arange(units)
    length = np.maximum(last - first + 1, 0)
    doublings = int(np.log2(max(int(length.max()), 1))) + 1
    table = np.full((doublings, rows, units), np.inf)
    table[0] = values
    for power in range(1, doublings):
        half = 1 << (power - 1)
        table[power, :, : units - half] = np.minimum(
            table[power - 1, :, : units - half], table[power - 1, :, half:]
        )
    power = np.log2(np.maximum(length, 1)).astype(np.int64)
    row = np.arange(rows)[:, None]
    right = np.maximum(last - (1 << power) + 1, 0)
    least = np.minimum(table[power, row, first], table[power, row, right])
    return np.where(length > 0, least, np.inf)

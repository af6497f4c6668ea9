"""All partial plans that may still become the best one: a search by labels (docs/model.md, eq. 41).

A label is a way from the beginning to a state, with what it has used of everything that is
limited. Of two labels in one state the one that has used no less of anything is dropped, and so
is every label that the bound on the rest puts above the best plan known. What remains is
complete: no plan below the bound is lost.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.solve.deadline import Deadline
from planner.solve.layout_problem import Floats, Ints
from planner.solve.layouts.bounds import Capacity, Completions, Network, arrivals, work_of
from planner.solve.layouts.stage_rest import StageRest
from planner.solve.problem import Choice

MAX_LABELS = 2_000_000
"""Labels beyond which a search is given up, and the integer program asked."""

_WITH_MEMORY = 10
"""So many times fewer where memory is limited: labels then differ in three columns or more."""

_ROUNDING = 1e-12
_PAIRS = 2048  # labels of one state that are compared in one block
_FEW = 200  # labels of one state that are compared with one another sooner than sorted in


class TooManyLabelsError(Exception):
    """The bound is too weak for what is limited, or time is up."""


@dataclass(frozen=True)
class Caps:
    """The most that a plan may use.

    Attributes
    ----------
    latency_s, bottleneck_s : float
        Infinite where it is not limited.
    loss : float
    """

    latency_s: float = np.inf
    bottleneck_s: float = np.inf
    loss: float = np.inf


@dataclass(frozen=True, eq=False)
class Bound:
    """A bound on every plan: what is charged so far and the least charge of the rest.

    Attributes
    ----------
    completions : Completions
    latency, loss : float
        What a second of latency and a unit of loss are charged.
    memory : float array, shape (G, P), optional
        What a stored byte is charged on each position; of all bounds one may have such prices.
    allowance : float
        What a plan within its limits may be charged for loss.
    medium : float
        What a second of the medium is charged.
    capacity : Capacity, optional
        Where the nodes' time is charged.
    """

    completions: Completions
    latency: float = 1.0
    loss: float = 0.0
    memory: Floats | None = None
    allowance: float = 0.0
    medium: float = 0.0
    capacity: Capacity | None = None

    @property
    def seconds_of_bottleneck(self) -> float:
        """What a plan is charged at most for each second of its bottleneck."""
        return self.medium + (0.0 if self.capacity is None else self.capacity.of_all)

    def most(self, caps: Caps) -> float:
        """What a plan within the caps is charged at most."""
        allowed = self.allowance + (self.latency * caps.latency_s if self.latency else 0.0)
        if self.seconds_of_bottleneck:
            allowed += self.seconds_of_bottleneck * caps.bottleneck_s
        return allowed + _ROUNDING * abs(allowed) + 1e-300


@dataclass(eq=False)
class _Labels:
    """Labels before one layer; N of them, C columns."""

    q: Ints
    state: Ints
    used: Floats  # (N, C)
    number: Ints  # of the history

    def take(self, chosen: NDArray[np.bool_] | Ints) -> _Labels:
        return _Labels(self.q[chosen], self.state[chosen], self.used[chosen], self.number[chosen])


class LabelSearch:
    """Labels of one problem under given caps and bounds.

    Parameters
    ----------
    network : Network
    caps : Caps
    bounds : sequence of Bound
    deadline : Deadline
    stage_rest : StageRest, optional
        Of the same network, where it is known already.
    beam : int, optional
        Labels that are kept before a layer, those of the least bound: then what is found is a
        good plan, and nothing is known of the others.
    """

    def __init__(
        self,
        network: Network,
        caps: Caps,
        bounds: Sequence[Bound],
        deadline: Deadline,
        stage_rest: StageRest | None = None,
        beam: int | None = None,
    ) -> None:
        self._network, self._caps, self._bounds = network, caps, bounds
        self._deadline = deadline
        problem = network.problem
        self._problem = problem
        self._resources = len(problem.arcs[0].busy_s) if np.isfinite(caps.bottleneck_s) else 0
        occupied = [a.medium_s for a in problem.arcs] + [c.medium_s for c in problem.cut_costs]
        self._has_medium = bool(self._resources) and any(item.any() for item in occupied)
        self._has_loss = np.isfinite(caps.loss)
        self._positions = problem.arcs[0].weight_bytes.shape[2]
        # columns: latency, loss, medium, then of the stage: busy, weights, live; and what only
        # bounds read: what the finished stages were charged for memory, and the nodes' time
        self._past = 3 + self._resources + 2 * self._positions
        self._work = self._past + 1
        self._stage = slice(3, self._past)
        self._weights = slice(3 + self._resources, 3 + self._resources + self._positions)
        self._live = slice(self._weights.stop, self._past)
        capacities = [bound.capacity for bound in bounds if bound.capacity is not None]
        # of every kind of layer: what each option takes of all nodes' time
        self._work_of = [work_of(a, capacities[0]) for a in problem.arcs] if capacities else None
        priced = [bound for bound in bounds if bound.memory is not None]
        self._prices = priced[0].memory if priced else None
        self._entry = np.zeros(len(problem.uses))
        if priced:
            self._entry = priced[0].completions.charges.entry
        self._parents: list[Ints] = []
        self._arcs: list[Ints] = []
        self._pairs: list[Ints] = []
        self._count = 0
        self._beam = beam
        self._stage_rest = stage_rest
        if self._positions and stage_rest is None:
            self._stage_rest = StageRest(network)

    def best(self) -> Choice | None:
        """The plan of least latency within the caps, and of these one of many; None without one.

        Raises
        ------
        TooManyLabelsError
        """
        network, problem = self._network, self._problem
        starts = network.graph.starts
        used = np.zeros((len(starts), self._work + 1))
        group = network.group[starts]
        used[:, 0] = problem.input_s[group]
        used[:, 2] = problem.input_medium_s[group]
        used[:, self._past] = self._entry[group]
        number = self._note(len(starts), pairs=starts)
        labels = _Labels(starts, network.begin(starts), used, number)
        if self._resources:
            labels = labels.take(problem.input_busy_s[group] <= self._caps.bottleneck_s)
        for layer in range(problem.layers):
            if layer and problem.cut_kind[layer - 1] >= 0:
                labels = self._with_cuts(labels, layer)
            labels = self._through(labels, layer)
            if not len(labels.q):
                return None
        return self._end(labels)

    def _note(
        self,
        count: int,
        parents: Ints | None = None,
        arcs: Ints | None = None,
        pairs: Ints | None = None,
    ) -> Ints:
        """Number some new labels, and keep where they come from."""
        most = MAX_LABELS if not self._positions else MAX_LABELS // _WITH_MEMORY
        if self._count + count > most or self._deadline.passed:
            raise TooManyLabelsError
        none = np.full(count, -1, dtype=np.int64)
        self._parents.append(none if parents is None else parents)
        self._arcs.append(none if arcs is None else arcs)
        self._pairs.append(none if pairs is None else pairs)
        numbers = np.arange(self._count, self._count + count)
        self._count += count
        return numbers

    def _with_cuts(self, labels: _Labels, layer: int) -> _Labels:
        """These labels, and those that change the group before a layer."""
        network, problem, graph = self._network, self._problem, self._network.graph
        kind = int(problem.cut_kind[layer - 1])
        costs = problem.cut_costs[kind]
        edges_of = graph.first_edge[labels.q + 1] - graph.first_edge[labels.q]
        if not edges_of.sum():
            return labels
        origin = np.repeat(np.arange(len(labels.q)), edges_of)
        offset = np.arange(len(origin)) - np.repeat(np.cumsum(edges_of) - edges_of, edges_of)
        edges = graph.first_edge[labels.q[origin]] + offset
        source, target = graph.sources[edges], graph.targets[edges]
        mains = len(costs.arrival)
        arrival = arrivals(network, costs, target)
        lies = costs.main[labels.state[origin]]
        made: list[_Labels] = []
        for main in range(mains):
            # from one node alone tensors arrive as is best; else as they lay
            alone = network.alone[source]
            free = alone & (~network.alone[target] | (main == 0))
            mine = (free | (~alone & (lies == main))) & (arrival[:, main] >= 0)
            if not mine.any():
                continue
            of, to = origin[mine], target[mine]
            pair = network.group[source[mine]], network.group[to], main
            used = labels.used[of].copy()
            used[:, 0] += costs.seconds[pair]
            used[:, 2] += costs.medium_s[pair]
            if self._prices is not None:
                stored = (self._prices[pair[0]] * used[:, self._weights]).sum(axis=1)
                used[:, self._past] += stored + self._entry[pair[1]]
            fits = costs.busy_s[pair] <= self._caps.bottleneck_s
            if self._resources:  # software of the messages occupies the nodes on both sides
                nodes = 2 + self._resources
                fits &= used[:, nodes] + costs.send_s[pair] <= self._caps.bottleneck_s
            used[:, self._stage] = 0.0
            if self._resources:
                used[:, nodes] = costs.receive_s[pair]
            made.append(_Labels(to, arrival[mine, main], used, of).take(fits))
        new = _joined(made)
        if new is None:
            return labels
        new = self._prune(new, layer, at_cut=True)
        parents = labels.number[new.number]
        new.number = self._note(len(new.q), parents, None, new.q)
        both = _joined([labels, new])
        assert both is not None
        return both.take(self._undominated(both))

    def _through(self, labels: _Labels, layer: int) -> _Labels:
        """Labels behind a layer."""
        problem = self._problem
        arcs = problem.arc(layer)
        states, begins = arcs.begins
        place = np.full(int(problem.states[layer]), -1)
        place[states] = np.arange(len(states))
        at = place[labels.state]
        counts = np.where(at >= 0, arcs.stops[at] - begins[at], 0)
        origin = np.repeat(np.arange(len(labels.q)), counts)
        offset = np.arange(len(origin)) - np.repeat(np.cumsum(counts) - counts, counts)
        arc = begins[at[origin]] + offset
        group = self._network.group[labels.q[origin]]
        allowed = arcs.allowed[group, arcs.option[arc]]
        origin, arc, group = origin[allowed], arc[allowed], group[allowed]
        option = arcs.option[arc]
        used = labels.used[origin]
        used[:, 0] += arcs.latency_s[group, option]
        if self._has_loss:
            used[:, 1] += arcs.loss[group, option]
        if self._has_medium:
            used[:, 2] += arcs.medium_s[group, option]
        if self._work_of is not None:
            used[:, self._work] += self._work_of[int(problem.kind[layer])][group, option]
        for resource in range(self._resources):
            used[:, 3 + resource] += arcs.busy_s[resource, group, option]
        if self._positions:
            used[:, self._weights] += arcs.weight_bytes[group, option]
            used[:, self._live] = np.maximum(used[:, self._live], arcs.held_bytes(group, arc))
        new = _Labels(labels.q[origin], arcs.after[arc], used, np.arange(len(origin)))
        new = self._prune(new, layer + 1)
        kept = new.number
        new.number = self._note(len(kept), labels.number[origin[kept]], arc[kept])
        return new

    def _prune(self, labels: _Labels, layer: int, at_cut: bool = False) -> _Labels:
        """Drop what breaks a cap, cannot become a better plan, or is dominated."""
        caps, used = self._caps, labels.used
        kept = used[:, 0] <= caps.latency_s  # a loss may still fall: some options gain
        if self._resources:
            kept &= (used[:, 3 : 3 + self._resources] <= caps.bottleneck_s).all(axis=1)
            kept &= used[:, 2] <= caps.bottleneck_s
        if self._stage_rest is not None and self._positions:
            rest = self._stage_rest
            at = labels.q, labels.state
            used[:, self._live] = np.maximum(used[:, self._live], rest.peak[layer][at])
            need = used[:, self._weights] + rest.weights[layer][at] + used[:, self._live]
            kept &= (need <= rest.limits[self._network.group[labels.q]]).all(axis=1)
        spent = np.zeros(len(labels.q))
        for bound in self._bounds:
            table = bound.completions.stays if at_cut else bound.completions.rest
            spent = bound.latency * used[:, 0] + table[layer][labels.q, labels.state]
            if bound.loss:
                spent = spent + bound.loss * used[:, 1]
            if bound.medium:
                spent = spent + bound.medium * used[:, 2]
            if bound.capacity is not None:
                spent = spent + used[:, self._work]
            if bound.memory is not None:
                prices = bound.memory[self._network.group[labels.q]]
                spent = spent + (prices * used[:, self._weights]).sum(axis=1)
                spent = spent + used[:, self._past]
            kept &= spent <= bound.most(caps)
        if self._beam is not None and np.count_nonzero(kept) > self._beam:
            worth = np.where(kept, spent, np.inf)  # by the last bound, the best one
            best = np.argpartition(worth, self._beam)[: self._beam]
            labels = labels.take(best)
        else:
            labels = labels.take(kept)
        return labels.take(self._undominated(labels))

    def _undominated(self, labels: _Labels) -> Ints:
        """Rows that no other of the same state beats in everything."""
        live = [column for column in range(self._past) if self._counts(column)]
        used = labels.used[:, live]
        order = np.lexsort((*reversed(used.T), labels.state, labels.q))
        q, state, used = labels.q[order], labels.state[order], used[order]
        fresh = np.ones(len(order), dtype=np.bool_)
        fresh[1:] = (q[1:] != q[:-1]) | (state[1:] != state[:-1])
        if len(live) == 1:
            return order[fresh]
        segment = np.cumsum(fresh) - 1
        if len(live) == 2:
            return order[_falling(used[:, 1], segment, fresh)]
        kept = np.ones(len(order), dtype=np.bool_)
        begins = np.append(np.flatnonzero(fresh), len(order))
        for begin, stop in itertools.pairwise(begins.tolist()):
            if len(live) == 3 and stop - begin > _FEW:
                kept[begin:stop] = _staircase(used[begin:stop])
            elif stop - begin > 1:
                kept[begin:stop] = _pareto(used[begin:stop])
        return order[kept]

    def _counts(self, column: int) -> bool:
        """Whether less of a column is better for what is asked."""
        if column == 0:
            return self._problem.objective == "latency" or np.isfinite(self._caps.latency_s)
        if column == 1:
            return bool(self._has_loss)
        return self._has_medium if column == 2 else True

    def _end(self, labels: _Labels) -> Choice | None:
        network, problem = self._network, self._problem
        group = network.group[labels.q]
        seconds = problem.output_s[group, labels.state]
        latency = labels.used[:, 0] + seconds
        fits = network.graph.final[labels.q] & np.isfinite(seconds)
        busy_s = problem.output_busy_s[group, labels.state]
        fits &= (latency <= self._caps.latency_s) & (busy_s <= self._caps.bottleneck_s)
        fits &= labels.used[:, 1] <= self._caps.loss
        medium = labels.used[:, 2] + problem.output_medium_s[group, labels.state]
        if self._resources:
            fits &= medium <= self._caps.bottleneck_s
        if not fits.any():
            return None
        best = int(np.where(fits, latency, np.inf).argmin())
        return self._choice(int(labels.number[best]))

    def _choice(self, number: int) -> Choice:
        parents, arcs, pairs = (
            np.concatenate(part) for part in (self._parents, self._arcs, self._pairs)
        )
        options: list[int] = []
        stages: list[tuple[int, int]] = []
        layer = self._problem.layers
        while number >= 0:
            if arcs[number] >= 0:
                options.append(int(arcs[number]))
                layer -= 1
            else:
                stages.append((layer, int(pairs[number])))
            number = int(parents[number])
        stages.reverse()
        return Choice(
            starts=tuple(start for start, _ in stages),
            groups=tuple(int(self._network.group[pair]) for _, pair in stages),
            options=np.array(options[::-1]),
        )


def _joined(parts: list[_Labels]) -> _Labels | None:
    parts = [part for part in parts if len(part.q)]
    if not parts:
        return None
    return _Labels(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in (
            "q", "state", "used", "number"
        ))
    )  # fmt: skip


def _falling(second: Floats, segment: Ints, fresh: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows are below all before them in their segment, where rows are sorted."""
    if not len(second):
        return fresh
    # one running minimum for all segments: later segments are shifted below earlier ones
    span = float(second.max() - second.min()) + 1.0
    shifted = second - segment * span
    before = np.minimum.accumulate(shifted)
    below: NDArray[np.bool_] = fresh.copy()
    below[1:] |= shifted[1:] < before[:-1]
    return below


def _staircase(used: Floats) -> NDArray[np.bool_]:
    """The same as `_pareto` of three columns, whose time grows little faster than the rows.

    The rows so far, seen along the first column, leave a staircase of the other two: what lies
    above it is beaten.
    """
    kept = np.zeros(len(used), dtype=np.bool_)
    second: list[float] = []  # rising
    third: list[float] = []  # falling
    for row, (_, one, other) in enumerate(used.tolist()):
        at = bisect.bisect_right(second, one)
        if at and third[at - 1] <= other:
            continue
        kept[row] = True
        begin = at - 1 if at and second[at - 1] == one else at
        stop = begin
        while stop < len(third) and third[stop] >= other:
            stop += 1
        second[begin:stop] = [one]
        third[begin:stop] = [other]
    return kept


def _pareto(used: Floats) -> NDArray[np.bool_]:
    """Which rows no other one is at most equal to in every column; sorted by the columns."""
    kept = np.ones(len(used), dtype=np.bool_)
    front = used[:1]
    for begin in range(1, len(used), _PAIRS):
        block = used[begin : begin + _PAIRS]
        beaten = _beaten_by(front, block)
        alive = np.flatnonzero(~beaten)
        if len(alive) > 1:  # within the block only an earlier row can beat a later one
            mine = block[alive]
            below = (mine[:, None] <= mine[None]).all(axis=2)
            beaten[alive] |= np.triu(below, 1).any(axis=0)
        kept[begin : begin + len(block)] = ~beaten
        front = np.concatenate([front, block[~beaten]])
    return kept


def _beaten_by(front: Floats, block: Floats) -> NDArray[np.bool_]:
    beaten = np.zeros(len(block), dtype=np.bool_)
    for begin in range(0, len(front), _PAIRS):
        part = front[begin : begin + _PAIRS]
        beaten |= (part[:, None] <= block[None]).all(axis=2).any(axis=0)
    return beaten

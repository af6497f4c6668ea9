"""What every arc costs on every group, as arrays; each message and each share of work once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.cost.exchange import Links
from planner.cost.layouts import GroupLayouts, Messages
from planner.cost.overlap import busy_s, layer_s
from planner.cost.steps import Seconds
from planner.cost.table import CostTable
from planner.cost.ways import MADE_IN, Work, work_of
from planner.cost.work import work_s
from planner.domain.layouts import Holding, Layout, Way
from planner.solve.layouts.problem import LayerArcs
from planner.strategies.ways.options import Option
from planner.strategies.ways.states import Arcs, LayoutGraph
from planner.structure import last_uses

Floats = NDArray[np.float64]
_NO_ITEM = 0  # the message that is none


@dataclass(frozen=True, eq=False)
class PlannedArcs:
    """The arcs of one kind of layer, one for each level of sparsity where it has a choice.

    Attributes
    ----------
    arcs : Arcs
    base : int array, shape (A,)
        Which of ``arcs`` each one is.
    level : int array, shape (A,)
        Option of the cost table.
    """

    arcs: Arcs
    base: NDArray[np.int64]
    level: NDArray[np.int64]

    def option(self, arc: int) -> Option | None:
        """What an arc is, and at which level: `level`."""
        return self.arcs.option[int(self.base[arc])]


class _Items:
    """Distinct conversions and works of all arcs, numbered."""

    def __init__(self, graph: LayoutGraph, kinds: NDArray[np.int64], case: Case) -> None:
        self._row = {layer.name: row for row, layer in enumerate(case.profile.layers)}
        self._kinds = kinds
        self._profile = case.profile
        self._numbers: dict[Hashable, int] = {}
        self.conversions: list[tuple[str, Layout, Layout]] = []
        self.works: list[tuple[int, Way, tuple[Layout, ...]]] = []

    def conversion(self, name: str, source: Layout, target: Layout) -> int:
        """Its number, from 1."""
        key = (self._tensor(name), source, target)
        if key not in self._numbers:
            self.conversions.append((name, source, target))
            self._numbers[key] = len(self.conversions)
        return self._numbers[key]

    def work(self, row: int, option: Option) -> int:
        """The number of a layer's work in a way other than gathering features, from 0."""
        key = (int(self._kinds[row]), option.way, option.reads)
        if key not in self._numbers:
            self._numbers[key] = len(self.works)
            self.works.append((row, option.way, option.reads))
        return self._numbers[key]

    def _tensor(self, name: str) -> Hashable:
        return int(self._kinds[self._row[name]]) if name in self._row else name


@dataclass(frozen=True, eq=False)
class _Shape:
    """What the arcs of one kind refer to, the same on every group."""

    planned: PlannedArcs
    conversions: NDArray[np.int64]  # (A, C) numbers of conversions, 0 for none
    work: NDArray[np.int64]  # (A,) of works, -1: as features are gathered, -2: without exchange


def plan_arcs(
    graph: LayoutGraph, kinds: NDArray[np.int64], case: Case, tables: Sequence[CostTable]
) -> tuple[list[_Shape], _Items]:
    """Expand arcs by levels of sparsity, and number what they send and do."""
    items = _Items(graph, kinds, case)
    widest = max(tables, key=lambda table: len(table.node_names))
    shapes = []
    for arcs in graph.kinds:
        inputs = case.profile.layers[arcs.row].inputs
        levels = np.flatnonzero(widest.allowed[arcs.row]) if widest.sparsifiable[arcs.row] else [0]
        base, level, conversions, works = [], [], [], []
        for number, option in enumerate(arcs.option):
            chosen = [0]
            numbers: list[int] = []
            work = -1
            if option is not None:
                numbers = [items.conversion(inputs[at], a, b) for at, a, b in option.conversions]
                if option.way == "features":
                    chosen = list(levels) if option.reads[0] == "features" else [0]
                else:
                    work = -2 if option.way == "outputs" else items.work(arcs.row, option)
            for k in chosen:
                base.append(number)
                level.append(int(k))
                conversions.append(numbers)
                works.append(work)
        width = max(max(map(len, conversions)), 1)
        padded = [[*row, *[_NO_ITEM] * (width - len(row))] for row in conversions]
        shapes.append(
            _Shape(
                PlannedArcs(arcs, np.array(base), np.array(level)),
                np.array(padded, dtype=np.int64),
                np.array(works, dtype=np.int64),
            )
        )
    return shapes, items


@dataclass(frozen=True, eq=False)
class _OnGroup:
    """Every item on one group."""

    table: CostTable
    loss: Floats
    conversions: Seconds
    works: list[Work]
    work_exchange: Seconds
    work_s: Floats  # (W, n)


def _on_group(case: Case, names: tuple[str, ...], table: CostTable, items: _Items) -> _OnGroup:
    on = case.layouts(names)
    group = case.cluster.only(names)
    links = Links.of(group, case.settings)
    nothing = Messages.none(on.nodes)
    conversions = [nothing]
    for name, source, target in items.conversions:
        found = on.conversion(name, source, target)
        assert found is not None
        conversions.append(found)
    works = []
    for row, way, reads in items.works:
        work = work_of(on, row, way, reads, None)
        assert work is not None
        works.append(work)
    layers = [case.profile.layers[row] for row, _, _ in items.works]
    seconds = np.zeros((0, on.nodes))
    if works:
        seconds = work_s(
            layers,
            group.nodes,
            np.array([work.macs for work in works]),
            np.array([work.touched_bytes for work in works]),
            np.array([work.share for work in works]),
        )
    return _OnGroup(
        table=table,
        loss=case.loss(table),
        conversions=Seconds.of(conversions, links),
        works=works,
        work_exchange=Seconds.of([work.exchange for work in works] or [nothing], links),
        work_s=seconds,
    )


def cost_arcs(
    case: Case,
    names: Sequence[tuple[str, ...]],
    tables: Sequence[CostTable],
    graph: LayoutGraph,
    kinds: NDArray[np.int64],
    with_memory: bool,
) -> tuple[list[LayerArcs], list[PlannedArcs]]:
    """The arrays of every kind of layer over G groups.

    Parameters
    ----------
    case : Case
    names : sequence of tuples of str
        Nodes of every group.
    tables : sequence of CostTable
        Of every group.
    graph : LayoutGraph
    kinds : int array, shape (L,)
    with_memory : bool
        Whether any limit on memory can bind; else no bytes are counted.
    """
    shapes, items = plan_arcs(graph, kinds, case, tables)
    several = {
        index: _on_group(case, group, table, items)
        for index, (group, table) in enumerate(zip(names, tables, strict=True))
        if len(group) > 1
    }
    width = max(len(group) for group in names)
    memory = _Memory(case, graph) if with_memory else None
    made = []
    for shape in shapes:
        arcs = len(shape.planned.base)
        fill = _Filled(case, shape, len(names), width, memory)
        for index, table in enumerate(tables):
            if index in several:
                fill.several(index, several[index], case.layouts(names[index]))
            else:
                fill.alone(index, table, case.loss(table))
        made.append(fill.result(arcs))
    return made, [shape.planned for shape in shapes]


class _Memory:
    """Which tensors hold bytes while a layer runs."""

    def __init__(self, case: Case, graph: LayoutGraph) -> None:
        self._profile = case.profile
        self._last = last_uses(case.profile)
        self._known: dict[Hashable, NDArray[np.int64]] = {}

    def held(
        self, on: GroupLayouts, arcs: Arcs, base: int, output: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Bytes of all live tensors on each node, and of what the layer makes."""
        layer = self._profile.layers[arcs.row]
        held = dict(arcs.held[base])
        option = arcs.option[base]
        assert option is not None
        total = np.zeros(on.nodes, dtype=np.int64)
        for spec in self._profile.inputs:
            if self._last[spec.name] >= arcs.row or self._last[spec.name] < 0:
                total = total + spec.bytes
        for name, holding in held.items():
            total = total + self._bytes_of(on, name, holding)
        for at, source, target in option.conversions:
            if source == "sums":  # parts stay until all are added up
                name = layer.inputs[at]
                found = on.conversion(name, source, target)
                assert found is not None
                total = total + on.held_bytes(name, "sums") + found.pairs.sum(axis=0)
        first = layer.inputs[0]
        in_place = (
            layer.macs == 0
            and self._last[first] == arcs.row
            and int(on.held_bytes(first, "whole")[0]) >= layer.output_bytes
            and option.holdings[0] == {option.makes}
        )
        return total if in_place else total + output

    def _bytes_of(self, on: GroupLayouts, name: str, holding: Holding) -> NDArray[np.int64]:
        key = (id(on), name, holding)
        if key not in self._known:
            sizes = [on.held_bytes(name, layout) for layout in holding]
            self._known[key] = np.sum(sizes, axis=0)
        return self._known[key]


class _Filled:
    """The arrays of one kind of layer, group by group."""

    def __init__(
        self, case: Case, shape: _Shape, groups: int, width: int, memory: _Memory | None
    ) -> None:
        self._case, self._shape, self._memory = case, shape, memory
        arcs = len(shape.planned.base)
        overlap = case.settings.overlap
        self._latency, self._medium, self._loss = (np.zeros((groups, arcs)) for _ in range(3))
        self._busy = np.zeros((2 if overlap else 1, groups, arcs))
        self._allowed = np.zeros((groups, arcs), dtype=np.bool_)
        held = (groups, arcs, width if memory else 0)
        self._weights, self._live = (np.zeros(held, dtype=np.int64) for _ in range(2))

    def alone(self, index: int, table: CostTable, loss: Floats) -> None:
        """A group of one node: its first arc, at the table's first option."""
        row = self._shape.planned.arcs.row
        self._allowed[index, 0] = True
        self._set(
            index, np.array([0]), table.comm_s[row, :1], table.compute_s[row, :1],
            table.medium_s[row, :1], loss[row, :1],
        )  # fmt: skip
        if self._memory:
            self._weights[index, 0, :1] = table.weight_bytes[row, 0]
            self._live[index, 0, :1] = table.live_bytes[row, 0]

    def several(self, index: int, on_group: _OnGroup, on: GroupLayouts) -> None:
        """A group of two or more."""
        shape, table = self._shape, on_group.table
        planned, row = shape.planned, shape.planned.arcs.row
        mine = np.arange(1, len(planned.base))
        level, work = planned.level[mine], shape.work[mine]
        converted = on_group.conversions
        numbers = shape.conversions[mine]
        comm = converted.comm_s[numbers].sum(axis=1)
        medium = converted.medium_s[numbers].sum(axis=1)
        gathers, other = work == -1, work >= 0
        comm[gathers] += table.comm_s[row, level[gathers]]
        medium[gathers] += table.medium_s[row, level[gathers]]
        comm[other] += on_group.work_exchange.comm_s[work[other]]
        medium[other] += on_group.work_exchange.medium_s[work[other]]
        compute = table.compute_s[row, level]
        compute[other] = on_group.work_s[work[other]].max(axis=1)
        loss = np.where(gathers, on_group.loss[row, level], 0.0)
        self._allowed[index, mine] = table.allowed[row, level] | ~gathers
        self._allowed[index, mine] &= np.isfinite(loss)
        self._set(index, mine, comm, compute, medium, np.where(np.isfinite(loss), loss, 0.0))
        if not self._memory:
            return
        here = slice(on.nodes)
        makes = {}
        for arc in mine.tolist():
            base = int(planned.base[arc])
            option, number = planned.arcs.option[base], int(shape.work[arc])
            assert option is not None
            if number >= 0:
                output = on_group.works[number].output_bytes
                received = on_group.work_exchange.received[number]
                self._weights[index, arc, here] = on_group.works[number].weight_bytes
            else:
                output = on.held_bytes(self._case.profile.layers[row].name, MADE_IN[option.way])
                received = table.received_bytes[row, planned.level[arc]] if number == -1 else 0
                self._weights[index, arc, here] = table.weight_bytes[row, planned.level[arc]]
            if base not in makes:
                makes[base] = self._memory.held(on, planned.arcs, base, output)
            self._live[index, arc, here] = makes[base] + received

    def _set(
        self,
        index: int,
        arcs: NDArray[np.int64],
        comm: Floats,
        compute: Floats,
        medium: Floats,
        loss: Floats,
    ) -> None:
        overlap = self._case.settings.overlap
        self._latency[index, arcs] = layer_s(comm, compute, overlap)
        self._busy[:, index, arcs] = busy_s(comm, compute, overlap)
        self._medium[index, arcs] = medium
        self._loss[index, arcs] = loss

    def result(self, arcs: int) -> LayerArcs:
        """The arrays, once all groups are there."""
        planned = self._shape.planned
        return LayerArcs(
            before=planned.arcs.before[planned.base],
            after=planned.arcs.after[planned.base],
            latency_s=self._latency,
            busy_s=self._busy,
            medium_s=self._medium,
            loss=self._loss,
            allowed=self._allowed,
            weight_bytes=self._weights,
            live_bytes=self._live,
        )

"""What every arc costs on every group, as arrays; each message and each share of work once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.case import Case
from planner.cost.exchange import Links
from planner.cost.layouts import GroupLayouts, Messages
from planner.cost.overlap import busy_s, layer_s
from planner.cost.steps import Seconds, halo_of_run, needed_in_run
from planner.cost.table import CostTable
from planner.cost.ways import MADE_IN, Work, work_of
from planner.cost.work import takes_time, work_s
from planner.domain.layouts import Holding, Layout
from planner.solve.layout_problem import Floats, Ints, LayerArcs
from planner.strategies.ways.arcs import Arcs
from planner.strategies.ways.options import Option
from planner.strategies.ways.runs import held_in_run
from planner.strategies.ways.states import LayoutGraph

_GATHERS, _NO_EXCHANGE = -1, -2  # in place of a work's number: the cost table has it


_EXCHANGE = {
    "comm_s": "latency_s",
    "wire_s": "wire_s",
    "software_s": "software_s",
    "medium_s": "medium_s",
}
"""What a cost table calls the seconds of a layer's exchange, and what an exchange does."""


class _Items:
    """Distinct conversions and works of all options, numbered."""

    def __init__(self, case: Case, kinds: Ints, with_memory: bool) -> None:
        self._layers, self._with_memory = case.profile.layers, with_memory
        self._nodes = case.cluster.nodes
        self._row = {layer.name: row for row, layer in enumerate(case.profile.layers)}
        self._kinds = kinds.tolist()
        self._numbers: dict[Hashable, int] = {}
        self.conversions: list[tuple[str, Layout, Layout]] = []
        self.works: list[tuple[int, Option]] = []

    def conversion(self, name: str, source: Layout, target: Layout) -> int:
        """Its number, from 1."""
        tensor = self._kinds[self._row[name]] if name in self._row else name
        key = (tensor, source, target)
        if key not in self._numbers:
            self.conversions.append((name, source, target))
            self._numbers[key] = len(self.conversions)
        return self._numbers[key]

    def work(self, row: int, option: Option) -> int:
        """The number of a layer's work in a way other than gathering features, from 0."""
        key: Hashable = (self._kinds[row], option.way, option.reads)
        if option.run is not None:
            layer = self._layers[row]
            key = (option.run.sign, row - option.run.start, option.whole)
            works = takes_time(layer, self._nodes) or row == option.run.start
            if not works and not self._with_memory:  # it takes no time in any run
                key = "nothing"
        if key not in self._numbers:
            self._numbers[key] = len(self.works)
            self.works.append((row, option))
        return self._numbers[key]


@dataclass(frozen=True, eq=False)
class _Shape:
    """What the options of one kind refer to, the same on every group; O of them.

    Attributes
    ----------
    arcs : Arcs
    conversions : int array, shape (O, C)
        Numbers of conversions, 0 for none.
    work : int array, shape (O,)
        Of works, or what the cost table has.
    level : int array, shape (O,)
        Option of the cost table.
    """

    arcs: Arcs
    conversions: Ints
    work: Ints
    level: Ints

    @classmethod
    def of(cls, arcs: Arcs, items: _Items, inputs: Sequence[str]) -> _Shape:
        conversions: list[list[int]] = []
        works, levels = [], []
        for chosen in arcs.options:
            numbers: list[int] = []
            work, level = _GATHERS, 0
            if chosen is not None:
                option, level = chosen
                numbers = [items.conversion(inputs[at], a, b) for at, a, b in option.conversions]
                if option.way == "outputs":
                    work = _NO_EXCHANGE
                elif option.way != "features":
                    work = items.work(arcs.row, option)
            conversions.append(numbers)
            works.append(work)
            levels.append(level)
        width = max(max(map(len, conversions)), 1)
        padded = [[*row, *[0] * (width - len(row))] for row in conversions]
        return cls(arcs, *(np.array(x, dtype=np.int64) for x in (padded, works, levels)))


@dataclass(frozen=True, eq=False)
class _OnGroup:
    """Every item on one group."""

    on: GroupLayouts
    table: CostTable
    loss: Floats
    conversions: Seconds
    works: list[Work]
    work_exchange: Seconds
    work_s: Floats  # of the slowest node, shape (W,)

    @classmethod
    def of(cls, case: Case, names: tuple[str, ...], table: CostTable, items: _Items) -> _OnGroup:
        on = case.layouts(names)
        group = case.cluster.only(names)
        links = Links.of(group, case.settings, element_bytes=case.profile.element_bytes)
        conversions, works = [Messages.none(on.nodes)], []
        for name, source, target in items.conversions:
            found = on.conversion(name, source, target)
            assert found is not None
            conversions.append(found)
        for row, option in items.works:
            works.append(_work(on, row, option))
        seconds = np.zeros((0, on.nodes))
        if works:
            seconds = work_s(
                [case.profile.layers[row] for row, _ in items.works],
                group.nodes,
                np.array([work.macs for work in works]),
                np.array([work.touched_bytes for work in works]),
                np.array([work.share for work in works]),
            )
        exchanges = [work.exchange for work in works] or conversions[:1]
        return cls(
            on=on,
            table=table,
            loss=case.loss(table),
            conversions=Seconds.of(conversions, links),
            works=works,
            work_exchange=Seconds.of(exchanges, links),
            work_s=seconds.max(axis=1, initial=0.0),
        )


def _work(on: GroupLayouts, row: int, option: Option) -> Work:
    """What a layer does; at the beginning of a run of fused halos with all that it fetches."""
    run = option.run
    span = None if run is None else (run.start, run.stop, option.whole)
    key = "work", row, option.way, option.reads, span
    return on.once(key, lambda: _work_now(on, row, option))


def _work_now(on: GroupLayouts, row: int, option: Option) -> Work:
    run = option.run
    needs = None if run is None else needed_in_run(on, run.start, run.stop, "positions")
    work = work_of(on, row, option.way, option.reads, needs)
    assert work is not None
    if run is not None and needs is not None and row == run.start:
        lying = {name for name, whole in zip(run.outside, option.whole, strict=True) if not whole}
        halo = halo_of_run(on, run.start, run.stop, needs, lying)
        work = replace(work, exchange=work.exchange + halo)
    return work


def cost_arcs(
    case: Case,
    names: Sequence[tuple[str, ...]],
    tables: Sequence[CostTable],
    graph: LayoutGraph,
    kinds: Ints,
    with_memory: bool,
) -> list[LayerArcs]:
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
    items = _Items(case, kinds, with_memory)
    layers = case.profile.layers
    shapes = [_Shape.of(arcs, items, layers[arcs.row].inputs) for arcs in graph.kinds]
    several = {
        index: _OnGroup.of(case, group, table, items)
        for index, (group, table) in enumerate(zip(names, tables, strict=True))
        if len(group) > 1
    }
    width = max(len(group) for group in names) if with_memory else 0
    memory = _Memory(case) if with_memory else None
    made = []
    for shape in shapes:
        fill = _Filled(case, shape, len(names), width, memory)
        for index, table in enumerate(tables):
            if index in several:
                fill.several(index, several[index])
            else:
                fill.alone(index, table, case.loss(table))
        made.append(fill.result())
    return made


class _Memory:
    """Which tensors hold bytes while a layer runs."""

    def __init__(self, case: Case) -> None:
        self._profile = case.profile
        self._known: dict[Hashable, Ints] = {}

    def local(self, on: GroupLayouts, arcs: Arcs, number: int, output: Ints) -> Ints:
        """Bytes of the model's inputs, of what a layer reads and of what it makes, shape (n,)."""
        layer = self._profile.layers[arcs.row]
        chosen = arcs.options[number]
        assert chosen is not None
        option, _ = chosen
        total = np.zeros(on.nodes, dtype=np.int64)
        for spec in self._profile.inputs:
            if on.last[spec.name] >= arcs.row or on.last[spec.name] < 0:
                total = total + spec.bytes
        for name, holding in arcs.held[number].items():
            total = total + self.held(on, name, holding)
        for at, source, target in option.conversions:
            if source == "sums":  # parts stay until all are added up
                total = total + on.adding_bytes(layer.inputs[at], target)
        if option.run is not None:
            key = id(on), option.run, arcs.row
            if key not in self._known:
                self._known[key] = held_in_run(on, option.run, arcs.row)
            return total + self._known[key] + output
        in_place = on.writes_in_place(arcs.row, option.holdings[0], option.makes)
        return total if in_place else total + output

    def held(self, on: GroupLayouts, name: str, holding: Holding) -> Ints:
        """Bytes of a tensor in all its layouts, shape (n,)."""
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
        options = len(shape.work)
        overlap = case.settings.overlap
        self._latency, self._medium, self._loss = (np.zeros((groups, options)) for _ in range(3))
        self._busy = np.zeros((2 if overlap else 1, groups, options))
        self._allowed = np.zeros((groups, options), dtype=np.bool_)
        self._weights, self._live = (
            np.zeros((groups, options, width), dtype=np.int64) for _ in range(2)
        )
        self._rest = np.zeros((groups, len(shape.arcs.rests), width), dtype=np.int64)

    def alone(self, index: int, table: CostTable, loss: Floats) -> None:
        """A group of one node: its first option, at the table's first."""
        row = self._shape.arcs.row
        self._allowed[index, 0] = True
        first = slice(0, 1)
        exchange = [getattr(table, of_layer)[row, :1] for of_layer in _EXCHANGE]
        self._set(index, first, exchange, table.compute_s[row, :1], loss[row, :1])
        if self._memory:
            self._weights[index, 0, :1] = table.weight_bytes[row, 0]
            self._live[index, 0, :1] = table.live_bytes[row, 0]

    def several(self, index: int, of: _OnGroup) -> None:
        """A group of two or more."""
        shape, table, row = self._shape, of.table, self._shape.arcs.row
        mine = slice(1, None)
        level, work, numbers = shape.level[mine], shape.work[mine], shape.conversions[mine]
        gathers, other = work == _GATHERS, work >= 0
        exchange: list[Floats] = []
        for of_layer, of_messages in _EXCHANGE.items():
            seconds = getattr(of.conversions.exchanged, of_messages)[numbers].sum(axis=1)
            seconds[gathers] += getattr(table, of_layer)[row, level[gathers]]
            seconds[other] += getattr(of.work_exchange.exchanged, of_messages)[work[other]]
            exchange.append(seconds)
        compute = table.compute_s[row, level]
        compute[other] = of.work_s[work[other]]
        loss = np.where(gathers, of.loss[row, level], 0.0)
        known = np.isfinite(loss)
        self._allowed[index, mine] = (table.allowed[row, level] | ~gathers) & known
        self._set(index, mine, exchange, compute, np.where(known, loss, 0.0))
        if self._memory:
            self._fill_memory(index, of, self._memory)

    def _fill_memory(self, index: int, of: _OnGroup, memory: _Memory) -> None:
        shape, table, on = self._shape, of.table, of.on
        arcs, here = shape.arcs, slice(on.nodes)
        row = arcs.row
        name = self._case.profile.layers[row].name
        for number in range(1, len(arcs.options)):
            chosen = arcs.options[number]
            assert chosen is not None
            option, level = chosen
            work = int(shape.work[number])
            if work >= 0:
                output, received = of.works[work].output_bytes, of.work_exchange.received[work]
                if option.run is not None:  # among what the run holds
                    received = np.zeros_like(received)
                weights = of.works[work].weight_bytes
            else:
                output = on.held_bytes(name, MADE_IN[option.way])
                gathers = work == _GATHERS
                received = table.received_bytes[row, level] * gathers
                weights = table.weight_bytes[row, level]
            self._weights[index, number, here] = weights
            local = memory.local(on, arcs, number, output)
            self._live[index, number, here] = local + received
        for number, lies in enumerate(arcs.rests):
            for other, holding in lies:
                self._rest[index, number, here] += memory.held(on, other, holding)

    def _set(
        self,
        index: int,
        options: slice,
        exchange: Sequence[Floats],
        compute: Floats,
        loss: Floats,
    ) -> None:
        overlap = self._case.settings.overlap
        comm, wire, software, medium = exchange
        self._latency[index, options] = layer_s(comm, software, compute, overlap)
        self._busy[:, index, options] = busy_s(wire, software, compute, overlap)
        self._medium[index, options] = medium
        self._loss[index, options] = loss

    def result(self) -> LayerArcs:
        """The arrays, once all groups are there."""
        arcs = self._shape.arcs
        return LayerArcs(
            before=arcs.before,
            after=arcs.after,
            option=arcs.option,
            rest=arcs.rest,
            latency_s=self._latency,
            busy_s=self._busy,
            medium_s=self._medium,
            loss=self._loss,
            allowed=self._allowed,
            weight_bytes=self._weights,
            live_bytes=self._live,
            rest_bytes=self._rest,
        )

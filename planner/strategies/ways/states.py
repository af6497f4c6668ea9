"""How the live tensors may lie between any two layers, and what leads from one to the next.

The layers of a model form a layered graph: a *state* says in which layouts each tensor lies that
is alive between two layers, an *arc* is one layer's option with the state before and behind it.
An option only concerns what the layer reads and makes; how everything else lies stays as it is.
Layers that are alike, with tensors alive that are alike, have one and the same arcs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod

import numpy as np
from numpy.typing import NDArray

from planner.cost.layouts import GroupLayouts
from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import WHOLE, Holding, Layout, Way, holds, settled
from planner.domain.model_profile import ModelProfile
from planner.domain.positions import SAME
from planner.strategies.ways.options import Holdings, Option, options_of
from planner.strategies.ways.runs import Run
from planner.structure import last_uses

ALONE = 0
"""The state of a group of one node, which holds everything."""

MAX_STATES = 600
"""States between two layers up to which every live tensor may lie as it likes. Where there are
more, tensors that the next layer does not find fresh lie neither on one node nor as parts of a
sum; then none lies in two layouts at once; then those with the same last reader lie alike."""

_SIMPLEST = 2

Ints = NDArray[np.int64]
Universe = tuple[Holding, ...]


@dataclass(frozen=True)
class Boundary:
    """The states between two layers: one holding for each group of live tensors.

    Attributes
    ----------
    live : tuple of str
    groups : tuple of tuples of int
        Which of them lie alike, one each where every tensor may lie as it likes.
    universes : tuple of tuples of Holding
        What each group may lie in.
    inside : tuple of (Run, Boundary)
        Runs of fused halos that are under way here, each with the states of what it has not made:
        further states, behind those of the boundary itself.
    """

    live: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    universes: tuple[Universe, ...]
    inside: tuple[tuple[Run, Boundary], ...] = ()

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """Steps of each group's holdings in the numbers of states."""
        sizes = [len(universe) for universe in self.universes]
        return tuple(prod(sizes[at + 1 :]) for at in range(len(sizes)))

    @cached_property
    def count(self) -> int:
        """How many states there are, `ALONE` included."""
        return 1 + prod(len(universe) for universe in self.universes)

    @cached_property
    def total(self) -> int:
        """How many states there are with those inside of runs."""
        return self.count + sum(within.count - 1 for _, within in self.inside)

    def offset(self, run: Run) -> int:
        """What comes before the states inside of a run."""
        begin = self.count - 1
        for other, within in self.inside:
            if other == run:
                return begin
            begin += within.count - 1
        raise KeyError(run)

    @cached_property
    def members(self) -> tuple[tuple[str, ...], ...]:
        """Names of each group's tensors."""
        return tuple(tuple(self.live[at] for at in group) for group in self.groups)

    def holdings(self, state: int) -> dict[str, Holding]:
        """How the live tensors lie in a state, which is not `ALONE` and not inside of a run."""
        return {
            name: universe[(state - 1) // stride % len(universe)]
            for universe, stride, names in zip(
                self.universes, self.strides, self.members, strict=True
            )
            for name in names
        }


@dataclass(frozen=True, eq=False)
class Arcs:
    """What one kind of layer can do from every state; A arcs, O options, R ways of the rest.

    Attributes
    ----------
    row : int
        A layer of this kind.
    before, after : int array, shape (A,)
        Numbers of states, sorted by ``before``; the first arc is that of a group of one node.
    option : int array, shape (A,)
    rest : int array, shape (A,)
        How the tensors that the layer does not touch lie.
    options : tuple of (Option, int) or None
        With the level of sparsity; None is a node alone.
    held : tuple of dicts
        Of every option, how what it reads lies behind its conversions.
    rests : tuple of tuples of (str, Holding)
        Tensors that the layer does not touch.
    """

    row: int
    before: Ints
    after: Ints
    option: Ints
    rest: Ints
    options: tuple[tuple[Option, int] | None, ...]
    held: tuple[dict[str, Holding], ...]
    rests: tuple[tuple[tuple[str, Holding], ...], ...]


@dataclass(frozen=True, eq=False)
class LayoutGraph:
    """All states and arcs of a model.

    Attributes
    ----------
    kinds : tuple of Arcs
    kind : int array, shape (L,)
        Of every layer.
    boundaries : tuple of Boundary
        Before every layer and behind the last one.
    simplified : bool
        Whether more tensors are alive somewhere than may each lie as it likes.
    """

    kinds: tuple[Arcs, ...]
    kind: Ints
    boundaries: tuple[Boundary, ...]
    simplified: bool


def layer_kinds(profile: ModelProfile, numberings: Sequence[Ints]) -> Ints:
    """Number layers that are alike on every group, in numbers, geometry and ownership; shape (L,).

    Parameters
    ----------
    profile : ModelProfile
    numberings : sequence of int arrays, shape (L,)
        `planner.cost.ownership.FeatureShares.kind` of every distinct group.
    """
    counts = {spec.name: (spec.positions, spec.samples) for spec in profile.inputs}
    numbers: dict[Hashable, int] = {}
    geometries: dict[Hashable, int] = {}
    found = []
    of_group = np.stack(numberings, axis=1).tolist()
    for row, layer in enumerate(profile.layers):
        positions, samples = layer.positions, layer.samples
        counts[layer.name] = (
            positions.count if positions else 0,
            samples.count if samples else 0,
        )
        read = tuple(counts[name] for name in layer.inputs)
        geometry = geometries.setdefault((positions, samples), len(geometries))
        key = (tuple(of_group[row]), geometry, read)
        found.append(numbers.setdefault(key, len(numbers)))
    return np.array(found, dtype=np.int64)


def live_tensors(profile: ModelProfile) -> list[tuple[str, ...]]:
    """Tensors alive before every layer and behind the last, model inputs left out."""
    last = last_uses(profile)
    alive: list[str] = []
    across: list[tuple[str, ...]] = [()]
    for row, layer in enumerate(profile.layers):
        alive = [name for name in [*alive, layer.name] if last[name] > row]
        across.append(tuple(alive))
    return across


def layout_graph(
    profile: ModelProfile,
    on: GroupLayouts,
    ways: Sequence[Way],
    kinds: Ints,
    levels_of: Callable[[int], Sequence[int]] = lambda row: (0,),
    runs: Sequence[Run] = (),
    mixing_ways: Sequence[Way] | None = None,
) -> LayoutGraph:
    """Every state, and every arc between them.

    Parameters
    ----------
    profile : ModelProfile
    on : GroupLayouts
        Of any group of two or more nodes.
    ways : sequence of Way
    kinds : int array, shape (L,)
        Of `layer_kinds`.
    levels_of : callable
        Options of the cost table that a layer (by its row) may take where it gathers features.
    runs : sequence of Run
        Of fused halos that may be taken.
    mixing_ways : sequence of Way, optional
        Of layers that mix features, where these are not the same.
    """
    mixing = tuple(ways if mixing_ways is None else mixing_ways)
    builder = _Builder(profile, on, tuple(ways), mixing, kinds, levels_of, runs)
    found = [builder.kind_of(row) for row in range(len(profile.layers))]
    return LayoutGraph(
        kinds=tuple(builder.made),
        kind=np.array(found, dtype=np.int64),
        boundaries=tuple(builder.boundaries),
        simplified=builder.simplified,
    )


class _Builder:
    def __init__(
        self,
        profile: ModelProfile,
        on: GroupLayouts,
        ways: tuple[Way, ...],
        mixing_ways: tuple[Way, ...],
        kinds: Ints,
        levels_of: Callable[[int], Sequence[int]],
        runs: Sequence[Run],
    ) -> None:
        self._runs: dict[int, list[Run]] = {}
        self.made: list[Arcs] = []
        self._profile, self._on, self._levels_of = profile, on, levels_of
        self._ways, self._mixing_ways = ways, mixing_ways
        self._kinds = kinds.tolist()
        self._last = last_uses(profile)
        self._row = {layer.name: row for row, layer in enumerate(profile.layers)}
        self._readers: dict[str, int] = {}
        for layer in profile.layers:
            for name in set(layer.inputs):
                self._readers[name] = self._readers.get(name, 0) + 1
        for name in profile.outputs:  # whoever asked for the output reads it too
            self._readers[name] = self._readers.get(name, 0) + 1
        self._known: dict[Hashable, int] = {}
        self._options: dict[Hashable, list[Option]] = {}
        self.simplified = False
        self._universes: dict[tuple[str, int, bool], Universe] = {}
        self.boundaries = self._add_runs(self._find_boundaries(live_tensors(profile)), runs)

    def _find_boundaries(self, live: list[tuple[str, ...]]) -> list[Boundary]:
        """Between all layers, with fewer layouts where too many tensors are alive."""
        simpler = dict.fromkeys(self._row, 0)
        while True:
            found = [self._boundary(at, names, simpler) for at, names in enumerate(live)]
            crowded = [boundary for boundary in found if boundary.count > MAX_STATES]
            self.simplified |= bool(crowded)
            names = {name for boundary in crowded for name in boundary.live}
            wanted = {name for name in names if simpler[name] < _SIMPLEST}
            if not wanted:
                return [self._tied(b) if b.count > MAX_STATES else b for b in found]
            least = min(simpler[name] for name in wanted)
            for name in wanted:
                simpler[name] += simpler[name] == least

    def _boundary(self, at: int, names: tuple[str, ...], simpler: dict[str, int]) -> Boundary:
        universes = tuple(
            self._universe(name, simpler[name], fresh=self._row[name] == at - 1) for name in names
        )
        return Boundary(names, tuple((k,) for k in range(len(names))), universes)

    def _tied(self, boundary: Boundary) -> Boundary:
        """The same with tensors of one last reader in one group."""
        groups: dict[int, list[int]] = {}
        for at, name in enumerate(boundary.live):
            groups.setdefault(self._last[name], []).append(at)
        universes = tuple(
            tuple(
                holding
                for holding in boundary.universes[group[0]]
                if all(holding in boundary.universes[at] for at in group)
            )
            for group in groups.values()
        )
        return Boundary(boundary.live, tuple(map(tuple, groups.values())), universes)

    def _add_runs(self, boundaries: list[Boundary], runs: Sequence[Run]) -> list[Boundary]:
        """The same with the states inside of runs of fused halos, the shortest runs first.

        A run is left out where there would be too many states, or where what it has not made is
        tied to what it has.
        """
        inside: list[list[tuple[Run, Boundary]]] = [[] for _ in boundaries]
        for run in sorted(runs, key=lambda run: (run.stop - run.start, run.start)):
            places = range(run.start + 1, run.stop)
            within = [self._beside(boundaries[at], run) for at in places]
            states = [sum(b.count for _, b in inside[at]) for at in places]
            if any(
                item is None or item.count + before > MAX_STATES
                for item, before in zip(within, states, strict=True)
            ):
                continue
            for at, item in zip(places, within, strict=True):
                assert item is not None
                inside[at].append((run, item))
            for row in range(run.start, run.stop):
                self._runs.setdefault(row, []).append(run)
        return [
            replace(boundary, inside=tuple(found))
            for boundary, found in zip(boundaries, inside, strict=True)
        ]

    def _beside(self, boundary: Boundary, run: Run) -> Boundary | None:
        """The states of what a run has not made."""
        old = [[self._row[name] < run.start for name in names] for names in boundary.members]
        if any(any(group) and not all(group) for group in old):
            return None
        kept = [at for at, group in enumerate(old) if all(group)]
        named = [name for at in kept for name in boundary.members[at]]
        place = {name: number for number, name in enumerate(named)}
        groups = tuple(tuple(place[name] for name in boundary.members[at]) for at in kept)
        return Boundary(tuple(named), groups, tuple(boundary.universes[at] for at in kept))

    def _universe(self, name: str, simpler: int, *, fresh: bool) -> Universe:
        """What a tensor may lie in between two layers."""
        key = name, simpler, fresh
        if key not in self._universes:
            on, layer = self._on, self._profile.layers[self._row[name]]
            parted: list[Layout] = [
                axis for axis in ("positions", "samples") if on.can_lie(name, axis)
            ]
            single: list[Layout] = ["features", *parted, "whole"]
            if not simpler or fresh:
                single += ["one-node"]
                if "sums" in self._ways_of(layer) and (layer.flow.mixes or _adds_up(layer)):
                    single += ["sums"]
            found: list[Holding] = [frozenset((layout,)) for layout in single]
            if simpler < _SIMPLEST and self._readers.get(name, 0) > 1:
                found += [frozenset(("features", axis)) for axis in parted]
                if len(parted) > 1:
                    found += [frozenset(parted), frozenset(("features", *parted))]
            self._universes[key] = tuple(found)
        return self._universes[key]

    def kind_of(self, row: int) -> int:
        """The number of the arcs of a layer; made where they are new."""
        layer = self._profile.layers[row]
        before, after = self.boundaries[row], self.boundaries[row + 1]
        place = {name: at for at, name in enumerate(before.live)}
        key = (
            self._kinds[row],
            tuple(self._kinds[self._row[name]] for name in before.live),
            (before.groups, before.universes),
            tuple(place.get(name, -1) for name in layer.inputs),
            tuple(place.get(name, -1) for name in after.live),
            (after.groups, after.universes),
            tuple(s.name for s in self._profile.inputs if self._last[s.name] >= row),
            tuple(
                (run.sign, row - run.start, tuple(place.get(name, -1) for name in run.outside))
                for run in self._runs.get(row, [])
            ),
        )
        if key not in self._known:
            self._known[key] = len(self.made)
            self.made.append(self._make(row, before, after))
        return self._known[key]

    def _make(self, row: int, before: Boundary, after: Boundary) -> Arcs:
        layer = self._profile.layers[row]
        found = _Joined(layer.inputs)
        found.join(before, 0, after, 0, lambda lying: self._steps(row, lying), layer.inputs)
        for run in self._runs.get(row, []):
            first, last = row == run.start, row == run.stop - 1
            here = before if first else dict(before.inside)[run]
            behind = after if last else dict(after.inside)[run]
            found.join(
                here,
                0 if first else before.offset(run),
                behind,
                0 if last else after.offset(run),
                partial(self._steps_of_run, row, run),
                run.outside if first else (),
            )
        return found.arcs(row)

    def _steps(self, row: int, lying: dict[str, Holding]) -> Iterator[_Step]:
        """What a layer can do where its inputs lie so."""
        layer = self._profile.layers[row]
        sources = tuple(lying.get(name, WHOLE) for name in layer.inputs)
        for option in self._options_of(row, sources):
            converted = lying | {
                name: holding
                for name, holding in zip(layer.inputs, option.holdings, strict=True)
                if name in lying
            }
            behind = _settled(converted, layer.inputs)
            behind[layer.name] = frozenset((option.makes,))
            levels: Sequence[int] = (0,)
            if option.way == "features" and option.reads[0] == "features":
                levels = self._levels_of(row)
            for level in levels:
                yield option, level, converted, behind

    def _steps_of_run(self, row: int, run: Run, lying: dict[str, Holding]) -> Iterator[_Step]:
        """What a layer of a run of fused halos does: nothing but its positions, and more."""
        layer = self._profile.layers[row]
        inputs = layer.inputs
        parted: Layout = "positions"
        if row > run.start:
            behind = dict(lying)
            if row == run.stop - 1:  # what the run has made and is still read
                inside = self._profile.layers[run.start : run.stop]
                made = frozenset((parted,))
                behind |= {item.name: made for item in inside if self._last[item.name] > row}
            option = Option("positions", (parted,) * len(inputs), (), (), run)
            yield option, 0, lying, behind
            return
        sources = tuple(lying.get(name, WHOLE) for name in inputs)
        for option in options_of(self._profile, self._on, row, ("positions",), sources):
            if option.way != "positions":
                continue
            converted = lying | {
                name: holding
                for name, holding in zip(inputs, option.holdings, strict=True)
                if name in lying
            }
            holdings = [converted.get(name, WHOLE) for name in run.outside]
            if all(holds(holding, "positions") for holding in holdings):
                whole = tuple("whole" in holding for holding in holdings)
                fused = replace(option, run=run, whole=whole)
                yield fused, 0, converted, _settled(converted, inputs)

    def _options_of(self, row: int, sources: Holdings) -> list[Option]:
        inputs = self._profile.layers[row].inputs
        same = tuple(inputs.index(name) for name in inputs)
        key = (self._kinds[row], same, sources, self._is_plain(row))
        if key not in self._options:
            ways = self._ways_of(self._profile.layers[row])
            found = options_of(self._profile, self._on, row, ways, sources)
            if self._is_plain(row):
                found = [
                    o for o in found if all(source == "sums" for _, source, _ in o.conversions)
                ] or found
            self._options[key] = found
        return self._options[key]

    def _ways_of(self, layer: LayerProfile) -> tuple[Way, ...]:
        return self._mixing_ways if layer.flow.mixes else self._ways

    def _is_plain(self, row: int) -> bool:
        """Whether a layer changes only the values of a tensor that nothing else reads.

        Such a tensor is converted behind it as well as before: the layer runs as it finds it.
        """
        layer = self._profile.layers[row]
        geometries = [g for g in (layer.positions, layer.samples) if g is not None]
        return (
            len(layer.inputs) == 1
            and layer.feature_flow == "local"
            and not layer.macs
            and not layer.measured_s
            and not layer.statistics_bytes
            and self._last[layer.inputs[0]] == row
            and layer.in_features == layer.out_features
            and layer.input_bytes == layer.output_bytes
            and all(g.reads == (SAME,) and not g.statistics_bytes for g in geometries)
            and layer.inputs[0] in self._row
        )


_Step = tuple[Option, int, dict[str, Holding], dict[str, Holding]]
"""An option and its level, and how what it touches lies behind its conversions, and behind it."""


class _Joined:
    """Arcs between boundaries, as they are found."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self._inputs = inputs
        self._options: list[tuple[Option, int] | None] = [None]
        self._held: list[dict[str, Holding]] = [{}]
        self._rests: list[tuple[tuple[str, Holding], ...]] = []
        alone = np.zeros(1, dtype=np.int64)
        self._parts: list[tuple[Ints, Ints, Ints, Ints]] = [(alone, alone, alone, alone)]

    def join(
        self,
        before: Boundary,
        offset: int,
        after: Boundary,
        offset_behind: int,
        steps: Callable[[dict[str, Holding]], Iterator[_Step]],
        read: Sequence[str],
    ) -> None:
        """Add all arcs from one boundary's own states to another's.

        Parameters
        ----------
        before, after : Boundary
        offset, offset_behind : int
            What is added to the numbers of their states.
        steps : callable
            What there is to do where the tensors that are touched lie so.
        read : sequence of str
            Tensors whose layouts may change, or matter.
        """
        digit_behind = {names: at for at, names in enumerate(after.members)}
        untouched = [
            at
            for at, names in enumerate(before.members)
            if names in digit_behind and not set(names) & set(read)
        ]
        touched = [at for at in range(len(before.groups)) if at not in untouched]
        same = {before.members[at] for at in untouched}
        changed = [at for at, names in enumerate(after.members) if names not in same]
        first = len(self._options)
        begins: list[int] = []
        ends: list[int] = []
        for lies in itertools.product(*(before.universes[at] for at in touched)):
            chosen = list(zip(touched, lies, strict=True))
            lying = {name: holding for at, holding in chosen for name in before.members[at]}
            begin = sum(before.universes[at].index(h) * before.strides[at] for at, h in chosen)
            for option, level, converted, behind in steps(lying):
                end = _number(after, changed, behind)
                if end is not None:
                    self._options.append((option, level))
                    self._held.append(converted)
                    begins.append(begin)
                    ends.append(end)
        rest_before, rest_after = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        stay = np.ones(1, dtype=np.bool_)
        for at in untouched:
            to = digit_behind[before.members[at]]
            universe = after.universes[to]
            places = [
                universe.index(holding) if holding in universe else -1
                for holding in before.universes[at]
            ]
            rest_before = _crossed(rest_before, np.arange(len(places)) * before.strides[at])
            rest_after = _crossed(rest_after, np.maximum(places, 0) * after.strides[to])
            stay = (stay[:, None] & (np.array(places) >= 0)).ravel()
        shape = (len(begins), len(stay))
        chosen_option, rest = (x.astype(np.int64) for x in np.nonzero(np.broadcast_to(stay, shape)))
        self._parts.append(
            (
                1 + offset + np.array(begins, dtype=np.int64)[chosen_option] + rest_before[rest],
                1
                + offset_behind
                + np.array(ends, dtype=np.int64)[chosen_option]
                + rest_after[rest],
                first + chosen_option,
                len(self._rests) + rest,
            )
        )
        names = [before.members[at] for at in untouched]
        for holdings in itertools.product(*(before.universes[at] for at in untouched)):
            resting = zip(names, holdings, strict=True)
            self._rests.append(tuple((name, h) for group, h in resting for name in group))

    def arcs(self, row: int) -> Arcs:
        """All of them, sorted by the state before."""
        before, after, option, rest = (
            np.concatenate(part) for part in zip(*self._parts, strict=True)
        )
        order = np.argsort(before, kind="stable")
        return Arcs(
            row=row,
            before=before[order],
            after=after[order],
            option=option[order],
            rest=rest[order],
            options=tuple(self._options),
            held=tuple(self._held),
            rests=tuple(self._rests),
        )


def _settled(lies: dict[str, Holding], inputs: Sequence[str]) -> dict[str, Holding]:
    """What is left of holdings behind a layer that reads some of them."""
    return {n: settled(h) if n in inputs else h for n, h in lies.items()}


def _number(boundary: Boundary, groups: Sequence[int], lies: dict[str, Holding]) -> int | None:
    """What some groups add to the number of a state; None where that cannot be."""
    total = 0
    for at in groups:
        found = {lies[name] for name in boundary.members[at]}
        universe = boundary.universes[at]
        if len(found) > 1 or not found <= set(universe):
            return None
        total += universe.index(found.pop()) * boundary.strides[at]
    return total


def _crossed(left: Ints, right: Ints) -> Ints:
    """All sums of one of each, the second counting faster."""
    crossed: Ints = (left[:, None] + right).ravel()
    return crossed


def _adds_up(layer: LayerProfile) -> bool:
    return layer.positions is not None and layer.positions.sums

"""How the live tensors may lie between any two layers, and what leads from one to the next.

The layers of a model form a layered graph: a *state* says in which layouts each tensor lies that
is alive between two layers, an *arc* is one layer's option with the state before and behind it.
An option only concerns what the layer reads and makes; how everything else lies stays as it is.
Layers that are alike, with tensors alive that are alike, have one and the same arcs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from planner.cost.layouts import GroupLayouts
from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import WHOLE, Holding, Layout, Way, holds, settled
from planner.domain.model_profile import ModelProfile
from planner.domain.positions import SAME
from planner.solve.layout_problem import START, Ints
from planner.strategies.ways.arcs import Arcs, Boundary, Joined, Step, Universe
from planner.strategies.ways.options import Holdings, Option, options_of
from planner.strategies.ways.runs import Run
from planner.structure import last_uses

MAX_STATES = 600
"""States between two layers up to which every live tensor may lie as it likes. Where there are
more, tensors that the next layer does not find fresh lie neither on one node nor as parts of a
sum; then none lies in two layouts at once; then those with the same last reader lie alike."""

_SIMPLEST = 2


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
    of_all, of_mixing = tuple(ways), tuple(ways if mixing_ways is None else mixing_ways)
    while True:
        builder = _Builder(profile, on, of_all, of_mixing, kinds, levels_of, runs)
        found = [builder.kind_of(row) for row in range(len(profile.layers))]
        graph = LayoutGraph(
            kinds=tuple(builder.made),
            kind=np.array(found, dtype=np.int64),
            boundaries=tuple(builder.boundaries),
            simplified=builder.simplified,
        )
        if _leads_through(graph) or "features" in set(of_all) & set(of_mixing):
            return graph
        # each layer has one of the ways, but they do not join: any of them may gather features
        of_all, of_mixing = _or_features(of_all), _or_features(of_mixing)


def _or_features(ways: tuple[Way, ...]) -> tuple[Way, ...]:
    return ways if "features" in ways else (*ways, "features")


def _leads_through(graph: LayoutGraph) -> bool:
    """Whether several nodes can run all layers, with nothing left to add up at the end."""
    reached = np.zeros(graph.boundaries[0].total, dtype=np.bool_)
    reached[START] = True
    for kind, behind in zip(graph.kind, graph.boundaries[1:], strict=True):
        arcs = graph.kinds[kind]
        taken = reached[arcs.before]
        reached = np.zeros(behind.total, dtype=np.bool_)
        reached[arcs.after[taken]] = True
    last = graph.boundaries[-1]
    return any(last.is_added_up(state) for state in np.flatnonzero(reached).tolist())


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
        found = Joined(layer.inputs)
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

    def _steps(self, row: int, lying: dict[str, Holding]) -> Iterator[Step]:
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

    def _steps_of_run(self, row: int, run: Run, lying: dict[str, Holding]) -> Iterator[Step]:
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


def _settled(lies: dict[str, Holding], inputs: Sequence[str]) -> dict[str, Holding]:
    """What is left of holdings behind a layer that reads some of them."""
    return {n: settled(h) if n in inputs else h for n, h in lies.items()}


def _adds_up(layer: LayerProfile) -> bool:
    return layer.positions is not None and layer.positions.sums

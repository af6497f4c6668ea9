"""How the live tensors may lie between any two layers, and what leads from one to the next.

The layers of a model form a layered graph: a *state* says in which layouts each tensor lies that
is alive between two layers, an *arc* is one layer's option with the state before and behind it.
Layers that are alike, with tensors alive that are alike, have one and the same arcs.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.cost.layouts import GroupLayouts
from planner.domain.layouts import WHOLE, Holding, Way
from planner.domain.model_profile import ModelProfile
from planner.strategies.ways.options import Holdings, Option, options_of
from planner.structure import last_uses

ALONE = 0
"""The state of a group of one node, which holds everything."""

MAX_LIVE = 4
"""Live tensors up to which each may lie in layouts of its own; of more, those that wait for the
same reader lie alike."""

@dataclass(frozen=True, eq=False)
class Arcs:
    """What one kind of layer can do from every state; A arcs, sorted by the state before.

    Attributes
    ----------
    row : int
        A layer of this kind.
    live : tuple of str
        The tensors of the states before ``row``, in order.
    before, after : int array, shape (A,)
        Numbers of states; the first arc is that of a group of one node.
    option : tuple of Option or None
        None on one node.
    held : tuple of tuple of (str, Holding)
        Every live tensor behind the conversions, without what the layer makes.
    states_after : tuple of Holdings
        By number, from 1.
    """

    row: int
    live: tuple[str, ...]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    option: tuple[Option | None, ...]
    held: tuple[tuple[tuple[str, Holding], ...], ...]
    states_after: tuple[Holdings, ...]


@dataclass(frozen=True, eq=False)
class LayoutGraph:
    """All states and arcs of a model.

    Attributes
    ----------
    kinds : tuple of Arcs
    kind : int array, shape (L,)
        Of every layer.
    live : tuple of tuples of str
        Tensors alive before every layer and behind the last one.
    states : tuple of tuples of Holdings
        Likewise, by number from 1.
    tied : bool
        Whether tensors that wait for one reader must lie alike.
    """

    kinds: tuple[Arcs, ...]
    kind: NDArray[np.int64]
    live: tuple[tuple[str, ...], ...]
    states: tuple[tuple[Holdings, ...], ...]
    tied: bool


def layer_kinds(
    profile: ModelProfile, numberings: Sequence[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Number layers that are alike on every group, in numbers, geometry and ownership; shape (L,).

    Parameters
    ----------
    profile : ModelProfile
    numberings : sequence of int arrays, shape (L,)
        `planner.cost.ownership.FeatureShares.kind` of every distinct group.
    """
    counts = {spec.name: (spec.positions, spec.samples) for spec in profile.inputs}
    numbers: dict[Hashable, int] = {}
    found = []
    for row, layer in enumerate(profile.layers):
        positions, samples = layer.positions, layer.samples
        counts[layer.name] = (
            positions.count if positions else 0,
            samples.count if samples else 0,
        )
        read = tuple(counts[name] for name in layer.inputs)
        key = (tuple(int(of[row]) for of in numberings), positions, samples, read)
        found.append(numbers.setdefault(key, len(numbers)))
    return np.array(found, dtype=np.int64)


def live_tensors(profile: ModelProfile) -> list[tuple[str, ...]]:
    """Tensors alive before every layer and behind the last, model inputs left out."""
    last = last_uses(profile)
    alive: list[str] = []
    across = [()]
    for row, layer in enumerate(profile.layers):
        alive = [name for name in [*alive, layer.name] if last[name] > row]
        across.append(tuple(alive))  # type: ignore[arg-type]
    return across  # type: ignore[return-value]


def layout_graph(
    profile: ModelProfile, on: GroupLayouts, ways: Sequence[Way], kinds: NDArray[np.int64]
) -> LayoutGraph:
    """Every state that can be reached, and every arc between them.

    Parameters
    ----------
    profile : ModelProfile
    on : GroupLayouts
        Of any group of two or more nodes.
    ways : sequence of Way
    kinds : int array, shape (L,)
        Of `layer_kinds`.
    """
    live = live_tensors(profile)
    tied = max(len(names) for names in live) > MAX_LIVE
    last = last_uses(profile)
    builder = _Builder(profile, on, tuple(ways), kinds, live, last, tied)
    states: list[tuple[Holdings, ...]] = [((),)]
    found: list[int] = []
    for row in range(len(profile.layers)):
        number = builder.kind_of(row, states[-1])
        found.append(number)
        states.append(builder.made[number].states_after)
    return LayoutGraph(
        kinds=tuple(builder.made),
        kind=np.array(found, dtype=np.int64),
        live=tuple(live),
        states=tuple(states),
        tied=tied,
    )


class _Builder:
    def __init__(
        self,
        profile: ModelProfile,
        on: GroupLayouts,
        ways: tuple[Way, ...],
        kinds: NDArray[np.int64],
        live: list[tuple[str, ...]],
        last: dict[str, int],
        tied: bool,
    ) -> None:
        self.made: list[Arcs] = []
        self._profile, self._on, self._ways = profile, on, ways
        self._kinds, self._live, self._last, self._tied = kinds, live, last, tied
        self._row = {layer.name: row for row, layer in enumerate(profile.layers)}
        self._inputs = {spec.name for spec in profile.inputs}
        self._known: dict[Hashable, int] = {}
        self._options: dict[Hashable, list[Option]] = {}

    def kind_of(self, row: int, states: tuple[Holdings, ...]) -> int:
        """The number of the arcs of a layer from these states; made where they are new."""
        layer = self._profile.layers[row]
        before, after = self._live[row], self._live[row + 1]
        place = {name: at for at, name in enumerate(before)}
        key = (
            int(self._kinds[row]),
            tuple(int(self._kinds[self._row[name]]) for name in before),
            tuple(place.get(name, -1) for name in layer.inputs),
            tuple(place.get(name, -1) for name in after),
            self._tied_to(after) if self._tied else (),
            tuple(name for name in self._inputs if self._last[name] >= row),
            states,
        )
        if key not in self._known:
            self._known[key] = len(self.made)
            self.made.append(self._make(row, states))
        return self._known[key]

    def _tied_to(self, names: Sequence[str]) -> tuple[int, ...]:
        """For each tensor the first of them that waits for the same last reader."""
        readers = [self._last[name] for name in names]
        return tuple(readers.index(reader) for reader in readers)

    def _make(self, row: int, states: tuple[Holdings, ...]) -> Arcs:
        layer = self._profile.layers[row]
        before, after = self._live[row], self._live[row + 1]
        numbers: dict[Holdings, int] = {}
        arcs: list[tuple[int, int, Option | None, tuple[tuple[str, Holding], ...]]] = [
            (ALONE, ALONE, None, ())
        ]
        for number, state in enumerate(states, start=1):
            lies = dict(zip(before, state, strict=True))
            sources = tuple(lies.get(name, WHOLE) for name in layer.inputs)
            for option in self._options_of(row, sources):
                held = dict(lies)
                for name, holding in zip(layer.inputs, option.holdings, strict=True):
                    if name in lies:
                        held[name] = holding
                rest = held | {layer.name: frozenset((option.makes,))}
                behind = tuple(rest[name] for name in after)
                if self._tied and not self._alike(after, behind):
                    continue
                arcs.append(
                    (
                        number,
                        numbers.setdefault(behind, len(numbers) + 1),
                        option,
                        tuple(held.items()),
                    )
                )
        return Arcs(
            row=row,
            live=before,
            before=np.array([arc[0] for arc in arcs], dtype=np.int64),
            after=np.array([arc[1] for arc in arcs], dtype=np.int64),
            option=tuple(arc[2] for arc in arcs),
            held=tuple(arc[3] for arc in arcs),
            states_after=tuple(numbers),
        )

    def _options_of(self, row: int, sources: Holdings) -> list[Option]:
        inputs = self._profile.layers[row].inputs
        same = tuple(inputs.index(name) for name in inputs)
        key = (int(self._kinds[row]), same, sources)
        if key not in self._options:
            self._options[key] = options_of(self._profile, self._on, row, self._ways, sources)
        return self._options[key]

    def _alike(self, names: Sequence[str], state: Holdings) -> bool:
        """Whether tensors that wait for the same reader lie in one and the same layout."""
        return all(state[first] == state[at] for at, first in enumerate(self._tied_to(names)))

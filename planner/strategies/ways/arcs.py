"""The states between two layers, and the arcs that lead from one to the next, as numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from planner.domain.layouts import Holding
from planner.solve.layout_problem import Ints
from planner.strategies.ways.options import Option
from planner.strategies.ways.runs import Run

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

    def is_added_up(self, state: int) -> bool:
        """Whether no tensor lies as parts of a sum in a state."""
        return not any("sums" in holding for holding in self.holdings(state).values())


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


Step = tuple[Option, int, dict[str, Holding], dict[str, Holding]]
"""An option and its level, and how what it touches lies behind its conversions, and behind it."""


class Joined:
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
        steps: Callable[[dict[str, Holding]], Iterator[Step]],
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

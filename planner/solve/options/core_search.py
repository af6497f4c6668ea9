"""Exact search of the core problem, meeting in the middle (docs/options.md, eq. O8 and O9)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count as count_from

import numpy as np

from planner.solve.options.effort import Effort
from planner.solve.options.knapsack import ROUNDING, Bools, Classes, Floats, Ints, Peaks
from planner.solve.options.lagrangian import LagrangianBound
from planner.solve.options.state_lists import CellIndex, Moves, StateList

_PAIRS = 20_000  # looked at together at first: a millisecond, and the best are often among them
_MORE_PAIRS = 4  # times as many each time after, which makes the calls few
_MOST_PAIRS = 1_000_000  # at most: tens of megabytes, and a fraction of a second
_BEAM = 1_000  # states to go on with when the effort is spent, to find a choice at least
_TRIED = 30  # choices of one chunk that may break a limit by rounding

Offer = Callable[[Ints], bool]
"""Takes how often each class takes each option, shape (G, K); whether it keeps every limit."""


def search_core(
    classes: Classes,
    peaks: Peaks,
    priced: LagrangianBound,
    within: float,
    below: float,
    effort: Effort,
    width: int,
    cut: bool,
    offer: Offer,
) -> bool:
    """Look at all choices of reduced cost ``within`` and objective ``below``, or at better ones.

    The alternatives to the base are dealt out to two lists of partial choices, each kept by its
    reduced cost alone. Joining them, every pair must keep the limits: what it leaves of a limit
    costs its multiplier per unit, so that only a narrow window of the second list, sorted, can go
    with a state of the first.

    Parameters
    ----------
    classes, peaks, priced
        The problem, and prices for it.
    within : float
        Budget of reduced cost. With ``below - priced.bound`` nothing is left out.
    below : float
        Only choices whose objective is less.
    effort : Effort
        Reduced by what was looked at.
    width : int
        States of a list at most; if there were more, the search is not exhaustive.
    cut : bool
        Whether to go on with the best states then, to find a choice at least.
    offer : callable
        Called with choices, each better than those that it accepted before.

    Returns
    -------
    bool
        Whether nothing was left out.
    """
    core = _Core(classes, peaks, priced, within, below)
    exhaustive = True
    sides = core.start(), core.start()
    for unit in core.units:
        mine = sides[0] if sides[0].count <= sides[1].count else sides[1]
        for moves in unit:
            before, most = mine.count, _BEAM if effort.spent else width
            mine.extend(moves, most)
            effort.left -= mine.count - before
            if mine.count > most:
                if most == width and not cut:
                    return False
                exhaustive = False
                mine.cut(most)
    return core.join(*sides, effort, offer) and exhaustive


class _Core:
    """The options that reduced-cost fixing leaves, as what each adds to the base.

    Columns: reduced cost, the objective's sums, limits that can break, counts of classes.
    """

    def __init__(
        self,
        classes: Classes,
        peaks: Peaks,
        priced: LagrangianBound,
        within: float,
        below: float,
    ) -> None:
        self._counts, self._base, self._shape = classes.counts, priced.base, classes.allowed.shape
        groups, options = self._shape
        at = np.arange(0, groups * options, options) + priced.base
        used = priced.reduced.ravel() <= within  # reduced-cost fixing, eq. O8
        used[at] = False
        places = used.nonzero()[0]
        self._group, self._option = np.divmod(places, options)
        flat = classes.sums.reshape(len(classes.sums), -1)
        at_base = flat.take(at, axis=1)
        delta = np.empty((1 + len(flat), len(places)))
        delta[0] = priced.reduced.take(places)
        delta[1:] = flat.take(places, axis=1) - at_base.take(self._group, axis=1)
        many = classes.counts[self._group]
        total = at_base @ classes.counts
        # room of each column above the base, widened by what rounding may have added up to
        size = np.abs(at_base) @ classes.counts + np.abs(delta[1:]) @ many
        limits = 1 + classes.resources  # columns from here on
        room = np.empty(len(delta))
        room[0] = within * (1.0 + 1e-12)  # a thousand roundings of a sum of reduced costs
        room[1:limits], room[limits:] = below, classes.limits
        rounding = (ROUNDING * (groups + 8)) * (size + np.abs(room[1:]))
        room[1:] += rounding - total
        prices = np.concatenate([np.zeros(1), priced.weights, priced.multipliers])
        # what a choice may waste of reduced cost and priced room together, eq. O9
        self._gap = below - priced.bound + float(prices[1:] @ rounding)
        keep: Bools = np.maximum(delta, 0.0) @ many > room
        keep[:limits] = True
        keep[limits + peaks.rows] = True
        self._peak_columns: list[int] = (keep.cumsum()[limits + peaks.rows] - 1).tolist()
        delta, self._room, self._prices = delta[keep], room[keep], prices[keep]
        self._resources = slice(1, limits)
        self._total, self._below = total[: classes.resources], below
        self._raise = np.maximum(peaks.live - peaks.floor[:, None, None], 0.0)
        fixed = np.ones(groups, dtype=np.bool_)
        fixed[self._group] = False
        self._fixed_peak = self._raise[:, fixed, priced.base[fixed]].max(axis=1, initial=0.0)
        self.units = self._units(np.ascontiguousarray(delta.T), within)

    def _units(self, delta: Floats, within: float) -> list[list[Moves]]:
        """What goes to one list together, dear alternatives first, so that the lists grow late."""
        if not len(delta):
            return []
        new = np.ones(len(delta), dtype=np.bool_)
        np.not_equal(self._group[1:], self._group[:-1], out=new[1:])
        starts = new.nonzero()[0]
        ends = np.append(starts[1:], len(delta))
        group = self._group[starts]
        count = self._counts[group]
        cheapest = np.minimum.reduceat(delta[:, 0], starts)
        raising = self._raise[:, group].max(axis=(0, 2), initial=0.0) > 0
        # no two of them fit into the budget together, so that a state takes one of all at most
        alone = (cheapest > 0.5 * within * (1.0 + 1e-9)) & ~raising
        counted = ((count > 1) & ~alone).nonzero()[0]
        counter = dict(zip(counted.tolist(), count_from(len(self._room)), strict=False))
        if counter:  # a column more for each: how many of its layers have left the base
            unit = new.cumsum() - 1
            delta = np.concatenate([delta, unit[:, None] == counted], axis=1)
            self._room = np.concatenate([self._room, count[counted] + 0.5])
            self._prices = np.concatenate([self._prices, np.zeros(len(counted))])
        raised = self._raise[:, self._group, self._option].T
        numbers, once = np.arange(len(delta)), np.ones(len(delta), dtype=np.int64)
        units: list[list[Moves]] = []
        if alone.any():
            lone = np.repeat(alone, ends - starts).nonzero()[0]
            units.append([Moves(lone, once[lone], delta[lone], raised[lone])])
        for index in np.argsort(-cheapest).tolist():
            if alone[index]:
                continue
            mine, at_base = slice(int(starts[index]), int(ends[index])), None
            if raising[index]:
                at_base = self._raise[:, group[index], self._base[group[index]]]
            if index not in counter:
                moves = Moves(numbers[mine], once[mine], delta[mine], raised[mine], 0, at_base)
                units.append([moves])
                continue
            ladders = []
            for one in range(mine.start, mine.stop):  # 1, 2, ... layers of the class take it
                dear, most = float(delta[one, 0]), int(count[index])
                if dear * most > within:
                    most = int(within / dear * (1.0 + 1e-12))
                times = np.arange(1, most + 1)
                ladders.append(
                    Moves(
                        np.full(most, one),
                        times,
                        times[:, None] * delta[one],
                        np.tile(raised[one], (most, 1)),
                        counter[index],
                        at_base if one == mine.stop - 1 else None,
                    )
                )
            # each alone may go to either list, but live bytes of the base need the whole count
            units += [[ladder] for ladder in ladders] if at_base is None else [ladders]
        return units

    def start(self) -> StateList:
        """The base alone."""
        return StateList(self._room.copy(), self._fixed_peak)

    def join(self, one: StateList, other: StateList, effort: Effort, offer: Offer) -> bool:
        """Offer pairs that keep every limit; whether all that may be better were looked at."""
        if one.count > other.count:
            one, other = other, one
        mine, theirs = np.ascontiguousarray(one.added.T), np.ascontiguousarray(other.added.T)
        fine, coarse, width = self._telling(theirs)
        index = CellIndex(theirs[fine], None if coarse is None else theirs[coarse], width)
        rest: Ints | None = None
        most_pairs, sure = _PAIRS, True
        while True:
            left = mine if rest is None else mine[:, rest]
            low, counts = index.ranges(
                self._window(left, fine), None if coarse is None else self._window(left, coarse)
            )
            pairs = counts.sum(axis=0)
            if rest is None:
                rest = np.arange(one.count)
                if pairs.sum() > most_pairs:  # states near the bound first
                    rest = np.argsort(mine[0])
                    low, counts, pairs = low[:, rest], counts[:, rest], pairs[rest]
            stop = max(int(np.searchsorted(np.cumsum(pairs), most_pairs, side="right")), 1)
            first = np.repeat(rest[:stop], pairs[:stop])
            second = index.members(low[:, :stop].T.ravel(), counts[:, :stop].T.ravel())
            sure &= self._offer_best((one, other), (mine, theirs), first, second, offer)
            effort.left -= len(first) + len(rest) // 8  # a window costs less than a pair
            rest = rest[stop:]
            most_pairs = min(_MORE_PAIRS * most_pairs, _MOST_PAIRS)
            if not len(rest):
                return sure
            if effort.spent:
                return False

    def _telling(self, added: Floats) -> tuple[int, int | None, float]:
        """The two columns whose windows leave the fewest pairs, and the width of the second."""
        spread = (added.max(axis=1) - added.min(axis=1)) * self._prices
        spread[self._peak_columns] = 0.0
        coarse, fine = np.argsort(spread)[-2:].tolist()
        if spread[coarse] <= 0.0:
            return fine, None, 0.0
        # no more strips than a hundred thousand, and no window wider than a strip by rounding
        width = max(self._gap, float(spread[coarse]) * 1e-5) / self._prices[coarse]
        return fine, coarse, float(width) * (1.0 + 1e-6)

    def _window(self, added: Floats, column: int) -> tuple[Floats, Floats]:
        """Least and most of the column that a state of the other list may have, eq. O9."""
        most = self._room[column] - added[column]
        if self._prices[column] == 0.0:
            return np.full(len(most), -np.inf), most
        left = np.maximum(self._gap - added[0], 0.0) * ((1.0 + 1e-9) / self._prices[column])
        return most - left - 1e-12 * (np.abs(most) + abs(self._room[column])), most

    def _offer_best(
        self,
        lists: tuple[StateList, StateList],
        added: tuple[Floats, Floats],
        first: Ints,
        second: Ints,
        offer: Offer,
    ) -> bool:
        """Offer the best of these pairs that keep every limit; whether none better is missed."""
        (mine, theirs), (one, other) = added, lists
        for column, room in enumerate(self._room.tolist()):
            need = mine[column].take(first)
            need += theirs[column].take(second)
            if column in self._peak_columns:
                index = self._peak_columns.index(column)
                need += np.maximum(one.peak[first, index], other.peak[second, index])
            kept = (need <= room).nonzero()[0]
            if len(kept) < len(first):
                first, second = first.take(kept), second.take(kept)
            if not len(first):
                return True
        value = mine[self._resources, first] + theirs[self._resources, second]
        value = (value + self._total[:, None]).max(axis=0)
        for index in np.argsort(value, kind="stable")[:_TRIED].tolist():
            if offer(self._counted(one.moves(int(first[index])) + other.moves(int(second[index])))):
                self._tighten(float(value[index]))
                return True
        return len(first) <= _TRIED

    def _tighten(self, below: float) -> None:
        """From now on only better choices."""
        self._room[self._resources] -= self._below - below
        self._gap -= self._below - below
        self._below = below

    def _counted(self, moves: list[tuple[int, int]]) -> Ints:
        """How often each class takes each option after these moves from the base."""
        counted = np.zeros(self._shape, dtype=np.int64)
        counted[np.arange(len(self._base)), self._base] = self._counts
        for index, times in moves:
            group = self._group[index]
            counted[group, self._option[index]] += times
            counted[group, self._base[group]] -= times
        return counted

"""Exact search among the options that a bound leaves: two lists of states that are then joined."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from planner.solve.sparsity.choice_rows import Floats, Ints, Peaks, Relaxation, Rows
from planner.solve.sparsity.effort import Effort
from planner.solve.sparsity.state_lists import CellIndex, Ladder, Moves, StateList

_ROUNDING = 4e-16
_PAIRS = 20_000  # looked at together at first; four times as many each time after
_MOST_PAIRS = 1_000_000
_BEAM = 1_000  # states to go on with when the effort is spent
_NONE = np.zeros(1)
_TRIED = 30  # choices of one chunk that may break a limit by rounding

Offer = Callable[[NDArray[np.int64]], bool]
"""Takes how often each group takes each option, shape (G, K); whether it keeps every limit."""


def search(
    rows: Rows,
    peaks: Peaks,
    relaxed: Relaxation,
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
    rows, peaks, relaxed
        The problem, and prices for it.
    within : float
        Budget of reduced cost. With ``below - relaxed.bound`` nothing is left out.
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
    core = _Core(rows, peaks, relaxed, within, below)
    exhaustive = True
    sides = core.start(), core.start()
    for unit in core.units:
        mine = sides[0] if sides[0].count <= sides[1].count else sides[1]
        for stage in unit:
            before = mine.count
            mine.extend(stage)
            effort.left -= mine.count - before
            if mine.count > width and not cut and not effort.spent:
                return False
            if mine.count > width or effort.spent:
                exhaustive = False
                mine.cut(_BEAM if effort.spent else width)
    return core.join(*sides, effort, offer) and exhaustive


class _Core:
    """Columns: reduced cost, the objective's sums, limits that can break, counts of groups."""

    def __init__(
        self, rows: Rows, peaks: Peaks, relaxed: Relaxation, within: float, below: float
    ) -> None:
        self._counts = rows.counts
        self._base = base = relaxed.base
        self._peaks = peaks
        groups, options = rows.allowed.shape
        at = np.arange(0, groups * options, options) + base
        used = relaxed.reduced.ravel() <= within
        used[at] = False
        places = used.nonzero()[0]
        self._group, self._option = np.divmod(places, options)
        flat = rows.sums.reshape(len(rows.sums), -1)
        at_base = flat.take(at, axis=1)
        delta = np.empty((1 + len(flat), len(places)))
        delta[0] = relaxed.reduced.take(places)
        delta[1:] = flat.take(places, axis=1) - at_base.take(self._group, axis=1)
        many = rows.counts[self._group]
        self._counted = bool(rows.counts.max() > 1)
        total = at_base @ rows.counts
        size = np.abs(at_base) @ rows.counts + np.abs(delta[1:]) @ many
        room = np.empty(len(delta))
        room[0] = within * (1.0 + 1e-12)
        room[1 : 1 + rows.resources] = below
        room[1 + rows.resources :] = rows.limits
        if np.isfinite(below):
            size += np.abs(room[1:])
        else:
            size[rows.resources :] += np.abs(rows.limits)
        rounding = (_ROUNDING * (groups + 8)) * size
        room[1:] += rounding - total
        keep = np.maximum(delta, 0.0) @ many > room
        keep[: 1 + rows.resources] = True
        peak_rows = 1 + rows.resources + peaks.rows
        keep[peak_rows] = True
        prices = np.concatenate([_NONE, relaxed.weights, relaxed.multipliers])
        self._gap = below - relaxed.bound + float(prices[1:] @ rounding)
        self._peak_columns: list[int] = []
        if not keep.all():
            delta, room, prices = delta[keep], room[keep], prices[keep]
        if len(peaks.rows):
            self._peak_columns = (keep.cumsum()[peak_rows] - 1).tolist()
        self._room, self._prices = room, prices
        self._resources = slice(1, 1 + rows.resources)
        self._at_base = total[: rows.resources]
        self._below = below
        self._shape = rows.allowed.shape
        self._raise = np.maximum(peaks.live - peaks.floor[:, None, None], 0.0)
        self._fixed_peak = np.zeros(len(peaks.rows))
        if len(peaks.rows):
            fixed = np.ones(groups, dtype=np.bool_)
            fixed[self._group] = False
            self._fixed_peak = self._raise[:, fixed, base[fixed]].max(axis=1, initial=0.0)
        self.units = self._units(np.ascontiguousarray(delta.T), within)

    def _units(self, delta: Floats, within: float) -> list[list[Moves | Ladder]]:
        """What goes to one list together, dear alternatives first, so that the lists grow late."""
        if not len(delta):
            return []
        first = np.ones(len(delta) + 1, dtype=np.bool_)
        np.not_equal(self._group[1:], self._group[:-1], out=first[1:-1])
        edges = first.nonzero()[0]
        starts, ends = edges[:-1], edges[1:]
        group = self._group[starts]
        count = self._counts[group]
        cheapest = np.minimum.reduceat(delta[:, 0], starts)
        alone = cheapest > 0.5 * within * (1.0 + 1e-9)  # no two of them can move
        raising = np.zeros(len(group), dtype=np.bool_)
        if len(self._peaks.rows):
            raising[:] = (self._raise[:, group] > 0).any(axis=(0, 2))
            alone &= ~raising
        counter: dict[int, int] = {}
        if self._counted:
            counted = ((count > 1) & ~alone).nonzero()[0]
            counter = dict(zip(counted.tolist(), range(len(self._room), 10**9), strict=False))
            delta = self._with_counts(delta, starts[counted], ends[counted], count[counted])
        raised = self._raise[:, self._group, self._option].T
        numbers = np.arange(len(delta))
        units: list[list[Moves | Ladder]] = []
        if alone.any():
            lone = np.repeat(alone, ends - starts).nonzero()[0]
            units.append([Moves(lone, delta[lone], raised[lone])])
        lone_units, raises = alone.tolist(), raising.tolist()
        slices = list(map(slice, starts.tolist(), ends.tolist()))
        for index in np.argsort(-cheapest).tolist():
            if lone_units[index]:
                continue
            mine = slices[index]
            at_base = None
            if raises[index]:
                at_base = self._raise[:, group[index], self._base[group[index]]]
            if index not in counter:
                units.append([Moves(numbers[mine], delta[mine], raised[mine], at_base)])
                continue
            ladders: list[Moves | Ladder] = []
            for one in range(mine.start, mine.stop):
                dear, most = float(delta[one, 0]), int(count[index])
                if dear * most > within:
                    most = int(within / dear * (1.0 + 1e-12))
                last = at_base if one == mine.stop - 1 else None
                ladders.append(Ladder(one, delta[one], raised[one], most, counter[index], last))
            # each alone may go to either list, but live bytes of the base need the whole count
            units += [[ladder] for ladder in ladders] if at_base is None else [ladders]
        return units

    def _with_counts(self, delta: Floats, starts: Ints, ends: Ints, count: Ints) -> Floats:
        """A column more for each group of equal layers: how many of them have left the base."""
        more = np.zeros((len(delta), len(starts)))
        for column, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            more[start:end, column] = 1.0
        self._room = np.concatenate([self._room, count + 0.5])
        self._prices = np.concatenate([self._prices, np.zeros(len(count))])
        return np.concatenate([delta, more], axis=1)

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
            effort.left -= len(first) + len(rest) // 8
            rest = rest[stop:]
            most_pairs = min(4 * most_pairs, _MOST_PAIRS)
            if not len(rest):
                return sure
            if effort.spent:
                return False

    def _telling(self, added: Floats) -> tuple[int, int | None, float]:
        """The two columns whose windows leave the fewest pairs, and the width of the second."""
        if not np.isfinite(self._gap):
            return 0, None, 0.0
        spread = (added.max(axis=1) - added.min(axis=1)) * self._prices
        spread[self._peak_columns] = 0.0
        coarse, fine = np.argsort(spread)[-2:].tolist()
        if spread[coarse] <= 0.0:
            return fine, None, 0.0
        width = max(self._gap, float(spread[coarse]) * 1e-5) / self._prices[coarse]
        return fine, coarse, float(width) * (1.0 + 1e-6)

    def _window(self, added: Floats, column: int) -> tuple[Floats, Floats]:
        """Least and most of the column that a state of the other list may have."""
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
        mine, theirs = added
        one, other = lists
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
        value = (value + self._at_base[:, None]).max(axis=0)
        for index in np.argsort(value, kind="stable")[:_TRIED].tolist():
            if offer(self._choice(one, other, int(first[index]), int(second[index]))):
                self._tighten(float(value[index]))
                return True
        return len(first) <= _TRIED

    def _tighten(self, below: float) -> None:
        """From now on only better choices; windows stay where there were none."""
        if self._below < np.inf:
            self._room[self._resources] -= self._below - below
            self._gap -= self._below - below
            self._below = below

    def _choice(
        self, one: StateList, other: StateList, first: int, second: int
    ) -> NDArray[np.int64]:
        chosen = np.zeros(self._shape, dtype=np.int64)
        chosen[np.arange(len(self._base)), self._base] = self._counts
        for index, times in one.moves(first) + other.moves(second):
            group = self._group[index]
            chosen[group, self._option[index]] += times
            chosen[group, self._base[group]] -= times
        return chosen

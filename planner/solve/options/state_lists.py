"""Lists of partial choices that only grow, and an index to find those inside two windows."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

import numpy as np

from planner.solve.options.knapsack import Floats, Ints

_CELLS = 4  # of the grid, for each state: windows then hold few states that do not fit
_MOST_CELLS = 4096  # of a strip: its row of the grid stays in the processor's nearest cache
_START = 2048  # states for which a list has room at first: most never grow
_FULL = 8  # states that a strip holds at least, if they were spread evenly


class Moves(NamedTuple):
    """Alternatives to the base of which a state takes one at most.

    Attributes
    ----------
    which : int array, shape (J,)
        Numbers of the alternatives.
    times : int array, shape (J,)
        How many layers of the class take it.
    delta : float array, shape (J, C)
        What each adds to the columns, all these layers together.
    raised : float array, shape (J, M)
        Live bytes above the floor that each needs.
    counter : int
        The column that counts the class's layers off the base; 0 where it is not counted.
    at_base : float array, shape (M,), or None
        What the class's base needs of live bytes, where its options differ in this.
    """

    which: Ints
    times: Ints
    delta: Floats
    raised: Floats
    counter: int = 0
    at_base: Floats | None = None


class _Block(NamedTuple):
    """States made together: the numbers of their parents, and which of the moves they took."""

    parents: Ints
    moves: Moves
    taken: Ints


class StateList:
    """Partial choices: what they add to the base, and the largest live bytes above the floor.

    Parameters
    ----------
    room : float array, shape (C,)
        The most that each column may hold; the first is the reduced cost.
    peak : float array, shape (M,)
        Live bytes of the base above the floor.
    """

    def __init__(self, room: Floats, peak: Floats) -> None:
        self.count = 1
        self._room = room
        self._added = np.zeros((_START, len(room)))
        self._peak = np.zeros((_START, len(peak)))
        self._peak[0] = peak
        # states are numbered as they are made; a cut leaves the first ones with these numbers
        self._survivors = np.zeros(1, dtype=np.int64)
        self._made = 1
        self._starts: list[int] = []
        self._blocks: list[_Block] = []

    @property
    def added(self) -> Floats:
        """What the states add to the columns, shape (count, C)."""
        return self._added[: self.count]

    @property
    def peak(self) -> Floats:
        """Shape (count, M)."""
        return self._peak[: self.count]

    def extend(self, moves: Moves, most: int) -> None:
        """Append what the moves make of every state, as far as its reduced cost allows.

        Of the new states those of least reduced cost, ``most`` in number, so that no list outgrows
        the memory before it is cut.
        """
        before, counter = self.count, moves.counter
        added, room = self._added[:before], self._room
        fits = added[:, :1] + moves.delta[:, 0] <= room[0]
        if counter:
            fits &= added[:, counter, None] + moves.delta[:, counter] <= room[counter]
        parents, taken = fits.nonzero()
        if len(parents) > most:
            reduced = added[:, 0].take(parents) + moves.delta[:, 0].take(taken)
            least = np.argpartition(reduced, most)[:most]
            parents, taken = parents.take(least), taken.take(least)
        self._append(parents, moves, taken)
        if moves.at_base is not None:
            if counter:  # for those with a layer left at the base
                stays = self.added[:, counter, None] < room[counter] - 1.0
                np.maximum(self.peak, np.where(stays, moves.at_base, 0.0), out=self.peak)
            else:
                mine = self._peak[:before]
                np.maximum(mine, moves.at_base, out=mine)

    def _append(self, parents: Ints, moves: Moves, taken: Ints) -> None:
        self._starts.append(self._made)
        self._blocks.append(_Block(self._numbers(parents), moves, taken))
        self._made += len(parents)
        start = self.count
        self.count = end = start + len(parents)
        if end > len(self._added):
            self._added = _grown(self._added, start, end)
            self._peak = _grown(self._peak, start, end)
        added = self._added.take(parents, axis=0)
        np.add(added, moves.delta.take(taken, axis=0), out=self._added[start:end])
        if self._peak.shape[1]:
            raised = moves.raised.take(taken, axis=0)
            np.maximum(self._peak.take(parents, axis=0), raised, out=self._peak[start:end])

    def _numbers(self, states: Ints) -> Ints:
        numbers: Ints = states + (self._made - self.count)
        if len(self._survivors) > 1:
            old = states < len(self._survivors)
            numbers[old] = self._survivors[states[old]]
        return numbers

    def cut(self, width: int) -> None:
        """Keep the states of least reduced cost."""
        least = np.argsort(self.added[:, 0], kind="stable")[:width]
        self._survivors = self._numbers(least)
        self._added, self._peak = self._added[least], self._peak[least]
        self.count = len(least)

    def moves(self, state: int) -> list[tuple[int, int]]:
        """Alternatives that a state took, and how often."""
        made, number = [], int(self._numbers(np.array([state]))[0])
        while number > 0:
            place = bisect_right(self._starts, number) - 1
            block, row = self._blocks[place], number - self._starts[place]
            taken = block.taken[row]
            made.append((int(block.moves.which[taken]), int(block.moves.times[taken])))
            number = int(block.parents[row])
        return made


def _grown(array: Floats, used: int, least: int) -> Floats:
    more = np.empty((max(least, 2 * len(array)), array.shape[1]))
    more[:used] = array[:used]
    return more


class CellIndex:
    """States by the cells of a grid over two columns, in strips of the coarse one's width."""

    def __init__(self, fine: Floats, coarse: Floats | None, width: float) -> None:
        count = len(fine)
        self._least = float(fine.min())
        self._width, self._first, strips = 1.0, 0.0, 1
        if coarse is not None:
            self._first = float(coarse.min())
            spread = float(coarse.max()) - self._first
            self._width = max(width, spread * _FULL / count)
            strips += int(spread / self._width)
        self._strips = strips
        self._cells = cells = min(max(_CELLS * count // strips, 16), _MOST_CELLS)
        self._scale = cells / ((float(fine.max()) - self._least) or 1.0)
        place = np.minimum(((fine - self._least) * self._scale).astype(np.int64), cells - 1)
        place += cells  # an empty strip before the first, and one behind the last
        if coarse is not None:
            place += ((coarse - self._first) / self._width).astype(np.int64) * cells
        total = (strips + 2) * cells
        self._order = np.argsort(place.astype(np.uint16) if total < 2**16 else place, kind="stable")
        self._starts = np.zeros(total + 1, dtype=np.int64)
        np.bincount(place, minlength=total).cumsum(out=self._starts[1:])

    def ranges(
        self, fine: tuple[Floats, Floats], coarse: tuple[Floats, Floats] | None
    ) -> tuple[Ints, Ints]:
        """Where the states inside both windows start, and how many there may be; shape (2, A).

        Windows of the coarse column are no wider than a strip, so that they touch two at most.
        """
        cells = self._cells
        least, most = ((end - self._least) * self._scale for end in fine)
        # states at the upper end are in the last cell
        low: Ints = np.minimum(np.maximum(least, 0.0), cells - 1).astype(np.int64)
        high: Ints = np.minimum(np.maximum(most, -1.0) + 1.0, cells).astype(np.int64)
        if coarse is None:
            strip = np.ones((1, len(low)), dtype=np.int64)
        else:
            ends = np.array(coarse)
            ends -= self._first
            ends /= self._width
            np.floor(ends, out=ends)
            strip = (np.minimum(np.maximum(ends, -1.0), self._strips) + 1.0).astype(np.int64)
        offset = strip * cells
        start = self._starts.take(offset + low)
        counts = self._starts.take(offset + high)
        counts -= start
        np.maximum(counts, 0, out=counts)
        if coarse is not None:  # both ends in one strip
            counts[1] *= strip[0] < strip[1]
        return start, counts

    def members(self, start: Ints, counts: Ints) -> Ints:
        """The states of these ranges."""
        offset = np.repeat(start - (np.cumsum(counts) - counts), counts)
        offset += np.arange(len(offset))
        return self._order.take(offset)

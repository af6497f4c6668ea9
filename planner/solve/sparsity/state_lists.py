"""Lists of partial choices that only grow, and an index to find those inside two windows."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from planner.solve.sparsity.choice_rows import Floats, Ints

_CELLS = 4  # of the grid, for each state
_START = 2048  # states for which a list has room at first
_FULL = 8  # states that a strip holds at least, if they were spread evenly


class Moves(NamedTuple):
    """Alternatives of which one at most is taken.

    Attributes
    ----------
    which : int array, shape (J,)
        Numbers of the alternatives.
    delta : float array, shape (J, C)
        What each adds to the columns.
    raised : float array, shape (J, M)
        Live bytes above the floor that each needs.
    at_base : float array, shape (M,), or None
        What the layer's base needs, where its options differ in this.
    """

    which: Ints
    delta: Floats
    raised: Floats
    at_base: Floats | None = None


class Ladder(NamedTuple):
    """One alternative for 1, 2, ... ``most`` layers of a group.

    ``counter`` is the column that counts the group's layers off the base. The others are as of
    `Moves`, with the base's live bytes at the last ladder of its group.
    """

    which: int
    delta: Floats
    raised: Floats
    most: int
    counter: int
    at_base: Floats | None = None


class _Block(NamedTuple):
    """States appended together: their parents, and which alternative they took how often."""

    parents: Ints
    which: Ints
    times: Ints


@dataclass(frozen=True)
class _Level:
    """Blocks since the list was cut: ``kept`` are the places its first states had before."""

    kept: Ints
    starts: list[int]
    blocks: list[_Block]


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
        self._has_peaks = len(peak) > 0
        self._peak = np.zeros((_START, len(peak)))
        self._peak[0] = peak
        self._levels = [_Level(np.zeros(1, dtype=np.int64), [], [])]

    @property
    def added(self) -> Floats:
        """What the states add to the columns, shape (count, C)."""
        return self._added[: self.count]

    @property
    def peak(self) -> Floats:
        """Shape (count, M)."""
        return self._peak[: self.count]

    def extend(self, stage: Moves | Ladder) -> None:
        """Append what every alternative makes of every state, as far as its reduced cost allows."""
        if isinstance(stage, Ladder):
            self._climb(stage)
            return
        before = self.count
        if before == 1:
            parents = np.zeros(len(stage.which), dtype=np.int64)
            self._append(parents, stage.delta, stage.raised, stage.which, _ONCE)
        else:
            reduced = self._added[:before, 0].copy()
            left = (self._room[0] - stage.delta[:, 0]).tolist()
            for index, (most, delta, raised) in enumerate(
                zip(left, stage.delta, stage.raised, strict=True)
            ):
                parents = (reduced <= most).nonzero()[0]
                self._append(parents, delta, raised, stage.which[index : index + 1], _ONCE)
        if stage.at_base is not None:  # for those that stayed at the base
            mine = self._peak[:before]
            np.maximum(mine, stage.at_base, out=mine)

    def _climb(self, stage: Ladder) -> None:
        times = np.arange(1, stage.most + 1)
        added, room = self.added, self._room
        fits = added[:, :1] + times * stage.delta[0] <= room[0]
        fits &= added[:, stage.counter, None] + times <= room[stage.counter]
        parents, rungs = fits.nonzero()
        times = times[rungs]
        self._append(
            parents, times[:, None] * stage.delta, stage.raised, np.array([stage.which]), times
        )
        if stage.at_base is not None:  # for those with a layer left at the base
            left = self.added[:, stage.counter] < room[stage.counter] - 1.0
            mine = self._peak[: self.count]
            np.maximum(mine, np.where(left[:, None], stage.at_base, 0.0), out=mine)

    def _append(
        self, parents: Ints, delta: Floats, raised: Floats, which: Ints, times: Ints
    ) -> None:
        start = self.count
        self.count = end = start + len(parents)
        if end > len(self._added):
            more = max(end, 2 * len(self._added)) - len(self._added)
            self._added = np.concatenate([self._added, np.zeros((more, len(self._room)))])
            self._peak = np.concatenate([self._peak, np.zeros((more, self._peak.shape[1]))])
        np.add(self._added.take(parents, axis=0), delta, out=self._added[start:end])
        if self._has_peaks:
            np.maximum(self._peak.take(parents, axis=0), raised, out=self._peak[start:end])
        level = self._levels[-1]
        level.starts.append(start)
        level.blocks.append(_Block(parents, which, times))

    def cut(self, width: int) -> None:
        """Keep the states of least reduced cost."""
        kept = np.argsort(self.added[:, 0], kind="stable")[:width]
        self._added, self._peak = self._added[kept], self._peak[kept]
        self.count = len(kept)
        self._levels.append(_Level(kept, [], []))

    def moves(self, state: int) -> list[tuple[int, int]]:
        """Alternatives that a state took, and how often."""
        made = []
        for level in reversed(self._levels):
            while state >= len(level.kept):
                place = bisect_right(level.starts, state) - 1
                block, row = level.blocks[place], state - level.starts[place]
                which = block.which[row if len(block.which) > 1 else 0]
                made.append((int(which), int(block.times[row if len(block.times) > 1 else 0])))
                state = int(block.parents[row])
            state = int(level.kept[state])
        return made


_ONCE = np.ones(1, dtype=np.int64)


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
        self._cells = cells = min(max(_CELLS * count // strips, 16), 4096)
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

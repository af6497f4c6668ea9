"""Lists of partial choices that only grow, and an index to find those inside two windows."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from planner.solve.lagrangian import Floats, Ints

_STRIP, _OUTSIDE = 0.99, 0.005  # keys of a strip take that much of 1, and the rest keeps apart


@dataclass(frozen=True)
class Moves:
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


@dataclass(frozen=True)
class Ladder:
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


@dataclass(frozen=True)
class _Block:
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
        self._added = np.zeros((512, len(room)))
        self._peak = np.zeros((512, len(peak)))
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
            room = float(self._room[0])
            for index, dear in enumerate(stage.delta[:, 0].tolist()):
                parents = (reduced <= room - dear).nonzero()[0]
                which = stage.which[index : index + 1]
                self._append(parents, stage.delta[index], stage.raised[index], which, _ONCE)
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
        start, self.count = self.count, self.count + len(parents)
        if self.count > len(self._added):
            more = max(self.count, 2 * len(self._added)) - len(self._added)
            self._added = np.concatenate([self._added, np.zeros((more, len(self._room)))])
            self._peak = np.concatenate([self._peak, np.zeros((more, self._peak.shape[1]))])
        np.add(self._added.take(parents, axis=0), delta, out=self._added[start : self.count])
        if self._peak.shape[1]:
            np.maximum(self._peak.take(parents, axis=0), raised, out=self._peak[start : self.count])
        self._levels[-1].starts.append(start)
        self._levels[-1].blocks.append(_Block(parents, which, times))

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


class StripIndex:
    """States sorted by one column, inside strips of another one's width."""

    def __init__(self, added: Floats, fine: int, coarse: int | None, width: float) -> None:
        self.fine, self.coarse = fine, coarse
        self._least = float(added[:, fine].min())
        self._range = float(added[:, fine].max()) - self._least or 1.0
        self._width = width
        key = (added[:, fine] - self._least) * (_STRIP / self._range)
        self._first = 0.0 if coarse is None else float(added[:, coarse].min())
        if coarse is not None:
            key += np.floor((added[:, coarse] - self._first) / width)
        self._order = np.argsort(key)
        self._key = key[self._order]

    def ranges(
        self, fine: tuple[Floats, Floats], coarse: tuple[Floats, Floats] | None
    ) -> tuple[Ints, Ints]:
        """Where the states inside both windows start, and how many there may be; shape (A, 2).

        Windows of the coarse column are no wider than a strip, so that they touch two at most.
        """
        scale = _STRIP / self._range
        low = np.clip((fine[0] - self._least) * scale - 1e-9, -_OUTSIDE, _STRIP + _OUTSIDE)
        high = np.clip((fine[1] - self._least) * scale + 1e-9, -_OUTSIDE, _STRIP + _OUTSIDE)
        if coarse is None:
            start = np.searchsorted(self._key, low[:, None])
            counts = np.searchsorted(self._key, high[:, None], side="right") - start
            return start, np.maximum(counts, 0)
        strips = np.floor((coarse[0] - self._first) / self._width)[:, None] + np.arange(2.0)
        start = np.searchsorted(self._key, strips + low[:, None])
        counts = np.searchsorted(self._key, strips + high[:, None], side="right") - start
        last = np.floor((coarse[1] - self._first) / self._width)
        counts[strips > last[:, None]] = 0
        return start, np.maximum(counts, 0)

    def members(self, start: Ints, counts: Ints) -> Ints:
        """The states of these ranges."""
        ends = np.cumsum(counts)
        offset = np.arange(int(counts.sum())) - np.repeat(ends - counts, counts)
        states: Ints = self._order[np.repeat(start, counts) + offset]
        return states

"""Dynamic programming over contiguous stages in ring order, on plain arrays.

The recurrence is eq. 17 of docs/model.md.

A stage is a run of units on one worker. Cuts are counted by the units before them, from 0 (none)
to U (all). ``f[m, u]`` is the best cost of the first u units where m is the last worker with
any, and ``h[m, a]`` the best cost of all that comes before a stage of m that starts at cut a:

    h[m, a] = min over n < m of  f[n, a] + cut[n, m, a]
    f[m, u] = min over a in the window of u of  h[m, a] + sums[m, u] - sums[m, a]

with + as a maximum for the bottleneck. The window of a cut u is an interval of starts, because
the memory and the time of a stage grow with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Number = TypeVar("Number", np.int64, np.float64)
_SLACK = 1e-13  # relative: running sums that lose a digit keep what just fits

Combine = Literal["sum", "max"]


@dataclass(frozen=True)
class RunCosts:
    """What stages cost and where they may start.

    Attributes
    ----------
    sums : float array, shape (N, U + 1)
        Running sums of the units' costs; the first is 0.
    cut : float array, shape (N, N, U - 1)
        Cost of handing over from one worker to another behind each unit but the last;
        infinite where that is not allowed.
    first, last : float array, shape (N,)
        Cost of being the first, and of being the last worker with units.
    start : int array, shape (N, U + 1)
        First start of a stage that ends at each cut, non-decreasing; equal to the cut itself
        where no stage may end there.
    """

    sums: Floats
    cut: Floats
    first: Floats
    last: Floats
    start: Ints


class RingPass:
    """The best plan of workers in ring order, from one pass.

    Parameters
    ----------
    costs : RunCosts
    combine : {"sum", "max"}
        Whether costs add up (latency) or the largest counts (bottleneck).
    every : bool
        No worker may stay empty.

    Attributes
    ----------
    value : float
        Cost of the best plan, infinite where none is allowed.
    before : float array, shape (N, U)
        h: the best cost of all that comes before a stage of a worker from each cut on.
    """

    def __init__(self, costs: RunCosts, combine: Combine, every: bool) -> None:
        workers, cuts = costs.sums.shape
        self._costs = costs
        self._combine: Combine = combine
        self._every = every
        self._plus = np.add if combine == "sum" else np.maximum
        self._start = costs.start.copy()
        self._best = np.full((workers, cuts), np.inf)
        self.before = np.full((workers, cuts - 1), np.inf)
        self._buffer = np.empty((workers, cuts - 2))
        self._ends = np.full(workers, np.inf)
        for worker in range(workers):
            self._extend(worker)
        self.value = float(self._ends[-1] if every else self._ends.min())

    def plan(self) -> Ints | None:
        """The worker of every unit in the best plan, shape (U,)."""
        if not np.isfinite(self.value):
            return None
        m = len(self._ends) - 1 if self._every else int(self._ends.argmin())
        end = self._best.shape[1] - 1
        workers = np.empty(end, dtype=np.int64)
        while end:
            sender, cut = self._step_back(m, end)
            workers[cut:end] = m
            m, end = sender, cut
        return workers

    def _senders(self, m: int) -> slice:
        return slice(m - 1 if self._every else 0, m)

    def _extend(self, m: int) -> None:
        """Fill the rows of worker m from those before it."""
        costs, before, start = self._costs, self.before[m], self._start[m]
        if m == 0 or not self._every:
            before[0] = costs.first[m]
        if m:
            senders = self._senders(m)
            arriving = self._buffer[senders]
            self._plus(self._best[senders, 1:-1], costs.cut[senders, m], out=arriving)
            arriving.min(axis=0, out=before[1:])
        known = self._ends[:m].min(initial=np.inf)
        if self._combine == "max" and not self._every and np.isfinite(known):
            # a stage that takes more than a plan without this worker is of no use
            np.maximum(start, load_start(costs.sums[m], known), out=start)
        self._best[m, 1:] = cost_up_to(before, costs.sums[m], start, self._combine)
        self._ends[m] = self._plus(self._best[m, -1], costs.last[m])

    def _step_back(self, m: int, end: int) -> tuple[int, int]:
        """The worker before m's stage that ends at a cut, and the cut between them."""
        costs = self._costs
        cut = best_start(self.before[m], costs.sums[m], self._start[m], end, self._combine)
        if cut == 0:
            return m, 0
        senders = self._senders(m)
        arriving = self._plus(self._best[senders, cut], costs.cut[senders, m, cut - 1])
        return senders.start + int(arriving.argmin()), cut


def best_start(before: Floats, sums: Floats, start: Ints, end: int, combine: Combine) -> int:
    """The start of the best stage that ends at a cut; `cost_up_to` has its cost."""
    since = int(start[end])
    if combine == "sum":
        return since + int((before[since:end] - sums[since:end]).argmin())
    return since + int(np.maximum(before[since:end], sums[end] - sums[since:end]).argmin())


def cost_up_to(before: Floats, sums: Floats, start: Ints, combine: Combine) -> Floats:
    """Best cost up to every cut but 0 if a worker's stage ends there.

    Parameters
    ----------
    before : float array, shape (..., U)
        Best cost of what comes before a stage that starts at each cut.
    sums, start : array, shape (U + 1,)
        The worker's rows of `RunCosts`.
    combine : {"sum", "max"}

    Returns
    -------
    float array, shape (..., U)
    """
    if combine == "max":
        return _least_of_larger(before, sums, start)
    return _window_minima(before - sums[:-1], start[1:]) + sums[1:]


def _window_minima(values: Floats, start: Ints) -> Floats:
    """Minimum of ``values[..., start[u]:u + 1]`` for every u; infinite where that is empty."""
    if not start.any():
        return np.minimum.accumulate(values, axis=-1)
    ends = np.arange(1, len(start) + 1)
    length = ends - start
    level = np.maximum(np.frexp(length)[1] - 1, 0)  # of the largest power of two within
    table = _doubled(values, int(level.max()) + 1, np.minimum)
    least = np.minimum(
        table[level, ..., start.clip(max=len(start) - 1)], table[level, ..., ends - (1 << level)]
    )
    least[length == 0] = np.inf
    return least if values.ndim == 1 else np.moveaxis(least, 0, -1)


def _least_of_larger(before: Floats, sums: Floats, start: Ints) -> Floats:
    """For every end u the least over its window of max(before[a], sums[u] - sums[a]).

    The minimum of ``before`` over all starts from a on falls as a does, and the stage's own
    cost rises: the best is where they cross, which jumps of falling powers of two find.
    """
    units = before.shape[-1]
    ends = np.arange(1, units + 1)
    levels = max(int((ends - start[1:]).max()), 1).bit_length()
    table = _doubled(before, levels, np.minimum)
    at = np.tile(ends, (*before.shape[:-1], 1))
    lowest = np.full(before.shape, np.inf)
    since, reached = start[1:], sums[1:]
    for level in reversed(range(levels)):
        to = at - (1 << level)
        least = np.minimum(lowest, _taken(table[level], to))
        crossed = least >= reached - sums.take(to, mode="clip")
        crossed &= to >= since
        np.copyto(at, to, where=crossed)
        np.copyto(lowest, least, where=crossed)
    at -= 1
    one_more = np.minimum(lowest, _taken(before, at))
    np.maximum(one_more, reached - sums.take(at, mode="clip"), out=one_more)
    np.minimum(lowest, one_more, out=lowest, where=at >= since)
    return lowest


def _taken(values: Floats, index: Ints) -> Floats:
    """One value per place of the last axis; negative places stand for the first."""
    if values.ndim == 1:
        return values.take(index, mode="clip")
    return np.take_along_axis(values, index.clip(min=0), axis=-1)


def _doubled(
    values: NDArray[Number], levels: int, least: Callable[..., NDArray[Number]]
) -> NDArray[Number]:
    """Minima (or maxima) of runs of 1, 2, 4, ... values from each place on, shape (levels, ...).

    Runs that do not fit hold nothing of use.
    """
    table = np.empty((levels, *values.shape), dtype=values.dtype)
    table[0] = values
    for level in range(1, levels):
        step = 1 << (level - 1)
        below = table[level - 1]
        least(below[..., :-step], below[..., step:], out=table[level, ..., :-step])
        table[level, ..., -step:] = below[..., -step:]
    return table


def memory_starts(weights: Ints, live: Ints, limits: Ints) -> Ints:
    """First start of the longest stage that fits a worker's memory, for every end.

    Parameters
    ----------
    weights, live : int array, shape (N, U)
        Bytes that add up, and bytes of which the largest counts.
    limits : int array, shape (N,)

    Returns
    -------
    int array, shape (N, U + 1)
    """
    workers, units = weights.shape
    stored = np.concatenate([np.zeros((workers, 1), dtype=np.int64), weights.cumsum(axis=1)], 1)
    levels = units.bit_length()
    table = _doubled(live, levels, np.maximum)
    row = np.arange(workers)[:, None]
    at = np.tile(np.arange(units + 1), (workers, 1))
    peak = np.zeros_like(at)
    for level in reversed(range(levels)):
        to = at - (1 << level)
        start = to.clip(min=0)
        larger = np.maximum(peak, table[level][row, start])
        fits = stored - stored[row, start] + larger <= limits[:, None]
        fits &= to >= 0
        at = np.where(fits, to, at)
        peak = np.where(fits, larger, peak)
    return at


def load_starts(sums: Floats, limit_s: float) -> Ints:
    """First start of the longest stage within a time, for every end, shape (N, U + 1)."""
    return np.stack([load_start(row, limit_s) for row in sums])


def load_start(sums: Floats, limit_s: float) -> Ints:
    """The same for one worker, shape (U + 1,)."""
    return np.searchsorted(sums, sums - limit_s * (1 + _SLACK), side="left")

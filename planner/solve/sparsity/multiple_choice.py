"""One option per layer at the least cost: Lagrangian dual, fixing by reduced cost, exact search.

`choose` works on bare arrays and needs no other solver. It prices the limits (`lagrangian`),
which bounds every choice from below; options whose reduced cost exceeds the distance to that
bound cannot belong to a better choice; what is left is searched (`core_search`). Layers with equal
rows are counted, not told apart. A node's peak of live bytes is a largest value, not a sum: the
problem is split by how high the peaks may be where that sharpens the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.solve.sparsity.choice_boxes import Box, by_peak, halves, narrowed, whole
from planner.solve.sparsity.choice_rows import Floats, Ints, Peaks, Relaxation, Rows, relaxation
from planner.solve.sparsity.core_search import search
from planner.solve.sparsity.effort import Effort
from planner.solve.sparsity.lagrangian import CLOSE, Dual
from planner.solve.sparsity.layer_groups import LayerGroups, MemoryRow, SumRow

__all__ = ["EFFORT", "Choice", "MemoryRow", "SumRow", "choose", "choose_in"]

EFFORT = 20_000_000
"""States that a search looks at before it gives up, by default."""

_SAME = 2e-10  # relative difference of objectives that does not count as better
_WIDTH = 15_000
_WIDEST = 400_000  # and where it cannot be
_NOTHING = 1e-11  # a reduced cost, in units of the largest cost, that is rounding
_FIRST = 36  # alternatives that the first, narrow search looks at
_FIRST_COUNTED = 10  # the same where layers are counted, which makes many states of each
_BEYOND = 1.3  # choices that cost more than is proven then are looked at by the way
_COARSE = 3e-3  # how close to the best bound a box is looked at that may fall into others


@dataclass(frozen=True)
class Choice:
    """What is known after a search.

    Attributes
    ----------
    choice : int array, shape (L,), or None
        The best option per layer found; None where none below the cutoff was found.
    objective : float
        Its objective, summed like `planner.solve.verify` does; inf without a choice.
    bound : float
        No choice costs less; inf where it is proven that none fits or is below the cutoff.
    closed : bool
        The choice is proven optimal to 1e-9, or it is proven that there is none below the cutoff.
    multipliers : float array, shape (number of sum limits + number of memory limits,)
        Prices of the limits at the last bound, in objective per unit; 0 where one does not bind.
    """

    choice: NDArray[np.int64] | None
    objective: float
    bound: float
    closed: bool
    multipliers: Floats


def choose(
    costs: Floats,
    allowed: NDArray[np.bool_],
    sums: Sequence[SumRow] = (),
    memories: Sequence[MemoryRow] = (),
    *,
    cutoff: float = np.inf,
    effort: int = EFFORT,
    stop_at: float = np.inf,
    near: Floats | None = None,
    known: NDArray[np.int64] | None = None,
) -> Choice:
    """Choose one allowed option per layer at the least cost within all limits.

    Parameters
    ----------
    costs : float array, shape (L, K) or (R, L, K)
        The objective is the sum over layers, or the largest of R such sums.
    allowed : bool array, shape (L, K)
    sums : sequence of (values, limit), optional
        ``values`` of shape (L, K); kept within a relative `FEASIBILITY_TOLERANCE`.
    memories : sequence of (weight_bytes, live_bytes, limit_bytes), optional
        Integers of shape (L, K): the sum of weights plus the largest live bytes is at most the
        limit, exactly.
    cutoff : float, optional
        Only a choice that costs less (by 2e-10 of it) is of interest.
    effort : int, optional
        States to look at before giving up.
    stop_at : float, optional
        Value of ``time.perf_counter()`` at which to give up.
    near : float array, shape (number of limits,), optional
        Multipliers of a similar problem, to start from.
    known : int array, shape (L,), optional
        A choice that may be good, such as a similar problem's; it need not fit.

    Returns
    -------
    Choice
        With ``closed`` and no choice: none is below the cutoff; with no cutoff: none fits.
    """
    if not allowed.any(axis=1).all():
        return Choice(None, np.inf, np.inf, True, np.zeros(len(sums) + len(memories)))
    return choose_in(
        LayerGroups(costs, allowed, sums, memories), cutoff, Effort(effort, stop_at), near, known
    )


def choose_in(
    problem: LayerGroups,
    cutoff: float = np.inf,
    effort: Effort | None = None,
    near: Floats | None = None,
    known: NDArray[np.int64] | None = None,
) -> Choice:
    """As `choose`, in groups that are there already and have an allowed option each."""
    run = _Run(problem, cutoff, effort or Effort(EFFORT), near)
    if known is not None and problem.allows(known):
        run.take(known)
    return run.solve()


class _Run:
    """One call of `choose`."""

    def __init__(
        self, problem: LayerGroups, cutoff: float, effort: Effort, near: Floats | None
    ) -> None:
        self._problem = problem
        self._best: NDArray[np.int64] | None = None
        self._value = cutoff
        self._effort = effort
        self._worst = _most(problem.rows)
        self._open = np.inf  # least bound of what was not looked at to the end
        self._weights = np.full(problem.rows.resources, 1.0 / problem.rows.resources)
        self._prices = None if near is None else near[problem.kept]

    def solve(self) -> Choice:
        """Look at boxes until none is left that may hold something better."""
        if not self._cheapest_fits():
            boxes = [whole(self._problem)]
            while boxes:
                box = boxes.pop()
                if box.bound >= self._below():
                    continue
                if self._effort.spent:
                    self._open = min(self._open, box.bound)
                else:
                    boxes += self._look(box)
        value = self._value if self._best is not None else np.inf
        prices = np.zeros(self._problem.limits)
        if self._prices is not None:
            prices[self._problem.kept] = self._prices
        closed = bool(self._open >= self._below())
        return Choice(self._best, value, min(self._value, self._open), closed, prices)

    def _cheapest_fits(self) -> bool:
        """Whether the least sum of costs keeps all limits: then nothing is left to do."""
        rows = self._problem.rows
        if rows.resources > 1:
            return False
        cost = np.where(rows.allowed, rows.sums[0], np.inf)
        return self._offer(_counted(rows, cost.argmin(axis=1)))

    def _below(self) -> float:
        """Objectives from here on are not better than what is known."""
        if self._value < np.inf:
            return self._value - _SAME * abs(self._value)
        return self._worst

    def _look(self, box: Box) -> list[Box]:
        """Close a box, or say into which boxes it falls."""
        inside = narrowed(self._problem, box)
        if inside is None:
            return []
        rows, peaks = inside
        dual: Dual | None = None
        if len(peaks.rows):
            if self._prices is not None:  # the prices of another box may do
                relaxed = relaxation(rows, self._prices, self._weights)
            else:
                dual = Dual(rows)
                relaxed = dual.improve(_COARSE, self._below())
            if max(relaxed.bound, box.bound) >= self._below():
                return []
            if len(parts := self._by_peak(box, rows, peaks, relaxed)) > 1:
                self._prices, self._weights = relaxed.multipliers, relaxed.weights
                return parts
        dual = dual or Dual(rows, self._prices)
        relaxed = dual.improve(CLOSE, self._below())
        if max(relaxed.bound, box.bound) >= self._below():
            return []
        self._prices, self._weights = relaxed.multipliers, relaxed.weights
        if len(peaks.rows) and len(parts := self._by_peak(box, rows, peaks, relaxed)) > 1:
            return parts
        closed, bound = self._search(rows, peaks, relaxed, box.bound, _WIDTH)
        if closed:
            return []
        box = replace(box, bound=bound)
        if not self._effort.spent:
            if len(peaks.rows):
                return by_peak(self._problem, box, rows, peaks, relaxed, None)
            if parts := halves(box, rows, relaxed):
                return parts
            closed, bound = self._search(rows, peaks, relaxed, bound, _WIDEST)
            if closed:
                return []
        self._open = min(self._open, bound)
        return []

    def _by_peak(self, box: Box, rows: Rows, peaks: Peaks, relaxed: Relaxation) -> list[Box]:
        """The box itself, or several where the height of a peak tells their bounds apart."""
        reduced = relaxed.reduced[relaxed.reduced > 0]
        near = min(_FIRST, len(reduced) - 1)
        scale = float(np.partition(reduced, near)[near]) if near >= 0 else 0.0
        return by_peak(self._problem, box, rows, peaks, relaxed, scale)

    def _search(
        self, rows: Rows, peaks: Peaks, relaxed: Relaxation, bound: float, width: int
    ) -> tuple[bool, float]:
        """Search a box, with ever more of its options; whether it is closed, and its bound."""
        reduced, number = _sizes(rows, relaxed)
        bound = max(bound, relaxed.bound)
        while bound < self._below():
            below = self._below()
            within = below - relaxed.bound
            # a known choice so near the bound that one search more costs more than a wide one
            enough = number * 3 // 2
            partial = enough < len(reduced) and reduced[enough] < within
            if partial:
                within = float(reduced[number])
                below = min(below, relaxed.bound + within * _BEYOND)
            cut = self._best is None or width == _WIDEST
            if not search(
                rows, peaks, relaxed, within, below, self._effort, width, cut, self._offer
            ):
                return False, bound
            if not partial:
                return True, bound
            # a choice that costs more than this may have a greater reduced cost
            bound = max(bound, relaxed.bound + within)
            if len(peaks.rows) and number > _FIRST and bound < self._below():
                return False, bound  # its parts are easier than the box
            number = number * 4 // 3
        return True, bound

    def _offer(self, counted: NDArray[np.int64]) -> bool:
        """Take how often each group takes each option, if that keeps every limit."""
        return self.take(self._problem.choice(counted))

    def take(self, choice: NDArray[np.int64]) -> bool:
        """Take a choice if it keeps every limit exactly; whether it does."""
        if not self._problem.fits(choice):
            return False
        value = self._problem.objective(choice)
        if value < self._below():
            self._best, self._value = choice, value
        return True


def _sizes(rows: Rows, relaxed: Relaxation) -> tuple[Floats, int]:
    """Reduced costs of all alternatives in order, and how many of them to look at first."""
    costly = (relaxed.reduced > _NOTHING * rows.scale[0]) & (relaxed.reduced < np.inf)
    reduced = relaxed.reduced[costly]
    number = _FIRST
    if rows.counts.max() > 1:  # each of the group's layers may take the option
        number = _FIRST_COUNTED
        times = np.minimum(rows.counts, _FIRST)[costly.nonzero()[0]]
        steps = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times) + 1
        reduced = np.repeat(reduced, times) * steps
    reduced.sort()
    return reduced, number


def _most(rows: Rows) -> float:
    """More than any choice costs."""
    dearest = np.where(rows.allowed, rows.sums[: rows.resources], -np.inf).max(axis=2) @ rows.counts
    most = float(dearest.max())
    return most + 1e-9 * abs(most) + np.finfo(np.float64).tiny


def _counted(rows: Rows, options: Ints) -> NDArray[np.int64]:
    """One option for all layers of each group, as how often the group takes each."""
    counted = np.zeros(rows.allowed.shape, dtype=np.int64)
    counted[np.arange(len(counted)), options] = rows.counts
    return counted

"""One option per layer at the least cost: dual, reduced-cost fixing and core search.

`choose` solves the multiple-choice knapsack problem with peaks of docs/options.md on bare arrays
and needs no other solver. Priced limits bound every choice from below (`lagrangian`); options whose
reduced cost exceeds the distance to that bound cannot belong to a better choice; what is left, the
core, is searched (`core_search`). A node's peak of live bytes is a largest value, not a sum: the
problem is divided by how high the peaks may be (`boxes`) where that sharpens the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.solve.deadline import Deadline
from planner.solve.options.boxes import Box, by_peak, halves, narrowed, whole
from planner.solve.options.core_search import search_core
from planner.solve.options.effort import Effort
from planner.solve.options.knapsack import (
    Bools,
    Classes,
    Floats,
    Ints,
    Knapsack,
    MemoryRow,
    Peaks,
    SumRow,
)
from planner.solve.options.lagrangian import CLOSE, Dual, LagrangianBound, lagrangian_bound

__all__ = ["EFFORT", "MemoryRow", "Pick", "SumRow", "choose"]

EFFORT = 20_000_000
"""States that a search looks at before it gives up, by default: some seconds."""

_SAME = 2e-10  # relative difference of objectives that does not count as better, below 1e-9
_WIDTH = 15_000  # states of a list at most where a box can still be divided, which is cheaper
_WIDEST = 400_000  # and where it cannot be: what stays below a gigabyte
_NOTHING = 1e-11  # a reduced cost, in units of the largest cost, that is rounding
_FIRST = 36  # alternatives that the first, narrow search looks at: its lists hold a few thousand
_FIRST_COUNTED = 10  # the same where layers are counted, which makes many states of each
_MORE = 4, 3  # by how much the core grows while it proves nothing: lists grow by powers of it
_ONCE_MORE = 3, 2  # where one step more reaches the distance to a known choice, it is taken at once
_BEYOND = 1.3  # choices that cost more than is proven then are looked at by the way
_DEARER = 1.0, 1.01, 1.1, 2.0, 10.0, 1e3  # factors on prices, from a plan near to one at all


@dataclass(frozen=True)
class Pick:
    """What is known after a search.

    Attributes
    ----------
    choice : int array, shape (L,), or None
        The best option per layer found; None where none below the cutoff was found.
    objective : float
        Its objective, summed over the caller's own costs; inf without a choice.
    bound : float
        No choice costs less; inf where it is proven that none fits or is below the cutoff.
    closed : bool
        The choice is proven optimal to 1e-9, or it is proven that there is none below the cutoff.
    multipliers : float array, shape (number of sum limits + number of memory limits,)
        Prices of the limits at the last bound, in objective per unit; 0 where one does not bind.
    """

    choice: Ints | None
    objective: float
    bound: float
    closed: bool
    multipliers: Floats


def choose(
    costs: Floats,
    allowed: Bools,
    sums: Sequence[SumRow] = (),
    memories: Sequence[MemoryRow] = (),
    *,
    cutoff: float = np.inf,
    effort: int = EFFORT,
    deadline: Deadline | None = None,
    near: Floats | None = None,
    known: Ints | None = None,
) -> Pick:
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
    deadline : Deadline, optional
        When to give up, within a fraction of a second.
    near : float array, shape (number of limits,), optional
        Multipliers of a similar problem, to start from.
    known : int array, shape (L,), optional
        A choice that may be good, such as a similar problem's; it need not fit.

    Returns
    -------
    Pick
        With ``closed`` and no choice: none is below the cutoff; with no cutoff: none fits.
    """
    limits = len(sums) + len(memories)
    if not allowed.any(axis=1).all():
        return Pick(None, np.inf, np.inf, True, np.zeros(limits))
    problem = Knapsack(costs, allowed, sums, memories)
    breakable = problem.breakable
    run = _Run(problem, cutoff, Effort(effort, deadline), None if near is None else near[breakable])
    if known is not None and allowed[np.arange(len(known)), known].all():
        run.take(known)
    run.search_boxes()
    multipliers = np.zeros(limits)
    if run.multipliers is not None:
        multipliers[breakable] = run.multipliers
    value = run.value if run.best is not None else np.inf
    bound = min(run.value, run.open_bound)
    return Pick(run.best, value, bound, run.open_bound >= run.below(), multipliers)


class _Run:
    """One call of `choose`.

    Attributes
    ----------
    best : int array, shape (L,), or None
    value : float
        Its objective, or the cutoff.
    open_bound : float
        Least bound of what was not looked at to the end.
    multipliers : float array, shape (D,), or None
        Of the last box, to start from in the next.
    """

    def __init__(
        self, problem: Knapsack, cutoff: float, effort: Effort, near: Floats | None
    ) -> None:
        classes = problem.classes
        self.best: Ints | None = None
        self.value, self.open_bound, self.multipliers = cutoff, np.inf, near
        self._problem, self._effort = problem, effort
        self._weights = np.full(classes.resources, 1.0 / classes.resources)
        costs = np.where(classes.allowed, classes.sums[: classes.resources], -np.inf)
        most = float((costs.max(axis=2) @ classes.counts).max())
        # more than any choice costs
        self._worst = most + 1e-9 * abs(most) + np.finfo(np.float64).tiny

    def search_boxes(self) -> None:
        """Look at boxes until none is left that may hold something better."""
        if self._cheapest_fits():
            return
        boxes = [whole(self._problem)]
        while boxes:
            box = boxes.pop()
            if box.bound >= self.below():
                continue
            if self._effort.spent:
                self.open_bound = min(self.open_bound, box.bound)
            else:
                self._effort.left -= Effort.of(self._problem.limited.size)
                boxes += self._look(box)
        if self.best is None and self.open_bound < self.below() and self.multipliers is not None:
            # given up without a choice: the dearer the limits, the likelier the cheapest keeps them
            for factor in _DEARER:
                prices = self.multipliers * factor
                self._offer_all_at(
                    lagrangian_bound(self._problem.classes, prices, self._weights).base
                )

    def below(self) -> float:
        """Objectives from here on are not better than what is known."""
        if self.value < np.inf:
            return self.value - _SAME * abs(self.value)
        return self._worst

    def take(self, choice: Ints) -> bool:
        """Take a choice if it keeps every limit exactly; whether it does."""
        if not self._problem.fits(choice):
            return False
        value = self._problem.objective(choice)
        if value < self.below():
            self.best, self.value = choice, value
        return True

    def _offer(self, counted: Ints) -> bool:
        return self.take(self._problem.per_layer(counted))

    def _offer_all_at(self, base: Ints) -> bool:
        """One option for all layers of each class."""
        classes = self._problem.classes
        counted = np.zeros(classes.allowed.shape, dtype=np.int64)
        counted[np.arange(len(base)), base] = classes.counts
        return self._offer(counted)

    def _cheapest_fits(self) -> bool:
        """Whether the least sum of costs keeps all limits: then nothing is left to do."""
        classes = self._problem.classes
        if classes.resources > 1:
            return False
        cheapest = np.where(classes.allowed, classes.sums[0], np.inf).argmin(axis=1)
        return self._offer_all_at(cheapest)

    def _look(self, box: Box) -> list[Box]:
        """Close a box, or say into which boxes it falls."""
        inside = narrowed(self._problem, box)
        if inside is None:
            return []
        classes, peaks = inside
        priced = Dual(classes, self.multipliers).improve(CLOSE, self.below(), self._effort)
        if max(priced.bound, box.bound) >= self.below():
            return []
        self.multipliers, self._weights = priced.multipliers, priced.weights
        # a step of bounds is worth a box where the first search would not reach across it
        if len(parts := by_peak(self._problem, box, classes, peaks, priced, _FIRST)) > 1:
            return parts
        bound = self._search(classes, peaks, priced, box.bound, _WIDTH)
        if bound < self.below() and not self._effort.spent:
            box = replace(box, bound=bound)
            if len(peaks.rows):
                return by_peak(self._problem, box, classes, peaks, priced, None)
            if parts := halves(box, classes, priced):
                return parts
            bound = self._search(classes, peaks, priced, bound, _WIDEST)
        if bound < self.below():
            self.open_bound = min(self.open_bound, bound)
        return []

    def _search(
        self, classes: Classes, peaks: Peaks, priced: LagrangianBound, bound: float, width: int
    ) -> float:
        """Search ever larger cores of a box; its bound, inf when all was looked at."""
        reduced, number = _in_order(classes, priced)
        bound = max(bound, priced.bound)
        number = max(number, int(np.searchsorted(reduced, bound - priced.bound)))  # proven before
        while bound < self.below():
            below = self.below()
            within = below - priced.bound
            enough = number * _ONCE_MORE[0] // _ONCE_MORE[1]
            partial = enough < len(reduced) and reduced[enough] < within
            if partial:
                within = float(reduced[number])
                below = min(below, priced.bound + within * _BEYOND)
            cut = self.best is None or width == _WIDEST
            if not search_core(
                classes, peaks, priced, within, below, self._effort, width, cut, self._offer
            ):
                return bound
            if not partial:
                return np.inf
            # a choice that costs more than this may have a greater reduced cost
            bound = max(bound, priced.bound + within)
            if len(peaks.rows) and number > _FIRST and bound < self.below():
                return bound  # its parts are easier than the box
            number = number * _MORE[0] // _MORE[1]
        return bound


def _in_order(classes: Classes, priced: LagrangianBound) -> tuple[Floats, int]:
    """Reduced costs of all alternatives in order, and how many of them to look at first."""
    costly = (priced.reduced > _NOTHING * classes.scale[0]) & (priced.reduced < np.inf)
    reduced = priced.reduced[costly]
    number = _FIRST
    if classes.counts.max() > 1:  # each of the class's layers may take the option
        number = _FIRST_COUNTED
        times = np.minimum(classes.counts, _FIRST)[costly.nonzero()[0]]
        steps = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times) + 1
        reduced = np.repeat(reduced, times) * steps
    reduced.sort()
    return reduced, number

"""Multipliers for the limits of a multiple-choice problem: a bound on every choice."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from operator import mul, sub

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_STEEP = 1e5  # price of exceeding a limit, in scaled costs, before a fitting mixture is known
CLOSE = 1e-5
"""Distance to the best bound at which more steps do not pay, in units of the largest cost."""
_PIVOT = 1e-11
_NEAR = 0.5  # range around the multipliers of a similar problem that is looked at first
_ROUNDING = 4e-16  # of one float operation, with a margin


@dataclass(frozen=True)
class Relaxation:
    """Costs plus priced limits: ``bound`` holds for every choice that keeps the limits.

    Attributes
    ----------
    multipliers : float array, shape (D,)
        Cost per unit of each limit, none negative.
    weights : float array, shape (R,)
        Shares of the resources in the priced cost; they add up to 1.
    reduced : float array, shape (G, K)
        By how much an option raises the bound when a layer of the group takes it; inf where it is
        not allowed.
    base : int array, shape (G,)
        The option of each group that costs least at these prices.
    bound : float
        Lower bound on the objective, rounding deducted.
    """

    multipliers: Floats
    weights: Floats
    reduced: Floats
    base: Ints
    bound: float


@dataclass(frozen=True)
class Rows:
    """Groups of equal layers as arrays.

    Attributes
    ----------
    sums : float array, shape (R + D, G, K)
        The objective is the largest of the first R sums; the others are limited.
    resources : int
        R.
    allowed : bool array, shape (G, K)
    limits : float array, shape (D,)
    counts : int array, shape (G,)
        Layers in each group.
    scale : float array, shape (R + D,)
        The largest value of each sum, of all R together.
    table : float array, shape (R + D, G * K) or with R > 1 a row of zeros before
        ``sums`` over ``scale``.
    """

    sums: Floats
    resources: int
    allowed: NDArray[np.bool_]
    limits: Floats
    counts: Ints
    scale: Floats
    table: Floats

    @property
    def values(self) -> Floats:
        """What an option takes of each limit, shape (D, G, K)."""
        return self.sums[self.resources :]


def rows_of(
    sums: Floats, resources: int, allowed: NDArray[np.bool_], limits: Floats, counts: Ints
) -> Rows:
    """Rows of arrays in which options that are not allowed hold zeros."""
    flat = sums.reshape(len(sums), -1)
    scale = np.abs(flat).max(axis=1)
    scale[:resources] = scale[:resources].max()
    scale[scale == 0] = 1.0
    table = flat / scale[:, None]
    if resources > 1:
        table = np.concatenate([np.zeros((1, table.shape[1])), table])
    return Rows(sums, resources, allowed, limits, counts, scale, table)


def relaxation(rows: Rows, multipliers: Floats, weights: Floats) -> Relaxation:
    """The bound at given prices; any prices give a valid one."""
    groups, options = rows.allowed.shape
    shares = np.concatenate([weights, multipliers])
    flat = rows.sums.reshape(len(shares), -1)
    priced = (shares @ flat).reshape(groups, options)
    priced = np.where(rows.allowed, priced, np.inf)
    base = priced.argmin(axis=1)
    least = priced[np.arange(groups), base]
    picked = base + np.arange(groups) * options
    size = np.abs(flat.take(picked, axis=1)) @ rows.counts
    size[len(weights) :] += np.abs(rows.limits)
    error = _ROUNDING * (groups + len(shares)) * float(shares @ size)
    bound = float(least @ rows.counts) - float(multipliers @ rows.limits) - error
    return Relaxation(multipliers, weights, priced - least[:, None], base, bound)


class Dual:
    """Multipliers at which the bound is the linear relaxation's, or close to it.

    A simplex method over mixtures of choices (Dantzig and Wolfe): every step adds the choice that
    is cheapest at the current prices. However early it stops, the bound holds. The basis has one
    row per resource (if there are several) and limit, and one for the mixture's sum: so few that
    plain lists are faster than arrays.
    """

    def __init__(self, rows: Rows, near: Floats | None = None) -> None:
        """Start from nothing, or near the multipliers of a similar problem."""
        self._rows = rows
        self._resources = resources = rows.resources if rows.resources > 1 else 0
        self._counts = rows.counts.astype(np.float64)
        self._shape = groups, options = rows.allowed.shape
        self._first = np.arange(groups) * options
        self._unit = float(rows.scale[0])
        self._scale = rows.scale[rows.resources :]
        self._table = rows.table.copy()
        self._table[0, ~rows.allowed.ravel()] = np.inf
        self._limits = [0.0] * resources + (rows.limits / self._scale).tolist()
        self._best = -inf
        share = 1.0 / max(resources, 1)
        guess = [0.0] * len(self._scale)
        self._least = [0.0] * len(self._limits)
        self._most = [_STEEP] * len(self._limits)
        if near is not None:
            guess = np.minimum(near * self._scale / self._unit, _STEEP).tolist()
            self._least[resources:] = [price * (1.0 - _NEAR) for price in guess]
            self._most[resources:] = [max(price * (1.0 + _NEAR), _NEAR) for price in guess]
        self._prices = [share] * resources + guess
        self._start()

    def _start(self) -> None:
        size = len(self._limits)
        cost, taken = self._cheapest(self._prices)
        over = [
            row >= self._resources and mine > limit
            for row, (mine, limit) in enumerate(zip(taken, self._limits, strict=True))
        ]
        # the choice in the last row, and in the others what it leaves or exceeds
        self._inverse = [[0.0] * (size + 1) for _ in range(size + 1)]
        for row, (mine, exceeded) in enumerate(zip(taken, over, strict=True)):
            sign = -1.0 if exceeded else 1.0
            self._inverse[row][row] = sign
            self._inverse[row][size] = -sign * mine
        self._inverse[size][size] = 1.0
        self._right = [*self._limits, 1.0]
        self._amounts = [sum(map(mul, row, self._right)) for row in self._inverse]
        self._basic_cost = [
            most if exceeded else -least
            for exceeded, most, least in zip(over, self._most, self._least, strict=True)
        ] + [cost]
        # what is basic: row + 1 for its excess, -(row + 1) for its slack, 0 for anything else
        self._basic = [row + 1 if exceeded else -row - 1 for row, exceeded in enumerate(over)] + [0]
        if self._resources:  # the bottleneck enters on the row of the busiest resource
            busiest = max(range(self._resources), key=taken.__getitem__)
            self._replace(busiest, self._times(self._bottleneck()), 1.0, 0)

    def _bottleneck(self) -> list[float]:
        return [-1.0] * self._resources + [0.0] * (len(self._right) - self._resources)

    def _times(self, column: list[float]) -> list[float]:
        return [sum(map(mul, row, column)) for row in self._inverse]

    def _cheapest(self, prices: list[float]) -> tuple[float, list[float]]:
        """Cost and takings of the choice that is cheapest at these prices."""
        priced = np.array([1.0, *prices]) @ self._table
        picked = priced.reshape(self._shape).argmin(axis=1) + self._first
        cost, *taken = (self._table.take(picked, axis=1) @ self._counts).tolist()
        return cost, taken

    def improve(self, close: float = CLOSE, enough: float = inf, steps: int = 1000) -> Relaxation:
        """The best bound so far after pivots that bring it within ``close`` of the optimum.

        Parameters
        ----------
        close : float, optional
            In units of the largest cost of an option.
        enough : float, optional
            Stop at a bound of so much.
        steps : int, optional
            Stop after so many pivots.
        """
        for _ in range(steps):
            if not self._step(close) and not self._widened():
                break
            if self._best * self._unit >= enough:
                break
        weights = np.array(self._prices[: self._resources] or [1.0])
        multipliers = np.array(self._prices[self._resources :]) * self._unit / self._scale
        best = relaxation(self._rows, multipliers, weights)
        exceeds = any(
            basic > 0 and amount > _PIVOT
            for basic, amount in zip(self._basic, self._amounts, strict=True)
        )
        if exceeds:  # no mixture fits: the dearer the limits, the higher the bound
            steeper = relaxation(self._rows, multipliers * _STEEP, weights)
            best = max(best, steeper, key=lambda one: one.bound)
        return best

    def _widened(self) -> bool:
        """Let go of a range around the prices of the start where the optimum is at its end."""
        wider = False
        for place, (basic, amount) in enumerate(zip(self._basic, self._amounts, strict=True)):
            row = abs(basic) - 1
            if basic < 0 and amount > _PIVOT and self._least[row] > 0.0:
                self._least[row] = self._basic_cost[place] = 0.0
                wider = True
            elif basic > 0 and amount > _PIVOT and self._most[row] < _STEEP:
                self._most[row] = self._basic_cost[place] = _STEEP
                wider = True
        return wider

    def _step(self, close: float) -> bool:
        """One pivot; False when the prices are close to the best or no pivot helps."""
        columns = list(zip(*self._inverse, strict=True))
        dual = [sum(map(mul, self._basic_cost, column)) for column in columns]
        prices = [-value for value in dual[:-1]]
        if prices:
            below = list(map(sub, prices, self._least))
            if (least := min(below)) < -_PIVOT:
                row = below.index(least)
                return self._enter(list(columns[row]), -self._least[row], -row - 1)
            above = list(map(sub, self._most, prices))
            if (least := min(above)) < -_PIVOT:
                row = above.index(least)
                return self._enter([-value for value in columns[row]], self._most[row], row + 1)
        busy = sum(prices[: self._resources])
        if self._resources and busy > 1.0 + _PIVOT:
            return self._enter(self._times(self._bottleneck()), 1.0, 0)
        prices = [max(price, 0.0) for price in prices]
        if self._resources:
            if busy <= 0:
                return False
            prices[: self._resources] = [price / busy for price in prices[: self._resources]]
        cost, taken = self._cheapest(prices)
        bound = cost + sum(map(mul, prices, map(sub, taken, self._limits)))
        if bound > self._best:
            self._best, self._prices = bound, prices
        if sum(map(mul, dual, self._right)) - self._best <= close:
            return False
        return self._enter(self._times([*taken, 1.0]), cost, 0)

    def _enter(self, direction: list[float], cost: float, basic: int) -> bool:
        """Bring a column into the basis, in place of the first that it drives to nothing."""
        ratios = [
            amount / step if step > _PIVOT else inf
            for amount, step in zip(self._amounts, direction, strict=True)
        ]
        least = min(ratios)
        if least == inf:
            return False
        self._replace(ratios.index(least), direction, cost, basic)
        return True

    def _replace(self, row: int, direction: list[float], cost: float, basic: int) -> None:
        pivot = direction[row]
        mine = [value / pivot for value in self._inverse[row]]
        amount = self._amounts[row] / pivot
        self._inverse = [
            [value - step * own for value, own in zip(line, mine, strict=True)] if step else line
            for line, step in zip(self._inverse, direction, strict=True)
        ]
        self._inverse[row] = mine
        self._amounts = [
            max(value - step * amount, 0.0)
            for value, step in zip(self._amounts, direction, strict=True)
        ]
        self._amounts[row] = amount
        self._basic_cost[row] = cost
        self._basic[row] = basic

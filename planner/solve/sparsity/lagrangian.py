"""Multipliers for the limits of a multiple-choice problem that give the best bound, or nearly."""

from __future__ import annotations

from math import inf
from operator import mul, sub

import numpy as np

from planner.solve.sparsity.choice_rows import Floats, Relaxation, Rows, relaxation

_STEEP = 1e5  # price of exceeding a limit, in scaled costs, before a fitting mixture is known
CLOSE = 1e-5
"""Distance to the best bound at which more steps do not pay, in units of the largest cost."""
_PIVOT = 1e-11
_USUAL, _HIGH = 0.5, 2.0  # prices to start from, and that are rarely exceeded, in scaled costs
_LITTLE = 0.01  # the range of prices that were next to nothing
_WIDER = 9.0  # how far a range is let go of where the optimum is at its end
_NEAR = 0.05  # range around the multipliers of a similar problem that is looked at first


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
        self._first = np.arange(0, groups * options, options)
        self._unit = float(rows.scale[0])
        self._scale = rows.scale[rows.resources :]
        self._table = rows.table.copy()
        self._table[0, ~rows.allowed.ravel()] = np.inf
        self._by_option = self._table.T
        self._limits = [0.0] * resources + (rows.limits / self._scale).tolist()
        self._best = -inf
        share = 1.0 / max(resources, 1)
        guess = [_USUAL] * len(self._scale)
        self._least = [0.0] * len(self._limits)
        self._most = [_STEEP] * resources + [_HIGH] * len(self._scale)
        if near is not None:
            guess = np.minimum(near * self._scale / self._unit, _STEEP).tolist()
            self._least[resources:] = [price * (1.0 - _NEAR) for price in guess]
            self._most[resources:] = [price * (1.0 + _NEAR) + _LITTLE for price in guess]
        self._prices = [share] * resources + guess
        self._start()

    def _start(self) -> None:
        """The choice in the last row of the basis, in the others what it leaves or exceeds."""
        size = len(self._limits)
        cost, taken = self._cheapest(self._prices)
        # rows of the inverse basis, each with what is basic there times its amount behind;
        # then what each limit costs at the basis, and the mixture's cost
        self._lines: list[list[float]] = []
        self._basic_cost: list[float] = []
        # what is basic: row + 1 for its excess, -(row + 1) for its slack, 0 for anything else
        self._basic: list[int] = []
        total = [0.0] * size + [cost, cost]
        for row, (mine, limit) in enumerate(zip(taken, self._limits, strict=True)):
            exceeds = row >= self._resources and mine > limit
            sign = -1.0 if exceeds else 1.0
            price = self._most[row] if exceeds else -self._least[row]
            line = [0.0] * (size + 2)
            line[row], line[size], line[size + 1] = sign, -sign * mine, sign * (limit - mine)
            self._lines.append(line)
            self._basic_cost.append(price)
            self._basic.append(row + 1 if exceeds else -row - 1)
            total = [value + price * mine for value, mine in zip(total, line, strict=True)]
        self._lines += [[0.0] * size + [1.0, 1.0], total]
        self._basic_cost.append(cost)
        self._basic.append(0)
        if self._resources:  # the bottleneck enters on the row of the busiest resource
            busiest = max(range(self._resources), key=taken.__getitem__)
            self._replace(busiest, self._column(self._bottleneck(), 1.0), 1.0, 0)

    def _bottleneck(self) -> list[float]:
        return [-1.0] * self._resources + [0.0] * (len(self._limits) - self._resources + 1)

    def _column(self, takes: list[float], cost: float) -> list[float]:
        """How a column changes what is basic, and what is saved by it, in the last place."""
        column = [sum(map(mul, line, takes)) for line in self._lines]
        column[-1] -= cost
        return column

    def _cheapest(self, prices: list[float]) -> tuple[float, list[float]]:
        """Cost and takings of the choice that is cheapest at these prices."""
        priced = self._by_option.dot([1.0, *prices])
        picked = priced.reshape(self._shape).argmin(1)
        picked += self._first
        cost, *taken = self._table.take(picked, axis=1).dot(self._counts).tolist()
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
            basic > 0 and line[-1] > _PIVOT
            for basic, line in zip(self._basic, self._lines, strict=False)
        )
        if exceeds:  # no mixture fits: the dearer the limits, the higher the bound
            steeper = relaxation(self._rows, multipliers * _STEEP, weights)
            best = max(best, steeper, key=lambda one: one.bound)
        return best

    def _widened(self) -> bool:
        """Let go of a range around the prices of the start where the optimum is at its end."""
        wider = False
        for place, basic in enumerate(self._basic):
            line, row = self._lines[place], abs(basic) - 1
            if basic < 0 and line[-1] > _PIVOT and self._least[row] > 0.0:
                wide = self._most[row] - self._least[row]
                self._least[row] = price = max(self._least[row] - _WIDER * wide, 0.0)
                price = -price
            elif basic > 0 and line[-1] > _PIVOT and self._most[row] < _STEEP:
                wide = self._most[row] - self._least[row]
                self._most[row] = price = min(self._most[row] + _WIDER * wide, _STEEP)
            else:
                continue
            more = price - self._basic_cost[place]
            self._basic_cost[place] = price
            self._lines[-1] = [
                v + more * mine for v, mine in zip(self._lines[-1], line, strict=True)
            ]
            wider = True
        return wider

    def _step(self, close: float) -> bool:
        """One pivot; False when the prices are close to the best or no pivot helps."""
        lines = self._lines
        costs, value = lines[-1][:-2], lines[-1][-1]
        worst, entering, above = -_PIVOT, -1, False
        for row, (cost, least, most) in enumerate(zip(costs, self._least, self._most, strict=True)):
            if -cost - least < worst:
                worst, entering, above = -cost - least, row, False
            if most + cost < worst:
                worst, entering, above = most + cost, row, True
        if entering >= 0 and above:
            column = [-line[entering] for line in lines]
            column[-1] -= self._most[entering]
            return self._enter(column, self._most[entering], entering + 1)
        if entering >= 0:
            column = [line[entering] for line in lines]
            column[-1] += self._least[entering]
            return self._enter(column, -self._least[entering], -entering - 1)
        prices = [-cost if cost < 0.0 else 0.0 for cost in costs]
        if self._resources:
            busy = -sum(costs[: self._resources])
            if busy > 1.0 + _PIVOT:
                return self._enter(self._column(self._bottleneck(), 1.0), 1.0, 0)
            if busy <= 0:
                return False
            prices[: self._resources] = [price / busy for price in prices[: self._resources]]
        cost, taken = self._cheapest(prices)
        bound = cost + sum(map(mul, prices, map(sub, taken, self._limits)))
        if bound > self._best:
            self._best, self._prices = bound, prices
        if value - self._best <= close:
            return False
        return self._enter(self._column([*taken, 1.0], cost), cost, 0)

    def _enter(self, column: list[float], cost: float, basic: int) -> bool:
        """Bring a column into the basis, in place of the first that it drives to nothing."""
        least, row = inf, -1
        for place, (line, step) in enumerate(zip(self._lines[:-1], column, strict=False)):
            if step > _PIVOT and line[-1] < least * step:
                least, row = line[-1] / step, place
        if row < 0:
            return False
        self._replace(row, column, cost, basic)
        return True

    def _replace(self, row: int, column: list[float], cost: float, basic: int) -> None:
        pivot = column[row]
        mine = [value / pivot for value in self._lines[row]]
        for place, (line, step) in enumerate(zip(self._lines, column, strict=True)):
            if step and place != row:
                self._lines[place] = [v - step * own for v, own in zip(line, mine, strict=True)]
        self._lines[row] = mine
        for line in self._lines[:-1]:
            line[-1] = max(line[-1], 0.0)
        self._basic_cost[row] = cost
        self._basic[row] = basic

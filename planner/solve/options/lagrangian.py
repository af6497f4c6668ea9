"""The Lagrangian dual of a multiple-choice knapsack problem (docs/options.md, eq. O4 to O7)."""

from __future__ import annotations

from math import inf
from operator import mul, sub
from typing import NamedTuple

import numpy as np

from planner.solve.options.effort import Effort
from planner.solve.options.knapsack import ROUNDING, Classes, Floats, Ints

CLOSE = 1e-5
"""Distance to the best bound at which more pivots do not pay, in units of the largest cost."""

_PIVOT = 1e-11  # amounts and reduced costs below are rounding, in scaled units of about one
_PIVOTS = 1000  # degenerate ones may go round in circles; a usual dual takes 10 to 50
_STEEP = 1e5  # highest price of a limit, in scaled costs; a steeper one costs only sharpness
_USUAL, _HIGH = 0.5, 2.0  # prices to start from, and that are rarely exceeded, in scaled costs
_NEAR = 0.05  # relative range around the multipliers of a similar problem that is looked at first
_LITTLE = 0.01  # the same for multipliers that were next to nothing
_WIDER = 9.0  # times its width by which a range grows, tenfold in all, where its end is reached


class LagrangianBound(NamedTuple):
    """Costs plus priced limits: ``bound`` holds for every choice that keeps the limits.

    Attributes
    ----------
    multipliers : float array, shape (D,)
        Cost per unit of each limit, none negative.
    weights : float array, shape (R,)
        Shares of the resources in the priced cost; they add up to 1.
    reduced : float array, shape (G, K)
        By how much an option raises the bound when a layer of the class takes it; inf where it is
        not allowed.
    base : int array, shape (G,)
        The option of each class that costs least at these prices.
    bound : float
        Lower bound on the objective, rounding deducted.
    """

    multipliers: Floats
    weights: Floats
    reduced: Floats
    base: Ints
    bound: float


def lagrangian_bound(classes: Classes, multipliers: Floats, weights: Floats) -> LagrangianBound:
    """The bound at given prices, eq. O4; any prices give a valid one."""
    groups, options = classes.allowed.shape
    shares = np.concatenate([weights, multipliers])
    flat = classes.sums.reshape(len(shares), -1)
    priced = (shares @ flat).reshape(groups, options)
    priced[~classes.allowed] = np.inf
    base = priced.argmin(axis=1)
    picked = base + np.arange(0, groups * options, options)
    least = priced.take(picked)
    size = np.abs(flat.take(picked, axis=1)) @ classes.counts
    size[len(weights) :] += np.abs(classes.limits)
    error = ROUNDING * (groups + len(shares)) * float(shares @ size)
    bound = float(least @ classes.counts) - float(multipliers @ classes.limits) - error
    return LagrangianBound(multipliers, weights, priced - least[:, None], base, bound)


class Dual:
    """Multipliers at which the bound is the linear relaxation's, or close to it.

    A simplex method over mixtures of choices (Dantzig and Wolfe): every pivot adds the choice
    that is cheapest at the current prices. However early it stops, the bound holds. The basis has
    one row per resource (if there are several) and limit, and one for the mixture's sum: so few
    that plain lists are faster than arrays.

    Prices stay within a range (a boxstep) at whose ends a limit may be exceeded or left unused
    for money. It starts where prices usually lie, or close around those of a similar problem.

    Parameters
    ----------
    classes : Classes
    near : float array, shape (D,), optional
        Multipliers of a similar problem.
    """

    def __init__(self, classes: Classes, near: Floats | None = None) -> None:
        self._classes = classes
        self._resources = resources = classes.resources if classes.resources > 1 else 0
        self._counts = classes.counts.astype(np.float64)
        self._shape = groups, options = classes.allowed.shape
        self._first = np.arange(0, groups * options, options)
        self._scale = classes.scale[classes.resources :] / classes.scale[0]
        table = (classes.sums / classes.scale[:, None, None]).reshape(len(classes.sums), -1)
        if resources:  # their weights may be 0, and 0 times infinity is no number
            table = np.concatenate([np.zeros((1, table.shape[1])), table])
        table[0, ~classes.allowed.ravel()] = inf
        self._table, self._by_option = table, table.T
        scaled = classes.limits / classes.scale[classes.resources :]
        self._limits = [0.0] * resources + scaled.tolist()
        self._best = -inf
        guess = [_USUAL] * len(scaled)
        self._least = [0.0] * len(self._limits)
        self._most = [_STEEP] * resources + [_HIGH] * len(scaled)
        if near is not None:
            guess = np.minimum(near * self._scale, _STEEP).tolist()
            self._least[resources:] = [price * (1.0 - _NEAR) for price in guess]
            self._most[resources:] = [price * (1.0 + _NEAR) + _LITTLE for price in guess]
        self._prices = [1.0 / max(resources, 1)] * resources + guess
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

    def improve(self, close: float, enough: float, effort: Effort) -> LagrangianBound:
        """The best bound so far after pivots that bring it within ``close`` of the optimum.

        Parameters
        ----------
        close : float
            In units of the largest cost of an option.
        enough : float
            Stop at a bound of so much.
        effort : Effort
            Stop where it is spent; the first pivot is always made.
        """
        unit = float(self._classes.scale[0])
        moved = Effort.of(self._table.size + len(self._limits) ** 2)
        for _ in range(_PIVOTS):
            effort.left -= moved
            if not self._pivot(close) and not self._widened():
                break
            if self._best * unit >= enough or effort.spent:
                break
        weights = np.array(self._prices[: self._resources] or [1.0])
        multipliers = np.array(self._prices[self._resources :]) / self._scale
        best = lagrangian_bound(self._classes, multipliers, weights)
        exceeds = any(
            basic > 0 and line[-1] > _PIVOT
            for basic, line in zip(self._basic, self._lines, strict=False)
        )
        if exceeds:  # no mixture fits: the dearer the limits, the higher the bound
            steeper = lagrangian_bound(self._classes, multipliers * _STEEP, weights)
            best = max(best, steeper, key=lambda one: one.bound)
        return best

    def _bottleneck(self) -> list[float]:
        return [-1.0] * self._resources + [0.0] * (len(self._limits) - self._resources + 1)

    def _column(self, takes: list[float], cost: float) -> list[float]:
        """How a column changes what is basic, and what is saved by it, in the last place."""
        column = [sum(map(mul, line, takes)) for line in self._lines]
        column[-1] -= cost
        return column

    def _cheapest(self, prices: list[float]) -> tuple[float, list[float]]:
        """Cost and takings of the choice that is cheapest at these prices."""
        picked = self._by_option.dot([1.0, *prices]).reshape(self._shape).argmin(1)
        picked += self._first
        cost, *taken = self._table.take(picked, axis=1).dot(self._counts).tolist()
        return cost, taken

    def _widened(self) -> bool:
        """Let go of a range of prices where the optimum is at its end; whether any was."""
        wider = False
        for place, basic in enumerate(self._basic):
            line, row = self._lines[place], abs(basic) - 1
            if basic == 0 or line[-1] <= _PIVOT:
                continue
            least, most = self._least[row], self._most[row]
            if basic < 0 and least > 0.0:
                self._least[row] = max(least - _WIDER * (most - least), 0.0)
                price = -self._least[row]
            elif basic > 0 and most < _STEEP:
                price = self._most[row] = min(most + _WIDER * (most - least), _STEEP)
            else:
                continue
            more = price - self._basic_cost[place]
            self._basic_cost[place] = price
            self._lines[-1] = [
                v + more * mine for v, mine in zip(self._lines[-1], line, strict=True)
            ]
            wider = True
        return wider

    def _pivot(self, close: float) -> bool:
        """One pivot; False when the prices are close to the best or no pivot helps."""
        lines = self._lines
        costs, value = lines[-1][:-2], lines[-1][-1]
        # a price outside of its range first: the slack or excess of that row enters
        worst, entering, sign = -_PIVOT, -1, 1.0
        for row, (cost, least, most) in enumerate(zip(costs, self._least, self._most, strict=True)):
            if -cost - least < worst:
                worst, entering, sign = -cost - least, row, 1.0
            if most + cost < worst:
                worst, entering, sign = most + cost, row, -1.0
        if entering >= 0:
            price = -self._least[entering] if sign > 0.0 else self._most[entering]
            column = [sign * line[entering] for line in lines]
            column[-1] -= price
            return self._enter(column, price, int(-sign) * (entering + 1))
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
        for line in self._lines[:-1]:  # amounts below nothing are rounding
            line[-1] = max(line[-1], 0.0)
        self._basic_cost[row] = cost
        self._basic[row] = basic

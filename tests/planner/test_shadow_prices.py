"""What binds: dual prices against differences of the relaxation."""

from __future__ import annotations

from random import Random

import numpy as np
from scipy.optimize import linprog

from planner.solve.options.multiple_choice import choose
from planner.solve.options.shadow_prices import shadow_prices
from tests.planner.oracle import sparsity_case
from tests.planner.test_multiple_choice import Arrays, arrays

CASES = 120
STEP = 1e-6  # of a limit, as a share of the largest value that counts towards it


def relaxed(problem: Arrays, choice: np.ndarray, more: float, row: int) -> float:
    """Optimum of the linear relaxation with the choice's peaks, one limit raised by a share."""
    layers, options = problem.allowed.shape
    at = np.arange(layers)
    allowed = problem.allowed.copy()
    rows = [values.ravel() for values, _ in problem.sums]
    limits = [limit for _, limit in problem.sums]
    for weights, live, limit in problem.memories:
        peak = int(live[at, choice].max())
        allowed &= live <= peak
        rows.append(weights.ravel().astype(float))
        limits.append(float(limit - peak))
    scales = [np.abs(values).max() or 1.0 for values in rows]
    limits[row] += more * scales[row]
    unit = problem.costs.max() or 1.0
    found = linprog(
        problem.costs[0].ravel() / unit,
        A_ub=np.array(rows) / np.array(scales)[:, None],
        b_ub=np.array(limits) / np.array(scales),
        A_eq=np.kron(np.eye(layers), np.ones(options)),
        b_eq=np.ones(layers),
        bounds=[(0, None if may else 0) for may in allowed.ravel()],
    )
    assert found.status in (0, 2)
    return float(found.fun) * unit if found.status == 0 else np.inf


def test_prices_are_slopes_of_the_relaxation() -> None:
    binding = 0
    for seed in range(CASES):
        problem = arrays(sparsity_case(Random(f"price {seed}"), sums=1, nodes=1))
        choice = choose(*problem).choice
        if choice is None:
            continue
        prices = shadow_prices(*problem, choice)
        assert prices.shape == (2,)
        for row, price in enumerate(prices.tolist()):
            values = problem.sums[0][0] if row == 0 else problem.memories[0][0]
            scale = float(np.abs(values).max()) or 1.0
            now, more, less = (relaxed(problem, choice, step, row) for step in (0.0, STEP, -STEP))
            saved, paid = (now - more) / (STEP * scale), (less - now) / (STEP * scale)
            slack = 1e-3 * price
            slack += 1e-6 * float(problem.costs.max()) / scale
            assert saved - slack <= price <= paid + slack
            if price > 0:
                binding += 1
    assert binding > CASES // 10


def test_a_limit_that_does_not_bind_has_no_price() -> None:
    costs, allowed = np.array([[[1.0, 5.0], [2.0, 5.0]]]), np.ones((2, 2), dtype=np.bool_)
    sums = [(np.ones((2, 2)), 7.0)]
    choice = choose(costs, allowed, sums).choice
    assert choice is not None
    assert shadow_prices(costs, allowed, sums, [], choice).tolist() == [0.0]

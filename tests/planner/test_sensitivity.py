"""What binds: dual prices against differences of the relaxation."""

from __future__ import annotations

from random import Random

import numpy as np
from planner.solve.sparsity.sensitivity import shadow_prices
from planner.solve.sparsity.solver import solve_sparsity
from scipy.optimize import linprog

from planner.domain.certificate import SparsityProblem, SumLimit
from tests.planner.oracle import sparsity_case

CASES = 120
STEP = 1e-6  # of a limit, as a share of the largest value that counts towards it


def relaxed(problem: SparsityProblem, choice: np.ndarray, more: float, row: int) -> float:
    """Optimum of the linear relaxation with the choice's peaks, one limit raised by a share."""
    layers, options = problem.allowed.shape
    at = np.arange(layers)
    allowed = problem.allowed.copy()
    rows, limits = [], []
    for limit in problem.sum_limits:
        rows.append(limit.values.ravel())
        limits.append(limit.limit)
    for memory in problem.memory_limits:
        peak = int(memory.live_bytes[at, choice].max())
        allowed &= memory.live_bytes <= peak
        rows.append(memory.weight_bytes.ravel().astype(float))
        limits.append(float(memory.limit_bytes - peak))
    scales = [np.abs(values).max() or 1.0 for values in rows]
    limits[row] += more * scales[row]
    unit = problem.objective_s.max() or 1.0
    found = linprog(
        problem.objective_s[0].ravel() / unit,
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
        case = sparsity_case(Random(f"price {seed}"), sums=1, nodes=1)
        problem = case.problem()
        result = solve_sparsity(problem)
        if result.choice is None:
            continue
        prices = shadow_prices(problem, result.choice)
        assert [price.name for price in prices] == ["sum 0", "node 0"]
        for row, price in enumerate(prices):
            values = (
                problem.sum_limits[0].values if row == 0 else problem.memory_limits[0].weight_bytes
            )
            scale = float(np.abs(values).max()) or 1.0
            now, more, less = (
                relaxed(problem, result.choice, step, row) for step in (0.0, STEP, -STEP)
            )
            saved, paid = (now - more) / (STEP * scale), (less - now) / (STEP * scale)
            slack = 1e-3 * price.seconds_per_unit
            slack += 1e-6 * float(problem.objective_s.max()) / scale
            assert saved - slack <= price.seconds_per_unit <= paid + slack
            if price.seconds_per_unit > 0:
                binding += 1
    assert binding > CASES // 10


def test_a_limit_that_does_not_bind_has_no_price() -> None:
    problem = SparsityProblem(
        objective_s=np.array([[[1.0, 5.0], [2.0, 5.0]]]),
        allowed=np.ones((2, 2), dtype=np.bool_),
        sum_limits=(SumLimit(name="loss", values=np.ones((2, 2)), limit=7.0),),
    )
    result = solve_sparsity(problem)
    assert result.choice is not None
    (price,) = shadow_prices(problem, result.choice)
    assert price.seconds_per_unit == 0

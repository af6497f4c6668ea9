"""What binds: dual prices against differences of the relaxation."""

from __future__ import annotations

from random import Random

import numpy as np
from scipy.optimize import linprog

from planner.solve.problem import Choice, Problem
from planner.solve.solver import solve
from planner.solve.stages.fixed_stages import price_limits
from tests.planner.oracle import sparsity_case
from tests.planner.problems import choice_problem

CASES = 120
STEP = 1e-6  # of a limit, as a share of the largest value that counts towards it


def relaxed(problem: Problem, choice: Choice, more: float, row: int) -> float:
    """Optimum of the linear relaxation with the choice's peaks, one limit raised by a share."""
    layers, options = problem.allowed[0].shape
    at = np.arange(layers)
    live, weights = problem.live_bytes[0, ..., 0], problem.weight_bytes[0, ..., 0]
    peak = int(live[at, choice.options].max())
    allowed = problem.allowed[0] & (live <= peak)
    rows = [problem.loss[0].ravel(), weights.ravel().astype(float)]
    limits = [problem.max_loss or 0.0, float(problem.memory_limit_bytes[0, 0] - peak)]
    scales = [np.abs(values).max() or 1.0 for values in rows]
    limits[row] += more * scales[row]
    unit = problem.latency_s.max() or 1.0
    found = linprog(
        problem.latency_s[0].ravel() / unit,
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
        result = solve(problem)
        if result.choice is None:
            continue
        loss_price, memory_prices = price_limits(problem, result.choice)
        for row, price in enumerate((loss_price, memory_prices.get((0, 0), 0.0))):
            values = problem.loss if row == 0 else problem.weight_bytes
            scale = float(np.abs(values).max()) or 1.0
            now, more, less = (
                relaxed(problem, result.choice, step, row) for step in (0.0, STEP, -STEP)
            )
            saved, paid = (now - more) / (STEP * scale), (less - now) / (STEP * scale)
            slack = 1e-3 * price
            slack += 1e-6 * float(problem.latency_s.max()) / scale
            assert saved - slack <= price <= paid + slack
            if price > 0:
                binding += 1
    assert binding > CASES // 10


def test_a_limit_that_does_not_bind_has_no_price() -> None:
    problem = choice_problem(
        np.array([[[1.0, 5.0], [2.0, 5.0]]]),
        np.ones((2, 2), dtype=np.bool_),
        [(np.ones((2, 2)), 7.0)],
    )
    result = solve(problem)
    assert result.choice is not None
    assert price_limits(problem, result.choice) == (0.0, {})

"""Prices of a plan's limits, by what they belong to."""

from __future__ import annotations

import numpy as np
import pytest

from planner.solve.solver import solve
from planner.solve.stages.fixed_stages import price_limits
from tests.planner.problems import choice_problem

COSTS = np.array([[[4.0, 1.0], [2.0, 1.0]]])
ALLOWED = np.ones((2, 2), dtype=np.bool_)
LOSS = np.array([[0.0, 2.0], [0.0, 1.0]])


def test_a_limit_that_does_not_bind_has_no_price() -> None:
    problem = choice_problem(COSTS, ALLOWED, [(LOSS, 7.0)])
    result = solve(problem)
    assert result.choice is not None
    assert price_limits(problem, result.choice) == (0.0, {})


def test_the_budget_and_each_position_have_their_own_price() -> None:
    # of the loss only the second unit's option fits on top of the first one's: a second per unit
    problem = choice_problem(COSTS, ALLOWED, [(LOSS, 2.5)])
    result = solve(problem)
    assert result.choice is not None
    assert price_limits(problem, result.choice) == (pytest.approx(1.0), {})
    # the faster options are 10 and 20 bytes larger, of which the second node has 25 in all
    stored = np.array([[0, 10], [0, 20]])
    live = np.zeros((2, 2), dtype=np.int64)
    problem = choice_problem(COSTS, ALLOWED, [], [(stored, live, 100), (stored, live, 25)])
    result = solve(problem)
    assert result.choice is not None
    assert price_limits(problem, result.choice) == (0.0, {(0, 1): pytest.approx(1 / 20)})

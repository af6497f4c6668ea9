"""The door to the sparsity choice: which solver answers, from where it starts, how sweeps go."""

from __future__ import annotations

import numpy as np
import pytest
from planner.solve.sparsity.ilp import ilp_sparsity
from planner.solve.sparsity.search import search_sparsity
from planner.solve.sparsity.solver import DUAL_NAME, solve_sparsity, sweep_sparsity

from planner.errors import BadInputError
from planner.solve.check import evaluate_sparsity
from planner.solve.milp import SOLVER_NAME
from tests.planner.test_multiple_choice import KINDS, drawn, equal_layers, medium
from tests.planner.test_solver_limits import partition


def test_the_certificate_names_the_solver() -> None:
    problem = medium(1)
    assert solve_sparsity(problem).certificate.solver == DUAL_NAME
    assert solve_sparsity(problem, solver="ilp").certificate.solver == SOLVER_NAME
    with pytest.raises(BadInputError, match="solver of a sparsity choice: 'cbc'; allowed: auto"):
        solve_sparsity(problem, solver="cbc")


def test_what_the_search_leaves_open_goes_to_the_program() -> None:
    problem = partition(60, 8, seed=2)
    result = solve_sparsity(problem, 4.0)
    certificate = result.certificate
    assert certificate.solver == f"{SOLVER_NAME} after {DUAL_NAME}"
    assert certificate.status == "feasible"
    assert result.choice is not None and result.objective_s is not None
    searched = search_sparsity(problem, effort=100_000)
    assert not searched.closed
    assert certificate.bound is not None and certificate.bound >= searched.bound * (1 - 1e-9)
    assert certificate.gap == pytest.approx(1 - certificate.bound / result.objective_s)
    assert 0 < certificate.gap < 0.1
    assert certificate.runtime_s < 8.0


def test_the_program_starts_from_a_choice() -> None:
    problem = partition(60, 8, seed=2)
    start = search_sparsity(problem, effort=1_000_000)
    assert start.choice is not None
    cold, warm = ilp_sparsity(problem, 0.05), ilp_sparsity(problem, 0.05, start.choice)
    assert warm.objective_s is not None and warm.objective_s <= start.objective * (1 + 1e-9)
    assert cold.objective_s is None or cold.objective_s >= warm.objective_s * (1 - 1e-9)


@pytest.mark.parametrize("kinds", [1, 3])
def test_equal_layers_can_start_too_and_dominated_options(kinds: int) -> None:
    problem = equal_layers(kinds)
    dearest = np.where(problem.allowed, problem.objective_s[0], -1.0).argmax(axis=1)
    optimum = ilp_sparsity(problem)
    for start in (optimum.choice, dearest):
        again = ilp_sparsity(problem, start=start)
        assert again.certificate.status == "optimal"
        assert again.objective_s == pytest.approx(optimum.objective_s, rel=1e-9)


def test_a_sweep_finds_what_single_calls_find() -> None:
    base = medium(4)
    fixed, moving = base.objective_s, medium(5).objective_s
    problems = [
        base.model_copy(update={"objective_s": fixed + moving / factor})
        for factor in np.geomspace(0.1, 10.0, 25)
    ]
    swept = list(sweep_sparsity(problems))
    assert len(swept) == len(problems)
    for problem, result in zip(problems, swept, strict=True):
        assert result.certificate.status == "optimal" and result.choice is not None
        assert not evaluate_sparsity(problem, result.choice).violations
        assert result.objective_s == pytest.approx(solve_sparsity(problem).objective_s, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_keeps_what_costs_do_not_change(kind: str) -> None:
    for seed in range(6):
        base = drawn(kind, seed).problem()
        random = np.random.default_rng(seed)
        several = [base.objective_s * random.integers(1, 9, base.allowed.shape) for _ in range(4)]
        problems = [base.model_copy(update={"objective_s": costs}) for costs in several]
        if base.sum_limits:  # other limits in between are not taken for the old ones
            looser = [one.model_copy(update={"limit": 2 * one.limit}) for one in base.sum_limits]
            problems[2:2] = [problems[1].model_copy(update={"sum_limits": tuple(looser)})]
        for problem, swept in zip(problems, sweep_sparsity(problems), strict=True):
            alone = solve_sparsity(problem)
            assert swept.certificate.status == alone.certificate.status
            if alone.objective_s is None:
                assert swept.objective_s is None
            else:
                assert swept.objective_s == pytest.approx(alone.objective_s, rel=1e-9, abs=0)


def test_a_sweep_goes_over_problems_that_nothing_fits() -> None:
    base = medium(4)
    (loss,) = base.sum_limits
    limits = [loss.limit, 0.0, loss.limit * 1.1]
    problems = [
        base.model_copy(update={"sum_limits": (loss.model_copy(update={"limit": limit}),)})
        for limit in limits
    ]
    statuses = [result.certificate.status for result in sweep_sparsity(problems)]
    assert statuses == ["optimal", "infeasible", "optimal"]


def test_a_known_choice_is_beaten_or_kept_and_one_that_does_not_fit_is_ignored() -> None:
    for seed in range(8):
        problem = medium(seed)
        best = search_sparsity(problem)
        assert best.choice is not None
        kept = search_sparsity(problem, known=best.choice)
        assert kept.closed and kept.objective == best.objective
        for known in (best.choice * 0, np.full_like(best.choice, 7)):
            found = search_sparsity(problem, known=known)
            assert found.closed and found.objective == pytest.approx(best.objective, rel=1e-9)

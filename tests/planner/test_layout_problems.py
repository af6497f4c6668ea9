"""Layers whose options lead from state to state: every search against every plan."""

from __future__ import annotations

import pytest

from planner.solve.check import evaluate, times_of
from planner.solve.deadline import Deadline
from planner.solve.layout_problem import LayoutProblem
from planner.solve.layouts.bounds import Network
from planner.solve.layouts.check import most
from planner.solve.layouts.door import minimise_in_layouts
from planner.solve.layouts.labels import Caps, LabelSearch
from planner.solve.problem import Result
from tests.planner.layout_problems import random_problem

FEW, SOME = range(300), range(40)
GAINING = (124, 215, 898, 1219, 1513, 1580, 2041)
"""Problems whose best plan is above the limit on the loss before its last layers."""


def solved(problem: LayoutProblem, solver: str) -> Result:
    """A proven answer that keeps all limits, whose certificate says what it is worth."""
    result = minimise_in_layouts(problem, solver, Deadline())
    certificate = result.certificate
    if result.choice is None:
        assert certificate.status == "infeasible" and result.objective_s is None
        return result
    assert certificate.status == "optimal"
    value = evaluate(problem, result.choice)
    assert not value.violations and value.objective_s == result.objective_s
    assert certificate.bound == pytest.approx(value.objective_s, rel=1e-9)
    assert certificate.gap == pytest.approx(0, abs=1e-9)
    return result


def agrees(problem: LayoutProblem, solver: str) -> None:
    """A search finds what trying everything finds; of equal bottlenecks the least latency."""
    wanted, found = solved(problem, "exhaustive"), solved(problem, solver)
    assert (found.choice is None) == (wanted.choice is None)
    if found.choice is None or wanted.choice is None:
        return
    assert found.objective_s == pytest.approx(wanted.objective_s, rel=1e-9)
    if solver == "auto" and problem.objective == "bottleneck":
        seconds, least = (times_of(problem, r.choice).latency_s for r in (found, wanted))
        assert seconds == pytest.approx(least, rel=1e-9)


@pytest.mark.parametrize("seed", FEW)
def test_the_fast_path_finds_the_best_of_all_plans(seed: int) -> None:
    agrees(random_problem(seed), "auto")


@pytest.mark.parametrize("seed", SOME)
def test_without_limits_the_dynamic_program_is_enough(seed: int) -> None:
    agrees(random_problem(seed, limits=False), "auto")


@pytest.mark.parametrize("seed", [*range(50), *GAINING])
def test_options_that_gain_make_room_for_those_before(seed: int) -> None:
    """A loss within the limit at the end may be above it on the way."""
    agrees(random_problem(seed, gains=True), "auto")


@pytest.mark.parametrize("seed", SOME)
def test_the_program_finds_the_best_of_all_plans(seed: int) -> None:
    agrees(random_problem(seed), "ilp")


@pytest.mark.thorough
@pytest.mark.parametrize("first", range(300, 900, 200))
def test_no_search_misses_any_plan(first: int) -> None:
    misses_nothing(first)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(900, 4500, 200))
def test_no_search_misses_any_plan_of_thousands(first: int) -> None:
    misses_nothing(first)


def misses_nothing(first: int) -> None:
    for seed in range(first, first + 200):
        agrees(random_problem(seed, gains=seed % 2 == 0), "auto")
    for seed in range(first, first + 10):
        agrees(random_problem(seed), "ilp")


def test_labels_weigh_the_latency_even_where_nothing_caps_it() -> None:
    """Nothing is known of the latency before the first plan, and the bottleneck has a limit."""
    compared = 0
    for seed in range(600):
        problem = random_problem(seed)
        if problem.objective != "latency":
            continue
        most_s = problem.max_bottleneck_s or 0.2
        problem = problem.but(max_latency_s=None, max_bottleneck_s=most_s)
        within = Caps(bottleneck_s=most(most_s), loss=most(problem.max_loss))
        found = LabelSearch(Network.of(problem), within, [], Deadline()).best()
        best = minimise_in_layouts(problem, "exhaustive", Deadline()).objective_s
        assert (found is None) == (best is None)
        if found is not None:
            assert evaluate(problem, found).objective_s == pytest.approx(best, rel=1e-9)
            compared += 1
    assert compared > 50

"""Workers in any order: against every order, against the ILP, and the merging of equal ones."""

from __future__ import annotations

from functools import partial
from random import Random

import numpy as np
import pytest

from planner.solve.check import evaluate
from planner.solve.exhaustive import minimise_exhaustively
from planner.solve.milp import SOLVER_NAME
from planner.solve.problem import Problem
from planner.solve.solver import RING, STAGES, solve
from planner.solve.stages import stage_graph
from tests.planner.chains import drawn_chain, memory_for
from tests.planner.checks import ALLOCATION, check, check_fastest

pytestmark = pytest.mark.thorough  # `make quick` does without

OBJECTIVES = ("latency", "bottleneck")
CASES = 60  # of each of the eighteen kinds
BY_ILP = 10


@pytest.mark.parametrize("kind", ALLOCATION)
def test_every_small_case_in_any_order(kind: str) -> None:
    draw = partial(ALLOCATION[kind], any_order=True)
    for seed in range(CASES):
        case = draw(Random(f"any {kind} {seed}"))
        result = solve(case.problem())
        check(case, result)
        assert result.certificate.solver in (RING, STAGES)
        if seed < BY_ILP:
            check(case, solve(case.problem(), "ilp"))
            check(case, minimise_exhaustively(case.problem()))
        if case.objective == "bottleneck":
            check_fastest(case, result)


def merged(problem: Problem, twins: int) -> Problem:
    """Every worker several times, with the links of the first one."""
    transfer_s = problem.transfer_s.copy()
    transfer_s[range(len(transfer_s)), range(len(transfer_s))] = 0.4
    available = problem.available * twins
    return problem.but(
        transfer_s=transfer_s,
        transfer_busy_s=transfer_s,
        available=available,
        max_nodes=problem.max_nodes * twins,
    )


def renamed(problem: Problem, order: np.ndarray) -> Problem:
    """The same workers in another order."""
    by_group = "latency_s medium_s allowed loss weight_bytes live_bytes memory_limit_bytes"
    by_end = "input_s output_s input_busy_s output_busy_s input_medium_s output_medium_s"
    between = "transfer_s transfer_busy_s transfer_medium_s"
    changes = {name: getattr(problem, name)[order] for name in by_group.split()}
    changes |= {name: getattr(problem, name)[order] for name in by_end.split()}
    return problem.but(
        busy_s=problem.busy_s[:, order],
        **{name: getattr(problem, name)[np.ix_(order, order)] for name in between.split()},
        **changes,
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_longer_chains_against_the_ilp(objective: str) -> None:
    for seed in range(3):
        problem = drawn_chain(seed, 3, 10, objective=objective, any_order=True)
        for each in (memory_for(problem, 1.4), merged(problem, 2)):
            result, ilp = solve(each), solve(each, "ilp")
            assert result.certificate.solver == STAGES
            assert ilp.certificate.status == result.certificate.status == "optimal"
            assert result.objective_s == pytest.approx(ilp.objective_s, rel=1e-9)
            assert result.choice is not None
            assert not evaluate(each, result.choice).violations


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("twins", [1, 3])
def test_workers_can_be_renamed(objective: str, twins: int) -> None:
    problem = merged(drawn_chain(7, 4, 40, objective=objective, any_order=True), twins)
    known = solve(problem).objective_s
    order = np.random.default_rng(1).permutation(len(problem.group_names))
    assert solve(renamed(problem, order)).objective_s == pytest.approx(known, rel=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_any_order_is_no_worse_than_any_ring(objective: str) -> None:
    problem = memory_for(drawn_chain(2, 5, 40, objective=objective), 1.3)
    free = solve(problem.but(follows=np.ones_like(problem.follows)))
    assert free.objective_s is not None and free.choice is not None
    random = np.random.default_rng(3)
    rings = [solve(renamed(problem, random.permutation(5))) for _ in range(20)]
    assert all(free.objective_s <= (r.objective_s or np.inf) * (1 + 1e-12) for r in rings)
    # and there is a ring that is as good: its own order
    used = list(free.choice.groups)
    order = np.array(used + [n for n in range(5) if n not in used])
    own = solve(renamed(problem, order))
    assert own.objective_s == pytest.approx(free.objective_s, rel=1e-12)


def test_many_kinds_on_a_short_chain() -> None:
    # states are nodes used so far: on a short chain only few of them can be reached
    problem = drawn_chain(1, 20, 2, objective="bottleneck", any_order=True)
    result = solve(problem)
    assert result.certificate.status == "optimal"
    oracle = minimise_exhaustively(problem).objective_s
    assert result.objective_s == pytest.approx(oracle, rel=1e-9)


def test_too_many_states_go_to_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = drawn_chain(1, 4, 6, any_order=True)
    known = solve(problem)
    monkeypatch.setattr(stage_graph, "MAX_EDGES", 10)
    result = solve(problem)
    assert result.certificate.solver == f"{SOLVER_NAME} after {STAGES}"
    assert result.certificate.status == known.certificate.status == "optimal"
    assert result.objective_s == pytest.approx(known.objective_s, rel=1e-9)

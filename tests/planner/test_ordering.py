"""Workers in any order: against every order, against the ILP, and the merging of equal ones."""

from __future__ import annotations

from functools import partial
from random import Random

import numpy as np
import pytest
from planner.solve.allocation.ilp import ilp_allocation
from planner.solve.allocation.ordering import kinds_of_workers
from planner.solve.allocation.passes import is_covered
from planner.solve.allocation.solver import DP_NAME, solve_allocation

from planner.domain.certificate import AllocationProblem
from planner.solve.check import evaluate_allocation
from planner.solve.exhaustive import exhaustive_allocation
from planner.solve.milp import SOLVER_NAME
from tests.planner.chains import drawn_chain, memory_for
from tests.planner.checks import ALLOCATION, check, check_fastest

OBJECTIVES = ("latency", "bottleneck")
CASES = 60  # of each of the eighteen kinds
BY_ILP = 10


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ALLOCATION)
def test_every_small_case_in_any_order(kind: str) -> None:
    draw = partial(ALLOCATION[kind], any_order=True)
    for seed in range(CASES):
        case = draw(Random(f"any {kind} {seed}"))
        result = solve_allocation(case.problem())
        check(case, result)
        assert result.certificate.solver == DP_NAME
        if seed < BY_ILP:
            check(case, solve_allocation(case.problem(), solver="ilp"))
            check(case, exhaustive_allocation(case.problem()))
        if case.objective == "bottleneck":
            check_fastest(case, result)


def merged(problem: AllocationProblem, twins: int) -> AllocationProblem:
    """Every worker several times, with the links of the first one."""
    source = np.repeat(np.arange(len(problem.worker_names)), twins)
    transfer_s = problem.transfer_s[np.ix_(source, source)].copy()
    same = source[:, None] == source[None, :]
    transfer_s[same] = 0.4
    transfer_s[range(len(source)), range(len(source))] = 0
    return problem.model_copy(
        update={
            "compute_s": problem.compute_s[source],
            "transfer_s": transfer_s,
            "input_s": problem.input_s[source],
            "output_s": problem.output_s[source],
            "memory_limit_bytes": tuple(problem.memory_limit_bytes[n] for n in source),
            "worker_names": tuple(f"w{index}" for index in range(len(source))),
        }
    )


def renamed(problem: AllocationProblem, order: np.ndarray) -> AllocationProblem:
    """The same workers in another order."""
    return problem.model_copy(
        update={
            "compute_s": problem.compute_s[order],
            "transfer_s": problem.transfer_s[np.ix_(order, order)],
            "input_s": problem.input_s[order],
            "output_s": problem.output_s[order],
            "memory_limit_bytes": tuple(problem.memory_limit_bytes[n] for n in order),
        }
    )


@pytest.mark.thorough
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_longer_chains_against_the_ilp(objective: str) -> None:
    for seed in range(3):
        problem = drawn_chain(seed, 3, 10, objective=objective, any_order=True)
        for each in (memory_for(problem, 1.4), merged(problem, 2)):
            result, ilp = solve_allocation(each), ilp_allocation(each)
            assert result.certificate.solver == DP_NAME
            assert ilp.certificate.status == result.certificate.status == "optimal"
            assert result.objective_s == pytest.approx(ilp.objective_s, rel=1e-9)
            assert result.choice is not None
            assert not evaluate_allocation(each, result.choice).violations


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("twins", [1, 3])
def test_workers_can_be_renamed(objective: str, twins: int) -> None:
    problem = merged(drawn_chain(7, 4, 40, objective=objective, any_order=True), twins)
    known = solve_allocation(problem).objective_s
    order = np.random.default_rng(1).permutation(len(problem.worker_names))
    assert solve_allocation(renamed(problem, order)).objective_s == pytest.approx(known, rel=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_any_order_is_no_worse_than_any_ring(objective: str) -> None:
    problem = memory_for(drawn_chain(2, 5, 40, objective=objective), 1.3)
    free = solve_allocation(problem.model_copy(update={"any_order": True}))
    assert free.objective_s is not None and free.choice is not None
    random = np.random.default_rng(3)
    rings = [solve_allocation(renamed(problem, random.permutation(5))) for _ in range(20)]
    assert all(free.objective_s <= (r.objective_s or np.inf) * (1 + 1e-12) for r in rings)
    # and there is a ring that is as good: its own order
    used = list(dict.fromkeys(free.choice.tolist()))
    order = np.array(used + [n for n in range(5) if n not in used])
    own = solve_allocation(renamed(problem, order))
    assert own.objective_s == pytest.approx(free.objective_s, rel=1e-12)


def test_which_workers_are_of_one_kind() -> None:
    rows = np.array([[1.0], [1.0], [2.0], [1.0]])
    alike = np.ones((4, 4, 1))
    assert kinds_of_workers(rows, alike).tolist() == [0, 0, 1, 0]
    one_way = alike.copy()
    one_way[0, 1] = 3.0  # between the two themselves
    assert kinds_of_workers(rows, one_way).tolist() == [0, 1, 2, 3]
    near = alike.copy()
    near[3, 2] = near[2, 3] = 0.5  # the last one is nearer to the third
    assert kinds_of_workers(rows, near).tolist() == [0, 0, 1, 2]


def test_memory_that_differs_by_a_byte_makes_two_kinds() -> None:
    twins = merged(drawn_chain(1, 1, 3, any_order=True), 30)
    assert is_covered(twins)
    sizes = tuple(2**60 + index for index in range(30))  # equal as floats
    assert not is_covered(twins.model_copy(update={"memory_limit_bytes": sizes}))


def test_too_many_kinds_go_to_the_ilp() -> None:
    problem = drawn_chain(1, 20, 2, objective="bottleneck", any_order=True)
    assert not is_covered(problem)
    result = solve_allocation(problem)
    assert result.certificate.solver == SOLVER_NAME
    assert result.certificate.status == "optimal"
    assert result.objective_s == pytest.approx(exhaustive_allocation(problem).objective_s, rel=1e-9)

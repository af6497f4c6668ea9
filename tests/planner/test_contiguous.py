"""Dynamic programming in ring order: against every cut, against the ILP, and its properties."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from planner.solve.allocation.contiguous import memory_starts
from planner.solve.allocation.dp import every_count, first_workers
from planner.solve.allocation.ilp import ilp_allocation
from planner.solve.allocation.passes import LATENCY, Passes, running_sums
from planner.solve.allocation.solver import DP_NAME, solve_allocation
from planner.solve.allocation.stage_bound import least_load

from planner.domain.certificate import AllocationProblem, Result
from planner.errors import BadInputError
from planner.solve.check import allocation_times, evaluate_allocation
from planner.solve.exhaustive import exhaustive_allocation
from tests.planner.chains import best_s, drawn_chain, limited, memory_for
from tests.planner.checks import ALLOCATION, check, check_fastest
from tests.planner.oracle import allocation_case

OBJECTIVES = ("latency", "bottleneck")
CASES = 120  # of each of the eighteen kinds


@pytest.mark.parametrize("kind", ALLOCATION)
def test_every_small_case(kind: str) -> None:
    for seed in range(CASES):
        case = ALLOCATION[kind](Random(f"ring {kind} {seed}"))
        result = solve_allocation(case.problem())
        check(case, result)
        if case.objective == "bottleneck":
            check_fastest(case, result)
            check_fastest(case, exhaustive_allocation(case.problem()))
        assert result.certificate.solver == DP_NAME


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("form", ["plain", "memory", "limit", "all workers"])
def test_long_chains_against_the_ilp(objective: str, shared: bool, form: str) -> None:
    for seed, (workers, units) in enumerate([(3, 40), (5, 30)]):
        problem = drawn_chain(
            seed,
            workers,
            units,
            objective=objective,
            shared_medium=shared,
            medium_s=np.linspace(0, 4, units - 1) * shared,
            all_workers=form == "all workers",
        )
        if form == "memory":
            problem = memory_for(problem, 1.3)
        if form == "limit":
            problem = limited(problem, 1.05)
        ours, ilp = best_s(problem), ilp_allocation(problem).objective_s
        assert ours == pytest.approx(ilp, rel=1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("all_workers", [False, True])
def test_every_node_count_in_one_pass(objective: str, all_workers: bool) -> None:
    problem = memory_for(drawn_chain(3, 7, 50, objective=objective, all_workers=all_workers), 1.6)
    values, plans = every_count(problem)
    assert len(values) == len(plans) == 7
    found = 0
    for count, (value, plan) in enumerate(zip(values, plans, strict=True), start=1):
        first = first_workers(problem, count)
        result = solve_allocation(first)
        if result.objective_s is None:
            assert plan is None and value == np.inf
            continue
        found += 1
        assert plan is not None
        assert value == pytest.approx(result.objective_s, rel=1e-12)
        assert evaluate_allocation(first, plan).objective_s == pytest.approx(value, rel=1e-12)
        assert not evaluate_allocation(first, plan).violations
    assert 1 < found < 7  # few nodes do not hold the model
    if not all_workers:
        assert (np.diff(values[np.isfinite(values)]) <= 0).all()  # more nodes never hurt


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("any_order", [False, True])
def test_a_hopelessly_slow_worker_costs_no_digits(objective: str, any_order: bool) -> None:
    # what it does slowly is never its own; what it does quickly must still be told apart
    def with_slow(slow_s: float, **fields: object) -> AllocationProblem:
        asked = {"objective": objective, "any_order": any_order} | fields
        problem = drawn_chain(1, 5, 30, **asked)
        compute_s = np.outer([1.0, 1.01, 1.0, 0.99, 1.02], problem.compute_s[4])
        compute_s[2, :12] = slow_s
        compute_s[2, 12:18] /= 100
        compute_s[2, 18:] = slow_s
        return problem.model_copy(
            update={"compute_s": compute_s, "transfer_s": problem.transfer_s / 50}
        )

    known = best_s(with_slow(1e3))
    assert best_s(with_slow(1e16)) == pytest.approx(known, rel=1e-12)
    if not any_order:
        values, plans = every_count(with_slow(1e16))
        assert values == pytest.approx(every_count(with_slow(1e3))[0], rel=1e-12)
        assert plans[-1] is not None and 2 in plans[-1]
    medium = {"shared_medium": True, "medium_s": np.linspace(1, 0, 29)}
    fastest_s = best_s(with_slow(1e3, **medium))
    limits = {"max_latency_s": 1.2 * fastest_s}
    assert best_s(with_slow(1e16, **medium, **limits)) == pytest.approx(
        best_s(with_slow(1e3, **medium, **limits)), rel=1e-12
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("any_order", [False, True])
def test_chains_at_the_edge(objective: str, any_order: bool) -> None:
    one = drawn_chain(1, 3, 1, objective=objective, any_order=any_order)
    alone = [allocation_times(one, np.array([n]))[objective == "bottleneck"] for n in range(3)]
    assert best_s(one) == min(alone)
    free = drawn_chain(
        1,
        3,
        6,
        objective=objective,
        any_order=any_order,
        compute_s=np.zeros((3, 6)),
        transfer_s=np.zeros((3, 3, 5)),
        input_s=np.zeros(3),
        output_s=np.zeros(3),
        all_workers=True,
        max_latency_s=0.0,
    )
    assert best_s(free) == 0.0


@pytest.mark.parametrize("memory", [False, True])
def test_no_cut_goes_below_the_bound_of_its_loads(memory: bool) -> None:
    attained = 0
    for seed in range(60):
        problem = drawn_chain(seed, 2 + seed % 6, 8 + seed, objective="bottleneck")
        problem = memory_for(problem, 1.5) if memory else problem
        starts = memory_starts(problem.weight_bytes, problem.live_bytes, problem.memory_limit_bytes)
        bound_s = least_load(running_sums(problem.compute_s), starts)
        free = {key: getattr(problem, key) * 0 for key in ("transfer_s", "input_s", "output_s")}
        assert bound_s == pytest.approx(
            best_s(problem.model_copy(update=free), "ilp" if seed < 15 else "auto"), rel=1e-9
        )
        slow = problem.model_copy(update={"transfer_s": problem.transfer_s * (seed % 4 * 10)})
        value = best_s(slow)
        passes = Passes(slow).best(LATENCY, "max", None)  # as if there were no such bound
        assert passes is not None
        assert value == pytest.approx(allocation_times(slow, passes)[1], rel=1e-12)
        assert value >= bound_s * (1 - 1e-12)
        attained += value <= bound_s * (1 + 1e-12)
    assert 10 < attained < 50


def test_memory_is_counted_in_whole_bytes() -> None:
    huge = 2**61
    weights, live = np.array([huge - 1, 1, 5]), np.array([0, 0, 2])
    limits = (huge, huge - 1, 7, None)
    assert memory_starts(weights, live, limits).tolist() == [
        [0, 0, 0, 1],
        [0, 0, 1, 1],
        [0, 1, 1, 2],
        [0, 0, 0, 0],
    ]


def test_out_of_time_without_and_with_a_plan() -> None:
    problem = drawn_chain(5, 9, 60, objective="bottleneck", any_order=True)
    for known in (problem, problem.model_copy(update={"objective": "latency"})):
        stopped = solve_allocation(known, 0.0)
        assert stopped.certificate.status == "timeout" and stopped.certificate.solver == DP_NAME
        assert stopped.choice is stopped.certificate.bound is None
    searched = limited(problem, 1.3)
    optimum_s = best_s(searched)
    result: Result | None = None
    limit_s = 1e-3
    while result is None or result.choice is None:
        result = solve_allocation(searched, limit_s)
        limit_s *= 1.5
    certificate = result.certificate
    assert certificate.status == "feasible"
    assert result.objective_s is not None and certificate.bound is not None
    assert certificate.bound <= optimum_s * (1 + 1e-12) <= result.objective_s * (1 + 2e-12)
    gap = (result.objective_s - certificate.bound) / result.objective_s
    assert certificate.gap == pytest.approx(gap) and gap > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"any_order": True},
        {"max_latency_s": 1.0},
        {"max_bottleneck_s": 1.0},
        {"objective": "bottleneck", "shared_medium": True},
    ],
)
def test_one_pass_does_not_answer_everything(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="ring's order and memory limits only"):
        every_count(drawn_chain(1, 3, 6, **fields))


def test_an_unknown_solver_is_refused() -> None:
    with pytest.raises(BadInputError, match="'cbc'; allowed: auto, ilp"):
        solve_allocation(allocation_case(Random(1), "latency").problem(), solver="cbc")

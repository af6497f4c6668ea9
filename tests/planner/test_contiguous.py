"""Dynamic programming in ring order: against every cut, against the ILP, and its properties."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from planner.errors import BadInputError
from planner.solve.check import times_of
from planner.solve.deadline import Deadline
from planner.solve.exhaustive import minimise_exhaustively
from planner.solve.problem import NO_LIMIT, Problem, Result
from planner.solve.ring.chain import Ring, ring_of
from planner.solve.ring.contiguous import memory_starts
from planner.solve.ring.passes import LATENCY, Passes, running_sums
from planner.solve.ring.stage_bound import least_load
from planner.solve.solver import RING, solve
from tests.planner.chains import best_s, drawn_chain, limited, memory_for
from tests.planner.checks import ALLOCATION, check, check_fastest
from tests.planner.oracle import allocation_case
from tests.planner.problems import choice_of

OBJECTIVES = ("latency", "bottleneck")
CASES = 120  # of each of the eighteen kinds


@pytest.mark.parametrize("kind", ALLOCATION)
def test_every_small_case(kind: str) -> None:
    for seed in range(CASES):
        case = ALLOCATION[kind](Random(f"ring {kind} {seed}"))
        result = solve(case.problem())
        check(case, result)
        if case.objective == "bottleneck":
            check_fastest(case, result)
            check_fastest(case, minimise_exhaustively(case.problem()))
        assert result.certificate.solver == RING


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
        ours, ilp = best_s(problem), best_s(problem, "ilp")
        assert ours == pytest.approx(ilp, rel=1e-9)


def with_transfers(problem: Problem, transfer_s: np.ndarray) -> Problem:
    """The same with other transfers, none of which is delayed."""
    return problem.but(transfer_s=transfer_s, transfer_busy_s=transfer_s)


def ring(problem: Problem) -> Ring:
    found = ring_of(problem)
    assert found is not None
    return found


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("all_workers", [False, True])
def test_more_nodes_of_one_kind_in_any_order_are_a_ring(objective: str, all_workers: bool) -> None:
    line = drawn_chain(3, 1, 10, objective=objective, any_order=True)
    line = with_transfers(line, np.full_like(line.transfer_s, 0.3)).but(max_nodes=5)
    line = memory_for(line.but(available=np.array([5])), 1.6)
    known = np.inf
    found = 0
    for nodes in range(1, 6):
        problem = line.but(max_nodes=nodes, all_nodes=all_workers)
        result = solve(problem)
        assert result.certificate.solver == RING
        oracle = minimise_exhaustively(problem)
        assert result.certificate.status == oracle.certificate.status
        if result.objective_s is None:
            continue
        found += 1
        assert result.objective_s == pytest.approx(oracle.objective_s, rel=1e-9)
        assert all_workers or result.objective_s <= known  # more nodes never hurt
        known = result.objective_s
    assert 1 < found < 5  # few nodes do not hold the model


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("any_order", [False, True])
def test_a_hopelessly_slow_worker_costs_no_digits(objective: str, any_order: bool) -> None:
    # what it does slowly is never its own; what it does quickly must still be told apart
    def with_slow(slow_s: float, **fields: object) -> Problem:
        asked = {"objective": objective, "any_order": any_order} | fields
        problem = drawn_chain(1, 5, 30, **asked)
        compute_s = np.outer([1.0, 1.01, 1.0, 0.99, 1.02], problem.latency_s[4, :, 0])
        compute_s[2, :12] = slow_s
        compute_s[2, 12:18] /= 100
        compute_s[2, 18:] = slow_s
        return with_transfers(problem, problem.transfer_s / 50).but(
            latency_s=compute_s[..., None], busy_s=compute_s[None, ..., None]
        )

    known = best_s(with_slow(1e3))
    assert best_s(with_slow(1e16)) == pytest.approx(known, rel=1e-12)
    if not any_order:
        plan = solve(with_slow(1e16)).choice
        assert plan is not None and 2 in plan.groups
    medium = {"shared_medium": True, "medium_s": np.linspace(1, 0, 29)}
    fastest_s = best_s(with_slow(1e3, **medium, objective="latency"))
    limits = {"max_latency_s": 1.2 * fastest_s}
    assert best_s(with_slow(1e16, **medium, **limits)) == pytest.approx(
        best_s(with_slow(1e3, **medium, **limits)), rel=1e-12
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("any_order", [False, True])
def test_chains_at_the_edge(objective: str, any_order: bool) -> None:
    one = drawn_chain(1, 3, 1, objective=objective, any_order=any_order)
    times = [times_of(one, choice_of([n])) for n in range(3)]
    alone = [t.latency_s if objective == "latency" else t.bottleneck_s for t in times]
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
        chain = ring(problem)
        bound_s = least_load(running_sums(chain.work_s), chain.fits)
        ends = ("input_s", "output_s", "input_busy_s", "output_busy_s")
        free = {key: getattr(problem, key) * 0 for key in ("transfer_s", "transfer_busy_s", *ends)}
        assert bound_s == pytest.approx(
            best_s(problem.but(**free), "ilp" if seed < 15 else "auto"), rel=1e-9
        )
        slow = with_transfers(problem, problem.transfer_s * (seed % 4 * 10))
        value = best_s(slow)
        # as if there were no such bound
        workers = Passes(ring(slow), Deadline()).best(LATENCY, "max", None)
        assert workers is not None
        assert value == pytest.approx(ring(slow).times(workers).bottleneck_s, rel=1e-12)
        assert value >= bound_s * (1 - 1e-12)
        attained += value <= bound_s * (1 + 1e-12)
    assert 10 < attained < 50


def test_memory_is_counted_in_whole_bytes() -> None:
    huge = 2**61
    weights, live = np.array([huge - 1, 1, 5]), np.array([0, 0, 2])
    limits = np.array([huge, huge - 1, 7, NO_LIMIT])
    starts = memory_starts(np.tile(weights, (4, 1)), np.tile(live, (4, 1)), limits)
    assert starts.tolist() == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 2], [0, 0, 0, 0]]


def test_out_of_time_without_and_with_a_plan() -> None:
    # memory for a share of the chain each: no single worker takes all of it
    problem = memory_for(drawn_chain(5, 9, 60, objective="bottleneck"), 1.5)
    for known in (problem, problem.but(objective="latency")):
        stopped = solve(known, deadline=Deadline(0.0))
        assert stopped.certificate.status == "timeout" and stopped.certificate.solver == RING
        assert stopped.choice is stopped.certificate.bound is None
    searched = limited(problem, 1.3)
    optimum_s = best_s(searched)
    result: Result | None = None
    limit_s = 1e-3
    while result is None or result.choice is None:
        result = solve(searched, deadline=Deadline(limit_s))
        limit_s *= 1.5
    certificate = result.certificate
    assert certificate.status in ("feasible", "optimal")
    assert result.objective_s is not None and certificate.bound is not None
    assert certificate.bound <= optimum_s * (1 + 1e-12) <= result.objective_s * (1 + 2e-12)
    gap = (result.objective_s - certificate.bound) / result.objective_s
    assert certificate.gap == pytest.approx(gap)


def test_an_unknown_solver_is_refused() -> None:
    with pytest.raises(BadInputError, match="'cbc'; allowed: auto, ilp"):
        solve(allocation_case(Random(1), "latency").problem(), "cbc")


@pytest.mark.parametrize("nodes", [32, 100])
def test_equal_layers_on_equal_nodes_are_cut_into_equal_parts(nodes: int) -> None:
    # every cut ties with many others: only a bound that they all reach proves any of them
    line = drawn_chain(1, 1, 100, objective="bottleneck", any_order=True)
    problem = with_transfers(line, np.full_like(line.transfer_s, 0.01)).but(
        latency_s=np.ones_like(line.latency_s),
        busy_s=np.ones_like(line.busy_s),
        available=np.array([nodes]),
        max_nodes=nodes,
    )
    result = solve(problem)
    assert result.certificate.status == "optimal"
    assert result.objective_s == -(-100 // nodes)

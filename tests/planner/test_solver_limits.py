"""Time limits, explanations of what does not fit, and problems at the edge of the arrays."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from planner.solve.allocation.solver import solve_allocation
from planner.solve.sparsity.solver import solve_sparsity

from planner.domain.certificate import AllocationProblem, Result, SparsityProblem, SumLimit
from planner.errors import BadInputError
from planner.solve.check import evaluate_allocation, evaluate_sparsity
from planner.solve.exhaustive import MAX_CASES, exhaustive_allocation, exhaustive_sparsity
from planner.units import round_up
from tests.planner.oracle import AllocationCase, SparsityCase, allocation_case, sparsity_case

EXPLAINED = 150  # infeasible cases of each kind


def partition(layers: int, dimensions: int, seed: int) -> SparsityProblem:
    """Share vectors out between two options so that every dimension is balanced: hard."""
    random = Random(seed)
    drawn = [[random.randint(1, 10**6) for _ in range(layers)] for _ in range(dimensions)]
    size = np.array([[round(1e6 * x / sum(row)) for x in row] for row in drawn])
    one = np.stack([size, np.zeros_like(size)], axis=2)
    objective = np.concatenate([one, one[:, :, ::-1]]) * 1e-6
    return SparsityProblem(objective_s=objective, allowed=np.ones((layers, 2), dtype=np.bool_))


def full_ring(workers: int = 8, units: int = 120) -> AllocationProblem:
    """A long chain on unlike workers whose memory holds a little more than their share."""
    random = Random(1)
    work = [random.randint(1, 1000) for _ in range(units)]
    slow = [random.randint(1, 5) for _ in range(workers)]
    sent = [
        [[random.randint(1, 1000) * (n != m) for _ in range(units - 1)] for m in range(workers)]
        for n in range(workers)
    ]
    weights = np.array([random.randint(10**5, 10**6) for _ in range(units)])
    return AllocationProblem(
        objective="latency",
        compute_s=np.outer(slow, work) * 1e-3,
        transfer_s=np.array(sent) * 1e-3,
        medium_s=np.zeros(units - 1),
        input_s=np.zeros(workers),
        output_s=np.zeros(workers),
        weight_bytes=weights,
        live_bytes=np.full(units, 1000),
        memory_limit_bytes=(int(weights.sum() * 1.3 / workers),) * workers,
        worker_names=tuple("abcdefgh"[:workers]),
    )


def stopped(solve: Callable[[float], Result]) -> Result:
    """The first result with a plan, on the way of doubling a very short time limit."""
    limit_s = 1e-6
    while True:
        result = solve(limit_s)
        if result.choice is not None:
            return result
        check_timeout(result)
        limit_s = max(2 * limit_s, 0.01)


def check_timeout(result: Result) -> None:
    assert result.certificate.status == "timeout"
    assert result.choice is None and result.objective_s is None
    assert result.certificate.gap is None and not result.binding


def check_feasible(result: Result, optimum_s: float) -> None:
    """A plan without proof: no better than the optimum, which is no better than the bound."""
    certificate = result.certificate
    assert certificate.status == "feasible"
    assert result.objective_s is not None
    assert result.objective_s >= optimum_s * (1 - 1e-9)
    if certificate.bound is None:
        assert certificate.gap is None
        return
    assert certificate.bound <= optimum_s * (1 + 1e-9)
    gap = (result.objective_s - certificate.bound) / result.objective_s
    assert certificate.gap == pytest.approx(gap, abs=1e-9) and gap > 0


def test_a_sparsity_problem_that_is_stopped() -> None:
    layers = 20
    problem = partition(layers, 5, seed=1)
    codes = np.arange(2**layers)
    first = np.zeros((5, 2**layers))
    for layer in range(layers):
        first += problem.objective_s[:5, layer, :1] * (codes >> layer & 1)
    total = problem.objective_s[:5, :, 0].sum(axis=1)[:, None]
    optimum_s = float(np.maximum(first, total - first).max(axis=0).min())
    check_timeout(solve_sparsity(problem, 0.0))
    result = stopped(lambda limit_s: solve_sparsity(problem, limit_s))
    check_feasible(result, optimum_s)
    assert result.choice is not None
    assert evaluate_sparsity(problem, result.choice).objective_s == result.objective_s
    # with all the time that it needs it finds what trying everything finds
    proven = solve_sparsity(problem)
    assert proven.certificate.status == "optimal"
    assert proven.objective_s == pytest.approx(optimum_s, rel=1e-9)


@pytest.mark.thorough
def test_an_allocation_that_is_stopped() -> None:
    problem = full_ring()
    check_timeout(solve_allocation(problem, 0.0, "ilp"))
    result = stopped(lambda limit_s: solve_allocation(problem, limit_s, "ilp"))
    proven = solve_allocation(problem)
    assert proven.certificate.status == "optimal" and proven.objective_s is not None
    check_feasible(result, proven.objective_s)
    assert result.choice is not None
    assert not evaluate_allocation(problem, result.choice).violations


def test_a_time_limit_that_is_long_enough_changes_nothing() -> None:
    case = sparsity_case(Random(3), resources=2, sums=1)
    assert solve_sparsity(case.problem(), 60.0).objective_s == (
        solve_sparsity(case.problem()).objective_s
    )


def infeasible_sparsity(random: Random) -> SparsityCase:
    while True:
        case = sparsity_case(
            random,
            resources=random.randint(1, 2),
            sums=random.randint(0, 2),
            nodes=random.randint(0, 2),
            alike=random.random() < 0.3,
        )
        if case.best() is None:
            return case


def relaxed_sparsity(
    case: SparsityCase, name: str, limit: float | None = None, more: int = 0
) -> SparsityCase:
    """The case with another limit in seconds, or with more bytes on each node."""
    if name == "memory":
        memory = [(weights, live, most + more) for weights, live, most in case.memory]
        return replace(case, memory=memory)
    assert limit is not None
    sums = list(case.sums)
    index = int(name.removeprefix("sum "))
    sums[index] = (sums[index][0], whole_ticks(limit, case.tick))
    return replace(case, sums=sums)


def whole_ticks(limit_s: float, tick: float) -> int:
    return int(limit_s / tick * (1 + 1e-9))


SUM = r"(.+) binds: the limit is (\S+) s, the smallest that works is (\S+) s"
MEMORY = r"memory of (.+) binds: its limit is ([\d,]+) bytes, the smallest that works is ([\d,]+) "
MEMORY += r"\(([\d,]+) more on each limited node\)"


@pytest.mark.parametrize("block", range(3))
def test_why_no_sparsity_fits(block: int) -> None:
    for seed in range(block * EXPLAINED // 3, (block + 1) * EXPLAINED // 3):
        case = infeasible_sparsity(Random(seed))
        text = solve_sparsity(case.problem()).binding
        if found := re.fullmatch(MEMORY, text):
            limit, least, more = (int(number.replace(",", "")) for number in found.groups()[1:])
            assert limit == min(most for _, _, most in case.memory)
            assert limit + more == least
            assert relaxed_sparsity(case, "memory", more=more).best() is not None
            assert relaxed_sparsity(case, "memory", more=more - 1).best() is None
        elif found := re.fullmatch(SUM, text):
            name, least_s = found[1], float(found[3])
            limit_s = case.sums[int(name.removeprefix("sum "))][1] * case.tick
            assert float(found[2]) == pytest.approx(limit_s, rel=1e-5)
            assert relaxed_sparsity(case, name, limit=least_s).best() is not None
            assert relaxed_sparsity(case, name, limit=least_s * 0.999).best() is None
        else:
            assert text.startswith("several limits exclude each other")
            for name in ["memory"] * bool(case.memory) + [
                f"sum {index}" for index in range(len(case.sums))
            ]:
                endless = relaxed_sparsity(case, name, limit=1e9, more=10**15)
                assert endless.best() is None


def infeasible_allocation(random: Random, any_order: bool) -> AllocationCase:
    while True:
        case = allocation_case(
            random,
            random.choice(["latency", "bottleneck"]),
            memory=random.random() < 0.6,
            all_workers=random.random() < 0.5,
            limits=random.choice([0, 1, 1, 2]),
            equal=random.random() < 0.5,
            any_order=any_order,
        )
        if case.best() is None:
            return case


def more_memory(case: AllocationCase, more: int) -> AllocationCase:
    return replace(case, memory=[most if most is None else most + more for most in case.memory])


@pytest.mark.thorough
@pytest.mark.parametrize("any_order", [False, True])
@pytest.mark.parametrize("solver", ["auto", "ilp"])
def test_why_no_allocation_fits(solver: str, any_order: bool) -> None:
    for seed in range(EXPLAINED):
        case = infeasible_allocation(Random(seed), any_order)
        text = solve_allocation(case.problem(), solver=solver).binding
        if found := re.fullmatch(MEMORY, text):
            limit, least, more = (int(number.replace(",", "")) for number in found.groups()[1:])
            assert limit == min(most for most in case.memory if most is not None)
            assert limit + more == least
            assert more_memory(case, more).best() is not None
            assert more_memory(case, more - 1).best() is None
        elif found := re.fullmatch(SUM, text):
            field = f"max_{found[1]}"
            least_s = float(found[3])
            for limit_s, fits in ((least_s, True), (least_s * 0.999, False)):
                relaxed = replace(case, **{field: whole_ticks(limit_s, case.tick)})
                assert (relaxed.best() is not None) == fits
        elif "nodes cannot each have one of" in text:
            assert case.all_workers and len(case.compute) > len(case.weights)
        else:
            assert text.startswith("several limits exclude each other")
            for relaxed in (
                more_memory(case, 10**15),
                replace(case, max_latency=None),
                replace(case, max_bottleneck=None),
            ):
                assert relaxed == case or relaxed.best() is None


def test_a_limit_of_zero_allows_nothing_above_it() -> None:
    values = np.array([[1e-10, 0.0], [2.0, 0.0]])
    problem = SparsityProblem(
        objective_s=np.array([[[1.0, 5.0], [1.0, 5.0]]]),
        allowed=np.ones((2, 2), dtype=np.bool_),
        sum_limits=(SumLimit(name="loss", values=values, limit=0.0),),
    )
    for result in (solve_sparsity(problem), exhaustive_sparsity(problem)):
        assert result.choice is not None and result.choice.tolist() == [1, 1]


def test_a_problem_without_any_cost() -> None:
    problem = SparsityProblem(
        objective_s=np.zeros((1, 2, 2)), allowed=np.ones((2, 2), dtype=np.bool_)
    )
    for result in (solve_sparsity(problem), exhaustive_sparsity(problem)):
        assert result.certificate.status == "optimal"
        assert result.objective_s == result.certificate.bound == result.certificate.gap == 0


def test_what_cannot_be_tried_is_refused() -> None:
    layers = 21
    wide = SparsityProblem(
        objective_s=np.ones((1, layers, 2)), allowed=np.ones((layers, 2), dtype=np.bool_)
    )
    assert 2**layers > MAX_CASES
    with pytest.raises(BadInputError, match="combinations; at most 2,000,000"):
        exhaustive_sparsity(wide)
    with pytest.raises(BadInputError, match="combinations; at most 2,000,000"):
        exhaustive_allocation(full_ring(8, 40))


def test_among_equal_plans_the_first_workers_of_the_ring_are_taken() -> None:
    case = allocation_case(Random(0), "latency", equal=True)
    case = replace(
        case,
        compute=[[5, 5]] * 3,
        transfer=[[[0], [1], [1]], [[1], [0], [1]], [[1], [1], [0]]],
        medium=[0],
        ends=([0] * 3, [0] * 3),
        weights=[10, 10],
        live=[1, 1],
        memory=[11] * 3,
    )
    result = solve_allocation(case.problem())
    assert result.choice is not None and result.choice.tolist() == [0, 1]


@pytest.mark.parametrize(
    "value, text",
    [
        (0.3, "0.3"),
        (0.1 + 0.2, "0.3"),  # float noise is none of the reader's business
        (1.2345674, "1.23457"),
        (1.2345676, "1.23457"),
        (1.2345612, "1.23457"),
        (123456789.0, "1.23457e+08"),
        (0.0, "0"),
        (9.9999991, "10"),
    ],
)
def test_the_smallest_that_works_is_never_rounded_down(value: float, text: str) -> None:
    assert round_up(value) == text
    assert float(text) >= value * (1 - 1e-9)

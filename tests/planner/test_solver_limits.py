"""Time limits, explanations of what does not fit, and problems at the edge of the arrays."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from planner.domain.certificate import Certificate
from planner.errors import BadInputError
from planner.solve.check import evaluate
from planner.solve.deadline import Deadline
from planner.solve.exhaustive import MAX_CASES, minimise_exhaustively
from planner.solve.explain import explain
from planner.solve.problem import Problem, Result
from planner.solve.solver import solve
from planner.units import round_up
from tests.planner.oracle import AllocationCase, SparsityCase, allocation_case, sparsity_case
from tests.planner.problems import chain_problem, choice_problem, workers_of

EXPLAINED = 150  # infeasible cases of each kind


def partition(layers: int, dimensions: int, seed: int) -> Problem:
    """Share vectors out between two options so that every dimension is balanced: hard."""
    random = Random(seed)
    drawn = [[random.randint(1, 10**6) for _ in range(layers)] for _ in range(dimensions)]
    size = np.array([[round(1e6 * x / sum(row)) for x in row] for row in drawn])
    one = np.stack([size, np.zeros_like(size)], axis=2)
    objective = np.concatenate([one, one[:, :, ::-1]]) * 1e-6
    return choice_problem(objective, np.ones((layers, 2), dtype=np.bool_))


def full_ring(workers: int = 8, units: int = 120) -> Problem:
    """A long chain on unlike workers whose memory holds a little more than their share."""
    random = Random(1)
    work = [random.randint(1, 1000) for _ in range(units)]
    slow = [random.randint(1, 5) for _ in range(workers)]
    sent = [
        [[random.randint(1, 1000) * (n != m) for _ in range(units - 1)] for m in range(workers)]
        for n in range(workers)
    ]
    weights = np.array([random.randint(10**5, 10**6) for _ in range(units)])
    return chain_problem(
        objective="latency",
        compute_s=np.outer(slow, work) * 1e-3,
        transfer_s=np.array(sent) * 1e-3,
        medium_s=np.zeros(units - 1),
        input_s=np.zeros(workers),
        output_s=np.zeros(workers),
        weight_bytes=weights,
        live_bytes=np.full(units, 1000),
        memory_limit_bytes=(int(weights.sum() * 1.3 / workers),) * workers,
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


def test_a_choice_that_is_stopped() -> None:
    layers = 20
    problem = partition(layers, 5, seed=1)
    codes = np.arange(2**layers)
    first = np.zeros((5, 2**layers))
    for layer in range(layers):
        first += problem.busy_s[:5, 0, layer, :1] * (codes >> layer & 1)
    total = problem.busy_s[:5, 0, :, 0].sum(axis=1)[:, None]
    optimum_s = float(np.maximum(first, total - first).max(axis=0).min())
    # all layers at one option are a plan that needs no time
    for result in (
        solve(problem, "ilp", Deadline(0.0)),
        solve(problem, deadline=Deadline(0.0)),
        stopped(lambda limit_s: solve(problem, deadline=Deadline(limit_s))),
    ):
        check_feasible(result, optimum_s)
        assert result.choice is not None
        assert evaluate(problem, result.choice).objective_s == result.objective_s
    # with all the time that it needs it finds what trying everything finds
    proven = solve(problem)
    assert proven.certificate.status == "optimal"
    assert proven.objective_s == pytest.approx(optimum_s, rel=1e-9)


def test_an_allocation_that_is_stopped() -> None:
    problem = full_ring()
    check_timeout(solve(problem, "ilp", Deadline(0.0)))
    result = stopped(lambda limit_s: solve(problem, "ilp", Deadline(limit_s)))
    proven = solve(problem)
    assert proven.certificate.status == "optimal" and proven.objective_s is not None
    check_feasible(result, proven.objective_s)
    assert result.choice is not None
    assert not evaluate(problem, result.choice).violations


@pytest.mark.parametrize("single", [True, False])
def test_a_program_that_is_not_written_down_in_time(single: bool) -> None:
    """The integer program alone was asked for: what is as simple as one stage is known anyway."""
    problem = full_ring(workers=4, units=12)
    free = problem.but(memory_limit_bytes=np.full_like(problem.memory_limit_bytes, 2**62))
    result = solve(free if single else problem, "ilp", Deadline(0.0))
    assert result.certificate.status == ("feasible" if single else "timeout")
    assert (result.choice is not None) == single
    assert result.certificate.solver == "PuLP + HiGHS"


def test_a_time_limit_that_is_long_enough_changes_nothing() -> None:
    case = sparsity_case(Random(3), resources=2, sums=1)
    assert solve(case.problem(), deadline=Deadline(60.0)).objective_s == (
        solve(case.problem()).objective_s
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


def with_more(case: SparsityCase, nodes: list[int], more: int) -> SparsityCase:
    """The case with more bytes on some nodes."""
    memory = [
        (weights, live, most + more * (node in nodes))
        for node, (weights, live, most) in enumerate(case.memory)
    ]
    return replace(case, memory=memory)


def with_limit(case: SparsityCase, index: int, limit: int) -> SparsityCase:
    """The case with another limit on a sum, in ticks."""
    sums = list(case.sums)
    sums[index] = (sums[index][0], limit)
    return replace(case, sums=sums)


def whole_ticks(limit_s: float, tick: float) -> int:
    return int(limit_s / tick * (1 + 1e-6))


LOSS = r"loss binds: the limit is (\S+) s, the smallest that works is (\S+) s"
LATENCY = r"latency binds: the limit is (\S+) s, the smallest that works is (\S+) s"
RATE = r"throughput binds: the limit is (\S+) inputs/s, the largest that works is (\S+) inputs/s"
MEMORY = r"memory of (.+) binds: its limit is ([\d,]+) bytes?, the smallest that works is ([\d,]+) "
MEMORY += r"bytes? \(([\d,]+) bytes? more on (each limited node|each node of this kind)\)"
ENDLESS = 10**15


def check_memory(
    found: re.Match[str],
    limits: dict[str, int],
    fits: Callable[[list[str], int], bool],
) -> None:
    """The node named is the one that helps with the fewest bytes, and no fewer help.

    ``limits`` are those of the limited nodes by name; ``fits`` tells whether a plan is there with
    so many bytes more on some of them.
    """
    name, *numbers, where = found.groups()
    limit, least, more = (int(number.replace(",", "")) for number in numbers)
    assert limit == limits[name] and limit + more == least
    everywhere = list(limits)
    if where == "each limited node" and len(limits) > 1:
        assert not any(fits([node], ENDLESS) for node in limits)
        assert limit == min(limits.values())
        assert fits(everywhere, more) and not fits(everywhere, more - 1)
        return
    assert fits([name], more)
    assert not any(fits([node], more - 1) for node in limits)


@pytest.mark.parametrize("block", range(3))
def test_why_no_sparsity_fits(block: int) -> None:
    for seed in range(block * EXPLAINED // 3, (block + 1) * EXPLAINED // 3):
        case = infeasible_sparsity(Random(seed))
        text = solve(case.problem()).binding
        limits = {f"node {node}": most for node, (*_, most) in enumerate(case.memory)}
        if len(limits) == 1:  # a group of one node is called by its own name
            limits = {"all": limits["node 0"]}
        names = list(limits)

        def fits(
            nodes: list[str], more: int, case: SparsityCase = case, names: list[str] = names
        ) -> bool:
            return with_more(case, [names.index(n) for n in nodes], more).best() is not None

        if found := re.fullmatch(MEMORY, text):
            check_memory(found, limits, fits)
            continue
        assert not limits or not fits(names, ENDLESS)
        if text.startswith("several limits exclude each other"):
            for index in range(len(case.sums)):
                assert with_limit(case, index, ENDLESS).best() is None
            continue
        if found := re.fullmatch(LOSS, text):
            index, limit_s, least_s = 0, float(found[1]), float(found[2])
        elif found := re.fullmatch(LATENCY, text):
            index, limit_s, least_s = 1, float(found[1]), float(found[2])
        else:
            found = re.fullmatch(RATE, text)
            assert found is not None, text
            index = 1
            limit_s, least_s = (
                0.0 if number == "any number of" else 1 / float(number) for number in found.groups()
            )
        given_s = case.sums[index][1] * case.tick
        assert limit_s == pytest.approx(given_s, rel=1e-5)
        for seconds, works in ((least_s, True), (least_s * 0.999, False)):
            least = with_limit(case, index, whole_ticks(seconds, case.tick)).best()
            assert (least is not None) == works


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


def more_memory(case: AllocationCase, nodes: list[int], more: int) -> AllocationCase:
    memory = [
        most if most is None else most + more * (node in nodes)
        for node, most in enumerate(case.memory)
    ]
    return replace(case, memory=memory)


@pytest.mark.parametrize("any_order", [False, True])
@pytest.mark.parametrize("solver", ["auto", "ilp"])
def test_why_no_allocation_fits(solver: str, any_order: bool) -> None:
    for seed in range(EXPLAINED):
        case = infeasible_allocation(Random(seed), any_order)
        text = solve(case.problem(), solver).binding
        limits = {f"worker {n}": most for n, most in enumerate(case.memory) if most is not None}

        def fits(nodes: list[str], more: int, case: AllocationCase = case) -> bool:
            return more_memory(case, [int(n.split()[1]) for n in nodes], more).best() is not None

        if found := re.fullmatch(MEMORY, text):
            check_memory(found, limits, fits)
        elif found := re.fullmatch(LATENCY, text):
            for limit_s, works in ((float(found[2]), True), (float(found[2]) * 0.999, False)):
                relaxed = replace(case, max_latency=whole_ticks(limit_s, case.tick))
                assert (relaxed.best() is not None) == works
        elif found := re.fullmatch(RATE, text):
            for limit_s, works in ((1 / float(found[2]), True), (0.999 / float(found[2]), False)):
                relaxed = replace(case, max_bottleneck=whole_ticks(limit_s, case.tick))
                assert (relaxed.best() is not None) == works
        elif "nodes cannot each have one of" in text:
            assert case.all_workers and len(case.compute) > len(case.weights)
        else:
            assert text.startswith("several limits exclude each other")
            assert not limits or not fits(list(limits), ENDLESS)
            for relaxed in (replace(case, max_latency=None), replace(case, max_bottleneck=None)):
                assert relaxed == case or relaxed.best() is None


def two_memories(large: int, small: int) -> Problem:
    """One layer of 30 bytes and three of 1 on two nodes."""
    weights = np.array([30, 1, 1, 1])
    return chain_problem(
        objective="latency",
        compute_s=np.ones((2, 4)),
        transfer_s=np.full((2, 2, 3), 0.1),
        medium_s=np.zeros(3),
        weight_bytes=weights,
        live_bytes=np.zeros(4, dtype=np.int64),
        memory_limit_bytes=(large, small),
    )


def test_the_memory_that_is_named_is_the_one_that_helps() -> None:
    # the small node holds what is left for it, and with as much more it still does not hold all
    text = solve(two_memories(24, 8)).binding
    assert text == (
        "memory of worker 0 binds: its limit is 24 bytes, the smallest that works is 30 bytes "
        "(6 bytes more on each node of this kind)"
    )
    assert solve(two_memories(24, 8 + 6)).choice is None
    assert solve(two_memories(30, 8)).choice is not None


def test_an_explanation_that_is_stopped_says_so() -> None:
    problem = two_memories(24, 8)
    text = explain(problem, lambda relaxed, part: solve(relaxed, deadline=part), Deadline(0.0))
    assert text == "the search for the limit that binds was stopped: allow more time"
    asked = []

    def give_up_after_two(relaxed: Problem, part: Deadline) -> Result:
        asked.append(relaxed)
        if len(asked) < 3:
            return solve(relaxed)
        certificate = Certificate(status="timeout", solver="none", runtime_s=0.0)
        return Result(choice=None, objective_s=None, certificate=certificate)

    text = explain(problem, give_up_after_two, Deadline())
    assert text.endswith(", or less: the search was stopped") and "what surely works is" in text


def test_a_limit_of_zero_allows_nothing_above_it() -> None:
    values = np.array([[1e-10, 0.0], [2.0, 0.0]])
    costs = np.array([[[1.0, 5.0], [1.0, 5.0]]])
    problem = choice_problem(costs, np.ones((2, 2), dtype=np.bool_), [(values, 0.0)])
    for result in (solve(problem), solve(problem, "ilp"), minimise_exhaustively(problem)):
        assert result.choice is not None and result.choice.options.tolist() == [1, 1]


def test_a_problem_without_any_cost() -> None:
    problem = choice_problem(np.zeros((1, 2, 2)), np.ones((2, 2), dtype=np.bool_))
    for result in (solve(problem), minimise_exhaustively(problem)):
        assert result.certificate.status == "optimal"
        assert result.objective_s == result.certificate.bound == result.certificate.gap == 0


def test_what_cannot_be_tried_is_refused() -> None:
    layers = 21
    wide = choice_problem(np.ones((1, layers, 2)), np.ones((layers, 2), dtype=np.bool_))
    assert 2**layers > MAX_CASES
    with pytest.raises(BadInputError, match="combinations; at most 2,000,000"):
        minimise_exhaustively(wide)
    with pytest.raises(BadInputError, match="combinations; at most 2,000,000"):
        minimise_exhaustively(full_ring(8, 40))


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
    result = solve(case.problem())
    assert result.choice is not None and workers_of(result.choice).tolist() == [0, 1]


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

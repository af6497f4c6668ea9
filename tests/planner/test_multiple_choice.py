"""Lagrangian dual and search on bare arrays: against every combination, the ILP, and itself."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from random import Random

import numpy as np
import pytest
from planner.solve.sparsity.ilp import ilp_sparsity
from planner.solve.sparsity.multiple_choice import Choice, choose
from planner.solve.sparsity.search import search_sparsity
from planner.solve.sparsity.solver import DUAL_NAME, solve_sparsity
from planner.solve.sparsity.state_lists import CellIndex

from planner.domain.certificate import MemoryLimit, SparsityProblem, SumLimit
from planner.solve.check import evaluate_sparsity
from tests.planner.oracle import SparsityCase, sparsity_case

KINDS = {
    "no limit": sparsity_case,
    "a sum": partial(sparsity_case, sums=1),
    "three sums": partial(sparsity_case, sums=3),
    "a memory": partial(sparsity_case, nodes=1),
    "three memories": partial(sparsity_case, nodes=3),
    "sums and memories": partial(sparsity_case, sums=2, nodes=2),
    "equal layers": partial(sparsity_case, sums=1, nodes=1, alike=True),
    "equal layers, memories": partial(sparsity_case, nodes=3, alike=True),
    "bottleneck of two": partial(sparsity_case, resources=2, sums=1, alike=True),
    "bottleneck of three": partial(sparsity_case, resources=3, sums=2, nodes=2),
}
CASES = 120  # of each kind
SCALES = (1e-9, 1e-6, 1.0, 1e3)  # seconds of a tick


def drawn(kind: str, seed: int) -> SparsityCase:
    """A case at any scale; in one of eight a sum's limit is zero and has choices that keep it."""
    random = Random(f"{kind} {seed}")
    case = replace(KINDS[kind](random), tick=random.choice(SCALES))
    if case.sums and random.random() < 0.125:
        values = [[value * random.randint(0, 1) for value in row] for row in case.sums[0][0]]
        case = replace(case, sums=[(values, 0), *case.sums[1:]])
    return case


def check(case: SparsityCase, found: Choice, best: int | None) -> None:
    assert found.closed
    if best is None:
        assert found.choice is None
        assert found.objective == found.bound == np.inf
        return
    assert found.choice is not None
    choice = tuple(found.choice.tolist())
    assert all(row[k] for row, k in zip(case.allowed, choice, strict=True))
    assert case.fits(choice)
    assert case.value(choice) == best
    assert found.objective == pytest.approx(best * case.tick, rel=1e-9, abs=0)
    assert found.bound <= found.objective
    assert found.bound >= found.objective * (1 - 1e-9)
    assert len(found.multipliers) == len(case.sums) + len(case.memory)
    assert (found.multipliers >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_is_that_of_all_combinations(kind: str) -> None:
    statuses = {True: 0, False: 0}
    for seed in range(CASES):
        case = drawn(kind, seed)
        best = case.best()
        statuses[best is None] += 1
        check(case, search_sparsity(case.problem()), best)
    assert statuses[False] > CASES // 10
    assert statuses[True] > 3 or kind == "no limit"


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_costs_less_than_the_cutoff_is_found(kind: str) -> None:
    for seed in range(CASES // 4):
        case = drawn(kind, seed)
        best = case.best()
        if not best:
            continue
        optimum_s = best * case.tick
        found = search_sparsity(case.problem(), cutoff_s=optimum_s)
        assert found.closed and found.choice is None and found.objective == np.inf
        assert found.bound == optimum_s
        check(case, search_sparsity(case.problem(), cutoff_s=optimum_s * (1 + 1e-7)), best)


@pytest.mark.parametrize("kind", KINDS)
def test_multipliers_of_another_problem_change_nothing(kind: str) -> None:
    random = np.random.default_rng(1)
    for seed in range(CASES // 4):
        case = drawn(kind, seed)
        best = case.best()
        rows = len(case.sums) + len(case.memory)
        own = search_sparsity(case.problem()).multipliers
        for near in (own, own * random.uniform(0, 3, rows), random.lognormal(0, 9, rows)):
            check(case, search_sparsity(case.problem(), near=near), best)


def medium(seed: int, layers: int = 20, options: int = 8, resources: int = 1) -> SparsityProblem:
    """Dearer options lose less accuracy and need more memory; both limits bind."""
    random = np.random.default_rng(seed)
    level = np.sort(random.uniform(0, 1, (layers, options)), axis=1)
    size = random.lognormal(0, 1, (layers, 1))
    costs = random.lognormal(0, 0.3, (resources, layers, 1)) * size * (1.2 - level) * 1e-3
    loss = random.lognormal(0, 0.6, (layers, 1)) * level ** random.uniform(1.5, 4, (layers, 1))
    weights = np.rint(random.lognormal(13, 1, (layers, 1)) * (1.5 - level)).astype(np.int64)
    live = np.rint(random.lognormal(14, 0.5, (layers, 1)) * (1.3 - level)).astype(np.int64)
    least, most = weights.min(axis=1).sum(), weights.max(axis=1).sum()
    return SparsityProblem(
        objective_s=costs,
        allowed=random.uniform(size=(layers, options)) < 0.9,
        sum_limits=(SumLimit(name="loss", values=loss, limit=float(loss.max(axis=1).sum() * 0.4)),),
        memory_limits=(
            MemoryLimit(
                name="node",
                weight_bytes=weights,
                live_bytes=live,
                limit_bytes=int(least + 0.4 * (most - least) + live.max() * 0.9),
            ),
        ),
    )


@pytest.mark.parametrize("resources", [1, 2])
def test_the_optimum_is_that_of_the_integer_program(resources: int) -> None:
    for seed in range(8):
        problem = medium(seed, resources=resources)
        result, program = solve_sparsity(problem), ilp_sparsity(problem)
        assert result.certificate.solver == DUAL_NAME
        assert result.certificate.status == program.certificate.status == "optimal"
        assert result.objective_s == pytest.approx(program.objective_s, rel=1e-9)


def test_a_larger_limit_is_never_worse() -> None:
    for seed in range(10):
        problem = medium(seed)
        (loss,), (memory,) = problem.sum_limits, problem.memory_limits
        now = np.inf
        for factor in (0.95, 1.0, 1.02, 1.2, 2.0):
            looser = problem.model_copy(
                update={
                    "sum_limits": (loss.model_copy(update={"limit": loss.limit * factor}),),
                    "memory_limits": (
                        memory.model_copy(update={"limit_bytes": int(memory.limit_bytes * factor)}),
                    ),
                }
            )
            found = search_sparsity(looser)
            assert found.closed and found.objective <= now * (1 + 1e-9)
            now = found.objective
        assert np.isfinite(now)


@pytest.mark.parametrize("factor", [1e-6, 2.0, 1e5])
def test_times_scaled_by_a_factor_scale_the_optimum(factor: float) -> None:
    for seed in range(10):
        problem = medium(seed, resources=1 + seed % 2)
        scaled = problem.model_copy(update={"objective_s": problem.objective_s * factor})
        one, other = search_sparsity(problem), search_sparsity(scaled)
        assert one.closed and other.closed
        assert other.objective == pytest.approx(one.objective * factor, rel=1e-9)


def test_layers_can_be_renamed() -> None:
    random = np.random.default_rng(0)
    for seed in range(10):
        problem = medium(seed)
        order = random.permutation(len(problem.allowed))
        (loss,), (memory,) = problem.sum_limits, problem.memory_limits
        found = choose(
            problem.objective_s[:, order],
            problem.allowed[order],
            [(loss.values[order], loss.limit)],
            [(memory.weight_bytes[order], memory.live_bytes[order], memory.limit_bytes)],
        )
        assert found.closed
        assert found.objective == pytest.approx(search_sparsity(problem).objective, rel=1e-9)


@pytest.mark.parametrize("effort", [0, 10, 100, 1_000, 10_000])
def test_a_search_that_gives_up_still_bounds_the_optimum(effort: int) -> None:
    given_up = 0
    for seed in range(15):
        problem = medium(seed, layers=30, resources=1 + seed % 2)
        best, found = search_sparsity(problem), search_sparsity(problem, effort=effort)
        assert best.closed
        given_up += not found.closed
        assert found.bound <= best.objective * (1 + 1e-9)
        assert found.objective >= best.objective * (1 - 1e-9)
        if found.choice is not None:
            evaluation = evaluate_sparsity(problem, found.choice)
            assert not evaluation.violations and evaluation.objective_s == found.objective
        if found.closed:
            assert found.objective == pytest.approx(best.objective, rel=1e-9)
    assert given_up > 0 or effort == 10_000


def test_a_moment_that_is_over_stops_the_search() -> None:
    problem = medium(3, layers=40)
    found = search_sparsity(problem, stop_at=time.perf_counter())
    assert not found.closed and found.bound < np.inf
    assert found.bound <= search_sparsity(problem).objective


def equal_layers(kinds: int, layers: int = 200) -> SparsityProblem:
    """Layers of a few kinds, and limits that a random choice just keeps."""
    base = medium(7, layers=kinds, options=12)
    at, rows = np.arange(layers), np.arange(layers) % kinds
    (loss,), (memory,) = base.sum_limits, base.memory_limits
    values, weights, live = (
        array[rows] for array in (loss.values, memory.weight_bytes, memory.live_bytes)
    )
    allowed = base.allowed[rows]
    random = np.random.default_rng(kinds)
    choice = np.array([random.choice(np.flatnonzero(row)) for row in allowed])
    need = int(weights[at, choice].sum() + live[at, choice].max())
    return SparsityProblem(
        objective_s=base.objective_s[:, rows],
        allowed=allowed,
        sum_limits=(SumLimit(name="loss", values=values, limit=values[at, choice].sum()),),
        memory_limits=(
            MemoryLimit(name="node", weight_bytes=weights, live_bytes=live, limit_bytes=need),
        ),
    )


@pytest.mark.parametrize("kinds", [1, 2, 3, 12])
def test_many_equal_layers_are_counted(kinds: int) -> None:
    problem = equal_layers(kinds)
    result, program = solve_sparsity(problem), ilp_sparsity(problem)
    assert result.certificate.solver == DUAL_NAME
    assert result.certificate.status == program.certificate.status == "optimal"
    assert result.objective_s == pytest.approx(program.objective_s, rel=1e-9)


def test_bytes_beyond_what_floats_tell_apart() -> None:
    size = 2**60 + 1
    weights = np.array([[size, 0], [size, 1]])
    arrays = (np.array([[1.0, 2.0], [1.0, 2.0]]), np.ones((2, 2), dtype=np.bool_))
    live = np.zeros((2, 2), dtype=np.int64)
    for limit, value in ((2 * size, 2.0), (2 * size - 1, 3.0), (size, 3.0), (size - 1, 4.0)):
        found = choose(*arrays, memories=[(weights, live, limit)])
        assert not found.closed or found.objective == value
        assert found.choice is not None and found.objective >= value
        assert found.bound <= value


def test_a_layer_without_an_option_has_no_choice() -> None:
    found = choose(np.ones((2, 2)), np.array([[True, True], [False, False]]))
    assert found.closed and found.choice is None and found.bound == np.inf


@pytest.mark.parametrize("count", [1, 7, 400])
@pytest.mark.parametrize("strips", [None, 0.05, 3.0])
def test_no_state_inside_both_windows_is_missed(count: int, strips: float | None) -> None:
    random = np.random.default_rng(count)
    fine, coarse = np.round(random.normal(size=(2, count)), 1)  # with ties, also at the ends
    index = CellIndex(fine, None if strips is None else coarse, strips or 0.0)
    ends = np.concatenate([fine, np.round(random.normal(size=60) * 3, 1)])
    low = np.where(random.random(len(ends)) < 0.2, -np.inf, ends - random.random(len(ends)))
    beside = random.choice(coarse, len(ends))
    windows = None if strips is None else (beside - strips * random.random(len(ends)), beside)
    start, counts = index.ranges((low, ends), windows)
    for query in range(len(ends)):
        found = index.members(start[:, query], counts[:, query]).tolist()
        inside = (low[query] <= fine) & (fine <= ends[query])
        if windows is not None:
            inside &= (windows[0][query] <= coarse) & (coarse <= windows[1][query])
        assert len(set(found)) == len(found)
        assert set(np.flatnonzero(inside).tolist()) <= set(found)

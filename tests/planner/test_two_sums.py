"""Two sums at once: a shared medium and the latency; and what more of anything does to both."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from planner.solve.check import times_of
from planner.solve.deadline import Deadline
from planner.solve.milp import SOLVER_NAME
from planner.solve.problem import Problem
from planner.solve.ring import two_sums
from planner.solve.ring.chain import ring_of
from planner.solve.ring.contiguous import RunCosts
from planner.solve.ring.passes import LATENCY, Passes
from planner.solve.ring.two_sums import costs_to_go
from planner.solve.solver import RING, solve
from tests.planner.chains import best_s, drawn_chain, limited, memory_for
from tests.planner.checks import check, check_fastest
from tests.planner.oracle import allocation_case

pytestmark = pytest.mark.thorough  # `make quick` does without

OBJECTIVES = ("latency", "bottleneck")
MEDIUM = ("input_medium_s", "output_medium_s")


def shared(seed: int, workers: int, units: int, occupied: float, **fields: object) -> Problem:
    """A chain on a medium of its own pace, so that its sum and the latency rank cuts unlike."""
    medium_s = np.random.default_rng(seed + 99).uniform(0, occupied, units - 1)
    return drawn_chain(seed, workers, units, shared_medium=True, medium_s=medium_s, **fields)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("occupied", [3.0, 20.0])
@pytest.mark.parametrize("factor", [None, 1.05, 1.3])
def test_two_sums_against_the_ilp(objective: str, occupied: float, factor: float | None) -> None:
    for seed in range(3):
        problem = shared(seed, 4, 24, occupied, objective=objective)
        if factor is not None:
            problem = limited(problem, factor)
        result = solve(problem)
        ilp = solve(problem, "ilp")
        assert (result.certificate.solver, ilp.certificate.solver) == (RING, SOLVER_NAME)
        assert result.certificate.status == ilp.certificate.status == "optimal"
        assert result.objective_s == pytest.approx(ilp.objective_s, rel=1e-9)
        assert result.choice is not None and ilp.choice is not None
        # among equal bottlenecks the least latency
        ours, theirs = (times_of(problem, choice) for choice in (result.choice, ilp.choice))
        assert ours.latency_s <= theirs.latency_s * (1 + 1e-9)


@pytest.mark.parametrize("any_order", [False, True])
def test_two_limited_sums_on_small_cases(any_order: bool) -> None:
    cases = 0
    for seed in range(400):
        case = allocation_case(
            Random(f"two {seed}"),
            OBJECTIVES[seed % 2],
            memory=seed % 3 == 0,
            limits=2,
            any_order=any_order,
        )
        if not case.shared:
            continue
        cases += 1
        result = solve(case.problem())
        check(case, result)
        if case.objective == "bottleneck":
            check_fastest(case, result)
        assert any_order or result.certificate.solver == RING
    assert cases > 80


def rest_s(costs: RunCosts, worker: int, at: int, every: bool) -> float:
    """Least cost behind a stage by trying everything; ``every``: no worker may stay empty."""
    workers, units = costs.sums.shape[0], costs.sums.shape[1] - 1
    if at == units:
        return float(costs.last[worker]) if not every or worker == workers - 1 else np.inf
    return min(
        (
            costs.cut[worker, after, at - 1]
            + costs.sums[after, end]
            - costs.sums[after, at]
            + rest_s(costs, after, end, every)
            for after in range(worker + 1, min(worker + 2, workers) if every else workers)
            for end in range(at + 1, units + 1)
            if costs.start[after, end] <= at
        ),
        default=np.inf,
    )


@pytest.mark.parametrize("every", [False, True])
def test_costs_to_go_by_trying_everything(every: bool) -> None:
    for seed in range(8):
        ring = ring_of(memory_for(drawn_chain(seed, 3, 6), 1.2))
        assert ring is not None
        costs = Passes(ring, Deadline()).cost_stages(LATENCY, None)
        table = costs_to_go(costs, every)
        found = 0
        for worker in range(3):
            for at in range(1, 7):
                expected = rest_s(costs, worker, at, every)
                assert table[worker, at] == pytest.approx(expected, rel=1e-12)
                found += np.isfinite(expected)
        assert found > 3


def test_what_is_too_much_to_weigh_goes_to_the_ilp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_sums, "MAX_EXTENDED", 1)
    solvers = set()
    for seed in range(40):
        problem = limited(shared(seed, 3, 12, 8.0, objective="bottleneck"), 1.3)
        result = solve(problem)
        solvers.add(result.certificate.solver)
        assert result.objective_s == pytest.approx(best_s(problem, "ilp"), rel=1e-9)
    assert solvers == {RING, f"{SOLVER_NAME} after {RING}"}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("any_order", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_more_of_anything_never_hurts(objective: str, any_order: bool, shared: bool) -> None:
    close = 1e-9 if any_order else 1e-12  # in any order a search is proven to its gap
    for seed in range(5):
        units = 25
        problem = drawn_chain(
            seed,
            5,
            units,
            objective=objective,
            any_order=any_order,
            shared_medium=shared,
            medium_s=np.linspace(1, 2, units - 1) * shared,
        )
        problem = memory_for(problem, 1.2)
        known = best_s(problem)
        sent = {
            key: getattr(problem, key) * 0.7
            for key in ("transfer_s", "transfer_medium_s", "input_s", "output_s", *MEDIUM)
        }
        for better in (
            memory_for(problem, 1.5),
            problem.but(latency_s=problem.latency_s * 0.8, busy_s=problem.busy_s * 0.8),
            problem.but(**sent),
        ):
            assert best_s(better) <= known * (1 + close)
        longer = {key: getattr(problem, key) * 3.7 for key in [*sent, "latency_s", "busy_s"]}
        assert best_s(problem.but(**longer)) == pytest.approx(known * 3.7, rel=close)
        within = limited(problem, 1.3)
        assert best_s(within) >= known * (1 - close)

"""Two sums at once: a shared medium and the latency; and what more of anything does to both."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from planner.solve.allocation import two_sums
from planner.solve.allocation.contiguous import Stages
from planner.solve.allocation.costs_to_go import AnyOrder, RingOrder
from planner.solve.allocation.passes import LATENCY, Passes
from planner.solve.allocation.solver import DP_NAME, solve_allocation
from planner.solve.allocation.two_sums import Order

from planner.domain.certificate import AllocationProblem
from planner.solve.check import allocation_times
from planner.solve.milp import SOLVER_NAME
from tests.planner.chains import best_s, drawn_chain, limited, memory_for
from tests.planner.checks import check, check_fastest
from tests.planner.oracle import allocation_case

OBJECTIVES = ("latency", "bottleneck")


def shared(
    seed: int, workers: int, units: int, occupied: float, **fields: object
) -> AllocationProblem:
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
        result = solve_allocation(problem)
        ilp = solve_allocation(problem, solver="ilp")
        assert (result.certificate.solver, ilp.certificate.solver) == (DP_NAME, SOLVER_NAME)
        assert result.certificate.status == ilp.certificate.status == "optimal"
        assert result.objective_s == pytest.approx(ilp.objective_s, rel=1e-9)
        assert result.choice is not None and ilp.choice is not None
        # among equal bottlenecks the least latency
        ours, theirs = (allocation_times(problem, r.choice) for r in (result, ilp))
        assert ours[0] <= theirs[0] * (1 + 1e-9)


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
        result = solve_allocation(case.problem())
        check(case, result)
        if case.objective == "bottleneck":
            check_fastest(case, result)
        assert result.certificate.solver == DP_NAME
    assert cases > 80


def rest_s(stages: Stages, order: Order, node: int, worker: int, at: int, every: int) -> float:
    """Least cost behind a stage by trying everything; ``every``: stages that must follow."""
    units = stages.sums.shape[1] - 1
    if at == units:
        return float(stages.last[worker]) if every <= 0 else np.inf
    return min(
        (
            stages.cut[worker, after, at - 1]
            + stages.sums[after, end]
            - stages.sums[after, at]
            + rest_s(stages, order, then, after, end, every - 1)
            for then, after in order.following(node, worker)
            for end in range(at + 1, units + 1)
            if stages.start[after, end] <= at
        ),
        default=np.inf,
    )


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("any_order", [False, True])
def test_costs_to_go_by_trying_everything(any_order: bool, every: bool) -> None:
    for seed in range(4):
        problem = memory_for(drawn_chain(seed, 3, 6), 1.2)
        stages = Passes(problem).stages(LATENCY, None)
        multiplicity = np.array([1, 2, 1]) if any_order else np.ones(3, dtype=np.int64)
        order = AnyOrder(multiplicity, every) if any_order else RingOrder(3, every)
        table = order.costs_to_go(stages)
        frontier = [(-1, -1, 0)]
        found = 0
        while frontier:
            node, worker, used = frontier.pop()
            following = order.following(node, worker)
            frontier += [(then, after, used + 1) for then, after in following]
            for at in range(1, 7) if worker >= 0 else ():
                left = int(multiplicity.sum()) - used if every else 0
                expected = rest_s(stages, order, node, worker, at, left)
                assert table[node, worker, at] == pytest.approx(expected, rel=1e-12)
                found += np.isfinite(expected)
        assert found > 3


@pytest.mark.thorough
def test_what_is_too_much_to_weigh_goes_to_the_ilp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_sums, "MAX_EXTENDED", 1)
    solvers = set()
    for seed in range(40):
        problem = limited(shared(seed, 3, 12, 8.0, objective="bottleneck"), 1.3)
        result = solve_allocation(problem)
        solvers.add(result.certificate.solver)
        assert result.objective_s == pytest.approx(best_s(problem, "ilp"), rel=1e-9)
    assert solvers == {DP_NAME, SOLVER_NAME}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("any_order", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_more_of_anything_never_hurts(objective: str, any_order: bool, shared: bool) -> None:
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
            for key in ("transfer_s", "medium_s", "input_s", "output_s")
        }
        for better in (
            memory_for(problem, 1.5),
            problem.model_copy(update={"compute_s": problem.compute_s * 0.8}),
            problem.model_copy(update=sent),
        ):
            assert best_s(better) <= known * (1 + 1e-12)
        longer = {key: getattr(problem, key) * 3.7 for key in [*sent, "compute_s"]}
        assert best_s(problem.model_copy(update=longer)) == pytest.approx(known * 3.7, rel=1e-12)
        within = limited(problem, 1.3)
        assert best_s(within) >= known * (1 - 1e-12)

"""The joint problem: fast path and integer program against trying everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from planner.solve.joint.check import evaluate_joint
from planner.solve.joint.exhaustive import exhaustive_joint, number_of_plans
from planner.solve.joint.solver import FAST_PATH, solve_joint

from planner.accuracy.model import curve_model
from planner.case import Case, sparsifiable_layers
from planner.domain.settings import Limits
from planner.solve.problem import NO_LIMIT, JointProblem, JointResult
from planner.strategies.problem_of import JointCosts
from profiles.catalog import load_cluster, load_curve, load_model
from tests.planner.joint_cases import random_joint

CASES = 1000
BATCHES = 10
MOST_PLANS = 1500  # that the oracle tries for one case
CLOSE = 3e-9


def the_same(found: JointResult, oracle: JointResult) -> bool:
    """Whether a status and an objective agree with the oracle's."""
    if oracle.objective_s is None:
        return found.stages is None and found.certificate.status == "infeasible"
    return (
        found.certificate.status == "optimal"
        and found.objective_s is not None
        and abs(found.objective_s - oracle.objective_s) <= CLOSE * abs(oracle.objective_s)
    )


@pytest.mark.thorough
@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_solver_agrees_with_trying_everything(batch: int) -> None:
    feasible, tried = 0, 0
    for seed in itertools.count(batch, BATCHES):
        if tried == CASES // BATCHES:
            break
        problem = random_joint(seed)
        if number_of_plans(problem) > MOST_PLANS:
            continue
        tried += 1
        oracle = exhaustive_joint(problem)
        feasible += oracle.stages is not None
        for solver in ("auto", "ilp"):
            found = solve_joint(problem, solver)
            assert the_same(found, oracle), (seed, solver, found, oracle)
            if found.stages is not None:
                bound = found.certificate.bound
                assert not evaluate_joint(problem, found.stages).violations
                assert bound is not None and oracle.objective_s is not None
                assert bound <= oracle.objective_s * (1 + CLOSE)
            else:
                assert found.binding
    assert 0.3 * tried < feasible < 0.9 * tried  # both outcomes are tried


def relaxed(problem: JointProblem, **changes: object) -> JointProblem:
    return problem.model_copy(update=changes)


def solved(problem: JointProblem) -> float:
    result = solve_joint(problem)
    assert result.certificate.status in ("optimal", "infeasible")
    return np.inf if result.objective_s is None else result.objective_s


@pytest.mark.parametrize("seed", range(2000, 2060))
def test_a_wider_limit_never_worsens_the_optimum(seed: int) -> None:
    problem = random_joint(seed)
    known = solved(problem)
    limits = problem.memory_limit_bytes
    for wider in (
        relaxed(problem, max_loss=None if problem.max_loss is None else problem.max_loss * 1.5),
        relaxed(problem, memory_limit_bytes=np.where(limits < NO_LIMIT, limits + 5, limits)),
        relaxed(problem, max_latency_s=None),
        relaxed(problem, max_bottleneck_s=None),
        relaxed(problem, all_nodes=False),
        relaxed(problem, single_stage=False),
        relaxed(problem, available=problem.available + 1, max_nodes=problem.max_nodes + 1)
        if not problem.all_nodes
        else problem,
        relaxed(problem, transfer_s=problem.transfer_s * 0.5),
        relaxed(problem, latency_s=problem.latency_s * 0.5, busy_s=problem.busy_s * 0.5),
    ):
        assert solved(wider) <= known * (1 + CLOSE)


@pytest.mark.parametrize("seed", range(3000, 3040))
def test_scaling_all_times_scales_the_objective(seed: int) -> None:
    problem = random_joint(seed)
    factor = 2.0**7
    names = "latency_s busy_s medium_s transfer_s transfer_medium_s input_s output_s"
    times = {name: getattr(problem, name) * factor for name in names.split()}
    limits = {
        name: None if getattr(problem, name) is None else getattr(problem, name) * factor
        for name in ("max_latency_s", "max_bottleneck_s")
    }
    assert solved(relaxed(problem, **times, **limits)) == pytest.approx(
        solved(problem) * factor, rel=CLOSE
    )


def test_the_fast_path_proves_small_problems_itself() -> None:
    solvers = {solve_joint(random_joint(seed)).certificate.solver for seed in range(50)}
    assert solvers == {FAST_PATH}


def wide(objective: str) -> JointProblem:
    """A problem that no solver finishes in no time: ResNet-50 on four unlike nodes."""
    profile = load_model("resnet50")
    nodes = load_cluster("small-nodes").first(4)
    unlike = tuple(
        node.model_copy(update={"macs_per_s": node.macs_per_s * factor})
        for node, factor in zip(nodes.nodes, (1.0, 0.7, 1.6, 0.4), strict=True)
    )
    model = curve_model(load_curve("resnet50-imagenet"), profile, sparsifiable_layers(profile))
    case = Case(profile, nodes.model_copy(update={"nodes": unlike}), loss_model=model)
    costs = JointCosts(case, "hybrid", 4)
    return costs.problem(objective, Limits(max_accuracy_drop=0.5), 4, False)


@pytest.mark.thorough
@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_statuses_at_a_time_limit_with_and_without_a_plan(objective: str) -> None:
    problem = wide(objective)
    proven = solve_joint(problem)
    assert proven.certificate.status == "optimal" and proven.objective_s is not None
    without = solve_joint(problem, "ilp", time_limit_s=0.0)
    assert without.certificate.status == "timeout" and without.stages is None
    with_plan = solve_joint(problem, "auto", time_limit_s=0.0)
    certificate = with_plan.certificate
    assert with_plan.objective_s is not None and with_plan.stages is not None
    assert not evaluate_joint(problem, with_plan.stages).violations
    assert certificate.status in ("feasible", "optimal")
    assert certificate.bound is not None and certificate.gap is not None
    assert (
        certificate.bound
        <= proven.objective_s * (1 + CLOSE)
        <= with_plan.objective_s * (1 + 2 * CLOSE)
    )
    assert certificate.gap == pytest.approx(1 - certificate.bound / with_plan.objective_s)
    too_tight = relaxed(problem, max_loss=None, max_bottleneck_s=proven.objective_s / 1e3)
    assert solve_joint(too_tight).certificate.status == "infeasible"

"""The joint problem: fast path and integer program against trying everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from planner.accuracy.model import curve_model
from planner.case import Case, sparsifiable_layers
from planner.domain.request import Request
from planner.domain.settings import Limits, Objective
from planner.solve.check import evaluate
from planner.solve.deadline import Deadline
from planner.solve.exhaustive import count_choices, minimise_exhaustively
from planner.solve.problem import NO_LIMIT, Problem, Result
from planner.solve.program import Program
from planner.solve.solver import RING, STAGES, solve
from profiles.catalog import load_cluster, load_curve, load_model
from tests.planner.builders import with_nodes
from tests.planner.joint_cases import random_joint
from tests.planner.problems import problem_for

pytestmark = pytest.mark.thorough  # `make quick` does without

CASES = 1000
BATCHES = 10
MOST_PLANS = 1500  # that the oracle tries for one case
CLOSE = 3e-9


def the_same(found: Result, oracle: Result) -> bool:
    """Whether a status and an objective agree with the oracle's."""
    if oracle.objective_s is None:
        return found.choice is None and found.certificate.status == "infeasible"
    return (
        found.certificate.status == "optimal"
        and found.objective_s is not None
        and abs(found.objective_s - oracle.objective_s) <= CLOSE * abs(oracle.objective_s)
    )


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_solver_agrees_with_trying_everything(batch: int) -> None:
    feasible, tried = 0, 0
    for seed in itertools.count(batch, BATCHES):
        if tried == CASES // BATCHES:
            break
        problem = random_joint(seed)
        if count_choices(problem) > MOST_PLANS:
            continue
        tried += 1
        oracle = minimise_exhaustively(problem)
        feasible += oracle.choice is not None
        for solver in ("auto", "ilp"):
            found = solve(problem, solver)
            assert the_same(found, oracle), (seed, solver, found, oracle)
            if found.choice is not None:
                bound = found.certificate.bound
                assert not evaluate(problem, found.choice).violations
                assert bound is not None and oracle.objective_s is not None
                assert bound <= oracle.objective_s * (1 + CLOSE)
            else:
                assert found.binding
    assert 0.3 * tried < feasible < 0.9 * tried  # both outcomes are tried


def relaxed(problem: Problem, **changes: object) -> Problem:
    return problem.but(**changes)


def solved(problem: Problem) -> float:
    result = solve(problem)
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
        relaxed(
            problem,
            transfer_s=problem.transfer_s * 0.5,
            transfer_busy_s=problem.transfer_busy_s * 0.5,
        ),
        relaxed(problem, latency_s=problem.latency_s * 0.5, busy_s=problem.busy_s * 0.5),
    ):
        assert solved(wider) <= known * (1 + CLOSE)


@pytest.mark.parametrize("seed", range(3000, 3040))
def test_scaling_all_times_scales_the_objective(seed: int) -> None:
    problem = random_joint(seed)
    factor = 2.0**7
    names = (
        "latency_s busy_s medium_s transfer_s transfer_busy_s transfer_medium_s input_s output_s"
    )
    names += " input_busy_s output_busy_s input_medium_s output_medium_s"
    times = {name: getattr(problem, name) * factor for name in names.split()}
    limits = {
        name: None if getattr(problem, name) is None else getattr(problem, name) * factor
        for name in ("max_latency_s", "max_bottleneck_s")
    }
    assert solved(relaxed(problem, **times, **limits)) == pytest.approx(
        solved(problem) * factor, rel=CLOSE
    )


def test_the_fast_path_proves_small_problems_itself() -> None:
    solvers = {solve(random_joint(seed)).certificate.solver for seed in range(50)}
    assert solvers == {RING, STAGES}


def wide(objective: Objective) -> Problem:
    """A problem that no solver finishes in no time: ResNet-50 on four unlike nodes."""
    profile = load_model("resnet50")
    nodes = load_cluster("small-nodes").first(4)
    unlike = tuple(
        node.model_copy(update={"macs_per_s": node.macs_per_s * factor})
        for node, factor in zip(nodes.nodes, (1.0, 0.7, 1.6, 0.4), strict=True)
    )
    model = curve_model(load_curve("resnet50-imagenet"), profile, sparsifiable_layers(profile))
    case = Case(profile, nodes.model_copy(update={"nodes": unlike}), loss_model=model)
    limits = Limits(max_accuracy_drop=0.5)
    return problem_for(case, Request(4, objective=objective, limits=limits))


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_statuses_at_a_time_limit_with_and_without_a_plan(objective: Objective) -> None:
    problem = wide(objective)
    proven = solve(problem)
    assert proven.certificate.status == "optimal" and proven.objective_s is not None
    without = solve(problem, "ilp", Deadline(0.0))  # a plan that was known before the program
    assert without.certificate.status == "feasible" and without.choice is not None
    assert without.objective_s is not None
    assert without.objective_s >= proven.objective_s * (1 - CLOSE)
    with_plan = solve(problem, deadline=Deadline(0.0))
    certificate = with_plan.certificate
    assert with_plan.objective_s is not None and with_plan.choice is not None
    assert not evaluate(problem, with_plan.choice).violations
    assert certificate.status in ("feasible", "optimal")
    assert certificate.bound is not None and certificate.gap is not None
    assert (
        certificate.bound
        <= proven.objective_s * (1 + CLOSE)
        <= with_plan.objective_s * (1 + 2 * CLOSE)
    )
    assert certificate.gap == pytest.approx(1 - certificate.bound / with_plan.objective_s)
    too_tight = relaxed(problem, max_loss=None, max_bottleneck_s=proven.objective_s / 1e3)
    assert solve(too_tight).certificate.status == "infeasible"


@pytest.mark.parametrize("batch", range(4))
def test_larger_problems_against_the_program(batch: int) -> None:
    proven = 0
    for seed in range(batch, 60, 4):
        problem = random_joint(seed, least_units=6, most_units=9)
        found, program = solve(problem), solve(problem, "ilp")
        assert the_same(found, program), (seed, found, program)
        proven += program.choice is not None
    assert proven > 3


@pytest.mark.parametrize("seed", range(4000, 4040))
def test_the_program_of_a_fixed_structure_completes_it(seed: int) -> None:
    problem = random_joint(seed)
    best = solve(problem)
    if best.choice is None:
        return
    program = Program(problem, structure=(best.choice.starts, best.choice.groups))
    outcome, choice = program.solve()
    assert outcome.status == "optimal" and choice is not None
    found = evaluate(problem, choice)
    assert not found.violations
    assert found.objective_s == pytest.approx(best.objective_s, rel=CLOSE, abs=1e-15)


def small_nodes(model: str, objective: Objective, nodes: int) -> Problem:
    profile = load_model(model)
    accuracy = curve_model(load_curve("resnet50-imagenet"), profile, sparsifiable_layers(profile))
    cluster = load_cluster("small-nodes").first(nodes)
    case = Case(profile, cluster, loss_model=accuracy)
    limits = Limits(max_accuracy_drop=0.5)
    return problem_for(case, Request(nodes, objective=objective, limits=limits))


@pytest.mark.parametrize("nodes, inputs_per_s", [(6, 96.0), (8, 130.03)])
def test_a_network_of_many_small_layers_is_proven(nodes: int, inputs_per_s: float) -> None:
    result = solve(small_nodes("mobilenetv2-224", "throughput", nodes))
    assert result.certificate.status == "optimal" and result.objective_s is not None
    assert 1 / result.objective_s == pytest.approx(inputs_per_s, rel=1e-4)


def test_no_time_at_all_leaves_the_plan_that_is_seen_at_once() -> None:
    problem = small_nodes("efficientnet-b0", "latency", 2)
    result = solve(problem, deadline=Deadline(0.0))
    assert result.choice is not None and result.objective_s is not None
    alone = problem.latency_s[:, :, 0].sum(axis=1) + problem.input_s + problem.output_s
    assert result.objective_s <= alone[problem.nodes == 1].min()


@pytest.mark.parametrize(
    "model, cluster, inputs_per_s",
    [
        ("esrgan", "arm-wireless", 0.208074),  # a shared medium: its sum counts beside the stages
        ("deit-s", "arm-wireless", 10.0589),
        ("gpt2", "small-nodes", 0.759038),  # one layer is the bottleneck: most cuts tie
    ],
)
def test_a_pipeline_whose_cuts_tie_is_proven(model: str, cluster: str, inputs_per_s: float) -> None:
    group = load_cluster(cluster)
    if cluster == "arm-wireless":  # by C and bandwidth alone
        link = group.link.model_copy(update={"latency_s": 0.002})
        group = with_nodes(
            group, macs_per_s=12e9, memory_bytes_per_s=None, layer_overhead_s=0.0
        ).model_copy(update={"link": link})
    nodes = tuple(group.nodes[0].model_copy(update={"name": f"n{index}"}) for index in range(8))
    case = Case(load_model(model), group.model_copy(update={"nodes": nodes}))
    result = solve(problem_for(case, Request(8, "pipeline", "throughput")))
    assert result.certificate.status == "optimal" and result.certificate.solver == RING
    assert result.objective_s is not None
    assert 1 / result.objective_s == pytest.approx(inputs_per_s, rel=1e-5)

"""The joint choice of cuts, groups and sparsity on four unlike nodes: time to a proof.

Four small nodes of speeds 1 : 0.7 : 1.6 : 0.4, eleven levels of sparsity, half a point of accuracy.
Printed are the time to a proven gap of 0.5 % and of 0 (best of several whole calls on the
problem's arrays), the time to make those arrays, and the integer program on the same arrays with
the fast path's plan as its cutoff, stopped after ``--ilp-limit`` seconds.

    python benchmarks/joint.py [--ilp-limit 60] [--repeats 5]
"""

from __future__ import annotations

import argparse
import time

from _machine import header, timed

from planner.accuracy.model import curve_model
from planner.case import Case, sparsifiable_layers
from planner.domain.request import Request
from planner.domain.settings import Limits, Objective
from planner.solve.deadline import Deadline
from planner.solve.problem import Problem
from planner.solve.program import Program
from planner.solve.solver import solve
from planner.solve.stages.bottleneck import minimise_bottleneck
from planner.solve.stages.latency import minimise_latency
from planner.solve.stages.search import Search
from planner.strategies.groups import all_groups
from planner.strategies.problem_of import costs_of, problem_of
from profiles.catalog import load_cluster, load_curve, load_model

GAP = 5e-3
SPEEDS = (1.0, 0.7, 1.6, 0.4)
LEVELS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99, 1.0)
MODELS = {"resnet50": "resnet50-imagenet", "deit-s": "deit-s-imagenet", "esrgan": "esrgan-div2k"}


def case_of(model: str) -> Case:
    """A model on the unlike nodes, with its own published curve."""
    profile = load_model(model)
    cluster = load_cluster("small-nodes").first(len(SPEEDS))
    nodes = tuple(
        node.model_copy(update={"macs_per_s": node.macs_per_s * factor})
        for node, factor in zip(cluster.nodes, SPEEDS, strict=True)
    )
    accuracy = curve_model(load_curve(MODELS[model]), profile, sparsifiable_layers(profile))
    return Case(
        profile, cluster.model_copy(update={"nodes": nodes}), loss_model=accuracy, levels=LEVELS
    )


def request_of(model: str, objective: Objective) -> Request:
    """Half a point for classification; a tenth of the curve's range for decibels."""
    drop = 0.05 if model == "esrgan" else 0.5
    return Request(len(SPEEDS), objective=objective, limits=Limits(max_accuracy_drop=drop))


def arrays(case: Case, request: Request) -> Problem:
    """The problem's arrays; the costs are made when they are first asked for."""
    (groups,) = all_groups(case, request.parallelism)
    return problem_of(case, costs_of(case, groups, request, Deadline()), request)


def near(problem: Problem) -> Search:
    """The search over structures, ended at a proven gap."""
    search = Search(Deadline())
    minimise = minimise_latency if problem.objective == "latency" else minimise_bottleneck
    minimise(problem, search, gap=GAP)
    return search


def by_program(problem: Problem, at_most_s: float, limit_s: float) -> str:
    """What the integer program says of a plan that is known."""
    start = time.perf_counter()
    program = Program(problem, at_most_s=at_most_s * (1 + 1e-9))
    outcome, _ = program.solve(limit_s)
    seconds = time.perf_counter() - start
    if outcome.objective is None:
        return f"{outcome.status} after {seconds:.1f} s"
    found = outcome.objective / program.units
    return f"{outcome.status} in {seconds:.1f} s, {found / at_most_s - 1:+.0e}"


def main() -> None:
    """Print one row for every model and objective."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ilp-limit", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    print(header())
    print()
    print("model | objective | units | arrays (ms) | to 0.5 % (ms) | to 0 (ms) | value (ms) | ILP")
    print("---|---|---|---|---|---|---|---")
    for model in MODELS:
        case = case_of(model)
        first = request_of(model, "latency")
        costs_s, _ = timed(lambda case=case, first=first: arrays(case, first), 1)
        for objective in ("latency", "throughput"):
            problem = arrays(case, request_of(model, objective))
            near_s, search = timed(lambda p=problem: near(p), asked.repeats)
            assert search.closed and search.bound_s >= search.objective_s * (1 - GAP) * (1 - 1e-9)
            exact_s, result = timed(lambda p=problem: solve(p), asked.repeats)
            assert result.objective_s is not None
            program = by_program(problem, result.objective_s, asked.ilp_limit)
            print(
                f"{model} | {objective} | {problem.latency_s.shape[1]} | {costs_s * 1e3:.0f} | "
                f"{near_s * 1e3:.1f} | {exact_s * 1e3:.1f} ({result.certificate.status}) | "
                f"{result.objective_s * 1e3:.2f} | {program}",
                flush=True,
            )


if __name__ == "__main__":
    main()

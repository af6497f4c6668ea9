"""Chains too long to try every cut of, drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from planner.solve.check import evaluate
from planner.solve.problem import Problem
from planner.solve.solver import solve
from tests.planner.problems import chain_problem


def drawn_chain(seed: int, workers: int, units: int, **fields: Any) -> Problem:
    """Unlike workers and links; ``fields`` replace those of the problem."""
    random = np.random.default_rng(seed)
    work = random.integers(1, 1000, units) * 1e-3
    unlike = random.uniform(0.8, 1.2, (workers, units))
    size = random.integers(1, 1000, units - 1) * 1e-3
    sent = random.uniform(0.5, 2, (workers, workers))[:, :, None] * size
    sent[range(workers), range(workers)] = 0
    values = {
        "objective": "latency",
        "compute_s": np.outer(random.uniform(1, 5, workers), work) * unlike,
        "transfer_s": sent,
        "medium_s": np.zeros(units - 1),
        "input_s": random.uniform(0, 1, workers),
        "output_s": random.uniform(0, 1, workers),
        "weight_bytes": random.integers(10**5, 10**6, units),
        "live_bytes": random.integers(10**4, 10**6, units),
        "memory_limit_bytes": (None,) * workers,
    } | fields
    if fields.get("shared_medium"):  # without the delays of the two messages
        values |= {f"{end}_medium_s": 0.6 * values[f"{end}_s"] for end in ("input", "output")}
    return chain_problem(**values)


def memory_for(problem: Problem, factor: float) -> Problem:
    """The problem with memory for so much more than an equal share of the weights on each."""
    weights, live = problem.weight_bytes[0], problem.live_bytes[0]
    share = int(weights.sum() * factor / int(problem.available.sum())) + int(live.max())
    return problem.but(memory_limit_bytes=np.full_like(problem.memory_limit_bytes, share))


def best_s(problem: Problem, solver: str = "auto") -> float:
    """The proven optimum, of a plan that keeps every limit."""
    result = solve(problem, solver)
    assert result.certificate.status == "optimal" and result.objective_s is not None
    assert result.choice is not None
    assert not evaluate(problem, result.choice).violations
    return result.objective_s


def limited(problem: Problem, factor: float) -> Problem:
    """The problem with the other objective limited to so much above its own optimum."""
    other = "bottleneck" if problem.objective == "latency" else "latency"
    best = best_s(problem.but(objective=other))
    return problem.but(**{f"max_{other}_s": best * factor})

"""Layer allocation: dynamic programming against the ILP (PuLP + HiGHS), in one run.

The best subset and order of 8 unlike device types for 96 layers; 1,000 layers on 64 nodes in ring
order; and ring order on 200 layers and 16 unlike nodes, by dynamic
programming (for the bottleneck with the least latency among equals) and by a single ILP (the
bottleneck alone). Times are of whole calls, the best of several for ours and one for the ILP. It
is stopped after ``--ilp-limit`` seconds, and its ratio is a lower bound then.

    python benchmarks/allocation.py [--ilp-limit 60] [--seed 1]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from _machine import header, timed

from planner.solve.deadline import Deadline
from planner.solve.problem import NO_LIMIT, Problem
from planner.solve.solver import solve

OBJECTIVES = ("latency", "bottleneck")


def instance(seed: int, nodes: int, layers: int, **fields: Any) -> Problem:
    """Unlike nodes, links and layers; memory, where asked for, is two to five equal shares."""
    random = np.random.default_rng(seed)
    work = random.integers(1, 1000, layers) * 1e-3
    unlike = random.uniform(0.8, 1.2, (nodes, layers))
    size = random.integers(1, 1000, layers - 1) * 1e-3
    sent = random.uniform(0.5, 2, (nodes, nodes))[:, :, None] * size
    sent[range(nodes), range(nodes)] = 0
    weights = random.integers(10**5, 10**6, layers)
    shares = random.uniform(2, 5, nodes) * weights.sum() / nodes
    limited = fields.pop("memory", False)
    compute_s = (np.outer(random.uniform(1, 5, nodes), work) * unlike)[..., None]
    live = random.integers(10**4, 10**6, layers)
    shape = (nodes, layers, 1, 1)
    ones = np.ones((nodes, nodes), dtype=np.bool_)
    values = {
        "objective": "latency",
        "group_names": tuple(f"node {index}" for index in range(nodes)),
        "latency_s": compute_s,
        "busy_s": compute_s[None],
        "medium_s": np.zeros_like(compute_s),
        "allowed": np.ones(compute_s.shape, dtype=np.bool_),
        "loss": np.zeros_like(compute_s),
        "weight_bytes": np.broadcast_to(weights[:, None, None], shape),
        "live_bytes": np.broadcast_to(live[:, None, None], shape),
        "memory_limit_bytes": np.array([int(s) if limited else NO_LIMIT for s in shares])[:, None],
        "transfer_s": sent,
        "transfer_busy_s": sent,
        "transfer_medium_s": np.zeros_like(sent),
        "cuttable": np.ones(layers - 1, dtype=np.bool_),
        "input_s": np.zeros(nodes),
        "output_s": np.zeros(nodes),
        "input_busy_s": np.zeros(nodes),
        "output_busy_s": np.zeros(nodes),
        "input_medium_s": np.zeros(nodes),
        "output_medium_s": np.zeros(nodes),
        "uses": np.eye(nodes, dtype=np.int64),
        "available": np.ones(nodes, dtype=np.int64),
        "follows": ones if fields.pop("any_order", False) else np.triu(ones, 1),
        "max_nodes": nodes,
    }
    return Problem.model_validate(values | fields)


def ring(seed: int, limit_s: float) -> None:
    """200 layers on 16 nodes in ring order."""
    print("\n200 layers, 16 unlike nodes, ring order")
    columns = ("objective", "memory", "ours (ms)", "ILP (s)", "ratio", "difference", "ILP says")
    print("{:<12}{:<9}{:>10}{:>10}{:>11}{:>13}  {}".format(*columns))
    for objective in OBJECTIVES:
        for memory in (False, True):
            problem = instance(seed, 16, 200, objective=objective, memory=memory)
            ours_s, ours = timed(lambda p=problem: solve(p), 20)
            ilp_s, ilp = timed(lambda p=problem: solve(p, "ilp", Deadline(limit_s)))
            assert ours.objective_s is not None
            said = ilp.certificate.status
            differs = "none found" if ilp.objective_s is None else ""
            if ilp.objective_s is not None:
                differs = f"{ilp.objective_s / ours.objective_s - 1:.1e}"
            ratio = f"{'' if said == 'optimal' else '> '}{ilp_s / ours_s:,.0f}"
            words = "limited" if memory else "free"
            print(
                f"{objective:<12}{words:<9}{ours_s * 1e3:>10.2f}{ilp_s:>10.2f}{ratio:>11}"
                f"{differs:>13}  {said}"
            )


def long_ring(seed: int) -> None:
    """1,000 layers on 64 nodes."""
    print("\n1,000 layers on 64 nodes in ring order")
    for objective in OBJECTIVES:
        for memory in (False, True):
            problem = instance(seed, 64, 1000, objective=objective, memory=memory)
            seconds, _ = timed(lambda p=problem: solve(p), 7)
            print(f"{objective:<12}{'limited' if memory else 'free':<9}{seconds * 1e3:>10.1f} ms")


def any_order(seed: int) -> None:
    """The best subset and order of unlike device types."""
    print("\nbest subset and order, 96 layers, every device type once")
    for kinds in (8,):
        for objective in OBJECTIVES:
            problem = instance(seed, kinds, 96, objective=objective, memory=True, any_order=True)
            seconds, result = timed(lambda p=problem: solve(p))
            certificate = result.certificate
            print(
                f"{kinds:>2} types  {objective:<12}{seconds:>7.3f} s, {certificate.status}, "
                f"gap {certificate.gap:g}, {certificate.solver}"
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ilp-limit", type=float, default=60.0, help="seconds for each ILP")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(header())
    long_ring(given.seed)
    any_order(given.seed)
    ring(given.seed, given.ilp_limit)


if __name__ == "__main__":
    main()

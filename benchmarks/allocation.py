"""Layer allocation: dynamic programming against the ILP (PuLP + HiGHS), in one run.

Every node count of 1,000 layers and 64 nodes in one pass; the best subset and order of 8 and 12
unlike device types for 96 layers; and ring order on 200 layers and 16 unlike nodes, by dynamic
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
from planner.solve.allocation.dp import every_count
from planner.solve.allocation.ilp import ilp_allocation
from planner.solve.allocation.solver import solve_allocation

from planner.domain.certificate import AllocationProblem

OBJECTIVES = ("latency", "bottleneck")


def instance(seed: int, nodes: int, layers: int, **fields: Any) -> AllocationProblem:
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
    values = {
        "objective": "latency",
        "compute_s": np.outer(random.uniform(1, 5, nodes), work) * unlike,
        "transfer_s": sent,
        "medium_s": np.zeros(layers - 1),
        "input_s": np.zeros(nodes),
        "output_s": np.zeros(nodes),
        "weight_bytes": weights,
        "live_bytes": random.integers(10**4, 10**6, layers),
        "memory_limit_bytes": tuple(int(s) if limited else None for s in shares),
        "worker_names": tuple(f"node {index}" for index in range(nodes)),
    }
    return AllocationProblem.model_validate(values | fields)


def ring(seed: int, limit_s: float) -> None:
    """200 layers on 16 nodes in ring order."""
    print("\n200 layers, 16 unlike nodes, ring order")
    columns = ("objective", "memory", "ours (ms)", "ILP (s)", "ratio", "difference", "ILP says")
    print("{:<12}{:<9}{:>10}{:>10}{:>11}{:>13}  {}".format(*columns))
    for objective in OBJECTIVES:
        for memory in (False, True):
            problem = instance(seed, 16, 200, objective=objective, memory=memory)
            ours_s, ours = timed(lambda p=problem: solve_allocation(p), 20)
            ilp_s, ilp = timed(lambda p=problem: ilp_allocation(p, limit_s))
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


def every_node_count(seed: int) -> None:
    """1,000 layers on the first 1, 2, ... 64 nodes."""
    print(
        "\n1,000 layers, the first 1, 2, ... 64 nodes in ring order: values and plans in one pass"
    )
    for objective in OBJECTIVES:
        for memory in (False, True):
            problem = instance(seed, 64, 1000, objective=objective, memory=memory)
            seconds, (values, _) = timed(lambda p=problem: every_count(p), 7)
            fits = int(np.isfinite(values).sum())
            words = "limited" if memory else "free"
            print(f"{objective:<12}{words:<9}{seconds * 1e3:>10.1f} ms, {fits} of 64 counts fit")


def any_order(seed: int) -> None:
    """The best subset and order of unlike device types."""
    print("\nbest subset and order, 96 layers, every device type once")
    for kinds in (8, 12):
        for objective in OBJECTIVES:
            problem = instance(seed, kinds, 96, objective=objective, memory=True, any_order=True)
            seconds, result = timed(lambda p=problem: solve_allocation(p))
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
    every_node_count(given.seed)
    any_order(given.seed)
    ring(given.seed, given.ilp_limit)


if __name__ == "__main__":
    main()

"""Multiple choice: our whole call against PuLP + CBC and PuLP + HiGHS at gap 0, in one run.

ResNet-50 on a pair of small nodes (54 layers, 6 levels) and 200 layers drawn from it (20 levels),
with random sensitivities, a limit on the accuracy drop and one on the memory of each node, both
binding. Peers get the plain program, one 0-1 variable per layer and level; whole calls include
building it, solve times are those of ``problem.solve``. Ours are medians of several whole calls.
Then 100 bandwidths in a row, each from its neighbour's multipliers and choice, against one solve
of PuLP + CBC, and equal layers against HiGHS on the program that counts them.

    python benchmarks/sparsity.py [--instances 7] [--repeats 5] [--seed 0]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import pulp
from _machine import header, timed

from planner.domain.cluster import Cluster, Link, Node
from planner.domain.cost_table import CostTable
from planner.solve.options.multiple_choice import MemoryRow, SumRow, choose
from planner.strategies.study import Study
from profiles.catalog import load_model

B_BYTES_PER_S, C_MACS_PER_S = 37.5e6, 3.75e9
FEW = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)
MANY = tuple(float(level) for level in np.linspace(0.0, 0.99, 20))


class Arrays(NamedTuple):
    """What `choose` takes, costs of shape (L, K)."""

    costs: np.ndarray
    allowed: np.ndarray
    sums: list[SumRow]
    memories: list[MemoryRow]


@dataclass(frozen=True)
class Instance:
    """A problem, and its costs apart: communication at the table's bandwidth and computation."""

    problem: Arrays
    comm_s: np.ndarray
    compute_s: np.ndarray

    def at(self, factor: float) -> Arrays:
        """The problem with links so many times as fast."""
        return self.problem._replace(costs=self.comm_s / factor + self.compute_s)


@cache
def resnet(levels: tuple[float, ...]) -> CostTable:
    """Costs of ResNet-50 on two equal nodes."""
    nodes = tuple(Node(name=name, macs_per_s=C_MACS_PER_S) for name in ("one", "other"))
    link = Link(bandwidth_bytes_per_s=B_BYTES_PER_S)
    cluster = Cluster(name="pair", nodes=nodes, link=link, source_node="one")
    return Study(load_model("resnet50"), cluster, levels=levels).table(2)


def drawn(seed: int, layers: int | None = None) -> Instance:
    """ResNet-50's mixing layers, or so many drawn from them and varied, with random losses."""
    random = np.random.default_rng(seed)
    table = resnet(FEW if layers is None else MANY)
    if layers is None:
        rows = np.flatnonzero(table.communicates)
        vary = np.ones((3, len(rows), 1))
    else:
        rows = random.choice(np.flatnonzero(table.allowed.all(axis=1)), layers)
        vary = random.lognormal(0.0, 0.3, (3, layers, 1))
    comm_s, compute_s = table.comm_s[rows] * vary[0], table.compute_s[rows] * vary[1]
    sensitivity = random.lognormal(0.0, 0.6, (len(rows), 1)) * 2.0 / len(rows)
    loss = sensitivity * table.comm_sparsity[rows] ** random.uniform(1.5, 4.0, (len(rows), 1))
    stored = [np.rint(table.weight_bytes[rows, :, node] * vary[2]).astype(int) for node in (0, 1)]
    live = [np.rint(table.live_bytes[rows, :, node] * vary[0]).astype(int) for node in (0, 1)]
    allowed = table.allowed[rows]
    most = float(np.where(allowed, loss, 0.0).max(axis=1).sum() * random.uniform(0.3, 0.7))
    roomy, least = (
        choose(costs, allowed, [(loss, most)]).choice
        for costs in (comm_s + compute_s, stored[0].astype(float))
    )
    assert roomy is not None and least is not None
    at = np.arange(len(rows))
    top, bottom = (
        int(stored[0][at, choice].sum() + live[0][at, choice].max()) for choice in (roomy, least)
    )
    limit = bottom + int(random.uniform(0.3, 0.8) * (top - bottom))
    memories = [(w, a, limit) for w, a in zip(stored, live, strict=True)]
    return Instance(
        Arrays(comm_s + compute_s, allowed, [(loss, most)], memories), comm_s, compute_s
    )


def program(
    problem: Arrays, counts: np.ndarray
) -> tuple[pulp.LpProblem, list[tuple[int, int, pulp.LpVariable]]]:
    """The plain program in microseconds and megabytes; each row stands for so many layers."""
    pairs = [(int(row), int(k)) for row, k in zip(*np.nonzero(problem.allowed), strict=True)]
    taken = [
        (row, k, pulp.LpVariable(f"x{row}_{k}", 0, int(counts[row]), "Integer")) for row, k in pairs
    ]

    def total(values: np.ndarray, scale: float = 1.0) -> pulp.LpAffineExpression:
        return pulp.LpAffineExpression([(x, float(values[row, k]) * scale) for row, k, x in taken])

    model = pulp.LpProblem("sparsity", pulp.LpMinimize)
    model += total(problem.costs, 1e6)
    of_layer: dict[int, list[pulp.LpVariable]] = {}
    for row, _, x in taken:
        of_layer.setdefault(row, []).append(x)
    for row, several in of_layer.items():
        model += pulp.lpSum(several) == int(counts[row])
    for values, limit in problem.sums:
        model += total(values) <= limit
    used: dict[tuple[int, int], pulp.LpVariable] = {}
    for row, k, x in taken:
        used[row, k] = x
        if counts[row] > 1:  # x counts layers; one is enough to need the live bytes
            used[row, k] = pulp.LpVariable(f"u{row}_{k}", cat="Binary")
            model += x <= int(counts[row]) * used[row, k]
    for index, (weights, live, limit) in enumerate(problem.memories):
        peak = pulp.LpVariable(f"peak{index}", 0)
        model += total(weights, 1e-6) + peak <= limit * 1e-6
        least = np.where(problem.allowed, live, np.iinfo(np.int64).max)
        floor = int(least.min(axis=1).max())
        model += peak >= floor * 1e-6
        for (row, k), u in used.items():
            if live[row, k] > floor:
                model += peak >= float(live[row, k]) * 1e-6 * u
    return model, taken


def by_peer(
    problem: Arrays, solver: pulp.LpSolver, counts: np.ndarray | None = None
) -> tuple[float, float, float]:
    """Seconds of the whole call and of the solve, and the objective that was found."""
    start = time.perf_counter()
    model, taken = program(
        problem, np.ones(len(problem.allowed), dtype=int) if counts is None else counts
    )
    built = time.perf_counter()
    model.solve(solver)
    end = time.perf_counter()
    found = sum(float(problem.costs[row, k]) * round(x.varValue or 0.0) for row, k, x in taken)
    return end - start, end - built, found


PEERS: dict[str, Callable[[], pulp.LpSolver]] = {
    "CBC": partial(pulp.PULP_CBC_CMD, msg=False, gapRel=0.0, gapAbs=0.0),
    "HiGHS": partial(pulp.HiGHS, msg=False, gapRel=0.0, gapAbs=0.0),
}


def against_peers(title: str, instances: list[Instance], repeats: int) -> None:
    """A row for each instance: milliseconds, ratios to the faster peer, difference."""
    print(f"\n### {title}\n")
    print("| # | ours | CBC | HiGHS | ratio | CBC, solve | HiGHS, solve | ratio | CBC | HiGHS |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    ratios: list[tuple[float, float]] = []
    for number, instance in enumerate(instances):
        problem = instance.problem
        ours_s, found = timed(lambda p=problem: choose(*p), repeats, statistics.median)
        assert found.closed and found.choice is not None
        peers = {name: by_peer(problem, make()) for name, make in PEERS.items()}
        whole, alone = (min(p[kind] for p in peers.values()) for kind in (0, 1))
        ratios.append((whole / ours_s, alone / ours_s))
        differ = [f"{p[2] / found.objective - 1:.0e}" for p in peers.values()]
        cells = [
            *(s * 1e3 for s in (ours_s, *(p[0] for p in peers.values()))),
            ratios[-1][0],
            *(p[1] * 1e3 for p in peers.values()),
            ratios[-1][1],
        ]
        figures = " | ".join(f"{cell:,.1f}" if cell < 100 else f"{cell:,.0f}" for cell in cells)
        print(f"| {number} | {figures} | {' | '.join(differ)} |")
    for kind, words in ((0, "whole calls"), (1, "our whole calls, their solve times alone")):
        values = [ratio[kind] for ratio in ratios]
        print(
            f"\nratio to the faster peer, {words}: median {statistics.median(values):,.0f}, "
            f"worst {min(values):,.0f}"
        )


def in_a_row(title: str, instances: list[Instance]) -> None:
    """100 bandwidths from a tenth to ten times, against one solve of PuLP + CBC; each instance."""
    factors = np.geomspace(0.1, 10.0, 100).tolist()
    print(f"\n{title}: 100 bandwidths, and one whole call of PuLP + CBC, milliseconds:\n")
    for instance in instances:
        start = time.perf_counter()
        near, known = None, None
        for factor in factors:
            found = choose(*instance.at(factor), near=near, known=known)
            assert found.closed
            near, known = found.multipliers, found.choice
        ours_s = time.perf_counter() - start
        peers = [by_peer(instance.at(factor), PEERS["CBC"]())[0] for factor in (0.3, 1.0, 3.0)]
        print(f"- {ours_s * 1e3:,.0f} against {statistics.median(peers) * 1e3:,.0f}")


def equal_layers(repeats: int, seed: int) -> None:
    """200 equal layers, against HiGHS on the program that counts them."""
    base = drawn(seed, 200).problem
    ((loss, _),), ((weights, live, _), _) = base.sums, base.memories
    for kinds in (1, 2, 6):
        rows = np.arange(200) % kinds
        limit = int(weights[rows].mean() * 200 + live[rows].max())
        most = float(loss[:kinds].max() * 80)

        def of(at: np.ndarray, most: float = most, limit: int = limit) -> Arrays:
            memory = (weights[at], live[at], limit)
            return Arrays(base.costs[at], base.allowed[at], [(loss[at], most)], [memory])

        problem = of(rows)
        ours_s, ours = timed(lambda p=problem: choose(*p), repeats, statistics.median)
        assert ours.closed
        peer_s, _, theirs = by_peer(of(np.arange(kinds)), PEERS["HiGHS"](), np.bincount(rows))
        print(
            f"\n200 layers of {kinds} kinds: {ours_s * 1e3:.1f} ms, counted by HiGHS "
            f"{peer_s * 1e3:.1f} ms, objectives differ by {theirs / ours.objective - 1:.0e}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--instances", type=int, default=7, help="of each size")
    parser.add_argument("--repeats", type=int, default=5, help="calls of ours on each")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(header())
    seeds = range(given.seed, given.seed + given.instances)
    small, large = [drawn(seed) for seed in seeds], [drawn(seed, 200) for seed in seeds]
    units = "milliseconds; differences of the peers' objectives from ours are relative"
    against_peers(f"ResNet-50, 54 layers × 6 levels ({units})", small, given.repeats)
    against_peers(f"200 layers × 20 levels ({units})", large, given.repeats)
    in_a_row("54 layers × 6 levels", small)
    in_a_row("200 layers × 20 levels", large[:1])
    equal_layers(given.repeats, given.seed)


if __name__ == "__main__":
    main()

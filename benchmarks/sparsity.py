"""The sparsity choice: our whole call against PuLP + CBC and PuLP + HiGHS at gap 0, in one run.

ResNet-50 on a pair of small nodes (54 layers, 6 levels) and 200 layers drawn from it (20 levels),
with random sensitivities, a limit on the accuracy drop and one on the memory of each node, both
binding. Peers get the plain program, one 0-1 variable per layer and level; whole calls include
building it, solve times are those of ``problem.solve``. Ours are medians of several calls through
the door that plans use, checks included. Then 100 bandwidths in a row against one solve of
PuLP + CBC, and equal layers against HiGHS on the program with merged layers.

    python benchmarks/sparsity.py [--instances 7] [--repeats 5] [--seed 0]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pulp
from _machine import header, timed

from planner.cost.table import CostTable
from planner.domain.cluster import Cluster, Link, Node
from planner.domain.problem import MemoryLimit, SparsityProblem, SumLimit
from planner.solve.sparsity.multiple_choice import choose
from planner.solve.sparsity.solver import solve_sparsity, sweep_sparsity
from planner.solve.verify import memory_bytes
from planner.strategies.study import Study
from profiles.catalog import load_model

B_BYTES_PER_S, C_MACS_PER_S = 37.5e6, 3.75e9
FEW = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)
MANY = tuple(float(level) for level in np.linspace(0.0, 0.99, 20))


@dataclass(frozen=True)
class Instance:
    """A problem, and its costs apart: communication at the table's bandwidth and computation."""

    problem: SparsityProblem
    comm_s: np.ndarray
    compute_s: np.ndarray

    def at(self, factor: float) -> SparsityProblem:
        """The problem with links so many times as fast."""
        costs = self.comm_s / factor + self.compute_s
        return self.problem.model_copy(update={"objective_s": costs[None]})


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
    top, bottom = (memory_bytes(stored[0], live[0], choice) for choice in (roomy, least))
    limit = bottom + int(random.uniform(0.3, 0.8) * (top - bottom))
    problem = SparsityProblem(
        objective_s=(comm_s + compute_s)[None],
        allowed=allowed,
        sum_limits=(SumLimit(name="accuracy drop", values=loss, limit=most, unit="points"),),
        memory_limits=tuple(
            MemoryLimit(name=name, weight_bytes=w, live_bytes=a, limit_bytes=limit)
            for name, w, a in zip(("one", "other"), stored, live, strict=True)
        ),
    )
    return Instance(problem, comm_s, compute_s)


def program(problem: SparsityProblem) -> tuple[pulp.LpProblem, list[tuple[int, int, object]]]:
    """The plain program in microseconds and megabytes."""
    pairs = [(int(row), int(k)) for row, k in zip(*np.nonzero(problem.allowed), strict=True)]
    taken = [(row, k, pulp.LpVariable(f"x{row}_{k}", cat="Binary")) for row, k in pairs]

    def total(values: np.ndarray, scale: float = 1.0) -> pulp.LpAffineExpression:
        return pulp.LpAffineExpression([(x, float(values[row, k]) * scale) for row, k, x in taken])

    model = pulp.LpProblem("sparsity", pulp.LpMinimize)
    model += total(problem.objective_s[0], 1e6)
    of_layer: dict[int, list[object]] = {}
    for row, _, x in taken:
        of_layer.setdefault(row, []).append(x)
    for several in of_layer.values():
        model += pulp.lpSum(several) == 1
    for limit in problem.sum_limits:
        model += total(limit.values) <= limit.limit
    for index, memory in enumerate(problem.memory_limits):
        peak = pulp.LpVariable(f"peak{index}", 0)
        model += total(memory.weight_bytes, 1e-6) + peak <= memory.limit_bytes * 1e-6
        live = np.where(problem.allowed, memory.live_bytes, np.iinfo(np.int64).max)
        floor = int(live.min(axis=1).max())
        model += peak >= floor * 1e-6
        for row, k, x in taken:
            if memory.live_bytes[row, k] > floor:
                model += peak >= float(memory.live_bytes[row, k]) * 1e-6 * x
    return model, taken


def by_peer(problem: SparsityProblem, solver: pulp.LpSolver) -> tuple[float, float, float]:
    """Seconds of the whole call and of the solve, and the objective that was found."""
    start = time.perf_counter()
    model, taken = program(problem)
    built = time.perf_counter()
    model.solve(solver)
    end = time.perf_counter()
    chosen = [(row, k) for row, k, x in taken if (x.varValue or 0.0) > 0.5]
    return end - start, end - built, float(sum(problem.objective_s[0][at] for at in chosen))


PEERS: dict[str, Callable[[], pulp.LpSolver]] = {
    "CBC": partial(pulp.PULP_CBC_CMD, msg=False, gapRel=0.0, gapAbs=0.0),
    "HiGHS": partial(pulp.HiGHS, msg=False, gapRel=0.0, gapAbs=0.0),
}


def against_peers(title: str, instances: list[Instance], repeats: int) -> None:
    """A row for each instance: milliseconds, ratios to the faster peer, difference."""
    print(f"\n### {title}\n")
    print(
        "| # | ours | CBC | HiGHS | ratio | ours, solve | CBC | HiGHS | ratio | CBC | HiGHS | by |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|:--|")
    ratios: list[tuple[float, float]] = []
    for number, instance in enumerate(instances):
        problem = instance.problem
        ours_s, result = timed(lambda p=problem: solve_sparsity(p), repeats, statistics.median)
        solve_s = statistics.median(
            solve_sparsity(problem).certificate.runtime_s for _ in range(repeats)
        )
        assert result.objective_s is not None and result.certificate.status == "optimal"
        peers = {name: by_peer(problem, make()) for name, make in PEERS.items()}
        whole, alone = (min(p[kind] for p in peers.values()) for kind in (0, 1))
        ratios.append((whole / ours_s, alone / solve_s))
        differ = [f"{p[2] / result.objective_s - 1:.0e}" for p in peers.values()]
        cells = [
            *(s * 1e3 for s in (ours_s, *(p[0] for p in peers.values()))),
            ratios[-1][0],
            *(s * 1e3 for s in (solve_s, *(p[1] for p in peers.values()))),
            ratios[-1][1],
        ]
        figures = " | ".join(f"{cell:,.1f}" if cell < 100 else f"{cell:,.0f}" for cell in cells)
        print(f"| {number} | {figures} | {' | '.join(differ)} | {result.certificate.solver} |")
    for kind, words in ((0, "whole calls"), (1, "solve times alone")):
        values = [ratio[kind] for ratio in ratios]
        print(
            f"\nratio of {words} to the faster peer: median {statistics.median(values):,.0f}, "
            f"worst {min(values):,.0f}"
        )


def sweep(title: str, instances: list[Instance]) -> None:
    """100 bandwidths from a tenth to ten times, against one solve of PuLP + CBC; each instance."""
    factors = np.geomspace(0.1, 10.0, 100).tolist()
    print(f"\n{title}: 100 bandwidths, and one whole call of PuLP + CBC, milliseconds:\n")
    for instance in instances:
        start = time.perf_counter()
        for result in sweep_sparsity(instance.at(factor) for factor in factors):
            assert result.certificate.status == "optimal"
        ours_s = time.perf_counter() - start
        peers = [by_peer(instance.at(factor), PEERS["CBC"]())[0] for factor in (0.3, 1.0, 3.0)]
        print(f"- {ours_s * 1e3:,.0f} against {statistics.median(peers) * 1e3:,.0f}")


def equal_layers(repeats: int, seed: int) -> None:
    """200 equal layers, against HiGHS on merged counts."""
    base = drawn(seed, 200).problem
    for kinds in (1, 2, 6):
        rows = np.arange(200) % kinds
        memory = base.memory_limits[0]
        weights, live = memory.weight_bytes[rows], memory.live_bytes[rows]
        loss = base.sum_limits[0].values[rows]
        problem = SparsityProblem(
            objective_s=base.objective_s[:, rows],
            allowed=base.allowed[rows],
            sum_limits=(SumLimit(name="accuracy drop", values=loss, limit=loss.max() * 80),),
            memory_limits=(
                MemoryLimit(
                    name="one",
                    weight_bytes=weights,
                    live_bytes=live,
                    limit_bytes=int(weights.mean() * 200 + live.max()),
                ),
            ),
        )
        ours_s, ours = timed(lambda p=problem: solve_sparsity(p), repeats, statistics.median)
        ilp_s, ilp = timed(lambda p=problem: solve_sparsity(p, solver="ilp"), 1)
        print(
            f"\n200 layers of {kinds} kinds: {ours_s * 1e3:.1f} ms ({ours.certificate.solver}, "
            f"{ours.certificate.status}), merged program {ilp_s * 1e3:.1f} ms "
            f"({ilp.certificate.status}), objectives differ by "
            f"{(ilp.objective_s or 0.0) / (ours.objective_s or 1.0) - 1:.0e}"
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
    sweep("54 layers × 6 levels", small)
    sweep("200 layers × 20 levels", large[:1])
    equal_layers(given.repeats, given.seed)


if __name__ == "__main__":
    main()

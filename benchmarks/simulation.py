"""The simulation: speed against SimPy, the whole comparison, and our policies against MS-MDI.

- 200,000 inputs of two sources on three workers by MS-MDI: the compiled engine and a SimPy model of
  the same scenario (`tests/simulation/simpy_model.py`), equal finish times, in one run. Seconds
  are the processor's: others may work on the machine.
- 40,000 images on five workers, all policies, warm.
- BALANCE and REHEARSED against MS-MDI on random scenarios. Their seed is the time of the run unless
  it is given; the recorded run (`simulation.txt`) was made after both were frozen and nothing was
  tuned after it.

    python benchmarks/simulation.py [--seed N] [--scenarios 200] [--inputs 200000]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _machine import header

from planner.domain.cluster import Cluster, Link, Node
from planner.simulation.arrivals import arrival_times
from planner.simulation.costing import network_of
from planner.simulation.engine.kernel import cache_folder
from planner.simulation.policies import rule_of
from planner.simulation.rehearsed import rehearsed_choice
from planner.simulation.run import run_once
from planner.simulation.scenario import Scenario
from planner.simulation.study import simulate
from profiles.catalog import load_model

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.simulation.cases import poisson, scenario_of
from tests.simulation.simpy_model import Ring

MODELS = ("mobilenetv2-256", "resnet50", "efficientnet-b0")
WHOLE_S = 0.18


def testbed(workers: int, totals: tuple[int, int], send: str = "blocking") -> Scenario:
    """MS-MDI's testbed: 5/s and 10/s, T = 0.18 s, messages of 0.36 T, equal shares."""
    sources = [poisson(0, 5.0, totals[0]), poisson(1, 10.0, totals[1])]
    return scenario_of([WHOLE_S] * workers, 0.36 * WHOLE_S, sources, send=send, seed=1)


def random_scenario(generator: np.random.Generator) -> Scenario:
    """2 to 6 workers, like or unlike, 1 to 3 sources, loads from 0.2 to 2 of all workers' speed."""
    model = load_model(MODELS[generator.integers(3)])
    workers = int(generator.integers(2, 7))
    sources = int(generator.integers(1, min(workers, 3) + 1))
    whole_s = np.full(workers, WHOLE_S)
    if generator.random() < 0.5:
        whole_s = np.exp(generator.uniform(np.log(0.05), np.log(0.5), workers))
    typical = float(np.median([layer.output_bytes for layer in model.layers]))
    send_s = float(np.exp(generator.uniform(np.log(0.01), 0.0)) * whole_s.mean())
    rate = generator.uniform(0.2, 2.0) * (1 / whole_s).sum()
    shares = generator.dirichlet(np.ones(sources))
    homes = generator.choice(workers, sources, replace=False)
    return Scenario.model_validate(
        {
            "name": "random",
            "model": model,
            "cluster": Cluster(
                name="random",
                nodes=tuple(
                    Node(name=f"n{k}", macs_per_s=model.totals.macs / whole_s[k])
                    for k in range(workers)
                ),
                link=Link(
                    bandwidth_bytes_per_s=typical / send_s,
                    latency_s=float(generator.choice([0.0, 0.002])),
                ),
            ),
            "sources": [
                {
                    "node": f"n{homes[k]}",
                    "arrivals": {
                        "kind": "poisson",
                        "rate_per_s": max(float(rate * shares[k]), 0.01),
                        "total": int(generator.integers(200, 1500)),
                    },
                }
                for k in range(sources)
            ],
            "medium": str(generator.choice(["full_duplex", "half_duplex", "shared"])),
            "split": str(generator.choice(["params", "macs"])),
            "send": str(generator.choice(["blocking", "overlapped"])),
            "seed": int(generator.integers(2**31)),
        }
    )


def against_simpy(inputs: int, send: str) -> str:
    """Seconds of both on one scenario, and whether they agree."""
    scenario = testbed(3, (inputs // 4, inputs - inputs // 4), send)
    network, arrivals = network_of(scenario), arrival_times(scenario)
    rule = rule_of("ms-mdi", scenario.ms_mdi)
    few = [times[:10] for times in arrivals]
    start = time.process_time()
    run_once(scenario, network, rule, few, compiled=True)
    compiling = time.process_time() - start
    ours_s = []
    for _ in range(5):
        start = time.process_time()
        ours = run_once(scenario, network, rule, arrivals, compiled=True)
        ours_s.append(time.process_time() - start)
    start = time.process_time()
    plain = run_once(scenario, network, rule, arrivals, compiled=False)
    plain_s = time.process_time() - start
    ring = Ring(network, arrivals, "ms-mdi", send == "blocking")
    start = time.process_time()
    theirs = ring.run()
    theirs_s = time.process_time() - start
    equal = np.array_equal(ours.finish_s, theirs) and np.array_equal(plain.finish_s, theirs)
    return (
        f"{inputs:,} inputs, 3 workers, 2 sources, MS-MDI, {send} sends: compiled "
        f"{min(ours_s):.3f} s (compiling or loading apart: {compiling:.1f} s), plain "
        f"{plain_s:.1f} s, SimPy {theirs_s:.1f} s: {theirs_s / min(ours_s):.0f} times SimPy; "
        f"finish times "
        f"{'equal' if equal else 'DIFFERENT'}"
    )


def whole_comparison() -> str:
    """All policies on the published number of images."""
    scenario = testbed(5, (10_000, 30_000))
    simulate(scenario, compiled=True)
    start = time.process_time()
    result = simulate(scenario, compiled=True)
    seconds = time.process_time() - start
    lines = [f"40,000 images, 5 workers, {len(result.policies)} policies: {seconds:.2f} s warm"]
    lines += [
        f"  {row.policy:9s} makespan {row.makespan_s:7.0f} s, {row.bound_ratio:.3f} of the bound"
        + (f", follows {row.follows}" if row.follows else "")
        for row in result.policies
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class Compared:
    """One of our policies against MS-MDI on one scenario: ratios, and what the scenario is."""

    makespan: float
    mean: float
    followed: str
    words: str


def compared(number: int, scenario: Scenario) -> dict[str, Compared]:
    """Our policies on a scenario's own arrivals."""
    network, arrivals = network_of(scenario), arrival_times(scenario)
    followed = {"balance": "balance", "rehearsed": rehearsed_choice(scenario, network, True)}
    runs = {
        name: run_once(scenario, network, rule_of(name, scenario.ms_mdi), arrivals, compiled=True)
        for name in {"ms-mdi", *followed.values()}
    }
    theirs = runs["ms-mdi"]
    words = (
        f"scenario {number} ({theirs.makespan_s:.2f} s): {len(network.names)} workers, "
        f"{len(arrivals)} sources, {scenario.send}, {network.medium}, {scenario.split}"
    )
    return {
        ours: Compared(
            runs[name].makespan_s / theirs.makespan_s,
            float(runs[name].sojourn_s.mean() / theirs.sojourn_s.mean()),
            name,
            words,
        )
        for ours, name in followed.items()
    }


def against_ms_mdi(seed: int, count: int) -> str:
    """Ratios of makespans and of mean times, and every loss, of each of our policies."""
    generator = np.random.default_rng(seed)
    rows = [compared(number, random_scenario(generator)) for number in range(count)]
    return "\n".join(_against_ms_mdi(ours, seed, [row[ours] for row in rows]) for ours in rows[0])


def _against_ms_mdi(ours: str, seed: int, rows: list[Compared]) -> str:
    makespan, mean = [row.makespan for row in rows], [row.mean for row in rows]
    above = [sum(ratio > 1 + limit for ratio in makespan) for limit in (0, 1e-3, 1e-2)]
    followed = Counter(row.followed for row in rows).most_common()
    losses = [
        f"  {row.makespan - 1:+.4%} makespan, mean time {row.mean:.3f} (followed {row.followed}); "
        f"{row.words}"
        for row in rows
        if row.makespan > 1 or row.mean > 1
    ]
    return "\n".join(
        [
            f"{ours.upper()} / MS-MDI on {len(rows)} random scenarios, seed {seed}; followed: "
            + ", ".join(f"{name} in {times}" for name, times in followed),
            f"makespan: mean {np.mean(makespan):.4f}, best {min(makespan):.4f}, worst "
            f"{max(makespan):.4f}; less in {sum(ratio < 1 for ratio in makespan)}; worse in "
            f"{above[0]}, by more than 0.1 % in {above[1]}, by more than 1 % in {above[2]}",
            f"mean time per input: mean {np.mean(mean):.3f}, geometric "
            f"{np.exp(np.mean(np.log(mean))):.3f}, worst {max(mean):.3f}; worse in "
            f"{sum(ratio > 1 for ratio in mean)}",
            f"losses in either: {len(losses)}",
            *losses,
        ]
    )


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--scenarios", type=int, default=200)
    parser.add_argument("--inputs", type=int, default=200_000)
    asked = parser.parse_args()
    print(header(("numpy", "numba", "simpy")))
    print(f"engine {cache_folder().name}")
    for send in ("overlapped", "blocking"):
        print(against_simpy(asked.inputs, send), flush=True)
    print(whole_comparison(), flush=True)
    seed = int(time.time()) if asked.seed is None else asked.seed
    print(against_ms_mdi(seed, asked.scenarios), flush=True)


if __name__ == "__main__":
    main()

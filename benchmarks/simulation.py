"""The simulation: speed against SimPy, the whole comparison, and BALANCE against MS-MDI.

- 200,000 inputs of two sources on three workers by MS-MDI: the compiled engine and a SimPy model of
  the same scenario (`tests/simulation/simpy_model.py`), equal finish times, in one run. Seconds
  are the processor's: others may work on the machine.
- 40,000 images on five workers, all policies, warm.
- BALANCE against MS-MDI on random scenarios. Their seed is the time of the run unless it is given;
  the recorded run (`simulation.txt`) was made after the policy was frozen and nothing was tuned
  after it.

    python benchmarks/simulation.py [--seed N] [--scenarios 200] [--inputs 200000]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from _machine import header

from planner.domain.cluster import Cluster, Link, Node
from planner.simulation.arrivals import arrival_times
from planner.simulation.costing import network_of
from planner.simulation.kernel import cache_folder
from planner.simulation.policies import rule_of
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
        f"  {row.policy:8s} makespan {row.makespan_s:7.0f} s, {row.bound_ratio:.3f} of the bound"
        for row in result.policies
    ]
    return "\n".join(lines)


def against_ms_mdi(seed: int, count: int) -> str:
    """Ratio of makespans and of mean times, and every loss."""
    generator = np.random.default_rng(seed)
    makespan, mean, losses = [], [], []
    for number in range(count):
        scenario = random_scenario(generator)
        network, arrivals = network_of(scenario), arrival_times(scenario)
        ours, theirs = (
            run_once(scenario, network, rule_of(name, scenario.ms_mdi), arrivals, compiled=True)
            for name in ("balance", "ms-mdi")
        )
        makespan.append(ours.makespan_s / theirs.makespan_s)
        mean.append(float(ours.sojourn_s.mean() / theirs.sojourn_s.mean()))
        if makespan[-1] > 1:
            losses.append(
                f"  scenario {number}: {makespan[-1] - 1:+.4%} makespan ({theirs.makespan_s:.2f} s)"
                f", mean time {mean[-1]:.3f}; {len(network.names)} workers, "
                f"{len(arrivals)} sources, {scenario.send}, {network.medium}, {scenario.split}"
            )
    above = [sum(ratio > 1 + limit for ratio in makespan) for limit in (0, 1e-3, 1e-2)]
    return "\n".join(
        [
            f"BALANCE / MS-MDI on {count} random scenarios, seed {seed}",
            f"makespan: mean {np.mean(makespan):.4f}, best {min(makespan):.4f}, worst "
            f"{max(makespan):.4f}; worse in {above[0]}, by more than 0.1 % in {above[1]}, by more "
            f"than 1 % in {above[2]}",
            f"mean time per input: mean {np.mean(mean):.3f}, geometric "
            f"{np.exp(np.mean(np.log(mean))):.3f}, worst {max(mean):.3f}; worse in "
            f"{sum(ratio > 1 for ratio in mean)}",
            "losses:",
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

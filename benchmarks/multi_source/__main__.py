"""Two sources, four workers: Local, AR-MDI and MS-MDI on the testbed against the simulator.

    python -m benchmarks.multi_source [--repeats 4] [--inputs 40 80] [-o results.json]

`benchmarks/multi_source/table.py` makes the table of what it writes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.multi_source.pieces import load_whole, save_pieces
from benchmarks.multi_source.predicted import row
from benchmarks.multi_source.setting import Setting, scenario_of
from benchmarks.multi_source.table import markdown
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.errors import PlannerError
from planner.runtime.reading.traced import TracedModel
from planner.simulation.costing import network_of
from planner.simulation.scenario import Poisson, Scenario
from profiles.files import write_atomically
from scripts.testbed.bed import Testbed, this_checkout

RESULTS = Path(__file__).with_name("results.json")
MODEL = "mobilenetv2-224"
_REPO = Path(__file__).parents[2]
_LIMIT_S = 1200.0
_TIMED = 15
_WORDS = 500  # of what a worker said at its end


def main(words: Sequence[str] | None = None) -> None:
    """Measure, predict, write and print."""
    from profiles.built import built_model

    usual = Setting()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=usual.repeats)
    parser.add_argument("--inputs", type=int, nargs=2, default=[n for _, _, n in usual.sources])
    parser.add_argument("-o", "--out", type=Path, default=RESULTS)
    asked = parser.parse_args(words)
    sources = tuple(
        (rank, load, total)
        for (rank, load, _), total in zip(usual.sources, asked.inputs, strict=True)
    )
    setting = replace(usual, repeats=asked.repeats, sources=sources)
    found = experiment(built_model(MODEL), setting)
    write_atomically(asked.out, json.dumps(found, indent=1) + "\n")
    print(markdown(found))
    late = ", ".join(f"{said['policy']} {said['late_s']:.2f} s" for said in found["rows"])
    print(f"a worker computed for longer than its factor says, in one turn at most: {late}")


def experiment(traced: TracedModel, setting: Setting) -> dict[str, Any]:
    """Run a setting on the testbed and predict it.

    Raises
    ------
    PlannerError
        A worker stopped.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenario = prepare(traced, setting, folder)
        with Testbed(
            setting.names,
            setting.bandwidth_bytes_per_s,
            setting.delay_s,
            factors=setting.factors,
            kind="namespaces",  # gloo goes past the loopback's relay
        ) as bed:
            commands = [worker_command(folder)] * len(setting.names)
            ran = bed.run(commands, this_checkout(), time_limit_s=_LIMIT_S, folder=_REPO)
        failed = [
            f"{worker} ended with {node.code}: {node.error.strip()[-_WORDS:]}"
            for worker, node in zip(setting.names, ran.nodes, strict=True)
            if node.code
        ]
        if failed:
            raise PlannerError("\n".join(failed))
        found = document(scenario, setting, folder)
    return found | {"late_p99_s": ran.late_p99_s, "dropped": ran.dropped}


def worker_command(folder: Path) -> list[str]:
    """What a worker is started with."""
    return [sys.executable, "-m", "benchmarks.multi_source.worker", str(folder)]


def prepare(traced: TracedModel, setting: Setting, folder: Path) -> Scenario:
    """Cut the model as the scenario's routes say, and write down what workers read."""
    bare = scenario_of(setting, traced.profile, 1.0)
    assert isinstance(bare.cluster, Cluster)
    save_pieces(traced, bare.cluster, network_of(bare), folder)  # factors alone decide the routes
    scenario = scenario_of(setting, traced.profile, _whole_s(folder, bare.cluster))
    write_atomically(folder / "scenario.json", scenario.model_dump_json())
    asked = {"repeats": setting.repeats, "policies": setting.policies}
    write_atomically(folder / "asked.json", json.dumps(asked))
    return scenario


def document(scenario: Scenario, setting: Setting, folder: Path) -> dict[str, Any]:
    """The results of workers that wrote to a folder, beside the predictions."""
    workers = [
        json.loads((folder / f"worker-{rank}.json").read_text(encoding="utf-8"))
        for rank in range(len(setting.names))
    ]
    network = network_of(scenario)
    assert isinstance(scenario.model, ModelProfile)
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_at_end": os.getloadavg()[0],
        "model": scenario.model.name,
        "setting": asdict(setting),
        "inputs_per_s": [
            source.arrivals.rate_per_s
            for source in scenario.sources
            if isinstance(source.arrivals, Poisson)
        ],
        "routes": [network.route(source) for source in range(len(scenario.sources))],
        "alone_s": [node["alone"] for node in workers],
        "rows": [row(scenario, network, policy, workers) for policy in setting.policies],
    }


def _whole_s(folder: Path, cluster: Cluster) -> float:
    """Processor seconds of the whole model on this machine."""
    import torch

    whole, forms = load_whole(folder, cluster)
    inputs = {name: torch.zeros(form.shape, dtype=form.dtype) for name, form in forms.items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = []
    with torch.inference_mode():
        for _ in range(_TIMED):
            begin_s = time.thread_time()
            whole.run(inputs)
            times.append(time.thread_time() - begin_s)
    torch.set_num_threads(threads)
    return median(times)


if __name__ == "__main__":
    main()

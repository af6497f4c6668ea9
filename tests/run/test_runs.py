"""Real processes: outputs are those of one process, bytes at the socket those of the plan."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from planner.domain.layouts import WAYS
from planner.domain.plan import Plan
from planner.run.loop import Job
from planner.run.report import measured_run
from planner.run.timing import NodeTimes
from planner.runtime.reading.traced import TracedModel
from planner.runtime.running.slices import Slices
from profiles.from_torch.saved_slices import load_share
from tests.run.team import Team, written
from tests.runtime import networks, spread_networks
from tests.runtime.cases import random_plan, traced
from tests.runtime.way_plans import way_plan

FAMILIES = {
    "residual": (networks.Residual, (2, 3, 16, 16)),
    "depthwise": (networks.Depthwise, (2, 3, 16, 16)),
    "dense": (networks.Dense, (2, 3, 8, 8)),
    "norms": (networks.Norms, (2, 3, 8, 8)),
    "transformer": (networks.Transformer, (2, 3, 16, 16)),
    "recurrent": (networks.Recurrent, (3, 5, 6)),
    "decoder": (spread_networks.Decoder, (2, 9)),
    "inception": (spread_networks.Inception, (2, 3, 17, 15)),
    "segmenter": (spread_networks.Segmenter, (2, 3, 10, 8)),
    "windows": (spread_networks.Windows, (2, 3, 16, 16)),
}
RUNS, INPUTS = 7, 3


@cache
def model(family: str) -> TracedModel:
    make, shape = FAMILIES[family]
    return traced(make(), *shape, dtype="int64" if family == "decoder" else None)


class Bench:
    """Runs to be done together, by one team of processes, and what must come of them."""

    def __init__(self, world: int, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.jobs: list[dict[str, Any]] = []
        self.expected: list[tuple[Plan, Slices]] = []

    def add(self, subject: TracedModel, plan: Plan, **how: Any) -> None:
        place = self.folder / f"{len(self.jobs)}"
        self.expected.append((plan, written(subject, plan, place, INPUTS)))
        told = {"folder": str(place), "runs": RUNS, "inputs": INPUTS, "window": 1}
        self.jobs.append({**told, **how})

    def check(self) -> None:
        Team(self.world).work(self.jobs, self.folder)
        for job, (plan, slices) in zip(self.jobs, self.expected, strict=True):
            check_outputs(job, slices)
            check_report(job, plan, slices)


def check_outputs(job: dict[str, Any], slices: Slices) -> None:
    folder = Path(job["folder"])
    inputs = load_file(folder / "inputs.safetensors")
    outputs = load_file(folder / "outputs.safetensors")
    assert len(outputs) == job["runs"] * len(slices.outputs)
    for number in range(INPUTS):
        expected = slices.run(*(inputs[f"{number}/{name}"] for name in slices.inputs)).outputs
        for name, wanted in zip(slices.output_names, expected, strict=True):
            for run in range(number, job["runs"], INPUTS):
                torch.testing.assert_close(outputs[f"{run}/{name}"], wanted, rtol=1e-5, atol=1e-5)


def check_report(job: dict[str, Any], plan: Plan, slices: Slices) -> None:
    folder = Path(job["folder"])
    told = json.loads((folder / "times.json").read_text())
    nodes = [NodeTimes.model_validate_json(json.dumps(item), strict=True) for item in told]
    share = load_share(folder, nodes[0].node)
    counts = Job(job["runs"], job.get("warmup", 0), job["window"])
    found = measured_run(share, plan, nodes, counts, measured_at="", engine="", threads=1)
    sent = {(x.stretch, x.sender, x.receiver): x.measured_bytes for x in found.payload}
    planned = {
        (stretch, *pair): size
        for stretch, pairs in slices.predicted.sent_bytes.items()
        for pair, size in pairs.items()
    }
    assert sent == planned and found.payload_as_planned
    layers = [layer for group in found.groups for layer in group.layers]
    assert layers == list(slices.times)
    assert found.predicted_latency_s == pytest.approx(sum(g.predicted_s for g in found.groups))
    assert found.latency.median_s > 0 and found.end_to_end.median_s >= found.latency.median_s
    assert all(item.error_s < 60 for item in found.clocks)
    for item in found.messages:  # on clocks of one machine nothing comes before it was sent
        assert item.took.low_s > -2 * max(clock.error_s for clock in found.clocks)


def test_families_in_ways_that_are_drawn(tmp_path: Path) -> None:
    bench = Bench(3, tmp_path)
    groups = ([[1.0, 2.0, 1.0]], [[1.0, 2.0], [1.0]], [[1.0], [1.0, 3.0]], [[1.0], [1.0], [2.0]])
    for number, family in enumerate(FAMILIES):
        plan = way_plan(model(family), groups[number % 4], np.random.default_rng(number))
        bench.add(model(family), plan, window=1 + 2 * (number % 2), compiled=number % 3 == 0)
    plan = random_plan(model("residual"), groups[1], np.random.default_rng(0))
    bench.add(model("residual"), plan)
    plan = random_plan(model("dense"), groups[0], np.random.default_rng(1), casting="broadcast")
    bench.add(model("dense"), plan, window=4, warmup=2)
    bench.check()


def test_more_inputs_at_once_than_there_are(tmp_path: Path) -> None:
    bench = Bench(2, tmp_path)
    plan = way_plan(model("residual"), [[1.0], [1.0]], np.random.default_rng(3))
    bench.add(model("residual"), plan, window=16)
    bench.add(model("residual"), plan, runs=1)
    bench.check()


def test_one_node_alone(tmp_path: Path) -> None:
    bench = Bench(1, tmp_path)
    bench.add(model("residual"), way_plan(model("residual"), [[1.0]], np.random.default_rng(0)))
    bench.check()


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4, 5])
def test_families_in_every_way(world: int, tmp_path: Path) -> None:
    bench = Bench(world, tmp_path)
    rng = np.random.default_rng(world)
    for family in FAMILIES:
        subject = model(family)
        for way in WAYS:
            wanted = {layer.name: way for layer in subject.profile.layers}
            bench.add(subject, way_plan(subject, [[1.0] * world], rng, wanted=wanted))
        for window in (1, 2, 5):
            bench.add(subject, way_plan(subject, [[1.0] * (world - 1), [2.0]], rng), window=window)
    bench.check()

"""Train a task's networks, one seed at a time; what is done already is not done again.

``python scripts/train_tasks.py --task super-resolution --seed 0`` writes
``benchmarks/training/super-resolution-seed0.json`` and the sensitivities beside it, after every
network that is trained. ``scripts/build_training.py`` makes the page from them.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from training_rows import CLUSTER, NODES, Row, training_rows

import planner
from planner.case import Case
from planner.domain.plan import Plan
from planner.training.sensitivity import LEVELS
from planner.training.tasks.catalogue import TASK_NAMES, load_task
from planner.training.tasks.loop import prune_and_tune, repeatable, train_dense
from planner.training.tasks.task import Budget, Data, Task
from profiles.catalog import load_cluster
from profiles.files import write_atomically
from profiles.from_torch.frontend import profile_module
from profiles.sensitivity_file import measure_to_file

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "training"
CHECKPOINTS = ROOT / "build" / "training"  # not kept in git
SMOKE = {"dense_steps": 4, "tuning_steps": 2, "batch": 2, "rounds": 2}
SMOKE_LEVELS = (0.8, 1.0)


class Run:
    """One task and seed, with its document of results.

    Parameters
    ----------
    task : Task
    seed : int
    results, checkpoints : Path
        Folders, made where they are missing.
    levels : tuple of float
        Of the sensitivities.
    """

    def __init__(
        self, task: Task, seed: int, results: Path, checkpoints: Path, levels: tuple[float, ...]
    ) -> None:
        results.mkdir(parents=True, exist_ok=True)
        checkpoints.mkdir(parents=True, exist_ok=True)
        name = f"{task.name}-seed{seed}"
        self.task, self.seed, self.levels = task, seed, levels
        self.file, self.csv = results / f"{name}.json", results / f"{name}.csv"
        self.checkpoint = checkpoints / f"{name}-dense.pt"
        self.data: Data = task.data(seed)
        shape = {"image": task.input_shape}
        self.profile = profile_module(task.network(), shape, name=task.name, witness=False)
        facts = {
            "schema_version": 1,
            "task": task.name,
            "seed": seed,
            "cluster": CLUSTER,
            "nodes": NODES,
            "budget": asdict(task.budget),
        }
        if self.file.exists():
            self.document: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
            if {key: self.document.get(key) for key in facts} != facts:
                raise SystemExit(f"{self.file}: was made with another budget; delete it to go on")
        else:
            tools = {"python": platform.python_version(), "torch": torch.__version__}
            self.document = facts | {
                "tools": tools,
                "reference": self.data.reference(),
                "rows": {},
            }

    def finish(self) -> None:
        """Do what is left to do; where nothing is, nothing is trained."""
        left = [row for row in training_rows() if row.name not in self.document["rows"]]
        if not left:
            return
        dense = self.dense()
        case = self.measured_case(dense)
        for row in left:
            self.train(row, dense, case)

    def dense(self) -> torch.nn.Module:
        """The dense network, trained or read."""
        if self.checkpoint.exists():
            model = self.task.network()
            model.load_state_dict(torch.load(self.checkpoint, weights_only=True))
            return model
        began = time.perf_counter()
        model = train_dense(self.task, self.data, self.seed, self.task.budget)
        self.document["dense_s"] = round(time.perf_counter() - began, 1)
        content = io.BytesIO()
        torch.save(model.state_dict(), content)
        write_atomically(self.checkpoint, content.getvalue())
        self.say("dense, not tuned", self.data.quality(model, "test"))
        self.write()
        return model

    def measured_case(self, dense: torch.nn.Module) -> Case:
        """The cluster and the network's own sensitivities, on data that the page does not show."""
        cluster = load_cluster(CLUSTER)
        case = Case(self.profile, cluster)
        began = time.perf_counter()
        measure_to_file(
            self.csv,
            dense,
            case,
            NODES,
            lambda model: self.data.quality(model, "validation"),
            metric=f"{self.task.metric} ({self.task.unit}), {self.task.name}, validation",
            levels=self.levels,
        )
        self.document.setdefault("sensitivity_s", round(time.perf_counter() - began, 1))
        return planner.make_case(
            self.profile,
            cluster,
            accuracy_model=f"csv:{self.csv}",
            split_points=self.task.split_points,
        )

    def train(self, row: Row, dense: torch.nn.Module, case: Case) -> None:
        """Prune and fine-tune one network and write down what it is worth."""
        plan = row.plan(case)
        began = time.perf_counter()
        model = prune_and_tune(
            dense, plan, self.profile, self.data, self.seed, self.task.budget, row.selection
        )
        seconds = time.perf_counter() - began
        predicted = plan.predicted
        certificate = plan.certificate
        self.document["rows"][row.name] = {
            "quality": self.data.quality(model, "test"),
            "latency_s": predicted.latency_s,
            "comm_s": predicted.comm_s,
            "mean_comm_sparsity": predicted.mean_comm_sparsity,
            "mean_comp_sparsity": predicted.mean_comp_sparsity,
            "predicted_drop": predicted.accuracy_drop,
            "status": certificate.status if certificate else None,
            "kept_features": kept_features(plan) if certificate else None,
            "training_s": round(seconds, 1),
        }
        self.write()
        self.say(row.name, self.document["rows"][row.name]["quality"])

    def write(self) -> None:
        """Write the results whole."""
        write_atomically(self.file, json.dumps(self.document, indent=1, allow_nan=False) + "\n")

    def say(self, name: str, quality: float) -> None:
        """One line of progress."""
        where = f"{self.task.name} seed {self.seed}"
        print(f"{time.strftime('%H:%M:%S')} {where} {name}: {quality:.3f}", flush=True)


def kept_features(plan: Plan) -> dict[str, Any]:
    """What every layer that exchanges features keeps, by name."""
    layers = [layer for stage in plan.stages for layer in stage.layers]
    return {x.name: x.kept_features for x in layers if x.kept_features is not None}


def smoke(budget: Budget) -> Budget:
    """So little that only the code is tried."""
    return replace(budget, **SMOKE)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=TASK_NAMES, required=True)
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--smoke", action="store_true", help="a few steps, to try the code")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    asked = parser.parse_args()
    task = load_task(asked.task)
    if asked.smoke:
        task = replace(task, budget=smoke(task.budget))
    levels = SMOKE_LEVELS if asked.smoke else LEVELS
    with repeatable():
        for seed in asked.seed:
            Run(task, seed, asked.results, asked.checkpoints, levels).finish()


if __name__ == "__main__":
    main()

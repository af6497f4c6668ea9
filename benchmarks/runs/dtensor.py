"""Torch's own tensor parallelism (DTensor) beside a plan of ours, on the same bed in turns.

    python -m benchmarks.runs.dtensor FOLDER    of `python -m benchmarks.runs prepare`

Linear layers are split by columns and rows as torch's documentation does for transformers. Nodes
are slowed in both alike: what was computed is paid for before anything is exchanged.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.runs.plans import ALIKE, BANDWIDTH_BYTES_PER_S, DELAY_S, Row
from profiles.files import write_atomically

REPO = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("dtensor.json")
ROWS = (Row("deit-s", "tensor-parallel", 2), Row("bert-base", "tensor-parallel", 2),
        Row("bert-base", "tensor-parallel", 4))  # fmt: skip
"""Six heads of DeiT-S cannot be shared by four nodes."""
TURNS, REPEATS, WARMUP = 2, 5, 1
LIMIT_S = 900.0
BY_COLUMNS = ("q_proj", "k_proj", "v_proj", "fc1", "query", "key", "value", "intermediate.dense")
BY_ROWS = ("o_proj", "fc2", "output.dense")


def main() -> None:
    """Measure all rows, or be one node of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--node", metavar="MODEL", help="Be a node (the bed starts it).")
    arguments = parser.parse_args()
    if arguments.node:
        be_node(arguments.node, arguments.folder)
        return
    found = [measured_row(row, arguments.folder) for row in ROWS]
    document = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_at_end": os.getloadavg()[0],
        "rows": found,
    }
    write_atomically(RESULTS, json.dumps(document, indent=1) + "\n")


def measured_row(row: Row, folder: Path) -> dict[str, Any]:
    """A row: medians of both, in turns."""
    from benchmarks.runs.predicted import latencies_s
    from planner.domain.plan import Plan
    from profiles.files import read_document
    from scripts.testbed.bed import Testbed

    plan = read_document(folder / row.name / "plan.json", Plan, what="plan")
    names = [f"n{rank}" for rank in range(row.nodes)]
    out = folder / f"{row.name}.beside.json"
    work = {"name": row.name, "nodes": row.nodes, "folder": str(folder / row.name), "out": str(out)}
    asked = {"turns": 1, "repeats": REPEATS, "warmup": WARMUP, "engine": "torch", "rows": [work]}
    file = folder / "beside.json"
    file.write_text(json.dumps(asked), encoding="utf-8")
    theirs, ours = [], []
    with Testbed(names, BANDWIDTH_BYTES_PER_S, DELAY_S, factors=ALIKE[: row.nodes]) as bed:
        for _ in range(TURNS):
            own = [sys.executable, "-m", "benchmarks.runs.dtensor"]
            _run(bed, [*own, "--node", row.model, str(folder)], row.nodes)
            theirs.append(_dtensor_s(folder, row.nodes))
            _run(bed, [sys.executable, "-m", "benchmarks.runs.node", str(file)], row.nodes)
            (turn,) = json.loads(out.read_text(encoding="utf-8"))["turns"]
            ours.append(latencies_s(turn["nodes"], WARMUP, plan.stages[0].nodes))
    result = {
        "model": row.model,
        "nodes": row.nodes,
        "dtensor_s": float(np.median(theirs)),
        "plan_s": float(np.median(ours)),
        "turns_dtensor_s": [float(np.median(turn)) for turn in theirs],
        "turns_plan_s": [float(np.median(turn)) for turn in ours],
    }
    print(result, flush=True)
    return result


def _run(bed: Any, command: list[str], nodes: int) -> None:
    ran = bed.run([command] * nodes, {"PYTHONPATH": str(REPO)}, time_limit_s=LIMIT_S, folder=REPO)
    for node in ran.nodes:
        if node.code:
            raise SystemExit(f"{' '.join(command)} ended with {node.code}: {node.error[-2000:]}")


def _dtensor_s(folder: Path, nodes: int) -> np.ndarray:
    """By run that counts, from the first node's begin to the last one's end."""
    said = np.array(
        [json.loads((folder / f"dtensor.{rank}.json").read_text()) for rank in range(nodes)]
    )
    begins, ends = said[:, WARMUP:, 0], said[:, WARMUP:, 1]
    latencies: np.ndarray = ends.max(axis=0) - begins.min(axis=0)
    return latencies


def be_node(model: str, folder: Path) -> None:
    """Run the model on this process's part of it, and write when every run began and ended."""
    import torch
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    from profiles.networks import ARCHITECTURES
    from scripts.testbed.nodes import Slowness, own_factor

    torch.manual_seed(0)
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    made = ARCHITECTURES[model].prepare("cpu")
    styles = {}
    for name, part in made.module.named_modules():
        if isinstance(part, torch.nn.Linear) and name.endswith(BY_COLUMNS):
            styles[name] = ColwiseParallel()
        elif isinstance(part, torch.nn.Linear) and name.endswith(BY_ROWS):
            styles[name] = RowwiseParallel()
    module = parallelize_module(made.module.eval(), mesh, styles)
    inputs = {
        name: torch.randn(shape) if "int" not in made.dtypes.get(name, "") else
        torch.ones(shape, dtype=torch.int64)
        for name, shape in made.shapes.items()
    }  # fmt: skip
    times = []
    with torch.no_grad():  # in inference mode DTensor is eight times slower
        for _ in range(WARMUP + REPEATS):
            distributed.barrier()
            begin_s = time.monotonic()
            slowness = Slowness(own_factor())
            with slowness, exchanges_outside(slowness):
                module(*inputs.values())
            times.append((begin_s, time.monotonic()))
    rank = distributed.get_rank()
    (folder / f"dtensor.{rank}.json").write_text(json.dumps(times), encoding="utf-8")
    distributed.destroy_process_group()


@contextmanager
def exchanges_outside(slowness: Any) -> Iterator[None]:
    """Leave the slow computation for every collective, and enter it again."""
    from torch.distributed import _functional_collectives as collectives

    exchange: Callable[..., Any] = collectives.all_reduce

    def paid(*arguments: Any, **named: Any) -> Any:
        slowness.__exit__()
        made = collectives.wait_tensor(exchange(*arguments, **named))
        slowness.__enter__()
        return made

    with patch.object(collectives, "all_reduce", paid):
        yield


if __name__ == "__main__":
    main()

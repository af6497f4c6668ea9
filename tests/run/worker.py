"""One node's process of several runs in a row: `python -m tests.run.worker JOBS.json`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from planner.errors import PlannerError
from planner.meeting import environment
from planner.run.channel import Bound
from planner.run.loop import Job
from planner.run.processes import Options, run_share
from planner.run.share import Share
from planner.run.timing import node_times
from planner.runtime.compiling.compiled import compiled
from profiles.from_torch.saved_slices import load_share


def one(number: int, told: dict[str, Any]) -> None:
    here = environment(what="tests are run", how_to_start="as tests do")
    folder = Path(told["folder"])
    share: Share = load_share(folder, f"n{here.rank}")
    if told.get("compiled"):
        share = replace(share, program=compiled(share.program))
    inputs = load_file(folder / "inputs.safetensors")

    def feed(run: int) -> dict[str, torch.Tensor]:
        return {name: inputs[f"{run % told['inputs']}/{name}"] for name in share.inputs}

    taken: dict[str, torch.Tensor] = {}

    def take(run: int, outputs: dict[str, torch.Tensor]) -> None:
        taken.update({f"{run}/{name}": value.clone() for name, value in outputs.items()})

    found = run_share(
        share,
        Job(told["runs"], told.get("warmup", 0), told["window"]),
        feed,
        take,
        lambda ran: node_times(share, ran).model_dump_json().encode(),
        options=Options(told.get("timeout_s", 300.0), told.get("start_s", 300.0), 1, LOOPBACK),
        prefix=f"run-{number}",
    )
    if share.node == share.source:
        save_file(taken, folder / "outputs.safetensors")
        (folder / "times.json").write_text(json.dumps([json.loads(text) for text in found]))


LOOPBACK = Bound(host="127.0.0.1")


def main() -> None:
    torch.set_num_threads(1)
    try:
        for number, told in enumerate(json.loads(Path(sys.argv[1]).read_text())):
            one(number, told)
    except PlannerError as error:
        sys.stderr.write(f"planner: {error}\n")
        sys.stderr.flush()
        os._exit(error.exit_code)


if __name__ == "__main__":
    main()

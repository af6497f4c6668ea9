"""Processes of one run on this machine, and what is found of them at the kernel."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as distributed
from safetensors.torch import save_file

from planner.domain.plan import Plan
from planner.runtime import slice_model
from planner.runtime.reading.traced import TracedModel
from planner.runtime.running.slices import Slices
from profiles.from_torch.saved_slices import save_slices
from tests.processor_time import HANG_S
from tests.runtime.cases import example

REPO = Path(__file__).parents[2]
ADDRESS = "127.0.0.1"


def written(model: TracedModel, plan: Plan, folder: Path, inputs: int = 3) -> Slices:
    """Slices, the plan and some inputs in a folder."""
    slices = slice_model(model, plan, select=True)
    save_slices(slices, folder)
    (folder / "plan.json").write_text(plan.model_dump_json())
    drawn = {
        f"{number}/{name}": value
        for number in range(inputs)
        for name, value in zip(slices.inputs, example(model, number), strict=True)
    }
    save_file(drawn, folder / "inputs.safetensors")
    return slices


class Team:
    """A store and one process for every node."""

    def __init__(self, world: int) -> None:
        listening = socket.socket()
        listening.bind((ADDRESS, 0))
        listening.listen(64)
        self.world, self.port = world, listening.getsockname()[1]
        self.store: Any = distributed.TCPStore(  # type: ignore[attr-defined]
            ADDRESS,
            self.port,
            is_master=True,
            wait_for_workers=False,
            master_listen_fd=listening.detach(),
        )

    def start(self, rank: int, words: Sequence[str]) -> subprocess.Popen[str]:
        """A process of python that torchrun could have started."""
        variables = os.environ | {
            "RANK": str(rank),
            "WORLD_SIZE": str(self.world),
            "MASTER_ADDR": ADDRESS,
            "MASTER_PORT": str(self.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(REPO),
        }
        return subprocess.Popen(
            [sys.executable, *words],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def work(self, jobs: list[dict[str, Any]], folder: Path) -> None:
        """Let all do these jobs; they must succeed."""
        path = folder / "jobs.json"
        path.write_text(json.dumps(jobs))
        started = [
            self.start(rank, ["-m", "tests.run.worker", str(path)]) for rank in range(self.world)
        ]
        for code, _, err in ended(started):
            assert code == 0, err


def ended(started: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit codes and words of processes; none is left behind."""
    found = []
    try:
        for process in started:
            out, err = process.communicate(timeout=HANG_S)
            found.append((process.returncode, out, err))
    finally:
        for process in started:
            process.kill()
            process.wait()
    return found


def children(parent: int) -> dict[str, int]:
    """Processes of the nodes that a local run has started, by node."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            words = (entry / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z" and "--name" in words:
            found[words[words.index("--name") + 1]] = int(entry.name)
    return found


def connections(process: int) -> int:
    """Established connections of a process: those to the store, then those to other nodes."""
    inodes = set()
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            inodes.add(os.readlink(link))
        except OSError:
            continue
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return sum(row[3] == "01" and f"socket:[{row[9]}]" in inodes for row in rows)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for it, as long as any machine may take."""
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)

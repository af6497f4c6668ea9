"""One node of the testbed: for every plan, its own segments alone, then the run with the others.

Alone and together take turns, so that both see the same machine. Each node computes at the same
time as the others in both; alone it neither sends nor waits. Between the plans every node is
calibrated, as `planner measure node` would there, all at the same time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as distributed

from app.run_inputs import drawn_inputs
from planner.measure.running.operators import Engine, Runnable, run_shapes
from planner.measure.shapes import standard_shapes
from planner.meeting import Environment
from planner.run.loop import Job
from planner.run.processes import Options, Ran, run_share
from planner.run.share import Share
from planner.run.timing import node_times
from planner.runtime.compiling.compiled import compiled
from planner.runtime.compiling.onnx import on_onnxruntime
from planner.runtime.compiling.programs import last_reads
from planner.runtime.running.program import Compute, Program
from profiles.from_torch.saved_slices import load_share
from scripts.testbed.nodes import own_factor, slowed

WAIT = timedelta(minutes=20)
TIMEOUT_S = 120.0
PASSES = 7
"""Over all operators, for a calibration."""


def main() -> None:
    """Work through the rows of a file; the source writes what all say."""
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    torch.set_num_threads(1)
    store = distributed.TCPStore(address, port, world, rank == 0, WAIT, wait_for_workers=False)
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # the store stays for all rows
    for row in asked["rows"]:
        nodes = row["nodes"]
        if row.get("calibrates"):
            _together(store, row["name"], world)
            if rank < nodes:
                _calibrate(row, rank, asked["engine"])
        elif rank < nodes:
            here = Environment(rank, nodes, address, port)
            _row(row, here, store, asked)
        _together(store, f"{row['name']}/done", world)
    _leave(store, rank, world)


def _row(row: dict[str, Any], here: Environment, store: Any, asked: dict[str, Any]) -> None:
    share = load_share(row["folder"], f"n{here.rank}")
    if asked["engine"] == "onnxruntime":
        program = on_onnxruntime({share.node: share.program})[share.node]
    else:
        program = compiled(share.program)
    share = replace(share, program=slower(program, own_factor()))
    inputs = drawn_inputs(1, share.inputs, 0)[0]
    said: list[dict[str, Any]] = []
    for turn in range(asked["turns"]):
        _together(store, f"{row['name']}/alone/{turn}", here.world)
        alone = alone_s(share.program, inputs, asked["repeats"])
        job = Job(asked["repeats"] + asked["warmup"], asked["warmup"], 1)

        def report(ran: Ran, share: Share = share, alone: Any = alone) -> bytes:
            return json.dumps(
                {"times": json.loads(node_times(share, ran).model_dump_json()), "alone_s": alone}
            ).encode()

        found = run_share(
            share,
            job,
            lambda _: inputs,
            lambda *_: None,
            report,
            options=Options(TIMEOUT_S),
            here=here,
            prefix=f"{row['name']}/{turn}",
        )
        if found:
            said.append({"nodes": [json.loads(content) for content in found]})
    if said:
        planned = {
            f"{layer}/{a}/{b}": size
            for layer, pairs in share.predicted.sent_bytes.items()
            for (a, b), size in pairs.items()
        }
        document = {"warmup": asked["warmup"], "planned_bytes": planned, "turns": said}
        Path(row["out"]).write_text(json.dumps(document), encoding="utf-8")


def _calibrate(row: dict[str, Any], rank: int, engine: Engine) -> None:
    """Run operators of every kind on this node.

    One follows the other at full speed for as long as the plan's segments take, and then the node
    rests for so long that it has been as slow as it should be, right before the next one begins.
    What comes first behind a rest takes longer: the processor has slept, and caches hold what
    others computed.
    """
    factor = own_factor()
    pace = Pace(factor, row["pace_s"])
    samples, times = run_shapes(
        standard_shapes(),
        engine=engine,
        enough=PASSES,
        time_limit_s=TIMEOUT_S,
        around=lambda one: Runnable(lambda: (one.touch(), pace.rest()), one.run),
    )
    document = {
        "samples": [
            json.loads(sample.model_dump_json())
            | {key: getattr(sample, key) * factor for key in ("seconds", "low_s", "high_s")}
            for sample in samples
        ],
        "pass_factors": times.pass_factors,
    }
    Path(f"{row['out']}.{rank}.json").write_text(json.dumps(document), encoding="utf-8")


class Pace:
    """Lets a node rest between operators.

    Parameters
    ----------
    factor : float
        By how much it is slower.
    segment_s : float
        For which it computes before it does.
    """

    def __init__(self, factor: float, segment_s: float) -> None:
        self._factor, self._segment_s = factor, segment_s
        self._begun_s = time.thread_time()

    def rest(self) -> None:
        """Sleep, if the node has computed for so long."""
        used_s = time.thread_time() - self._begun_s
        if used_s >= self._segment_s:
            time.sleep((self._factor - 1) * used_s)
            self._begun_s = time.thread_time()


def slower(program: Program, factor: float) -> Program:
    """The program with segments that take so many times as long."""
    return replace(
        program,
        actions=tuple(
            replace(action, module=slowed(action.module, factor))
            if isinstance(action, Compute)
            else action
            for action in program.actions
        ),
    )


def alone_s(program: Program, inputs: dict[str, torch.Tensor], repeats: int) -> dict[str, float]:
    """The median time of every segment, with messages of any content."""
    times: dict[str, list[float]] = {}
    messages = {
        name: torch.randn(form.shape).to(form.dtype)
        for name, form in program.forms.items()
        if name not in program.inputs
    }
    frees = last_reads(program)
    with torch.inference_mode():
        for number in range(repeats + 1):
            values = {name: inputs[name] for name in program.inputs}
            for place, action in enumerate(program.actions):
                if isinstance(action, Compute):
                    reads = [values.get(name, messages.get(name)) for name in action.reads]
                    begin = time.perf_counter()
                    made = action.module(*reads)
                    seconds = time.perf_counter() - begin
                    values.update(zip(action.makes, made, strict=True))
                    if number:
                        times.setdefault(action.name, []).append(seconds)
                for name in frees.get(place, ()):
                    values.pop(name, None)
    return {name: sorted(found)[len(found) // 2] for name, found in times.items()}


def _together(store: Any, name: str, count: int) -> None:
    """Wait until so many processes are here."""
    if store.add(f"together/{name}", 1) == count:
        store.set(f"together/{name}/all", b"1")
    store.wait([f"together/{name}/all"], WAIT)


def _leave(store: Any, rank: int, world: int) -> None:
    """End; whoever keeps the store does so last."""
    if rank:
        store.add("left", 1)
        return
    while store.add("left", 0) < world - 1:
        time.sleep(0.05)


if __name__ == "__main__":
    main()

"""Run plans on the testbed and hold every road of prediction against the clock.

    python -m benchmarks.runs prepare FOLDER        cut all models (once)
    python -m benchmarks.runs measure FOLDER        calibrate, run, and write results.json there

`scripts/build_runs.py` makes docs/runs.md from `benchmarks/runs/results.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.runs.plans import (
    BANDWIDTH_BYTES_PER_S,
    DELAY_S,
    MODELS,
    Row,
    nominal_cluster,
    plan_of,
    rows,
)
from benchmarks.runs.predicted import result_row
from planner.domain.plan import Plan
from planner.errors import PlannerError
from profiles.files import read_document, write_atomically

REPO = Path(__file__).parents[2]
TURNS, REPEATS, WARMUP = 2, 5, 1
LIMIT_S = 3600.0
APART = 6
"""Rows between two calibrations."""
PACES_S = (5e-4, 5e-3, 1e3)
"""For how long a node computes before it rests, in calibrations: of many small segments, of some
large ones, and without any rest."""


def main() -> None:
    """Prepare or measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["prepare", "measure"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--kinds", nargs="*", help="of plans; all by default")
    parser.add_argument("--engine", choices=["torch", "onnxruntime"], default="torch")
    arguments = parser.parse_args()
    chosen = [
        row
        for row in rows(tuple(arguments.models))
        if not arguments.kinds or row.kind in arguments.kinds
    ]
    if arguments.what == "prepare":
        prepare(chosen, arguments.folder)
    else:
        measure(chosen, arguments.folder, arguments.engine)


def prepare(chosen: list[Row], folder: Path) -> None:
    """Make and cut the plans; what cannot be is said, and left out."""
    from planner.runtime import slice_model
    from profiles.built import built_model
    from profiles.from_torch.saved_slices import save_slices

    traced: dict[str, Any] = {}
    for row in chosen:
        place = folder / row.name
        if (place / "slices.json").exists():
            continue
        began = time.process_time()
        try:
            plan = plan_of(row, nominal_cluster(row.factors[: row.nodes]))
            if row.model not in traced:
                traced = {row.model: built_model(row.model)}
            slices = slice_model(traced[row.model], plan, select=True)
            save_slices(slices, place)
        except PlannerError as error:
            print(f"{row.name}: {error}", flush=True)
            continue
        write_atomically(place / "plan.json", plan.model_dump_json())
        print(f"{row.name}: {time.process_time() - began:.0f} s", flush=True)


def measure(chosen: list[Row], folder: Path, engine: str) -> None:
    """Calibrate, run everything, predict everything."""
    from benchmarks.runs.calibrated import calibrated_node, joined, measured_links

    cut = [row for row in chosen if (folder / row.name / "plan.json").exists()]
    found: list[dict[str, Any]] = []
    for factors, nodes in dict.fromkeys((row.factors, row.nodes) for row in cut):
        some = [row for row in cut if (row.factors, row.nodes) == (factors, nodes)]
        # One node alone has a second one beside it, which does nothing: a link needs two.
        bed = factors[: max(nodes, 2)]
        links = measured_links(bed)
        late_s = _run(some, folder, bed, engine)
        documents = _documents(some, folder, engine)
        for number, row in enumerate(some):
            if row not in documents:
                print(f"{row.name}: did not run", flush=True)
                continue
            # calibrated before and behind it: the machine drifts
            pace_s = _pace_s(row, folder)
            files = [_calibration(folder, row, number // APART + k, pace_s) for k in (0, 1)]
            measured = [
                calibrated_node(f"n{rank}", tuple(Path(f"{file}.{rank}.json") for file in files))
                for rank in range(nodes)
            ]
            measured += [measured[-1].model_copy(update={"name": "n1"})] * (nodes == 1)
            others = [known for other, known in documents.items() if other.model != row.model]
            plan = read_document(folder / row.name / "plan.json", Plan, what="plan")
            cluster = joined(measured, links, engine)
            result = result_row(documents[row], plan, row.model, cluster, late_s, others)
            print(_line(row, result), flush=True)
            about = {"model": row.model, "kind": row.kind, "nodes": row.nodes}
            found.append(about | {"factors": row.factors} | result)
    order = [(row.model, row.kind, row.nodes, row.factors) for row in cut]
    found.sort(key=lambda x: order.index((x["model"], x["kind"], x["nodes"], x["factors"])))
    _write(folder, engine, found)


def _documents(some: list[Row], folder: Path, engine: str) -> dict[Row, dict[str, Any]]:
    """What was written of the rows that ran."""
    files = {row: folder / f"{row.name}.{engine}.json" for row in some}
    return {
        row: json.loads(file.read_text(encoding="utf-8"))
        for row, file in files.items()
        if file.exists()
    }


def _run(some: list[Row], folder: Path, factors: tuple[float, ...], engine: str) -> float:
    """Run rows on a bed of their own; how late 99 of 100 frames were at most, s."""
    from scripts.testbed.bed import Testbed

    asked = {
        "turns": TURNS,
        "repeats": REPEATS,
        "warmup": WARMUP,
        "engine": engine,
        "rows": _work(some, folder, engine),
    }
    file = folder / "asked.json"
    file.write_text(json.dumps(asked), encoding="utf-8")
    for row in some:
        (folder / f"{row.name}.{engine}.json").unlink(missing_ok=True)
    names = [f"n{rank}" for rank in range(len(factors))]
    with Testbed(names, BANDWIDTH_BYTES_PER_S, DELAY_S, factors=factors) as bed:
        command = [sys.executable, "-m", "benchmarks.runs.node", str(file)]
        ran = bed.run(
            [command] * len(names),
            {"PYTHONPATH": str(REPO)},
            time_limit_s=LIMIT_S,
            folder=REPO,
        )
    for name, node in zip(names, ran.nodes, strict=True):
        if node.code:
            print(f"{name} ended with {node.code}: {node.error[-2000:]}", flush=True)
    return ran.late_p99_s


def _work(some: list[Row], folder: Path, engine: str) -> list[dict[str, Any]]:
    """Rows of as many nodes, and their calibrations: before every few rows and behind the last."""
    found: list[dict[str, Any]] = []
    for number, row in enumerate(some):
        if number % APART == 0:
            found += _calibrating(folder, number // APART, some)
        found.append(
            {
                "name": row.name,
                "nodes": row.nodes,
                "folder": str(folder / row.name),
                "out": str(folder / f"{row.name}.{engine}.json"),
            }
        )
    return found + _calibrating(folder, (len(some) - 1) // APART + 1, some)


def _calibrating(folder: Path, number: int, some: list[Row]) -> list[dict[str, Any]]:
    """As many nodes at once as run the plans, which share the machine; at the plans' paces."""
    found = []
    for pace_s in sorted({_pace_s(row, folder) for row in some}):
        place = _calibration(folder, some[0], number, pace_s)
        about = {"nodes": some[0].nodes, "calibrates": True, "pace_s": pace_s}
        found.append({"name": place.name, "out": str(place)} | about)
    return found


def _calibration(folder: Path, row: Row, number: int, pace_s: float) -> Path:
    """Of the nodes that the row runs on."""
    bed = "-".join(f"{factor:g}" for factor in row.factors[: row.nodes])
    return folder / f"calibration-{bed}-{number}-{pace_s:g}"


def _pace_s(row: Row, folder: Path) -> float:
    """The pace next to the plan's own: what one of its segments is predicted to take here."""
    if row.nodes == 1:
        return PACES_S[-1]
    plan = read_document(folder / row.name / "plan.json", Plan, what="plan")
    slices = json.loads((folder / row.name / "slices.json").read_text(encoding="utf-8"))
    exchanges = sum(1 for item in slices["predicted"] if item["sent_bytes"])
    segment_s = plan.predicted.compute_s / row.factors[0] / max(exchanges, 1)
    return min(PACES_S, key=lambda pace_s: abs(math.log(pace_s / segment_s)))


def _line(row: Row, result: dict[str, Any]) -> str:
    times = " ".join(
        f"{key} {result[f'{key}_s'] * 1e3:.1f}"
        for key in ("measured", "naive", "rates", "alone", "woken", "links")
    )
    as_planned = "as" if result["payload_as_planned"] else "NOT as"
    return f"{row.name}: {times} ms, bytes {as_planned} planned"


def machine() -> str:
    """Processor and cores."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'a processor'} with {os.cpu_count()} shared cores"


def _write(folder: Path, engine: str, found: list[dict[str, Any]]) -> None:
    document = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "engine": engine,
        "machine": machine(),
        "load_at_end": os.getloadavg()[0],
        "bandwidth_bytes_per_s": BANDWIDTH_BYTES_PER_S,
        "delay_s": DELAY_S,
        "turns": TURNS,
        "repeats": REPEATS,
        "rows": found,
    }
    write_atomically(folder / f"results-{engine}.json", json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

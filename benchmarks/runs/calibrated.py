"""The machine and the testbed's links, measured as a user measures devices."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.runs.plans import BANDWIDTH_BYTES_PER_S, DELAY_S, slower
from planner.domain.cluster import Cluster
from planner.errors import PlannerError
from planner.measure.fit import Fitted, fit_samples
from planner.measure.join import join
from planner.measure.parts import LinkMeasurement, NodeMeasurement
from planner.measure.running.operators import engine_label, run_shapes
from planner.measure.shapes import standard_shapes
from profiles.files import read_document
from scripts.testbed.bed import Testbed

REPO = Path(__file__).parents[2]
_PLANNER = "from app.cli import main; main()"
_LIMIT_S = 300.0
_SOURCE = "operators run one by one"


def measured_node(engine: str) -> Fitted:
    """Rates of kinds of operators on this machine; no model is run."""
    samples, times = run_shapes(standard_shapes(), engine=engine, threads=1)  # type: ignore[arg-type]
    return fit_samples(
        "here", samples, source=_SOURCE, measured_at=_now(), pass_factors=times.pass_factors
    )


def measured_cluster(name: str, here: Fitted, factors: Sequence[float], engine: str) -> Cluster:
    """Nodes that are slower than this machine by factors, on links that are measured now."""
    names = [f"n{rank}" for rank in range(len(factors))]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "links.json"
        words = [sys.executable, "-c", _PLANNER, "measure", "links", "-o", str(out), "--name"]
        with Testbed(names, BANDWIDTH_BYTES_PER_S, DELAY_S, factors=factors) as bed:
            commands = [[*words, name] for name in names]
            ran = bed.run(commands, {"PYTHONPATH": str(REPO)}, time_limit_s=_LIMIT_S)
        for node in ran.nodes:
            if node.code:
                raise PlannerError(f"measure links ended with {node.code}: {node.error[-500:]}")
        links = read_document(out, LinkMeasurement, what="links part")
    parts = [
        NodeMeasurement(
            part="node",
            complete=True,
            name=name,
            host=name,
            engine=engine_label(engine),  # type: ignore[arg-type]
            threads=1,
            measured_at=_now(),
            node=slower(here.node, factor).model_copy(update={"name": name}),
            figures=(),
        )
        for name, factor in zip(names, factors, strict=True)
    ]
    return join(parts, links, name=name)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

"""The testbed's nodes and links, measured as a user measures devices."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from benchmarks.runs.plans import BANDWIDTH_BYTES_PER_S, DELAY_S
from planner.domain.cluster import Cluster, Node
from planner.errors import PlannerError
from planner.measure.fit import fit_samples
from planner.measure.join import join
from planner.measure.parts import LinkMeasurement, NodeMeasurement, Sample
from profiles.files import read_document
from scripts.testbed.bed import Testbed

REPO = Path(__file__).parents[2]
_PLANNER = "from app.cli import main; main()"
_LIMIT_S = 300.0
_SOURCE = "operators run one by one"


@cache
def calibrated_node(name: str, files: tuple[Path, ...]) -> Node:
    """A node from what it took for operators of every kind; no model is run.

    Parameters
    ----------
    name : str
    files : tuple of Path
        Calibrations, each of a list of samples; the passes of all of them count.
    """
    samples = [
        Sample.model_validate_json(json.dumps(item), strict=True)
        for file in files
        for item in json.loads(file.read_text(encoding="utf-8"))["samples"]
    ]
    return fit_samples(name, samples, source=_SOURCE, measured_at=_now(), resamplings=0).node


def measured_links(factors: Sequence[float]) -> LinkMeasurement:
    """The links of a testbed of nodes that are slower by factors."""
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
        return read_document(out, LinkMeasurement, what="links part")


def joined(nodes: Sequence[Node], links: LinkMeasurement, engine: str) -> Cluster:
    """Measured nodes on measured links."""
    parts = [
        NodeMeasurement(
            part="node",
            complete=True,
            name=node.name,
            host=node.name,
            engine=engine,
            threads=1,
            measured_at=_now(),
            node=node,
            figures=(),
        )
        for node in nodes
    ]
    return join(parts, links, name="testbed")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

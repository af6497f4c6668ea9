"""Write the JSON schemas of the domain types to docs/schemas/ (``--check``: fail if stale)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from planner.domain.accuracy import AccuracyCurve
from planner.domain.cluster import Cluster
from planner.domain.cost_table import CostTable
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.domain.problem import Problem, Result
from planner.simulation.result import SimulationResult
from planner.simulation.scenario import Scenario
from planner.strategies.compare import Comparison
from planner.strategies.needed import Needed
from planner.strategies.pareto import ParetoFrontier
from planner.strategies.sweep import Sweep

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"
DOCUMENTS: dict[str, type[BaseModel]] = {
    "accuracy-curve": AccuracyCurve,
    "cluster": Cluster,
    "comparison": Comparison,
    "cost-table": CostTable,
    "model-profile": ModelProfile,
    "needed": Needed,
    "pareto": ParetoFrontier,
    "plan": Plan,
    "result": Result,
    "scenario": Scenario,
    "simulation": SimulationResult,
    "sweep": Sweep,
}


def schemas() -> dict[str, str]:
    """File name to schema text, as a document that is written out (derived fields included)."""
    texts = {name: kind.model_json_schema(mode="serialization") for name, kind in DOCUMENTS.items()}
    texts["problem"] = TypeAdapter(Problem).json_schema(mode="serialization")
    return {f"{name}.json": json.dumps(text, indent=1) + "\n" for name, text in texts.items()}


def main() -> int:
    """Write or check; 1 where a schema is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    FOLDER.mkdir(parents=True, exist_ok=True)
    stale = []
    for name, text in schemas().items():
        path = FOLDER / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8")
    if stale:
        print(("stale: " if check else "wrote: ") + ", ".join(stale))
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

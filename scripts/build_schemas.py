"""Write the JSON schemas of the domain types to docs/schemas/ (``--check``: fail if stale)."""

from __future__ import annotations

import json
import sys

from documents import command, made
from pydantic import BaseModel

from planner.domain.accuracy import AccuracyCurve
from planner.domain.answer import AnswerPlan
from planner.domain.cluster import Cluster
from planner.domain.language_model import LanguageModel
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.run.measured import Measured
from planner.runtime.compiling.exported import ProgramDocument
from planner.simulation.result import SimulationResult
from planner.simulation.scenario import Scenario
from planner.strategies.compare import Comparison
from planner.strategies.phases.fitting import Fits
from planner.strategies.phases.peers import AnswerComparison
from planner.strategies.what_if.frontier import ParetoFrontier
from planner.strategies.what_if.needed import Needed
from planner.strategies.what_if.sweep import Sweep
from planner.strategies.what_if.swings import Swings

DOCUMENTS: dict[str, type[BaseModel]] = {
    "accuracy-curve": AccuracyCurve,
    "answer": AnswerPlan,
    "cluster": Cluster,
    "answer-comparison": AnswerComparison,
    "comparison": Comparison,
    "fits": Fits,
    "language-model": LanguageModel,
    "model-profile": ModelProfile,
    "needed": Needed,
    "pareto": ParetoFrontier,
    "plan": Plan,
    "program": ProgramDocument,
    "run": Measured,
    "scenario": Scenario,
    "simulation": SimulationResult,
    "sweep": Sweep,
    "swings": Swings,
}


def schemas() -> dict[str, str]:
    """Path below docs/ to the schema of a document as written out (derived fields included)."""
    texts = {name: kind.model_json_schema(mode="serialization") for name, kind in DOCUMENTS.items()}
    return {
        f"schemas/{name}.json": json.dumps(text, indent=1) + "\n" for name, text in texts.items()
    }


def main() -> int:
    """Write or check; 1 where a schema is stale."""
    return made(schemas(), command(__doc__).parse_args().check)


if __name__ == "__main__":
    sys.exit(main())

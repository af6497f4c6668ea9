"""The folder that training starts from."""

from __future__ import annotations

from pathlib import Path

from app.tables import plan_table, to_csv
from planner.domain.plan import Plan
from planner.errors import BadInputError
from profiles.files import write_atomically

PLAN_FILE = "plan.json"
LAYERS_FILE = "layers.csv"


def plan_json(plan: Plan) -> str:
    """The plan as its published schema has it."""
    return plan.model_dump_json(indent=1) + "\n"


def export_plan(plan: Plan, folder: Path) -> list[Path]:
    """Write ``plan.json`` and ``layers.csv`` (layer, nodes, kept features, sparsity).

    Raises
    ------
    BadInputError
        The folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"--to {folder}: cannot be made ({error.strerror})") from error
    files = {PLAN_FILE: plan_json(plan), LAYERS_FILE: to_csv(plan_table(plan))}
    for name, text in files.items():
        write_atomically(folder / name, text)
    return [folder / name for name in files]

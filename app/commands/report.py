"""``planner report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app import options
from app.export import planned_model
from app.loading import load_profile
from app.render import write_file
from app.report import report_html, report_png
from planner.case import Case
from planner.domain.plan import Plan
from planner.errors import BadInputError
from planner.weights.planned import planned_exchanges
from profiles.files import one_line, read_document

_KINDS = (".html", ".png")


def report(
    plan_file: Annotated[
        Path, typer.Argument(metavar="PLAN", help="A plan .json (planner plan -o).")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="One .html that needs nothing else, or a .png."
        ),
    ] = Path("report.html"),
    model: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="The model that the plan was made for, as `planner plan` had it (default: the "
            "catalogue model of the plan's name).",
        ),
    ] = None,
    input_shape: options.InputShapes = None,
    batch: options.Batch = None,
    weight_bits: options.WeightBits = None,
    no_witness: options.NoWitness = False,
    input_type: options.InputTypes = None,
) -> None:
    """Write the answer for a thesis or a colleague: one HTML file, or a picture."""
    kind = output.suffix.lower()
    if kind not in _KINDS:
        raise BadInputError(
            f"--output {one_line(str(output))}: give a file ending in .html or .png"
        )
    found = read_document(plan_file, Plan, what="plan")
    source = model or planned_model(found)
    profiled = load_profile(source, input_shape, batch, not no_witness, weight_bits, input_type)
    planned_exchanges(found, profiled)
    case = Case(profiled, found.cluster, found.settings)
    write_file(output, report_html(case, found) if kind == ".html" else report_png(case, found))

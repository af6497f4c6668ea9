"""``planner export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app import options
from app.export import NO_TRAINING, export_plan, find_masks, planned_model
from app.loading import load_profile
from app.progress import working
from app.render import Format, emit, say
from app.tables import Table
from app.words import headline
from planner.domain.plan import Plan
from planner.errors import BadInputError
from profiles.files import check_folder, one_line, read_document
from profiles.weights import WEIGHT_FILES_IN_WORDS


def export(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan .json.")],
    to: Annotated[Path, typer.Option("--to", help="The folder to write.")],
    weights: Annotated[
        Path | None,
        typer.Option(
            help=f"The model's weights, {WEIGHT_FILES_IN_WORDS}: also write masks for them."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="With --weights: the model that the plan was made for, as `planner plan` had it "
            "(default: the catalogue model of the plan's name).",
        ),
    ] = None,
    input_shape: options.InputShapes = None,
    batch: options.Batch = None,
    weight_bits: options.WeightBits = None,
    no_witness: options.NoWitness = False,
    input_type: options.InputTypes = None,
    output: options.Output = Format.table,
) -> None:
    """Write what training needs: the plan, the features that each layer keeps, and masks."""
    found = read_document(plan_file, Plan, what="plan")
    check_folder(to, f"--to {one_line(str(to))}")
    masks = None
    if weights is not None:
        source = model or planned_model(found)
        profiled = load_profile(source, input_shape, batch, not no_witness, weight_bits, input_type)
        with working(f"ranking the sub-rows of {found.model.name}"):
            masks = find_masks(found, profiled, weights)
    elif model or input_shape or input_type or batch or no_witness or weight_bits is not None:
        raise BadInputError(
            "--model, --input-shape, --input-type, --batch, --weight-bits and --no-witness are for "
            "masks: give --weights FILE"
        )
    if not (found.drops_features if masks is None else masks.arrays):
        say(f"note: {NO_TRAINING}")
    written = export_plan(found, to, masks)
    table = Table("written", ("file",), tuple((str(path),) for path in written))
    emit(output, table, [str(path) for path in written], heading=[headline(found)])

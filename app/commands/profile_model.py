"""``planner profile``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from app import options
from app.loading import load_profile
from app.profile_tree import draw_tree
from app.render import Format, View, emit, write_file
from app.tables import profile_table
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.units import format_bytes
from profiles.files import document_text


def profile(
    source: options.Source,
    input_shape: options.InputShapes = None,
    batch: options.Batch = None,
    weight_bits: options.WeightBits = None,
    no_witness: options.NoWitness = False,
    input_type: options.InputTypes = None,
    attach: Annotated[
        Path | None,
        typer.Option(
            help="Measured times: .csv (layer,device_type,seconds), .json, or what "
            "planner run --measure or planner measure node --model wrote."
        ),
    ] = None,
    view: Annotated[
        View,
        typer.Option(help="Layers nested by the paths in their names with sums, or one a line."),
    ] = View.tree,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Levels of the tree to show (default: all).")
    ] = None,
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Count every layer of a model: MACs, parameters, bytes, and what was not counted."""
    if depth is not None and (view is View.flat or output is not Format.table):
        raise BadInputError("--depth: only a tree on the terminal has levels (--view tree)")
    found = load_profile(source, input_shape, batch, not no_witness, weight_bits, input_type)
    if attach:
        from profiles.measured import attach_times, read_times

        found = attach_times(found, read_times(attach, found), where=attach.name)
    write_file(output_file, document_text(found))
    totals = found.totals
    heading = [
        f"{found.name}: {totals.macs:,} MACs, {totals.params:,} parameters "
        f"({format_bytes(totals.param_bytes)}{_width(found)}), {totals.layers} layers; "
        f"from {found.provenance.front_end}",
        *_coverage_lines(found),
    ]
    emit(
        output,
        profile_table(found),
        found.model_dump(mode="json"),
        heading=heading,
        drawn=partial(draw_tree, found, depth) if view is View.tree else None,
    )


def _width(found: ModelProfile) -> str:
    return "" if found.weight_bits is None else f" with {found.weight_bits:.6g}-bit weights"


def _coverage_lines(found: ModelProfile) -> list[str]:
    coverage = found.coverage
    lines = [f"{coverage.covered_share:.1%} of the operators are counted or known to be free"]
    if coverage.uncounted:
        names = ", ".join(f"{name} ({count})" for name, count in coverage.uncounted.items())
        lines.append(f"NOT counted: {names}")
    if coverage.witness:
        skipped = ", ".join(coverage.witness.skipped_ops) or "none"
        lines.append(
            f"{coverage.witness.tool} counts {coverage.witness.total_macs:,} MACs; "
            f"operators that it skipped: {skipped}"
        )
        lines += [f"WARNING: {difference}" for difference in coverage.witness.differences]
    elif coverage.witness_note:
        lines.append(f"no second count: {coverage.witness_note}")
    if found.provenance.note:
        lines.append(f"note: {found.provenance.note}")
    return lines

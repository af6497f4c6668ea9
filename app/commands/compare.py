"""``planner compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from app import options
from app.asking import asks_for_case, node_count
from app.commands.saying import on_cluster, say_accuracy, write_file
from app.core import compare as compare_strategies
from app.progress import leavable, working
from app.question import with_usual_loss_limit
from app.render import Format, emit
from app.tables import comparison_table
from planner.case import Case
from planner.domain.request import Request
from profiles.files import document_text


@asks_for_case()
def compare(
    case: Case,
    request: Request,
    nodes: Annotated[
        list[int] | None, typer.Option(min=1, help="Node counts; repeatable (default: 2).")
    ] = None,
    sparsity: Annotated[
        list[float] | None,
        typer.Option(
            min=0.0, max=1.0, help="S_comm of the uniform rows; repeatable (default: 0.8, 0.9)."
        ),
    ] = None,
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Show every strategy of the papers and the optimum side by side."""
    counts = tuple(node_count(count, case.cluster) for count in nodes or [2])
    with working(f"comparing strategies for {on_cluster(case)}"):
        comparison = leavable(
            compare_strategies,
            case,
            with_usual_loss_limit(case, request),
            counts,
            tuple(sparsity or [0.8, 0.9]),
        )
    write_file(output_file, document_text(comparison))
    say_accuracy(case)
    emit(output, comparison_table(comparison), comparison.model_dump(mode="json"))

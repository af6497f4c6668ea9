"""``planner compare``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, get_args

import typer

from app import options
from app.asked import Asked, asks_for_case, one_of
from app.commands.saying import on_cluster, say_accuracy, write_file
from app.progress import leavable, working
from app.render import Format, emit
from app.tables import (
    comparison_table,
)
from planner.domain.request import Request
from planner.domain.settings import Objective
from planner.strategies.compare import DEFAULT_SPARSITIES
from planner.strategies.compare import compare as compare_strategies
from profiles.files import document_text


@asks_for_case
def compare(
    asked: Asked,
    nodes: Annotated[
        list[int] | None, typer.Option(min=1, help="Node counts; repeatable (default: 2).")
    ] = None,
    sparsity: Annotated[
        list[float] | None,
        typer.Option(
            min=0.0, max=1.0, help="S_comm of the uniform rows; repeatable (default: 0.8, 0.9)."
        ),
    ] = None,
    split_points: options.SplitPoints = None,
    objective: options.ObjectiveOption = "latency",
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Show every strategy of the papers and the optimum side by side."""
    counts = tuple(asked.node_count(count) for count in nodes or [2])
    with working(f"comparing strategies for {on_cluster(asked)}"):
        comparison = leavable(
            compare_strategies,
            replace(asked.case, split_points=tuple(split_points or [])),
            Request(
                max_nodes=max(counts),
                objective=one_of("--objective", objective, get_args(Objective)),
                limits=asked.limits,
                time_limit_s=asked.time_limit_s,
            ),
            counts,
            tuple(sparsity or DEFAULT_SPARSITIES),
        )
    write_file(output_file, document_text(comparison))
    say_accuracy(asked)
    emit(output, comparison_table(comparison), comparison.model_dump(mode="json"))

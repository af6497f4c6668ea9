"""``planner pareto``."""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from app import options
from app.asked import Asked, asks_for_case, one_of
from app.commands.saying import on_cluster, say_accuracy, write_file
from app.progress import leavable, working
from app.render import Format, emit
from app.tables import (
    frontier_table,
)
from app.words import (
    frontier_sentence,
)
from planner.domain.request import Request
from planner.domain.settings import Parallelism
from planner.strategies.what_if.frontier import Trade, frontier
from profiles.files import document_text


@asks_for_case
def pareto(
    asked: Asked,
    trade: Annotated[
        str,
        typer.Option(
            help="accuracy (drop against latency) or throughput (latency against throughput)."
        ),
    ] = "accuracy",
    points: Annotated[int, typer.Option(min=2, max=200, help="At most so many points.")] = 12,
    max_nodes: options.MaxNodes = None,
    parallelism: options.ParallelismOption = "hybrid",
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Show what latency an accuracy drop buys, every point an optimum with its certificate."""
    traded: Trade = one_of("--trade", trade, get_args(Trade))
    with working(f"tracing the frontier of {on_cluster(asked)}"):
        found = leavable(
            frontier,
            asked.case,
            Request(
                max_nodes=asked.node_count(max_nodes, "--max-nodes"),
                parallelism=one_of("--parallelism", parallelism, get_args(Parallelism)),
                limits=asked.frontier_limits(traded),
                time_limit_s=asked.time_limit_s,
            ),
            traded,
            points=points,
        )
    write_file(output_file, document_text(found))
    say_accuracy(asked)
    heading = [frontier_sentence(found)]
    emit(output, frontier_table(found), found.model_dump(mode="json"), heading=heading)

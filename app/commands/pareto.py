"""``planner pareto``."""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from app import options
from app.asking import asks_for_case, one_of
from app.commands.saying import on_cluster, say_accuracy, write_file
from app.core import frontier
from app.progress import leavable, working
from app.question import request_to_trade
from app.render import Format, emit
from app.tables import frontier_table
from app.words import frontier_sentence
from planner.case import Case
from planner.domain.request import Request
from planner.strategies.pareto import Trade
from profiles.files import document_text


@asks_for_case()
def pareto(
    case: Case,
    request: Request,
    trade: Annotated[
        str,
        typer.Option(
            help="accuracy (drop against latency) or throughput (latency against throughput)."
        ),
    ] = "accuracy",
    points: Annotated[int, typer.Option(min=2, max=200, help="At most so many points.")] = 12,
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Show what latency an accuracy drop buys, every point an optimum with its certificate."""
    traded: Trade = one_of("--trade", trade, get_args(Trade))
    with working(f"tracing the frontier of {on_cluster(case)}"):
        found = leavable(frontier, case, request_to_trade(case, request, traded), traded, points)
    write_file(output_file, document_text(found))
    say_accuracy(case)
    heading = [frontier_sentence(found)]
    emit(output, frontier_table(found), found.model_dump(mode="json"), heading=heading)

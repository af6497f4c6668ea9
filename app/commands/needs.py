"""``planner needs``."""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from app import options
from app.asking import asks_for_case, one_of
from app.commands.saying import on_cluster, say_accuracy, write_file
from app.progress import leavable, working
from app.question import with_usual_loss_limit
from app.render import Format, emit
from app.what_if_tables import needed_table
from app.what_if_words import needed_sentences
from planner.case import Case
from planner.domain.request import Request
from planner.errors import BadInputError, InfeasibleError, SolverStoppedError
from planner.strategies.needed import DEFAULT_TOLERANCE, Resource, needed
from planner.units import parse_quantity
from profiles.files import document_text


@asks_for_case()
def needs(
    case: Case,
    request: Request,
    latency: Annotated[str, typer.Option(help="The target for one input, such as 100ms.")],
    of: Annotated[
        str,
        typer.Option(help="bandwidth (B of every link), compute (C of every node) or nodes (N)."),
    ] = "bandwidth",
    tolerance: Annotated[
        float,
        typer.Option(help="How near to the smallest value, relative: 0.01 is one percent."),
    ] = DEFAULT_TOLERANCE,
    up_to: Annotated[
        int | None,
        typer.Option(
            "--up-to",
            min=1,
            help="With --of nodes, the most that are considered (default: 16, or all of a larger "
            "cluster). Those beyond the cluster's are copies of its last one.",
        ),
    ] = None,
    max_nodes: int | None = None,
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Find the smallest bandwidth, speed or number of nodes that meets a latency, with proof."""
    resource: Resource = one_of("--of", of, get_args(Resource))
    if request.limits.max_latency_s is not None:
        raise BadInputError("--latency is the limit on the latency: leave --max-latency out")
    if resource != "nodes" and up_to is not None:
        raise BadInputError("--up-to: only with --of nodes")
    if resource == "nodes" and max_nodes is not None:
        raise BadInputError("--of nodes: give --up-to in place of --max-nodes")
    target_s = parse_quantity(latency, "time", where="--latency")
    doing = f"asking what {latency} takes: {on_cluster(case)}"
    with working(doing) as tell:
        found = leavable(
            needed,
            case,
            with_usual_loss_limit(case, request),
            resource,
            target_s,
            tolerance=tolerance,
            most_nodes=up_to,
            watch=lambda done, of: tell(f"{doing}, {done} of about {of} values"),
        )
    write_file(output_file, document_text(found))
    sentences = needed_sentences(found)
    document = found.model_dump(mode="json")
    if found.outcome in ("found", "any"):
        say_accuracy(case)
        emit(output, needed_table(found), document, heading=sentences)
        return
    if output is not Format.table:  # the least latency is data, too
        emit(output, needed_table(found), document)
    error = InfeasibleError if found.outcome == "unreachable" else SolverStoppedError
    raise error(" ".join(sentences))

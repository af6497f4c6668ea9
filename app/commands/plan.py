"""``planner plan``."""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from app import options
from app.asked import Asked, asks_for_case, one_of
from app.commands.saying import on_cluster, write_file
from app.export import plan_json
from app.progress import leavable, working
from app.render import Format, emit, say
from app.tables import (
    plan_summary_table,
    plan_table,
)
from app.words import (
    binding_sentences,
    certificate_sentence,
    fewer_nodes_sentence,
    headline,
    warnings,
)
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import Objective, Parallelism
from planner.errors import BadInputError
from planner.strategies.optimise import optimise
from planner.strategies.what_if.binding import what_binds as find_what_binds
from planner.units import format_bytes


@asks_for_case
def plan(
    asked: Asked,
    nodes: Annotated[int | None, typer.Option(min=1, help="Exactly this many nodes.")] = None,
    max_nodes: options.MaxNodes = None,
    parallelism: options.ParallelismOption = "hybrid",
    objective: options.ObjectiveOption = "latency",
    solver: Annotated[
        str, typer.Option(help="auto, ilp or exhaustive.", rich_help_panel="Solver")
    ] = "auto",
    what_binds: Annotated[
        bool,
        typer.Option(
            "--what-binds", help="Also say which limit or resource binds and what more is worth."
        ),
    ] = False,
    output: options.Output = Format.table,
    output_file: options.OutputFile = None,
) -> None:
    """Find the best plan for a model on a cluster, with its certificate."""
    if nodes is not None and max_nodes is not None:
        raise BadInputError("--nodes and --max-nodes: give one of them")
    request = Request(
        max_nodes=asked.node_count(nodes or max_nodes, "--nodes" if nodes else "--max-nodes"),
        parallelism=one_of("--parallelism", parallelism, get_args(Parallelism)),
        objective=one_of("--objective", objective, get_args(Objective)),
        limits=asked.limits,
        exactly=nodes is not None,
        solver=one_of("--solver", solver, ("auto", "ilp", "exhaustive")),
        time_limit_s=asked.time_limit_s,
    )
    with working(f"planning {on_cluster(asked)}"):
        best = leavable(optimise, asked.case, request)
    if what_binds:
        with working(f"asking what binds {on_cluster(asked)}"):
            binding = leavable(find_what_binds, asked.case, request)
        best = best.model_copy(update={"binding": binding})
    write_file(output_file, plan_json(best))
    for warning in [*filter(None, [asked.accuracy.note]), *warnings(best)]:
        say(f"note: {warning}")
    table = plan_summary_table(best) if output is Format.table else plan_table(best)
    emit(output, table, best.model_dump(mode="json"), heading=_plan_heading(best))


def _plan_heading(best: Plan) -> list[str]:
    needs = max(best.predicted.memory_bytes.values())
    return [
        f"{best.model.name} on {best.cluster.name}",
        headline(best),
        f"communication {best.predicted.comm_s * 1e3:,.4g} ms, computation "
        f"{best.predicted.compute_s * 1e3:,.4g} ms, at most {format_bytes(needs)} on a node",
        certificate_sentence(best),
        fewer_nodes_sentence(best),
        *binding_sentences(best),
    ]

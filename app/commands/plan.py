"""``planner plan``."""

from __future__ import annotations

from typing import Annotated

import typer

from app import options
from app.asking import asks_for_case
from app.commands.saying import on_cluster, write_file
from app.export import plan_json
from app.inputs import accuracy_note
from app.progress import leavable, working
from app.question import with_usual_loss_limit
from app.render import Format, emit, say
from app.tables import plan_summary_table, plan_table
from app.words import (
    binding_sentences,
    certificate_sentence,
    fewer_nodes_sentence,
    headline,
    warnings,
)
from planner.case import Case
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.strategies.binding import what_binds as find_what_binds
from planner.strategies.optimise import optimise
from planner.units import format_bytes


@asks_for_case(before="what_binds")
def plan(
    case: Case,
    request: Request,
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
    request = with_usual_loss_limit(case, request)
    with working(f"planning {on_cluster(case)}"):
        best = leavable(optimise, case, request)
    if what_binds:
        with working(f"asking what binds {on_cluster(case)}"):
            binding = leavable(find_what_binds, case, request)
        best = best.model_copy(update={"binding": binding})
    write_file(output_file, plan_json(best))
    for warning in [*filter(None, [accuracy_note(case)]), *warnings(best)]:
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

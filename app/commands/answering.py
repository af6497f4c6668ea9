"""The commands about a prompt and its answer: answer and fits."""

from __future__ import annotations

from typing import Annotated

import typer

from app.answer_tables import comparison_table, fits_table, stages_table
from app.answer_words import answer_heading, comparison_heading, fits_heading
from app.asking_answer import asks_for_answer
from app.progress import work
from app.render import Outcome
from planner.domain.request import Request
from planner.errors import InfeasibleError, SolverStoppedError
from planner.strategies.phases.costs import LanguageCase
from planner.strategies.phases.fewer import with_fewer
from planner.strategies.phases.fitting import what_fits
from planner.strategies.phases.optimise import optimise_answer
from planner.strategies.phases.peers import compare_answers


@asks_for_answer(before="compare")
def answer(
    case: LanguageCase,
    request: Request,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Show what others' rules make of the same nodes, too."),
    ] = False,
) -> Outcome:
    """Find the best placement of a language model for a prompt and its answer."""
    doing = f"planning {case.model.name} on {case.cluster.name}"
    if compare:
        found = work(doing, compare_answers, case, request)
        return Outcome(found, comparison_table(found), comparison_heading(found), [])
    plan = work(doing, optimise_answer, case, request)
    notes = [f"assumed: {line}" for line in plan.assumed]
    fewer = work(f"{doing}, beside fewer nodes", with_fewer, case, request, plan)
    return Outcome(plan, stages_table(plan), answer_heading(plan, fewer), notes)


@asks_for_answer()
def fits(case: LanguageCase, request: Request) -> Outcome:
    """Say which context fits at which width of the weights, and how fast that is."""
    found = work(
        f"trying contexts of {case.model.name} on {case.cluster.name}", what_fits, case, request
    )
    failure = None
    if all(row.context is None for row in found.rows):
        error = InfeasibleError if all(row.proven for row in found.rows) else SolverStoppedError
        last = found.rows[-1]
        failure = error(f"{last.note} (with {last.width}, the narrowest weights)")
    return Outcome(found, fits_table(found), fits_heading(found), [], failure)

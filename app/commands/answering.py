"""The commands about a prompt and its answer: answer and fits."""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated

import typer

from app.answer_words import answer_heading, comparison_heading, fits_heading
from app.asking_answer import asks_for_answer
from app.progress import work
from app.render import Outcome
from app.tables import Table, scaled, tabulate
from planner.domain.answer import AnswerPlan, AnswerStage
from planner.domain.request import Request
from planner.strategies.phases.costs import LanguageCase
from planner.strategies.phases.fitting import Fits, what_fits
from planner.strategies.phases.optimise import optimise_answer
from planner.strategies.phases.peers import AnswerComparison, compare_answers


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
    return Outcome(plan, stages_table(plan), answer_heading(plan), notes)


@asks_for_answer()
def fits(case: LanguageCase, request: Request) -> Outcome:
    """Say which context fits at which width of the weights, and how fast that is."""
    found = work(
        f"trying contexts of {case.model.name} on {case.cluster.name}", what_fits, case, request
    )
    return Outcome(found, fits_table(found), fits_heading(found), [])


def stages_table(plan: AnswerPlan) -> Table:
    """One row per stage."""
    predicted = plan.predicted

    def each(sizes: dict[str, int], stage: AnswerStage) -> float:
        return max(sizes[name] for name in stage.nodes) / 1e9

    return tabulate(
        f"{plan.model}: stages",
        plan.stages,
        {
            "nodes": lambda x: " ".join(x.nodes),
            "blocks": blocks_words,
            "experts on hosts": lambda x: x.host_blocks or None,
            "prompt": lambda x: x.prompt or None,
            "answer": lambda x: x.step or None,
            "weights (GB)": lambda x: each(predicted.weight_bytes, x),
            "cache (GB)": lambda x: each(predicted.cache_bytes, x),
            "memory (GB)": lambda x: each(predicted.memory_bytes, x),
        },
        "sizes: of the fullest node of a stage" if plan.node_count > len(plan.stages) else "",
    )


def blocks_words(stage: AnswerStage) -> str:
    """Which blocks a stage runs: ``0 to 15, head``."""
    parts = []
    if stage.blocks and stage.first_block is not None:
        last = stage.first_block + stage.blocks - 1
        parts.append(f"{stage.first_block} to {last}" if stage.blocks > 1 else str(last))
    return ", ".join([*parts, *(["head"] if stage.head else [])])


def comparison_table(found: AnswerComparison) -> Table:
    """One row per rule."""
    return tabulate(
        f"{found.model} on {found.cluster}",
        found.rows,
        {
            "strategy": attrgetter("strategy"),
            "nodes": attrgetter("nodes"),
            "stages": attrgetter("stages"),
            "first token (s)": attrgetter("first_token_s"),
            "per token (ms)": scaled("token_s", 1e3),
            "tokens/s": attrgetter("tokens_per_s"),
            "answer (s)": attrgetter("answer_s"),
            "all tokens/s": attrgetter("all_tokens_per_s"),
            "fits": lambda x: "yes" if x.fits else "no",
            "status": attrgetter("status"),
            "note": attrgetter("note"),
        },
    )


def fits_table(found: Fits) -> Table:
    """One row per width of the weights."""
    return tabulate(
        f"{found.model} on {found.cluster}: what fits",
        found.rows,
        {
            "weights": attrgetter("width"),
            "bits": attrgetter("weight_bits"),
            "largest context": attrgetter("context"),
            "nodes": attrgetter("nodes"),
            "tokens/s": attrgetter("tokens_per_s"),
            "first token (s)": attrgetter("first_token_s"),
            "note": lambda x: "all that the model was trained for" if x.at_most else x.note,
        },
        "contexts in steps of 256 tokens; speeds: of the best plan with room for that context",
    )

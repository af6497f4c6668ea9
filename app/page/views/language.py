"""The views of a language model: its answer on one screen, others' rules, and the export."""

from __future__ import annotations

import streamlit as st

from app.answer_tables import comparison_table, fits_table, nodes_table, stages_table, times_column
from app.answer_words import (
    answer_sentence,
    certificate_words,
    comparison_heading,
    fewer_sentence,
    fits_heading,
)
from app.drawing.bars import LOW_ROW
from app.drawing.cluster import cluster_picture
from app.drawing.memory import memory_bars
from app.drawing.shapes import stacked
from app.drawing.times import time_bars
from app.node_times import cluster_table
from app.page.command import (
    CLUSTER_FILE,
    LANGUAGE_FILE,
    answer_command,
    needs_cluster_file,
    other_answer_commands,
)
from app.page.language_answer import LanguageAnswer
from app.page.progress import part
from app.page.show import on_page, picture, small_table, table
from app.page.store import store
from app.page.text import plain
from app.page.views.export import command_lines, page_file
from app.settings import CATALOGUE
from app.tables import Table, tabulate
from planner.strategies.phases.fitting import Fits
from planner.strategies.phases.peers import AnswerComparison
from planner.units import format_seconds

_BARS_PX, _CLUSTER_PX = 460, 400


def show(answer: LanguageAnswer) -> None:
    """Draw the first screen; without a plan what fits instead."""
    if not answer.is_planned:
        _fits(answer)
        return
    found = answer.plan
    with st.container(key="said", gap="xsmall"):
        st.header(plain(answer_sentence(found.plan)), anchor=False)
        st.markdown(plain(fewer_sentence(found.plan, found.fewer)))
    left, right = st.columns((_BARS_PX, _CLUSTER_PX), gap="medium")
    with left.container(gap="xsmall"):
        _bars(answer)
        _fits(answer)
    with right.container(gap="xsmall"):
        drawn, times = answer.drawn, found.times["step"]
        numbers = cluster_table(drawn, times)
        picture(cluster_picture(drawn, times, _CLUSTER_PX), numbers, key="picture_cluster")
        _rules(answer)
    lines = [certificate_words(found.plan), *(f"Assumed: {x}." for x in found.plan.assumed)]
    st.caption(plain(" ".join(lines)))


def _bars(answer: LanguageAnswer) -> None:
    """One bar per node for each phase, and for its memory."""
    plan, times = answer.plan.plan, answer.plan.times
    found = plan.predicted
    said = {
        "prompt": f"Prompt: {format_seconds(found.first_token_s, 3)}",
        "step": f"Token: {format_seconds(found.token_s, 3)}",
    }
    if plan.workload.chunks > 1:
        said["prompt"] += f"; here the last of {plan.workload.chunks} chunks"
    if len(plan.stages) == 1 and plan.node_count > 1:  # else the view Compare says it by stage
        said["prompt"] += f", {plan.stages[0].prompt}"
        said["step"] += f", {plan.stages[0].step}"
    bars = [time_bars(times[phase], _BARS_PX, words, LOW_ROW) for phase, words in said.items()]
    bars.append(memory_bars(plan, _BARS_PX, LOW_ROW))
    title = "Prompt, each token, and memory, node by node"
    told = " ".join(f"{one.title}: {one.description}" for one in bars)
    shown = stacked(bars, title, told, gap=2.0, edge=0.0)
    picture(shown, nodes_table(plan, times), key="picture_nodes")


def _fits(answer: LanguageAnswer) -> None:
    part(
        answer,
        "fits",
        answer.find_fits,
        "Trying contexts",
        lambda found: small_table(_few_fits(found), fits_table(found), key="small_fits"),
    )


def _rules(answer: LanguageAnswer) -> None:
    part(
        answer,
        "rules",
        answer.find_comparison,
        "Trying others' rules",
        lambda found: small_table(
            _few_rules(found), comparison_table(found), key="small_rules", bold="optimal"
        ),
    )


def _few_fits(found: Fits) -> Table:
    """What fits, in the columns that a first screen has room for."""
    first = times_column(found.rows, "first_token_s")
    return tabulate(
        "What fits: largest context and its speed",
        found.rows,
        {
            "weights": lambda x: x.width,
            "context": lambda x: x.context,
            "nodes": lambda x: x.nodes,
            "tokens/s": lambda x: x.tokens_per_s,
            f"first token ({first.unit})": first.cell,
            "why no more": lambda x: on_page(x.note),
        },
    )


def _few_rules(found: AnswerComparison) -> Table:
    """Others' rules, in the columns that a first screen has room for."""
    first, answer = (times_column(found.rows, x) for x in ("first_token_s", "answer_s"))
    return tabulate(
        "Others' rules on the same nodes",
        found.rows,
        {
            "strategy": lambda x: x.strategy,
            "nodes": lambda x: x.nodes,
            "tokens/s": lambda x: x.tokens_per_s,
            f"first token ({first.unit})": first.cell,
            f"answer ({answer.unit})": answer.cell,
            "fits": lambda x: "yes" if x.fits else f"no: {x.note}",
        },
    )


def compare(answer: LanguageAnswer) -> None:
    """Draw the view *Compare*: others' rules, what fits and the stages, with all columns."""
    part(answer, "rules", answer.find_comparison, "Trying others' rules", _all_rules)
    part(answer, "fits", answer.find_fits, "Trying contexts", _all_fits)
    if answer.is_planned:
        st.subheader("Stages", anchor=False)
        table(stages_table(answer.plan.plan), key="table_stages", height="content")


def _all_rules(found: AnswerComparison) -> None:
    st.subheader("Others' rules", anchor=False)
    _, *lines = comparison_heading(found)
    st.markdown(plain(". ".join([*lines, ""])))
    table(comparison_table(found), key="table_rules", height="content")


def _all_fits(found: Fits) -> None:
    st.subheader("What fits", anchor=False)
    st.markdown(plain(". ".join([*fits_heading(found), ""])))
    table(fits_table(found), key="table_fits", height="content")


def export(answer: LanguageAnswer) -> None:
    """Draw the view *Export*: the answer's files and the commands that make it."""
    source = catalogue_source(answer)
    if answer.is_planned:
        st.subheader("Files", anchor=False)
        with st.container(horizontal=True, gap="small", key="downloads"):
            for name, text in answer.files().items():
                kind = "application/json"
                st.download_button(name, text, name, kind, key=f"get_{name}", on_click="ignore")
        st.caption(
            f"answer.json: both phases with the proof, each a plan of layers. {LANGUAGE_FILE}: the "
            "model by its shapes. cluster.json: the nodes and links as they are tuned."
        )
    command_lines(
        answer_command(answer, source),
        {LANGUAGE_FILE: source is None, CLUSTER_FILE: needs_cluster_file(answer.question)},
        "the answer",
        ("The tables beside it", other_answer_commands(answer, source)),
    )
    page_file(answer.model, source is None)


def catalogue_source(answer: LanguageAnswer) -> str | None:
    """The catalogue's language model that an answer is about; none where it is a file's."""
    is_plain = st.session_state.source == CATALOGUE and store().files.language is None
    return answer.model.name if is_plain else None

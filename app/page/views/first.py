"""The view *Answer*: what the plan achieves, where its time goes, and what to change first."""

from __future__ import annotations

import streamlit as st

from app.drawing.cluster import cluster_picture
from app.drawing.shapes import Picture
from app.drawing.svg import to_svg
from app.drawing.times import time_bars
from app.next_steps import SHOWN, label, none_sentence, sentence, untried_sentence
from app.node_times import cluster_table, node_time_table
from app.page.answer import Answer
from app.page.progress import part
from app.page.show import picture
from app.page.step import take_step
from app.page.text import plain, said
from app.words import (
    alone_sentence,
    answer_sentence,
    certificate_sentence,
    fewer_nodes_sentence,
)
from planner.domain.plan import NextSteps

_BARS_PX, _CLUSTER_PX = 460, 400  # of the drawings: of letters that are read without effort


def prepare(answer: Answer) -> None:
    """Work out what the view shows at once."""
    for shown in (_bars(answer), _cluster(answer)):
        to_svg(shown)


def show(answer: Answer) -> None:
    """Draw the view."""
    st.header(plain(answer_sentence(answer.plan, answer.profile)), anchor=False)
    if answer.plan.node_count == 1 and answer.request.max_nodes > 1:
        told = fewer_nodes_sentence(answer.plan)
        st.info(f"**{alone_sentence(answer.plan)}** {plain(told)}")
    left, right = st.columns((_BARS_PX, _CLUSTER_PX), gap="medium")
    with left:
        picture(_bars(answer), node_time_table(answer.node_times), key="picture_times")
        st.subheader("What to change first", anchor=False)
        part(
            answer,
            "next_steps",
            answer.find_next_steps,
            "Trying what would help",
            lambda found: _steps(answer, found),
        )
    with right:
        numbers = cluster_table(answer.plan, answer.node_times)
        picture(_cluster(answer), numbers, key="picture_cluster")
    st.caption(plain(f"{certificate_sentence(answer.plan)} {fewer_nodes_sentence(answer.plan)}"))


def _bars(answer: Answer) -> Picture:
    """One bar per node."""
    return time_bars(answer.node_times, _BARS_PX)


def _cluster(answer: Answer) -> Picture:
    """Nodes, links and what lies where."""
    return cluster_picture(answer.plan, answer.node_times, _CLUSTER_PX)


def _steps(answer: Answer, found: NextSteps) -> None:
    """The best next steps, each with a button that takes it."""
    for number, step in enumerate(found.steps[:SHOWN], start=1):
        words = sentence(step, answer.plan).removeprefix(label(step)).removeprefix(": ").strip()
        with st.container(key=f"step_{number}", horizontal=True, vertical_alignment="center"):
            st.button(
                said(label(step)), key=f"take_{number}", on_click=take_step, args=(answer, step)
            )
            st.markdown(plain(words), width="content")
    if words := " ".join(filter(None, (none_sentence(found), untried_sentence(found)))):
        st.caption(plain(words))

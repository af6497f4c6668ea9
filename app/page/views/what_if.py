"""The view *What if*: the best plan over one quantity, and what a target latency would take."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.page.answer import Answer
from app.page.charts.sweep import sweep_chart
from app.page.controls import draw_control
from app.page.jobs import Watch
from app.page.progress import finished
from app.page.show import chart, table
from app.page.store import Same
from app.page.sweeps import here_value, sweep_values
from app.page.text import plain
from app.page.views.latency import times_origin
from app.what_if_tables import needed_table, sweep_table
from app.what_if_words import needed_sentences, sweep_sentences
from planner.strategies.hardware import Quantity
from planner.strategies.needed import Needed, Resource, needed
from planner.strategies.sweep import Sweep, sweep

_WORDS = {
    "bandwidth": "bandwidth B",
    "compute": "speed C",
    "nodes": "nodes N",
    "link-latency": "delay of a message",
    "memory": "memory",
}


def show(answer: Answer) -> None:
    """Draw the view."""
    st.subheader("What if there were more, or less?", anchor=False)
    left, right = st.columns((3, 1), vertical_alignment="bottom")
    draw_control("over", left, format_func=_WORDS.__getitem__)
    over: Quantity = st.session_state.over
    if over != "nodes":
        draw_control("reach", right)
    reach = st.session_state.reach
    values = sweep_values(answer, over, float(reach.rstrip("×")))
    finished(
        "sweep",
        (Same(answer), over, values),
        lambda watch: sweep(answer.case, answer.request, over, values, watch),
        "Planning at each value",
        lambda found: _sweep(answer, found),
    )
    _target(answer)


def _sweep(answer: Answer, found: Sweep) -> None:
    for sentence in sweep_sentences(found):
        st.markdown(plain(sentence))
    failed = sum(point.best is None for point in found.points)
    missing = f" No plan at {failed} values; the numbers say why." if failed else ""
    chart(
        sweep_chart(found, here_value(answer, found.over), answer.plan),
        sweep_table(found),
        "Every point is the best plan there, with its certificate in the numbers; all else stays "
        f"as it is. {times_origin(answer)}{missing}",
        key="chart_sweep",
        alt=f"Time per input of the best plan over {_WORDS[found.over]}",
    )


def _target(answer: Answer) -> None:
    """The least value that meets a target."""
    st.subheader("What would it take?", anchor=False)
    left, right = st.columns((1, 2), vertical_alignment="bottom")
    draw_control("target", left)
    draw_control("needs", right, format_func=lambda name: f"more {_WORDS[name]}")
    target_ms, of = st.session_state.target, st.session_state.needs
    if target_ms is None:
        st.caption("Give a target: the least bandwidth, speed or number of nodes is looked for.")
        return
    finished(
        "needed",
        (Same(answer), of, target_ms),
        lambda watch: _needed(answer, of, target_ms / 1e3, watch),
        "Asking what it would take",
        _answer,
    )


def _needed(answer: Answer, of: Resource, target_s: float, watch: Watch) -> Needed:
    """As ``planner needs`` finds it; the target takes the place of a limit on the latency."""
    limits = answer.request.limits.model_copy(update={"max_latency_s": None})
    request = replace(answer.request, limits=limits, objective="latency", exactly=False)
    return needed(answer.case, request, of, target_s, watch=watch)


def _answer(found: Needed) -> None:
    for sentence in needed_sentences(found):
        st.markdown(f"- {plain(sentence)}")
    with st.expander("Every value that was tried", key="trials_open"):
        table(needed_table(found), key="table_needed", height="content")

"""The view *What if*: what each quantity does, one of them in detail, a target, what binds."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.page.answer import Answer
from app.page.charts.plans import sweep_chart
from app.page.charts.tornado import tornado
from app.page.controls import draw_control
from app.page.progress import finished, part
from app.page.show import chart, table, times_origin
from app.page.store import Same
from app.page.text import plain
from app.what_if import (
    QUANTITIES,
    needed_sentences,
    needed_table,
    sweep_sentences,
    sweep_table,
    swing_sentence,
    swing_table,
)
from app.words import binding_sentences
from planner.domain.cluster import Cluster
from planner.domain.plan import Binding
from planner.strategies.what_if.needed import Needed
from planner.strategies.what_if.quantities import Quantity, Value, present_value, spread_values
from planner.strategies.what_if.sweep import Sweep
from planner.strategies.what_if.swings import Swings

_POINTS = 9
_FEWEST_NODES = 8
_USUAL_LATENCY_S = 1e-3  # around which delays are varied where there is none now


def here_value(answer: Answer, over: Quantity) -> Value | None:
    """The quantity's present value; none where nodes or links differ, or without a limit."""
    if over == "nodes":
        return answer.request.max_nodes
    return present_value(answer.case.cluster, over)


def sweep_values(answer: Answer, over: Quantity, reach: float) -> tuple[Value, ...]:
    """Values around the present one, by so much less to so much more.

    Where there is no single present value, those of the fastest node, of the common link or of
    what the plan needs stand for it.
    """
    if over == "nodes":
        return spread_values("nodes", 1, max(_FEWEST_NODES, answer.request.max_nodes), _POINTS)
    cluster = answer.case.cluster
    usual: dict[Quantity, Value] = {
        "bandwidth": cluster.link.bandwidth_bytes_per_s,
        "compute": max(node.macs_per_s for node in cluster.nodes),
        "link-latency": cluster.link.latency_s or _USUAL_LATENCY_S,
        "memory": max(answer.plan.predicted.memory_bytes.values()),
        "memory-bandwidth": _known_memory_rate(cluster),
    }
    middle = here_value(answer, over) or usual[over]
    if over == "memory":
        return spread_values(over, max(int(middle / reach), 1), int(middle * reach), _POINTS)
    return spread_values(over, middle / reach, middle * reach, _POINTS)


def _known_memory_rate(cluster: Cluster) -> float:
    """Of the fastest node; where none is known, so much that arithmetic takes as long.

    A byte for each MAC is what large convolutions are far from, and language models near.
    """
    known = [node.memory_bytes_per_s for node in cluster.nodes if node.memory_bytes_per_s]
    return max(known or [node.macs_per_s for node in cluster.nodes])


def _say(quantity: Quantity) -> str:
    return QUANTITIES[quantity].symbol


def show(answer: Answer) -> None:
    """Draw the view."""
    part(
        answer,
        "swings",
        answer.find_swings,
        "Planning with half and twice of each",
        lambda found: _swings(answer, found),
    )
    st.subheader("One of them, less and more", anchor=False)
    left, right = st.columns((3, 1), vertical_alignment="bottom")
    draw_control("over", left, format_func=_say)
    over: Quantity = st.session_state.over
    if over != "nodes":
        draw_control("reach", right)
    reach = st.session_state.reach
    values = sweep_values(answer, over, float(reach.rstrip("×")))
    finished(
        "sweep",
        (Same(answer), over, values),
        partial(answer.sweep, over, values),
        "Planning at each value",
        lambda found: _sweep(answer, found),
    )
    _target(answer)
    _binding(answer)


def _swings(answer: Answer, found: Swings) -> None:
    """What each quantity does, the strongest first."""
    st.markdown(plain(swing_sentence(found)))
    chart(
        tornado(found),
        swing_table(found),
        "Half and twice of each, on every node or every link, all else as it is; each bar begins "
        f"where the plan stands now. Found by planning again. {times_origin(answer)}",
        key="chart_swings",
        alt="Time per input with half and with twice of each quantity",
    )


def _binding(answer: Answer) -> None:
    """What holds the plan back, found by solving again."""
    st.subheader("What binds, and what more would be worth", anchor=False)

    def draw(found: tuple[Binding, ...]) -> None:
        with_binding = answer.plan.model_copy(update={"binding": found})
        sentences = binding_sentences(with_binding)
        for sentence in sentences or ["No limit and no resource holds this plan back."]:
            st.markdown(f"- {plain(sentence)}")
        st.caption("Derived: each gain is that of the best plan, found by solving again.")

    part(answer, "binding", answer.find_binding, "Asking what binds", draw)


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
        alt=f"Time per input of the best plan over {_say(found.over)}",
    )


def _target(answer: Answer) -> None:
    """The least value that meets a target."""
    st.subheader("What would it take?", anchor=False)
    left, right = st.columns((1, 2), vertical_alignment="bottom")
    draw_control("target", left)
    draw_control("needs", right, format_func=lambda name: f"more {_say(name)}")
    target_ms, of = st.session_state.target, st.session_state.needs
    if target_ms is None:
        st.caption("Give a target: the least bandwidth, speed or number of nodes is looked for.")
        return
    finished(
        "needed",
        (Same(answer), of, target_ms),
        partial(answer.needed, of, target_ms / 1e3),
        "Asking what it would take",
        _answer,
    )


def _answer(found: Needed) -> None:
    for sentence in needed_sentences(found):
        st.markdown(f"- {plain(sentence)}")
    with st.expander("Every value that was tried", key="trials_open"):
        table(needed_table(found), key="table_needed", height="content")

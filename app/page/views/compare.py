"""The view *Compare*: the papers' strategies, peers' rules and ours, on 1, 2, 4, 8 … nodes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import streamlit as st

from app.page import state
from app.page.answer import Answer
from app.page.charts.plans import by_nodes, strategies
from app.page.controls import draw_control
from app.page.progress import finished
from app.page.show import chart, table, times_origin
from app.page.text import count
from app.tables import Table, comparison_table
from planner.strategies.compare import Comparison

_COUNTS = (1, 2, 4, 8)


def show(answer: Answer) -> None:
    """Draw the view."""
    counts = tuple(sorted({*_COUNTS, answer.request.max_nodes}))
    finished(
        "comparison",
        answer,
        partial(answer.comparisons, counts),
        "Comparing strategies",
        lambda found: _drawn(answer, found),
    )
    _alternatives(answer)


@st.fragment
def _drawn(answer: Answer, found: dict[int, Comparison]) -> None:
    asked = answer.request.max_nodes
    together = _together(found)
    st.segmented_control(
        "On how many nodes",
        (None, *found),
        key="bars",
        format_func=lambda nodes: f"as asked ({asked})" if nodes is None else count(nodes, "node"),
        label_visibility="collapsed",
        persist_state="session",
    )
    chosen = found.get(st.session_state.bars or asked, found[asked])
    by_rate = answer.request.objective == "throughput"
    lines = [
        f"In brackets: how many nodes; at the bar's end: "
        f"{'inputs per second' if by_rate else 'the latency'}, what is lost, and the memory of the "
        "fullest node.",
        "Pale bars break a limit; the table says which.",
        times_origin(answer),
    ]
    if answer.case.settings.overlap:
        lines.append("With overlap the longer part of a layer hides the shorter.")
    chart(
        strategies(chosen),
        comparison_table(chosen),
        " ".join(lines),
        key="chart_strategies",
        alt="Latency of every strategy, communication and computation stacked",
    )
    st.subheader("On more and more nodes", anchor=False)
    draw_control("measure")
    measure = st.session_state.measure
    chart(
        by_nodes(found, measure),
        together,
        f"{_about(measure)} Each line is a strategy, hollow where it breaks a limit; optimal "
        f"is the best over at most so many nodes, under the limits. What is lost where "
        f"features are dropped stands under the pointer. {times_origin(answer)}",
        key="chart_by_nodes",
        alt=f"{measure} of the strategies on {', '.join(map(str, found))} nodes",
    )
    st.subheader("Every strategy", anchor=False)
    table(together, key="table_every_strategy", height="content")
    state.write_address()


def _about(measure: str) -> str:
    return {
        "accuracy drop": "Published where the paper has the very row, else assumed.",
        "memory": "Of the fullest node.",
        "throughput": "1 / the busiest of stages and transfers.",
    }.get(measure, "Time for one input.")


def _together(found: dict[int, Comparison]) -> Table:
    """The rows of all numbers of nodes; the single node's stands once."""
    tables = [comparison_table(comparison) for _, comparison in sorted(found.items())]
    seen: set[object] = set()
    rows = []
    for one in tables:
        for row in one.rows:
            if row not in seen:
                seen.add(row)
                rows.append(row)
    return replace(tables[0], rows=tuple(rows))


def _alternatives(answer: Answer) -> None:
    """Plans of other shapes, and why they are not the answer."""
    others = answer.plan.alternatives
    if not others:
        return
    st.subheader("Plans of other shapes", anchor=False)
    rows = tuple(
        (
            other.strategy,
            other.nodes,
            None if other.latency_s is None else other.latency_s * 1e3,
            other.throughput_per_s,
            other.accuracy_drop if other.energy_loss is None else other.energy_loss,
            other.reason,
        )
        for other in others
    )
    columns = ("strategy", "nodes", "latency (ms)", "throughput (1/s)", "loss", "why not")
    footer = (
        "The best of each shape under the same limits, and the best without training or with it. "
        "Derived by the cost model."
    )
    table(Table("alternatives", columns, rows, footer), key="table_alternatives", height="content")

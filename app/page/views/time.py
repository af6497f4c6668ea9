"""The view *Where the time goes*: who works, sends and waits when, for one input."""

from __future__ import annotations

import streamlit as st

from app.page.answer import Answer
from app.page.charts.layers import cumulative
from app.page.charts.timeline import gantt, timeline_table
from app.page.layer_view import layer_table, plan_stages, stage_table
from app.page.show import chart, table, times_origin
from app.page.text import count
from planner.strategies.timeline import spans as spans_of

_MOST_SPANS = 12_000  # that a browser still draws at once


def show(answer: Answer) -> None:
    """Draw the view."""
    _timeline(answer)
    if len(answer.plan.stages) > 1:
        st.subheader("Stages", anchor=False)
        table(stage_table(answer), key="table_stages", height="content")
    _so_far(answer)


def _timeline(answer: Answer) -> None:
    """Every node's work for one input."""
    spans = tuple(spans_of(answer.case, answer.plan))
    nodes = [node.name for node in answer.case.cluster.nodes]
    if len(spans) > _MOST_SPANS:
        st.info(f"{count(len(spans), 'span')}: too many to draw; the table above sums them up.")
        return
    idle = [node for node in nodes if node not in {span.node for span in spans}]
    unused = f" Without work: {', '.join(idle)}." if idle else ""
    chart(
        gantt(spans, nodes),
        timeline_table(spans),
        "Above in a node's row: its link; below: its processor. A node that is done sooner than "
        "the others of its stage waits for them. The next input can enter a stage as soon as it is "
        f"free. {times_origin(answer)}{unused}",
        key="chart_timeline",
        alt="Gantt chart of communication and computation of every node",
    )


def _so_far(answer: Answer) -> None:
    """Where the time goes, summed up."""
    st.subheader("Time so far", anchor=False)
    hidden = ""
    if answer.case.settings.overlap:
        hidden = " With overlap a layer takes the longer of its two parts: less than the stack."
    stages = plan_stages(answer)
    chart(
        cumulative(stages),
        layer_table(stages),
        "What the plan has spent up to each layer, handovers between stages with the "
        f"communication. {times_origin(answer)}{hidden}",
        key="chart_cumulative",
        alt="Time spent up to each layer, communication and computation stacked",
    )

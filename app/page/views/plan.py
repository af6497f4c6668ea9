"""The view *Plan*: what each layer sends, who works when, what it takes, and how sure that is."""

from __future__ import annotations

import streamlit as st

from app.page.answer import Answer
from app.page.charts.layers import layer_sparsity, ways_strip
from app.page.charts.timeline import gantt, memory
from app.page.charts.ways import runs_in_ways
from app.page.layer_view import layer_table, plan_stages, stage_table, timeline, timeline_table
from app.page.show import chart, table
from app.page.text import count, plain
from app.page.views.latency import times_origin
from app.tables import Table
from app.words import certificate_sentence, fewer_nodes_sentence
from planner.units import format_bytes

_MOST_SPANS = 12_000  # that a browser still draws at once


def show(answer: Answer) -> None:
    """Draw the view."""
    st.markdown(plain(certificate_sentence(answer.plan)))
    st.markdown(plain(fewer_nodes_sentence(answer.plan)))
    if len(answer.plan.stages) > 1:
        st.subheader("Stages", anchor=False)
        table(stage_table(answer), key="table_stages", height="content")
    _ways(answer)
    _sparsity(answer)
    _timeline(answer)
    _memory(answer)
    _alternatives(answer)


def _ways(answer: Answer) -> None:
    """How each layer runs, and what is brought to other layouts."""
    st.subheader("How each layer runs", anchor=False)
    stages = plan_stages(answer)
    if not runs_in_ways(stages):
        st.info("Every layer runs on one node.")
        return
    points = [point for stage in stages for point in stage.points]
    moved = sum(x.moved_bytes for point in points for x in point.conversions)
    brought = sum(len(point.conversions) for point in points)
    sent = sum(point.wire_bytes for point in points)
    chart(
        ways_strip(stages),
        layer_table(stages),
        "Above the way of each layer, hatched where halos are fused; below how its output lies. "
        "Triangles are conversions: "
        f"{count(brought, 'tensor')} brought to another layout, {format_bytes(moved)} of the "
        f"{format_bytes(sent)} that are sent within stages. Derived by the cost model.",
        key="chart_ways",
        alt="The way in which each layer runs, and the layout of what it makes",
    )


def _sparsity(answer: Answer) -> None:
    """What the plan chose to drop, layer by layer."""
    st.subheader("What each layer drops", anchor=False)
    stages = plan_stages(answer)
    if not answer.plan.drops_features:
        st.info("Nothing is dropped: the weights stay as they are, and no training is needed.")
        return
    chart(
        layer_sparsity(stages),
        layer_table(stages),
        "S_comm: share of a node's features that it does not send to each other node. 0 % is "
        "dense, 100 % are independent branches. Chosen by the optimiser; layers without a dot have "
        "nothing to choose. The loss that goes with it is assumed until the model is trained.",
        key="chart_sparsity",
        alt="Communication sparsity of every layer of the plan",
    )


def _timeline(answer: Answer) -> None:
    """Every node's work for one input."""
    st.subheader("Who works when, for one input", anchor=False)
    spans = timeline(answer)
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


def _memory(answer: Answer) -> None:
    """Bytes per node against its limit."""
    st.subheader("Memory of each node", anchor=False)
    needed = answer.plan.predicted.memory_bytes
    limits = {node.name: node.memory_bytes for node in answer.case.cluster.nodes}
    known = [name for name in needed if limits.get(name) is not None]
    rows = tuple((name, value, limits.get(name)) for name, value in needed.items())
    chart(
        memory(needed, limits),
        Table("memory", ("node", "needed bytes", "limit bytes"), rows),
        "Weights of its part, receive buffers and the most activations alive at once. "
        + ("The mark is the limit. " if known else "No limit is known. ")
        + "Derived by the cost model.",
        key="chart_memory",
        alt="Memory that each node needs, with its limit",
    )


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
    columns = ("strategy", "nodes", "latency (ms)", "rate (1/s)", "loss", "why not")
    footer = (
        "The best of each shape under the same limits, and the best without training or with it. "
        "Derived by the cost model."
    )
    table(Table("alternatives", columns, rows, footer), key="table_alternatives", height="content")

"""The main column, from the headline to the downloads."""

from __future__ import annotations

from typing import Literal

import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from app.page import charts
from app.page.layer_view import plan_stages, stage_table, uniform_stage
from app.page.question import UNIFORM_LEVELS, Answer, count
from app.page.strategy_chart import strategies
from app.page.text import plain
from app.tables import Table, comparison_table, profile_table
from app.words import certificate_sentence, fewer_nodes_sentence, headline, warnings
from planner.domain.cluster import Figure, Origin
from planner.errors import PlannerError
from planner.units import format_bytes, format_rate, format_seconds, format_si

_CHART = {"displayModeBar": False}
_TABLE_CSV = "text/csv"


def show_answer(answer: Answer) -> None:
    """Everything below the title."""
    show_plan(answer)
    show_layers(answer)
    show_sparsity(answer)
    show_strategies(answer)
    show_downloads(answer)
    show_sources(answer)


def show_plan(answer: Answer) -> None:
    """The plan in words and five numbers."""
    plan, predicted = answer.plan, answer.plan.predicted
    origin = predicted.origin
    st.markdown(f"#### {plain(headline(plan))}")
    drop = predicted.accuracy_drop
    mean = predicted.mean_comm_sparsity
    with st.container(horizontal=True, gap="small", key="metrics"):
        _metric(
            "Latency",
            format_seconds(predicted.latency_s),
            origin["latency_s"],
            f"Time for one input: communication {format_seconds(predicted.comm_s)}, "
            f"computation {format_seconds(predicted.compute_s)}.",
        )
        _metric(
            "Throughput",
            f"{format_rate(predicted.throughput_per_s)} /s",
            origin["throughput_per_s"],
            "Inputs per second in steady state: 1 / the busiest of stages and transfers.",
        )
        _metric(
            "Accuracy drop",
            "–" if drop is None else f"{drop:.2f} points",
            None if drop is None else origin["accuracy_drop"],
            _accuracy_words(answer),
        )
        _metric(
            "Memory per node",
            format_bytes(max(predicted.memory_bytes.values())),
            origin["memory_bytes"],
            "Of the node that needs most: weights, receive buffers and live activations.",
        )
        _metric(
            "Mean S_comm",
            "–" if mean is None else f"{mean:.1%}",
            None if mean is None else "derived",
            "Share of the features that nodes do not send, over the bytes of every layer that "
            "mixes features and runs on several nodes. A stage on a single node exchanges none.",
        )
    st.markdown(plain(certificate_sentence(plan)))
    others = fewer_nodes_sentence(plan)
    if plan.node_count == 1 and answer.question.nodes > 1:
        st.info(f"**Distributing does not pay here.** {plain(others)}")
    else:
        st.markdown(plain(others))
    notes = [answer.accuracy.note] if answer.accuracy.note else []
    for warning in (*warnings(plan), *notes):
        st.warning(plain(warning[:1].upper() + warning[1:] + "."))


def _accuracy_words(answer: Answer) -> str:
    model, predicted = answer.study.accuracy, answer.plan.predicted
    if model is None:
        return "No accuracy model was chosen, so nothing is known."
    words = f"Points of {plain(model.metric)}"
    if predicted.accuracy is not None:
        words += f": {predicted.accuracy:.2f} are predicted"
    return f"{words}."


def _metric(name: str, value: str, origin: Origin | None, text: str) -> None:
    tag = f" {_ORIGIN_WORDS[origin]}" if origin else ""
    st.metric(
        name,
        value,
        delta=origin,
        delta_color="off",
        delta_arrow="off",
        help=text + tag,
        border=True,
        height="stretch",
    )


_ORIGIN_WORDS: dict[Origin, str] = {
    "measured": "Measured.",
    "derived": "Derived by the cost model.",
    "assumed": "Assumed.",
}


@st.fragment
def show_layers(answer: Answer) -> None:
    """Communication against computation of every layer, for the plan or a uniform baseline."""
    st.subheader("Layer by layer", anchor=False)
    nodes = answer.question.nodes
    levels = {"dense": 0.0, **{f"uniform {level:.0%}": level for level in UNIFORM_LEVELS}}
    if nodes > 1:
        st.segmented_control(
            "Show the layers of",
            ("plan", *levels),
            key="view",
            default="plan",
            required=True,
            label_visibility="collapsed",
        )
    view = st.session_state.get("view", "plan") if nodes > 1 else "plan"
    planned = view == "plan"
    stages = plan_stages(answer) if planned else (uniform_stage(answer, levels[view]),)
    points = [point for stage in stages for point in stage.points]
    if not points:
        st.info("No layer computes or exchanges anything.")
        return
    shown = "the plan" if planned else f"{view} on {count(nodes, 'node')}"
    st.plotly_chart(
        charts.layer_times(stages),
        key="chart_layers",
        config=_CHART,
        alt=f"Communication and computation time of {count(len(points), 'layer')}, log scale",
    )
    zeros = ""
    if charts.has_zeros(points):
        zeros = " Hollow markers on the lowest line are zeros, for which a log scale has no place."
    st.caption(
        f"{count(len(points), 'layer').capitalize()} of {shown}; layers that neither compute nor "
        f"send are left out. {_times_origin(answer)}{zeros}"
    )
    if len(stages) > 1:
        _table(stage_table(answer), key="table_stages", height="content")


def show_sparsity(answer: Answer) -> None:
    """What the plan chose to send, layer by layer."""
    st.subheader("What each layer sends", anchor=False)
    stages = plan_stages(answer)
    if not any(point.sparsity is not None for stage in stages for point in stage.points):
        st.info(
            "This plan exchanges no features within layers."
            if answer.plan.node_count > 1
            else "One node runs everything: nothing is exchanged."
        )
        return
    st.plotly_chart(
        charts.layer_sparsity(stages),
        key="chart_sparsity",
        config=_CHART,
        alt="Communication sparsity of every layer of the plan",
    )
    st.caption(
        "S_comm: share of a node's features that it does not send to each other node. 0 % is "
        "dense, 100 % are independent branches. Chosen by the optimiser; layers without a dot have "
        "nothing to choose. The loss that goes with it is assumed until the model is trained."
    )


def show_strategies(answer: Answer) -> None:
    """Every strategy of the papers and the optimum."""
    st.subheader("Strategies side by side", anchor=False)
    try:
        comparison = answer.comparison
    except PlannerError as error:
        st.error(plain(str(error)))
        return
    st.plotly_chart(
        strategies(comparison),
        key="chart_strategies",
        config=_CHART,
        alt="Latency of every strategy, communication and computation stacked",
    )
    ends = "inputs per second" if answer.question.objective == "throughput" else "the latency"
    lines = [
        f"In brackets: how many nodes; at the bar's end: {ends}.",
        "Pale bars break a limit; the table says which.",
        f"Optimal is the best over up to {count(answer.question.nodes, 'node')}.",
        _times_origin(answer),
    ]
    if answer.question.overlap:
        lines.append(
            "With overlap the longer part of a layer hides the shorter: less than the bar."
        )
    st.caption(" ".join(lines))
    _table(comparison_table(comparison), key="table_strategies", height="content")


def show_downloads(answer: Answer) -> None:
    """The plan, what training needs, the profile and the comparison."""
    st.subheader("Downloads", anchor=False)
    files = dict(answer.files)
    try:
        files["comparison.csv"] = answer.comparison_file
    except PlannerError:
        st.caption("There is no comparison to download; the section above says why.")
    with st.container(horizontal=True, gap="small", key="downloads"):
        for name, text in files.items():
            kind = _TABLE_CSV if name.endswith(".csv") else "application/json"
            st.download_button(name, text, name, kind, key=f"get_{name}", on_click="ignore")


def show_sources(answer: Answer) -> None:
    """The profile behind the plan, and where every number comes from."""
    profile, totals = answer.profile, answer.profile.totals
    coverage = profile.coverage
    with st.expander(
        f"The model: {format_si(totals.macs, 'MAC')}, {count(totals.layers, 'layer')}"
    ):
        lines = [
            f"{totals.macs:,} MACs, {totals.params:,} parameters "
            f"({format_bytes(totals.param_bytes)}); from {profile.provenance.front_end}, "
            f"{profile.provenance.source}.",
            f"{coverage.covered_share:.1%} of the operators are counted or known to be free.",
        ]
        if coverage.uncounted:
            names = ", ".join(f"{name} ({n})" for name, n in coverage.uncounted.items())
            lines.append(f"Not counted: {names}.")
        for line in lines:
            st.markdown(plain(line))
        _table(profile_table(profile), key="table_profile")
    with st.expander("Where the numbers come from"):
        _table(_figures(answer), key="table_figures")


def _figures(answer: Answer) -> Table:
    figures = list(answer.study.cluster.figures)
    curve = answer.study.curve
    if curve is not None:
        figures.append(
            Figure(key=f"accuracy curve {curve.name}", origin=curve.origin, source=curve.source)
        )
    rows = tuple((figure.key, figure.origin, figure.source) for figure in figures)
    return Table("figures", ("figure", "origin", "source"), rows)


def _times_origin(answer: Answer) -> str:
    if answer.plan.predicted.origin["compute_s"] == "measured":
        return "Computation measured where the profile has times; communication derived."
    return "Times derived by the cost model, none measured."


def _table(table: Table, *, key: str, height: Literal["auto", "content"] = "auto") -> None:
    """A table as it is; names stay text, and empty cells are dashes."""
    columns = {name: [row[index] for row in table.rows] for index, name in enumerate(table.columns)}
    settings: dict[str, ColumnConfig] = {
        name: st.column_config.NumberColumn(format="%.4g")
        for name, cells in columns.items()
        if any(isinstance(cell, float) for cell in cells)
    }
    first = table.columns[0]
    if any(isinstance(cell, str) for cell in columns[first]):
        settings[first] = st.column_config.TextColumn(width=210)
    st.dataframe(
        columns,
        key=key,
        height=height,
        hide_index=True,
        placeholder="–",
        column_config=settings,
    )
    if table.footer:
        st.caption(plain(table.footer))

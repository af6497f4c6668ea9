"""The view *Sources*: several nodes bring inputs, and policies share them out (MS-MDI)."""

from __future__ import annotations

import csv
import io
from functools import partial
from typing import Literal

import streamlit as st

from app.page import state, uploads
from app.page.answer import Answer
from app.page.charts.simulation import completed, queues, spread
from app.page.controls import draw_control
from app.page.progress import finished
from app.page.sheet import Document, Row, Sheet, blank_of
from app.page.sheet_view import draw_sheet, tell_problem
from app.page.show import chart, table, tell_error
from app.page.source_rows import (
    page_scenario,
    simulated,
    uploaded_scenario,
    usual_sources,
)
from app.page.source_text import COLUMNS, check_sources, sources_of, text_of
from app.page.store import store
from app.page.text import plain
from app.simulation_tables import simulation_heading, simulation_notes, simulation_table
from app.tables import Table
from planner.errors import BadInputError
from planner.simulation.result import SimulationResult, series_csv
from planner.simulation.scenario import Scenario, SourceSpec

_SHEET = Sheet("sources", COLUMNS, blank_of(SourceSpec))
_ORIGIN = "Derived by the cost model and the simulation, none measured."


def show(answer: Answer) -> None:
    """Draw the view."""
    st.subheader("Where inputs come from", anchor=False)
    try:
        scenario = _uploaded() or _of_page(answer)
    except BadInputError as error:
        tell_error(error)
        return
    finished("simulation", scenario, partial(simulated, scenario), "Simulating", _drawn)


def _uploaded() -> Scenario | None:
    """The scenario of a file, in place of the page's own."""
    with st.expander("A scenario file instead", key="scenario_open"):
        file = st.file_uploader(
            "Scenario",
            type="json",
            key="scenario_upload",
            max_upload_size=uploads.SMALL_MB,
            help="As `planner simulate` reads it: sources, churn, drift, replications. It "
            "brings its own model and nodes; the side bar is not asked.",
        )
    if file is None:
        return None
    name, content = file.name, file.getvalue()
    found = store().once("scenario", file.file_id, lambda: _read(name, content))
    if isinstance(found, str):
        raise BadInputError(found)
    return found


def _read(name: str, content: bytes) -> Scenario | str:
    try:
        return uploaded_scenario(name, content)
    except BadInputError as error:
        return str(error)


def _of_page(answer: Answer) -> Scenario:
    """The page's model and nodes, with the sources of the table."""
    text = str(st.session_state.sources)
    sources = sources_of(text) if text else usual_sources(answer)
    names = [node.name for node in answer.case.cluster.nodes]
    key = f"sources_{hash((text_of(sources), *names))}"
    begun: tuple[Row, ...] = store().once("begun_sources", None, tuple)
    draw_sheet(
        _SHEET, sources, begun, key=key, on_change=_edited, args=(sources, key), choices=names
    )
    draw_control("send")
    st.caption(
        "The plan above is for one input at a time; "
        "here whole models and parts of them (AR-MDI's) share the nodes."
    )
    return page_scenario(answer, sources, st.session_state.send)


def _edited(sources: list[Document], key: str) -> None:
    kept = store()
    tell_problem(_SHEET.what, "")
    try:
        begun: tuple[Row, ...] = kept.once("begun_sources", None, tuple)
        new = _SHEET.edit(sources, st.session_state[key], begun)
        check_sources(new.documents)
    except BadInputError as error:
        tell_problem(_SHEET.what, str(error))
        return
    if new.documents and new.documents != sources:
        kept.read["begun_sources"] = (None, tuple(new.begun))
        state.put({"sources": text_of(new.documents)})


@st.fragment
def _drawn(result: SimulationResult) -> None:
    for line in simulation_heading(result):
        st.markdown(plain(line))
    for note in simulation_notes(result):
        st.warning(plain(note[:1].upper() + note[1:] + "."))
    table(simulation_table(result), key="table_simulation", height="content")
    st.subheader("Inputs done over time", anchor=False)
    limit = " The dotted line: no policy can be done before." if result.limit.makespan_s else ""
    chart(
        completed(result),
        _series(result, "completed_by"),
        f"{_ORIGIN}{limit}",
        key="chart_completed",
        alt="Inputs that are done over time under each policy",
    )
    st.subheader("How long an input takes", anchor=False)
    chart(
        spread(result),
        _series(result, "spread"),
        f"Waiting included. {_ORIGIN}",
        key="chart_spread",
        alt="Share of inputs done within a time, under each policy",
    )
    st.subheader("What waits where", anchor=False)
    names = tuple(row.policy for row in result.policies)
    chosen = st.segmented_control(
        "Policy",
        names,
        default=names[0],
        required=True,
        key="queues_of",
        label_visibility="collapsed",
    )
    row = next(row for row in result.policies if row.policy == (chosen or names[0]))
    chart(
        queues(row),
        _series(result, "queues"),
        f"Under {row.policy}; lines without anything are left out. {_ORIGIN}",
        key="chart_queues",
        alt="Inputs that wait at each node over time",
    )


def _series(result: SimulationResult, which: Literal["completed_by", "queues", "spread"]) -> Table:
    """The lines of a plot as rows."""
    header, *rows = csv.reader(io.StringIO(series_csv(result, which)))
    return Table(which, tuple(header), tuple(tuple(row) for row in rows))

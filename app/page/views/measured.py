"""The view *Measured*: what a run of `planner run --measure` took, beside its prediction."""

from __future__ import annotations

import streamlit as st

from app.page import uploads
from app.page.charts.runs import lanes
from app.page.show import chart, table
from app.page.store import store
from app.page.text import plain
from app.run_tables import run_heading, run_table
from planner.errors import BadInputError
from planner.run.measured import Measured
from profiles.files import read_document

_HOW = (
    "Run a plan on its nodes, or all of them as processes of one machine, and bring what it "
    "measured here:"
)
_COMMANDS = """planner run plan.json --local --measure measured.json
torchrun --nnodes 4 --node-rank 0 --nproc-per-node 1 --master-addr FIRST_NODE \\
    --master-port 29500 -m planner.run plan.json --slices slices --measure measured.json"""


def show() -> None:
    """Draw the view."""
    st.subheader("A run, predicted and measured", anchor=False)
    file = st.file_uploader(
        "Measured run",
        type="json",
        key="measured_upload",
        max_upload_size=uploads.SMALL_MB,
        help="As `planner run --measure FILE.json` writes it; it brings its own model and nodes, "
        "the side bar is not asked.",
    )
    if file is None:
        st.caption(_HOW)
        st.code(_COMMANDS, language=None)
        return
    name, content = file.name, file.getvalue()
    found = store().once("measured", file.file_id, lambda: _read(name, content))
    if isinstance(found, str):
        st.error(plain(found))
        return
    for line in run_heading(found):
        st.markdown(plain(line))
    numbers = run_table(found)
    chart(
        lanes(found),
        numbers,
        f"Measured with {found.engine}, {found.threads} thread(s) a node, {found.measured_at}; "
        f"medians of {found.runs} runs. Predicted: derived by the cost model.",
        key="chart_measured",
        alt="Layers from one exchange to the next, predicted and measured, along time",
    )
    table(numbers, key="table_measured_groups")


def _read(name: str, content: bytes) -> Measured | str:
    try:
        found = read_document(content, Measured, what=f"measured run {name}")
        if not found.groups:
            raise BadInputError(f"measured run {name}: groups: is empty; give a run of a plan")
        return found
    except BadInputError as error:
        return str(error)

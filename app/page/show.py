"""How every view shows a chart, a table and a number: with its origin, and its figures as CSV."""

from __future__ import annotations

import re
from typing import Any, Literal

import plotly.graph_objects as go
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from app.page.address import CONTROLS
from app.page.text import plain
from app.settings import PAGE, SETTINGS
from app.tables import Table, to_csv
from planner.domain.cluster import Origin

CHART: dict[str, Any] = {"displayModeBar": False}
CSV = "text/csv"
ORIGIN_WORDS: dict[Origin, str] = {
    "measured": "Measured.",
    "derived": "Derived by the cost model.",
    "assumed": "Assumed.",
}


_CONTROLS = {x.flag: x.label for x in (*PAGE, *SETTINGS) if x.label} | {
    "--input-shape": CONTROLS["shapes"].label,
    "--accuracy-model": CONTROLS["accuracy"].label,
    "--time-limit": "planner app --time-limit",
}
_FLAG = re.compile(r"--[a-z]+(?:-[a-z]+)*")


def on_page(message: str) -> str:
    """A message with the page's fields in place of the command line's options."""
    return _FLAG.sub(
        lambda flag: f"“{_CONTROLS[flag[0]]}”" if flag[0] in _CONTROLS else flag[0], message
    )


def tell_error(message: object) -> None:
    """Say what went wrong, as text."""
    st.error(plain(on_page(str(message))))


def chart(
    figure: go.Figure,
    numbers: Table,
    caption: str,
    *,
    key: str,
    alt: str,
    on_select: Any = "ignore",
) -> Any:
    """A chart, what it means and where its numbers come from, and the numbers as CSV.

    Parameters
    ----------
    figure : go.Figure
    numbers : Table
        What is drawn.
    caption : str
        Plain text that says measured, derived or assumed.
    key, alt : str
        Name of the chart, and words in its place.
    on_select : "ignore" or callable
        Called when points are chosen.
    """
    found = st.plotly_chart(
        figure, key=key, config=CHART, alt=alt, on_select=on_select, selection_mode="points"
    )
    _caption(caption, numbers, f"{key.removeprefix('chart_')}.csv")
    return found


def _caption(text: str, numbers: Table, name: str) -> None:
    left, right = st.columns((11, 1), gap="small")
    left.caption(plain(text))
    with right:
        csv_button(numbers, name)


def csv_button(numbers: Table, name: str) -> None:
    """Download a table."""
    st.download_button(
        "CSV",
        lambda: to_csv(numbers),
        name,
        CSV,
        key=f"csv_{name}",
        on_click="ignore",
        type="tertiary",
        icon=":material/download:",
        help=f"The numbers: {name}",
    )


def table(shown: Table, *, key: str, height: Literal["auto", "content"] = "auto") -> None:
    """A table as it is, and as CSV; names stay text, and empty cells are dashes."""
    columns = {name: [row[index] for row in shown.rows] for index, name in enumerate(shown.columns)}
    settings: dict[str, ColumnConfig] = {
        name: st.column_config.NumberColumn(format="%.4g")
        for name, cells in columns.items()
        if any(isinstance(cell, float) for cell in cells)
    }
    first = shown.columns[0]
    if any(isinstance(cell, str) for cell in columns[first]):
        settings[first] = st.column_config.TextColumn(width=210)
    st.dataframe(
        columns, key=key, height=height, hide_index=True, placeholder="–", column_config=settings
    )
    _caption(shown.footer, shown, f"{key.removeprefix('table_')}.csv")

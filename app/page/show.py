"""How every view shows a chart, a table and a number: with its origin, and its figures as CSV."""

from __future__ import annotations

import html
import re
from math import ceil
from typing import Any, Literal

import plotly.graph_objects as go
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from app.drawing.shapes import Picture
from app.drawing.svg import to_svg
from app.page.address import CONTROLS
from app.page.answer import Answer
from app.page.hints import hint, hinted
from app.page.text import plain
from app.render import shown_cell
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
    "--what-binds": "What binds",
}
_FLAG = re.compile(r"(--[a-z]+(?:-[a-z]+)*)(?: (?:[a-z]+:)?[A-Z]{2,}\b)?")
"""An option, and what stands for its value."""


def on_page(message: str) -> str:
    """A message with the page's fields in place of the command line's options."""
    return _FLAG.sub(
        lambda found: f"“{_CONTROLS[found[1]]}”" if found[1] in _CONTROLS else found[0], message
    )


def tell_error(message: object) -> None:
    """Say what went wrong, as text."""
    st.error(plain(on_page(str(message))))


def times_origin(answer: Answer) -> str:
    """Whether the times were measured, for captions."""
    if answer.plan.predicted.origin["compute_s"] == "measured":
        return "Computation measured where the profile has times; communication derived."
    return "Times derived by the cost model, none measured."


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
    _caption(caption, numbers, f"{key.removeprefix('chart_')}.csv", hint(*_labels(figure)))
    return found


def _labels(figure: go.Figure) -> list[str]:
    """Titles of a chart's axes, and the names of its legend."""
    axes = (*figure.select_xaxes(), *figure.select_yaxes())
    titles = [axis.title.text for axis in axes if axis.title.text]
    return titles + [x.name for x in figure.data if x.name and x.showlegend is not False]


def picture(shown: Picture, numbers: Table, *, key: str) -> None:
    """A drawing that the core made, and its numbers as a table."""
    # its room is kept: what reads the drawing may come later than what stands below it
    with st.container(key=key, height=ceil(shown.height), border=False):
        # a block of HTML to Markdown's parser, which then leaves the names in it as they are
        st.markdown(f"<div>\n{to_svg(shown)}\n</div>", unsafe_allow_html=True)
    _caption("", numbers, f"{key.removeprefix('picture_')}.csv")


def _caption(
    text: str, numbers: Table, name: str, terms: str | None = None, *, is_table: bool = False
) -> None:
    """What is shown and its terms, with its numbers as a table, unless it is one, and as CSV."""
    with st.container(
        key=f"below_{name}", horizontal=True, gap="small", horizontal_alignment="right"
    ):
        if text:
            st.caption(plain(text), help=terms)
        if not is_table:
            _numbers(numbers, name, None if text else hint(*numbers.columns))
        csv_button(numbers, name)


def _numbers(numbers: Table, name: str, terms: str | None) -> None:
    """The table behind a chart, drawn once it is asked for."""
    place = st.popover(
        "Table",
        key=f"numbers_{name}",
        on_change="rerun",
        type="tertiary",
        icon=":material/table:",
        help=terms,
    )
    if place.open:
        with place:
            grid(numbers, key=f"grid_{name}")


def small_table(shown: Table, whole: Table, *, key: str, bold: str = "") -> None:
    """A table as plain rows, which take little room; its last column is cut where it is long.

    Parameters
    ----------
    shown : Table
    whole : Table
        All that is known of the same, as CSV.
    key : str
    bold : str
        The first cell of a row that stands out.
    """
    head = "".join(hinted('th scope="col"', name) for name in shown.columns)
    rows = []
    for row in shown.rows:
        cells = [html.escape(shown_cell(cell)) for cell in row]
        mark = ' class="best"' if row[0] == bold else ""
        told = f'<td title="{cells[-1]}">{cells[-1]}</td>'
        rows.append(f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in cells[:-1])}{told}</tr>")
    with st.container(key=key):
        st.html(
            f'<table class="small"><caption>{html.escape(shown.title)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        )
    _caption("", whole, f"{key.removeprefix('small_')}.csv")


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
    grid(shown, key=key, height=height)
    _caption(shown.footer, shown, f"{key.removeprefix('table_')}.csv", is_table=True)


def grid(shown: Table, **more: Any) -> None:
    """A table whose heads say what their terms mean; ``more`` is Streamlit's."""
    columns = {name: [row[index] for row in shown.rows] for index, name in enumerate(shown.columns)}
    settings: dict[str, ColumnConfig] = {}
    for index, (name, cells) in enumerate(columns.items()):
        if any(isinstance(cell, float) for cell in cells):
            settings[name] = st.column_config.NumberColumn(format="%.4g", help=hint(name))
        elif index == 0 and any(isinstance(cell, str) for cell in cells):
            settings[name] = st.column_config.TextColumn(width=210, help=hint(name))
        else:
            settings[name] = st.column_config.Column(help=hint(name))
    st.dataframe(columns, hide_index=True, placeholder="–", column_config=settings, **more)

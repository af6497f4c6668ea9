"""Draws a table of documents, and says beside it what is wrong with its cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st

from app.page.hints import hint
from app.page.sheet import Document, Row, Sheet
from app.page.show import tell_error
from app.page.store import store

_LONGEST_CELL = 80


def draw_sheet(
    sheet: Sheet,
    documents: Sequence[Document],
    begun: Sequence[Row],
    *,
    key: str,
    on_change: Callable[..., None],
    args: tuple[Any, ...],
    choices: Sequence[str] = (),
) -> None:
    """Draw an editor for documents, with the rows that are begun below them.

    Parameters
    ----------
    sheet : Sheet
    documents : sequence of dict
    begun : sequence of dict
    key, on_change, args
        Of Streamlit's editor.
    choices : sequence of str
        What the cells for texts may hold; anything, if there are none.
    """
    rows = [*sheet.rows(documents), *begun]
    config: dict[str, Any] = {}
    for column in sheet.columns:
        if column.is_text and choices:
            config[column.key] = st.column_config.SelectboxColumn(
                column.label, options=choices, help=hint(column.label, first=column.help)
            )
        else:
            config[column.key] = st.column_config.TextColumn(
                column.label,
                max_chars=_LONGEST_CELL,
                help=hint(column.label, first=column.help),
                alignment="left" if column.is_text else "right",
            )
    st.data_editor(
        {x.key: np.array([row.get(x.key) for row in rows], dtype=object) for x in sheet.columns},
        key=key,
        num_rows="dynamic",
        hide_index=True,
        column_config=config,
        on_change=on_change,
        args=args,
    )
    draw_problem(sheet.what)


def tell_problem(where: str, message: str) -> None:
    """Keep what is wrong with what was typed, until the next edit; nothing when it is empty."""
    store().read[f"problem_{where}"] = (None, message)


def draw_problem(where: str) -> None:
    """Say what is wrong, beside what it is about."""
    if message := store().read.get(f"problem_{where}", (None, ""))[1]:
        tell_error(message)

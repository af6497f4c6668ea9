"""Print a result as a terminal table, as JSON or as CSV: data on stdout, the rest on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from app.tables import Cell, Table, to_csv
from planner.errors import PlannerError
from profiles.files import document_text, one_line, write_atomically

WIDEST = 180
"""Columns where even one column of numbers beside short names is wider than the terminal."""
_NARROWEST = 12  # of names that are cut

messages = Console(stderr=True, highlight=False)


class View(StrEnum):
    """How a terminal shows a profile's layers."""

    tree = "tree"
    flat = "flat"


class Format(StrEnum):
    """What stdout carries."""

    table = "table"
    json = "json"
    csv = "csv"


def emit(
    output: Format,
    table: Table,
    document: Any,
    *,
    heading: list[str] | None = None,
    drawn: Callable[[int], RichTable] | None = None,
    screen: Callable[[int], Iterable[Text]] | None = None,
) -> None:
    """Write one result in the chosen format.

    Parameters
    ----------
    output : Format
    table : Table
        For ``table`` and ``csv``.
    document : JSON-ready value
        For ``json``.
    heading : list of str, optional
        Lines above a terminal table.
    drawn : callable, optional
        What a terminal of so many columns shows in the table's place.
    screen : callable, optional
        All that it shows, line by line, in place of heading and table.
    """
    if output is Format.json:
        sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")
    elif output is Format.csv:
        sys.stdout.write(to_csv(table))
    elif screen is not None:
        console = Console(highlight=False)
        for text in screen(console.width):
            console.print(text, soft_wrap=True)
    else:
        console = Console(highlight=False)
        for line in heading or []:
            console.print(escape(one_line(line)), soft_wrap=True)
        if drawn is not None:
            _print(console, drawn(console.width))
        else:
            for part in parts_of(table, console):
                _print(console, terminal_table(_fitting(part, console)), folded=True)
        if table.footer:
            console.print(escape(one_line(table.footer)), style="dim", soft_wrap=True)


def parts_of(table: Table, console: Console) -> list[Table]:
    """The table, or below each other as many of its columns as fit, each time with the first."""
    first, *others = range(len(table.columns))
    parts: list[list[int]] = [[first]]
    for column in others:
        wider = [*parts[-1], column]
        widths = _widths(console, terminal_table(_columns(table, wider)))
        if len(parts[-1]) > 1 and widths.maximum > console.width:
            parts.append([first, column])
        else:
            parts[-1] = wider
    return [_columns(table, part) for part in parts]


def _fitting(part: Table, console: Console) -> Table:
    """The part with names cut short in front, where they alone are wider than the terminal."""
    over = _widths(console, terminal_table(part)).minimum - console.width
    if over <= 0:
        return part
    longest = max(len(shown_cell(row[0])) for row in part.rows)
    room = max(longest - over, _NARROWEST)
    rows = tuple((cut(shown_cell(row[0]), room), *row[1:]) for row in part.rows)
    return Table(part.title, part.columns, rows)


def cut(text: str, width: int) -> str:
    """The end of a name that is too long: what comes last in it tells it from others."""
    text = one_line(text)
    return text if len(text) <= width else f"…{text[len(text) - width + 1 :]}"


def _columns(table: Table, chosen: list[int]) -> Table:
    rows = tuple(tuple(row[index] for index in chosen) for row in table.rows)
    title = table.title if chosen[:2] in ([0], [0, 1]) else ""
    return Table(title, tuple(table.columns[index] for index in chosen), rows)


def _widths(console: Console, drawn: RichTable) -> Measurement:
    return Measurement.get(console, console.options.update(max_width=WIDEST), drawn)


def _print(console: Console, drawn: RichTable, folded: bool = False) -> None:
    widths = _widths(console, drawn)
    natural = widths.minimum if folded else widths.maximum
    Console(highlight=False, width=max(console.width, min(natural, WIDEST))).print(drawn)


def terminal_table(table: Table) -> RichTable:
    """The table as rich draws it: units under names, numbers right, no empty columns."""
    shown = [
        index
        for index, _ in enumerate(table.columns)
        if any(row[index] not in (None, "") for row in table.rows)
    ]
    drawn = RichTable(
        title=escape(one_line(table.title)) or None,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold",
    )
    for index in shown:
        numeric = all(isinstance(row[index], (int, float, type(None))) for row in table.rows)
        last = index == shown[-1]
        drawn.add_column(
            escape("\n".join(table.columns[index].rsplit(" ", 1))),
            justify="right" if numeric else "left",
            no_wrap=not last,
            overflow="fold" if last else "ellipsis",
        )
    for row in table.rows:
        drawn.add_row(*(escape(shown_cell(row[index])) for index in shown))
    return drawn


def shown_cell(cell: Cell) -> str:
    """A value as a reader wants it: thousands apart, four significant digits."""
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, str):
        return one_line(cell)  # a file's own names must not steer the terminal
    if isinstance(cell, int):
        return f"{cell:,}"
    if 1000 <= abs(cell) < 1e12:
        return f"{cell:,.0f}"
    return f"{cell:.4g}"


def say(text: str) -> None:
    """A message for the reader, never mixed with data."""
    messages.print(escape(one_line(text)), soft_wrap=True)


def write_file(path: Path | None, content: str | bytes) -> None:
    """Write a file that was asked for, and say so."""
    if path:
        write_atomically(path, content)
        say(f"wrote {path}")


@dataclass(frozen=True)
class Outcome:
    """What a command has found out.

    Attributes
    ----------
    document : pydantic model
    table : Table
    heading : list of str
        Lines above a terminal table.
    notes : list of str
        For the reader, never mixed with data.
    failure : PlannerError, optional
        What ends the command after it told what it knows.
    screen : callable, optional
        The lines that a terminal of so many columns shows in place of heading and table.
    text : str
        Of the document's file, where that is not `profiles.files.document_text`.
    """

    document: BaseModel
    table: Table
    heading: list[str]
    notes: list[str]
    failure: PlannerError | None = None
    screen: Callable[[int], Iterable[Text]] | None = None
    text: str = ""


def show(found: Outcome, output: Format, file: Path | None) -> None:
    """Write what was found where it was asked for; raises the failure, if it is one."""
    write_file(file, found.text or document_text(found.document))
    for note in found.notes:
        say(f"note: {note}")
    if not (found.failure and output is Format.table):  # what is known of a failure is data, too
        document = found.document.model_dump(mode="json")
        emit(output, found.table, document, heading=found.heading, screen=found.screen)
    if found.failure:
        raise found.failure

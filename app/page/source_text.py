"""The sources of a simulation as the text of a control, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from app.page.sheet import Document, blank_of, columns_of
from planner.errors import BadInputError
from planner.simulation.scenario import MAX_SOURCES, SourceSpec
from profiles.files import first_problem

COLUMNS = columns_of(SourceSpec, ("s",))
_FEWEST = 3  # that every text has: what came later stands behind, where it is not usual


def sources_of(text: str) -> list[Document]:
    """The sources of a control's text.

    Raises
    ------
    BadInputError
        It is no list of node, rate and number of inputs, or of none that a source may have.
    """
    allowed = f'sources: found {text[:60]!r}; give [["node-1", 5.0, 200], …], 1 to {MAX_SOURCES}'
    try:
        found = json.loads(text)
        if not 1 <= len(found) <= MAX_SOURCES:
            raise TypeError
        sources = [_source(values) for values in found]
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInputError(allowed) from error
    check_sources(sources)
    return sources


def check_sources(sources: Sequence[Document]) -> None:
    """Refuse what no source may be.

    Raises
    ------
    BadInputError
        Its line of the table, and what is allowed.
    """
    for number, source in enumerate(sources, start=1):
        try:
            SourceSpec.model_validate(source, strict=True)
        except ValidationError as error:
            problem = first_problem(error, SourceSpec)
            raise BadInputError(f"sources, row {number}: {problem}") from error


def _source(values: Any) -> Document:
    if not (isinstance(values, list) and _FEWEST <= len(values) <= len(COLUMNS)):
        raise TypeError
    document = blank_of(SourceSpec)
    for column, value in zip(COLUMNS, values, strict=False):
        column.put(document, value)
    return document


def text_of(sources: Sequence[Document]) -> str:
    """The control's text of sources."""
    return json.dumps([_values(source) for source in sources])


def _values(source: Document) -> list[Any]:
    values = [column.value(source) for column in COLUMNS]
    while len(values) > _FEWEST and values[-1] == COLUMNS[len(values) - 1].schema["default"]:
        values.pop()
    return values

"""The sources of a simulation as the text of a control, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence

from app.page.hardware import Row
from planner.errors import BadInputError
from planner.simulation.scenario import MAX_SOURCES


def rows_of(text: str) -> list[Row]:
    """The rows of a control's text.

    Raises
    ------
    BadInputError
        It is no list of node, rate and number of inputs.
    """
    allowed = f'sources: found {text[:60]!r}; give [["node-1", 5.0, 200], …], 1 to {MAX_SOURCES}'
    try:
        found = json.loads(text)
        rows = [{"node": node, "rate": rate, "inputs": inputs} for node, rate, inputs in found]
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInputError(allowed) from error
    if not 1 <= len(rows) <= MAX_SOURCES or not all(
        isinstance(row["node"], str)
        and isinstance(row["rate"], int | float)
        and isinstance(row["inputs"], int)
        for row in rows
    ):
        raise BadInputError(allowed)
    return rows


def text_of(rows: Sequence[Row]) -> str:
    """The control's text of rows."""
    return json.dumps([[row["node"], row["rate"], row["inputs"]] for row in rows])

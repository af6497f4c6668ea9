"""Documents of one kind as the rows of a table that can be edited, and back.

Columns are the fields of the document's schema: a new field is a new column. An edit changes the
fields whose cells were edited and no other; what a table cannot show stays as it is. Cells are
texts, because an editor's cells for numbers lose signs and exponents while one types.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from app.settings import SETTINGS
from planner.errors import BadInputError
from planner.units import MOST, parse_quantity
from profiles.files import one_line

Path = tuple[str | int, ...]
Document = dict[str, Any]
"""The fields of a document, as pydantic dumps them."""

Row = dict[str, Any]
"""Texts by column, or None where a cell is empty."""

_UNITS = {  # end of a field's name: what it is in, unless another unit of that kind is asked for
    "macs_per_s": ("compute", "GMAC/s"),
    "bytes_per_s": ("bandwidth", "MB/s"),
    "bytes": ("memory", "MB"),
    "seconds_per_param": ("time", "ns"),
    "rate_per_s": ("", ""),
    "_s": ("time", "ms"),
}
_KINDS = {"GMAC/s": "compute", "GFLOP/s": "compute", "MB/s": "bandwidth", "Mbit/s": "bandwidth"}
_KINDS |= {"s": "time"}
_WORDS = {  # where a field's own name, without its unit, would say too little
    "macs_per_s": "speed",
    "memory_bytes_per_s": "memory bandwidth",
    "latency_s": "delay of a message",
    "layer_overhead_s": "time per layer",
    "seconds_per_param": "time per parameter",
    "between.0": "node",
    "between.1": "other node",
    "arrivals.rate_per_s": "inputs per second",
    "arrivals.total": "inputs",
}


@dataclass(frozen=True)
class Column:
    """A field of a document.

    Attributes
    ----------
    path : tuple of str or int
        Where in the document it is.
    schema : dict
        The field's JSON schema, as pydantic makes it.
    quantity, unit : str
        What a cell counts in; empty for texts and plain numbers.
    """

    path: Path
    schema: Mapping[str, Any]
    quantity: str
    unit: str

    @property
    def key(self) -> str:
        """Of the cells in a row."""
        return ".".join(map(str, self.path))

    @property
    def is_text(self) -> bool:
        """Whether a cell is no number."""
        return bool(self.schema["type"] == "string")

    @property
    def is_required(self) -> bool:
        """Whether a document must say it."""
        return "default" not in self.schema

    @property
    def help(self) -> str | None:
        """What the field says of itself."""
        words: str = self.schema.get("description", "")
        return words.replace("null:", "empty:") or None

    @property
    def label(self) -> str:
        """The column's head."""
        words = str(self.path[-1])
        for end in ("_bytes_per_s", "_bytes", "_s"):
            words = words.removesuffix(end)
        words = _WORDS.get(self.key, words.replace("_", " "))
        return f"{words} ({self.unit})" if self.unit else words

    def value(self, document: Document) -> Any:
        """The field of a document, which may leave out what is empty."""
        *steps, last = self.path
        place: Any = document
        for step in steps:
            place = place[step]
        if isinstance(last, int):
            return place[last]
        return place.get(last, self.schema.get("default"))

    def put(self, document: Document, value: Any) -> None:
        """Set the field."""
        *steps, last = self.path
        place: Any = document
        for step in steps:
            if isinstance(place[step], tuple):
                place[step] = list(place[step])
            place = place[step]
        place[last] = value

    def show(self, document: Document) -> str | None:
        """The cell of a document."""
        value = self.value(document)
        if value is None:
            return None
        return str(value) if self.is_text else f"{value / self._one:.12g}"

    def read(self, cell: Any, where: str) -> Any:
        """The field's value for a cell.

        Raises
        ------
        BadInputError
            It is none that the field may have.
        """
        text = "" if cell is None else str(cell).strip()
        if not text and not self.is_required:
            return self.schema["default"]
        if self.is_text and text:
            return text
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        is_whole = self.schema["type"] == "integer"
        may_be_zero = self.schema.get("minimum") == 0
        if is_whole and not self.unit and not number.is_integer():
            number = math.nan
        value = number * self._one
        if 0 < value < MOST or (value == 0 == number and may_be_zero):
            return round(value) if is_whole else value
        found = f"{one_line(where)}: found {one_line(text[:40]) or 'nothing'}"
        if may_be_zero:
            raise BadInputError(f"{found} {self.unit}; give 0 or more")
        names = [x.label for x in SETTINGS if x.label and x.field == self.path[-1]]
        allowed = "a text" if self.is_text else f"{self.unit or 'a number'} above 0"
        raise BadInputError(f"{found} for {[*names, self.label][0]}; give {allowed}")

    @property
    def _one(self) -> float:
        """The SI value of one unit."""
        if not self.quantity:
            return 1.0
        return parse_quantity(f"1{self.unit}", self.quantity, where=self.key)


def columns_of(model: type[BaseModel], units: Sequence[str] = ()) -> tuple[Column, ...]:
    """The columns of a kind of document.

    Parameters
    ----------
    model : type
    units : sequence of str
        In place of the usual ones (`_UNITS`), where fields are counted in their kind.
    """
    own = {_KINDS[unit]: unit for unit in units}
    found = []
    for path, schema in _leaves(model):
        if "const" not in schema:  # says which kind of document it is
            name, is_text = str(path[-1]), schema["type"] == "string"
            known = (x for end, x in _UNITS.items() if name.endswith(end) and not is_text)
            quantity, unit = next(known, ("", ""))
            found.append(Column(path, schema, quantity, own.get(quantity, unit)))
    return tuple(found)


def blank_of(model: type[BaseModel]) -> Document:
    """A document that says nothing yet: null where something must be said."""
    document: Document = {}
    for path, schema in _leaves(model):
        place: Any = document
        for step, after in itertools.pairwise(path):
            place = place.setdefault(step, [] if isinstance(after, int) else {})
        value = schema.get("const", schema.get("default"))
        if isinstance(place, list):
            place.append(value)
        else:
            place[path[-1]] = value
    return document


def _leaves(model: type[BaseModel]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every single value of a document, with its schema; of several kinds the first.

    A field with names of its own is no cell, nor are those of what is there whole or not at all:
    one cell after the other could not say it. Both stay as they are.
    """
    whole = model.model_json_schema()

    def walk(path: Path, schema: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        choices = schema.get("anyOf", schema.get("oneOf", ()))
        if any("$ref" in choice for choice in choices) and {"type": "null"} in choices:
            return
        for choice in choices[:1]:
            schema = {**choice, **schema}
        if "$ref" in schema:
            schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
        inner = schema.get("properties") or dict(enumerate(schema.get("prefixItems", ())))
        if not inner and "additionalProperties" not in schema:
            yield path, schema
        for step, child in inner.items():
            yield from walk((*path, step), child)

    return walk((), whole)


@dataclass(frozen=True)
class Edited:
    """What a table holds after an edit.

    Attributes
    ----------
    documents : list of dict
    origins : list of int or None
        Which document each was before; None for a new one.
    changed : set of str
        Numbers of known documents that were edited.
    begun : list of dict
        New rows that do not say enough yet.
    """

    documents: list[Document]
    origins: list[int | None]
    changed: set[str]
    begun: list[Row]


@dataclass(frozen=True)
class Sheet:
    """A table of documents of one kind.

    Attributes
    ----------
    what : str
        For messages.
    columns : tuple of Column
    blank : dict
        A document that says nothing yet, as `blank_of` makes it.
    like : callable, optional
        What a new document takes over where its row says nothing, by its number. Without it a row
        that does not say all that is required is only begun.
    """

    what: str
    columns: tuple[Column, ...]
    blank: Document
    like: Callable[[int], Document] | None = None

    def rows(self, documents: Sequence[Document]) -> list[Row]:
        """One row per document."""
        return [{x.key: x.show(document) for x in self.columns} for document in documents]

    def edit(
        self, documents: Sequence[Document], changes: Mapping[str, Any], begun: Sequence[Row] = ()
    ) -> Edited:
        """Documents after what a table's editor says was changed, added and deleted.

        Parameters
        ----------
        documents : sequence of dict
        changes : mapping
            As Streamlit's editor tells them.
        begun : sequence of dict
            Rows below the documents' that did not say enough yet.

        Raises
        ------
        BadInputError
            A cell holds what its field may not be.
        """
        edits = {int(index): cells for index, cells in changes.get("edited_rows", {}).items()}
        deleted = set(changes.get("deleted_rows", ()))
        result = Edited([], [], set(), [])
        for index, document in enumerate(documents):
            if index not in deleted:
                cells = edits.get(index, {})
                edited = self._changed(document, cells, index + 1)
                result.documents.append(edited)
                result.origins.append(index)
                result.changed.update(
                    x.key
                    for x in self.columns
                    if not x.is_text and x.show(edited) != x.show(document)
                )
        rows = [
            dict(row) | edits.get(index, {})
            for index, row in enumerate(begun, start=len(documents))
            if index not in deleted
        ]
        for row in (*rows, *changes.get("added_rows", ())):
            said = {key: cell for key, cell in row.items() if cell not in (None, "")}
            number = len(result.documents) + 1
            if self.like or all(x.key in said for x in self.columns if x.is_required):
                new = self.like(number) if self.like else self.blank
                result.documents.append(self._changed(new, said, number))
                result.origins.append(None)
            elif said:
                result.begun.append(said)
        return result

    def _changed(self, document: Document, cells: Mapping[str, Any], number: int) -> Document:
        new = copy.deepcopy(document)
        for column in self.columns:
            if column.key in cells:
                column.put(new, column.read(cells[column.key], f"{self.what}, row {number}"))
        return new

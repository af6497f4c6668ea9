"""Documents of one kind as the rows of a table that can be edited, and back.

Columns are the fields of the document's model: a new field is a new column. An edit changes the
fields whose cells were edited and no other; what a table cannot show stays as it is. Cells are
texts, because an editor's cells for numbers lose signs and exponents while one types.
"""

from __future__ import annotations

import copy
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.settings import SETTINGS
from planner.errors import BadInputError
from planner.units import parse_quantity
from profiles.files import one_line

Row = dict[str, Any]
"""Texts by column, or None where a cell is empty."""

Document = dict[str, Any]
"""The fields of a document, as pydantic dumps them."""

_QUANTITIES = {  # end of a field's name: what it is in, and its unit unless another is asked for
    "macs_per_s": ("compute", "GMAC/s"),
    "bytes_per_s": ("bandwidth", "MB/s"),
    "bytes": ("memory", "MB"),
    "seconds_per_param": ("time", "ns"),
    "_per_s": ("", ""),
    "_s": ("time", "ms"),
}
_WORDS = {  # where a field's own name, without its unit, would say too little
    "macs_per_s": "speed",
    "memory_bytes_per_s": "memory bandwidth",
    "seconds_per_param": "time per parameter",
    "between.0": "node",
    "between.1": "other node",
    "arrivals.rate_per_s": "inputs per second",
    "arrivals.total": "inputs",
}
_NOTHING = object()


@dataclass(frozen=True)
class Column:
    """A field of a document.

    Attributes
    ----------
    path : tuple of str or int
        Where in the document it is.
    typed : type
        Of the value: str, int or float.
    default : optional
        Of the field; `_NOTHING` where it must be given.
    may_be_zero : bool
        Else a number must be above.
    unit, quantity : str
        What a cell counts in.
    help : str, optional
    """

    path: tuple[str | int, ...]
    typed: type
    default: Any
    may_be_zero: bool
    unit: str
    quantity: str
    help: str | None

    @property
    def key(self) -> str:
        """Of the cells in a row."""
        return ".".join(map(str, self.path))

    @property
    def label(self) -> str:
        """The column's head."""
        words = _WORDS.get(self.key)
        if words is None:
            words = str(self.path[-1])
            for end in ("_bytes_per_s", "_bytes", "_per_s", "_s"):
                words = words.removesuffix(end)
        return words.replace("_", " ") + (f" ({self.unit})" if self.unit else "")

    @property
    def name(self) -> str:
        """What a message calls it: as the page's control of such a field does."""
        return next(
            (x.label for x in SETTINGS if x.label and x.field == self.path[-1]),
            self.label,
        )

    @property
    def scale(self) -> float:
        """The SI value of one unit."""
        one = f"1{self.unit}"
        return parse_quantity(one, self.quantity, where=self.label) if self.quantity else 1.0

    @property
    def is_required(self) -> bool:
        """Whether a document must say it."""
        return self.default is _NOTHING

    def value(self, document: Document) -> Any:
        """The field of a document."""
        value: Any = document
        for step in self.path:
            value = value[step]
        return value

    def show(self, document: Document) -> str | None:
        """The cell of a document."""
        value = self.value(document)
        if value is None or self.typed is str:
            return None if value is None else str(value)
        return f"{value / self.scale:.12g}"

    def read(self, cell: Any, where: str) -> Any:
        """The field's value for a cell.

        Raises
        ------
        BadInputError
            It is none that the field may have.
        """
        text = "" if cell is None else str(cell).strip()
        if not text and not self.is_required:
            return self.default
        if self.typed is str and text:
            return text
        try:
            number = float(text) if text else math.nan
        except ValueError:
            number = math.nan
        least = number >= 0 if self.may_be_zero else number > 0
        if math.isfinite(number) and least:
            value = number * self.scale
            if self.typed is float:
                return value
            if self.unit or value.is_integer():
                return round(value)
        shown = one_line(text[:40]) or "nothing"
        found = f"{one_line(where)}: found {shown}"
        if self.may_be_zero and text:
            raise BadInputError(f"{found} {self.unit}; give 0 or more")
        above = f"{self.unit or 'a number'} above 0" if self.typed is not str else "a text"
        raise BadInputError(f"{found} for {self.name}; give {above}")

    def put(self, document: Document, value: Any) -> None:
        """Set the field."""
        *steps, last = self.path
        place: Any = document
        for step in steps:
            if isinstance(place[step], tuple):
                place[step] = list(place[step])
            place = place[step]
        place[last] = value


def columns_of(
    model: type[BaseModel], units: Sequence[str] = (), path: tuple[str | int, ...] = ()
) -> tuple[Column, ...]:
    """The columns of a kind of document.

    Parameters
    ----------
    model : type
    units : sequence of str
        To be used where a field can be counted in them; see `_QUANTITIES` for the others.
    path : tuple
        Of the document inside another.
    """
    found: list[Column] = []
    for name, info in model.model_fields.items():
        found += _columns(info, info.annotation, units, (*path, name))
    return tuple(found)


def _columns(
    info: FieldInfo, annotation: Any, units: Sequence[str], path: tuple[str | int, ...]
) -> list[Column]:
    annotation = _plain(annotation)
    origin = get_origin(annotation)
    if origin is Literal:  # says which kind of document it is
        return []
    if origin is tuple:
        ends = (
            _columns(info, x, units, (*path, index)) for index, x in enumerate(get_args(annotation))
        )
        return [column for columns in ends for column in columns]
    if issubclass(annotation, BaseModel):
        return list(columns_of(annotation, units, path))
    default = _NOTHING if info.default is PydanticUndefined else info.default
    bounds = [x for part in (info, *get_args(info.annotation)) for x in _metadata(part)]
    quantity, unit = "", ""
    if annotation is not str:
        quantity, unit = next(
            (known for end, known in _QUANTITIES.items() if str(path[-1]).endswith(end)), ("", "")
        )
        unit = next((x for x in units if _is_in(x, quantity)), unit)
    words = (info.description or "").replace("null:", "empty:")
    return [
        Column(
            path=path,
            typed=annotation,
            default=default,
            may_be_zero=any(getattr(x, "ge", None) == 0 for x in bounds),
            unit=unit,
            quantity=quantity,
            help=words or None,
        )
    ]


def _plain(annotation: Any) -> Any:
    """What a value is: not null, without its bounds, and the first of several kinds."""
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _plain(inner[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return _plain(next(x for x in inner if x is not types.NoneType))
    return annotation


def blank_of(model: type[BaseModel]) -> Document:
    """A document that says nothing yet: null where something must be said."""
    return {name: _blank(info, info.annotation) for name, info in model.model_fields.items()}


def _blank(info: FieldInfo, annotation: Any) -> Any:
    if info.default is not PydanticUndefined:
        return info.default
    annotation = _plain(annotation)
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    if get_origin(annotation) is tuple:
        return [None] * len(get_args(annotation))
    return blank_of(annotation) if issubclass(annotation, BaseModel) else None


def _metadata(part: Any) -> tuple[Any, ...]:
    found: tuple[Any, ...] = getattr(part, "metadata", ())
    nested = getattr(part, "__metadata__", ())
    return (*found, *(x for info in nested for x in getattr(info, "metadata", ())))


def _is_in(unit: str, quantity: str) -> bool:
    try:
        return bool(quantity) and parse_quantity(f"1{unit}", quantity, where=unit) > 0
    except BadInputError:
        return False


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
        self,
        documents: Sequence[Document],
        changes: Mapping[str, Any],
        begun: Sequence[Row] = (),
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
                where = f"{self.what}, row {index + 1}"
                cells = edits.get(index, {})
                result.documents.append(self._changed(document, cells, where))
                result.origins.append(index)
                numbers = (x.key for x in self.columns if x.typed is not str)
                result.changed.update(key for key in numbers if key in cells)
        rows = [
            dict(row) | edits.get(index, {})
            for index, row in enumerate(begun, start=len(documents))
            if index not in deleted
        ]
        for row in (*rows, *changes.get("added_rows", ())):
            said = {key: cell for key, cell in row.items() if cell not in (None, "")}
            self._add(result, said)
        return result

    def _changed(self, document: Document, cells: Mapping[str, Any], where: str) -> Document:
        new = _copy(document)
        for column in self.columns:
            if column.key in cells:
                column.put(new, column.read(cells[column.key], where))
        return new

    def _add(self, result: Edited, row: Row) -> None:
        """A new document of a row, or a row that is begun."""
        if self.like is None and not all(x.key in row for x in self.columns if x.is_required):
            if row:
                result.begun.append(row)
            return
        number = len(result.documents) + 1
        start = self.like(number) if self.like else self.blank
        result.documents.append(self._changed(start, row, f"{self.what}, row {number}"))
        result.origins.append(None)


def _copy(document: Document) -> Document:
    """So deep that fields can be set."""
    return copy.deepcopy(document)

"""What users type, on the command line or on the page, and what they must know of it."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from planner.errors import BadInputError

if TYPE_CHECKING:
    from planner.case import Case

_DIMENSION = re.compile(r"[0-9]{1,19}")
_NOTES = {
    "csv": "the accuracy drop adds up measurements of single layers, which is an assumption: "
    "measure or train the plan before relying on it",
    "energy": "the energy loss is the share of the weights' L1 mass that is pruned; "
    "it says nothing in points of accuracy",
}


def parse_input_shapes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes from ``NAME=1,3,224,224``.

    Raises
    ------
    BadInputError
        Not of that form, or two for one input. A size of 0, of an empty cache, is left to the
        front ends.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, dimensions = text.rpartition("=")
        parts = [part.strip() for part in dimensions.replace("x", ",").split(",")]
        if not name or not all(map(_DIMENSION.fullmatch, parts)):
            raise BadInputError(
                f"--input-shape {text!r}: give NAME=DIM,DIM,..., such as image=1,3,224,224"
            )
        _check_new(name, shapes, f"--input-shape {text!r}")
        shapes[name] = tuple(int(part) for part in parts)
    return shapes


def parse_input_types(texts: list[str]) -> dict[str, str]:
    """Element types from ``NAME=int64``.

    Raises
    ------
    BadInputError
        Not of that form, or two for one input.
    """
    types: dict[str, str] = {}
    for text in texts:
        name, _, dtype = text.rpartition("=")
        if not name or not dtype.isidentifier():
            raise BadInputError(f"--input-type {text!r}: give NAME=TYPE, such as x=int64")
        _check_new(name, types, f"--input-type {text!r}")
        types[name] = dtype
    return types


def _check_new(name: str, known: Collection[str], where: str) -> None:
    """Of two that are given for one input neither is silently left out."""
    if name in known:
        raise BadInputError(f"{where}: {name!r} was given before; give each input once")


def accuracy_note(case: Case) -> str:
    """What a reader must know of the accuracy model; nothing of the model's own curve."""
    if case.loss_model is None or case.curve is not None:
        return ""
    kind, _, rest = case.loss_model.name.partition(":")
    if kind != "curve":
        return _NOTES[kind]
    return (
        f"the accuracy curve {rest.partition('/')[0]} was not published for {case.profile.name}: "
        "its losses are assumed to carry over, its absolute values are not shown"
    )

"""Fields of a parsed JSON document, or one line that says which is not as it should be."""

from __future__ import annotations

from typing import Any

from planner.errors import BadInputError


def mapping(value: Any, where: str) -> dict[str, Any]:
    """The value, an object."""
    if not isinstance(value, dict):
        raise BadInputError(f"{where} is {_shown(value)}; an object is needed")
    return value


def member(value: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    """An object inside an object."""
    return mapping(value.get(name), f"{name!r} of {where}")


def items(value: dict[str, Any], name: str, where: str) -> list[Any]:
    """A list inside an object."""
    found = value.get(name)
    if not isinstance(found, list):
        raise BadInputError(f"{name!r} of {where} is {_shown(found)}; a list is needed")
    return found


def text(value: Any, where: str) -> str:
    """The value, a text."""
    if not isinstance(value, str):
        raise BadInputError(f"{where} has a name that is {_shown(value)}; a text is needed")
    return value


def integer(value: Any, where: str) -> int:
    """The value, a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadInputError(f"{where} is {_shown(value)}; a whole number is needed")
    return value


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)[:60]

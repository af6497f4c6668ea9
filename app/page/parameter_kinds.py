"""Kinds of controls that a link carries: how a text becomes a value, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from planner.errors import BadInputError

Value = str | int | float | bool | None
_LONGEST = 300  # characters of a value in a link


@dataclass(frozen=True)
class Parameter:
    """A control.

    Attributes
    ----------
    key : str
    read : callable
        The value of a link's text; a `planner.errors.BadInputError` says what is allowed.
    longest : int
        Characters of the text that are looked at.
    """

    key: str
    read: Callable[[str], Value]
    longest: int = _LONGEST


def choice(key: str, options: tuple[str, ...]) -> Parameter:
    """One of some words."""

    def read(text: str) -> Value:
        if text not in options:
            raise BadInputError(f"{key}: found {text[:40]!r}; give one of {', '.join(options)}")
        return text

    return Parameter(key, read)


def number(key: str, low: float, high: float, *, empty: bool = False) -> Parameter:
    """A finite number in a range; ``none`` where it may be empty."""
    allowed = f"give a number from {low:g} to {high:g}" + (" or none" if empty else "")

    def read(text: str) -> Value:
        if empty and text == "none":
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise BadInputError(f"{key}: found {text[:40]!r}; {allowed}")
        return value

    return Parameter(key, read)


def whole(key: str, low: int, high: int, *, empty: bool = False) -> Parameter:
    """A whole number in a range; ``none`` where it may be empty."""
    allowed = f"give a whole number from {low} to {high:,}" + (" or none" if empty else "")

    def read(text: str) -> Value:
        if empty and text == "none":
            return None
        if not (text.isascii() and text.isdecimal() and low <= int(text[:12]) <= high):
            raise BadInputError(f"{key}: found {text[:40]!r}; {allowed}")
        return int(text)

    return Parameter(key, read)


def flag(key: str) -> Parameter:
    """0 or 1."""

    def read(text: str) -> Value:
        if text not in ("0", "1"):
            raise BadInputError(f"{key}: found {text[:40]!r}; give 0 or 1")
        return text == "1"

    return Parameter(key, read)

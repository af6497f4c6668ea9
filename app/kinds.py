"""Kinds of settings: how a value is typed, stands in an address, and is counted in the core."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from planner.errors import BadInputError
from planner.units import parse_quantity

Value = str | int | float | bool | None
"""Of a control; ``None`` is an empty field."""

SMALLEST = 1e-6  # of an amount above 0, in the unit that is shown
LARGEST = 1e12


class Kind(ABC):
    """What a setting may be.

    A value has three forms: the control's (`Value`, as the address writes it), the command line's
    (of the type ``typed``), and the core's, in SI.
    """

    typed: ClassVar[Any] = str
    longest: int = 300
    """Characters of an address that are looked at."""

    @abstractmethod
    def read(self, key: str, text: str) -> Value:
        """The control's value of an address' text; a `BadInputError` says what is allowed."""

    def parse(self, given: Any, option: str) -> Any:
        """The core's value of what the command line was given."""
        return given

    def to_core(self, value: Any, unit: str = "") -> Any:
        """The core's value of a control's."""
        return value

    def to_control(self, value: Any, unit: str = "") -> Any:
        """The control's value of the core's."""
        return value

    def write_option(self, value: Any, option: str) -> list[str]:
        """What asks for one of the core's values on the command line."""
        return [option, f"{value:.12g}" if isinstance(value, float) else str(value)]


@dataclass(frozen=True)
class Flag(Kind):
    """On or off; 0 or 1 in an address."""

    typed = bool

    def read(self, key: str, text: str) -> Value:
        """Read 0 or 1."""
        if text not in ("0", "1"):
            raise BadInputError(f"{key}: found {text[:40]!r}; give 0 or 1")
        return text == "1"

    def write_option(self, value: Any, option: str) -> list[str]:
        """Write the bare option."""
        return [option] if value else []


@dataclass(frozen=True)
class OneOf(Kind):
    """One of some words."""

    words: tuple[str, ...]

    def read(self, key: str, text: str) -> Value:
        """Read one of the words."""
        if text not in self.words:
            raise BadInputError(f"{key}: found {text[:40]!r}; give one of {', '.join(self.words)}")
        return text

    def parse(self, given: Any, option: str) -> Any:
        """Refuse other words."""
        if given not in self.words:
            raise BadInputError(f"{option} {given!r}: give one of {', '.join(self.words)}")
        return given


@dataclass(frozen=True)
class Number(Kind):
    """A finite number in a range; ``none`` in an address where it may be empty.

    ``unit`` is what a number that must be above 0 counts, for the command line's message.
    """

    typed: ClassVar[Any] = float
    low: float
    high: float
    step: float = 1.0
    empty: bool = False
    unit: str = ""

    def read(self, key: str, text: str) -> Value:
        """Read a number within the range."""
        if self.empty and text == "none":
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not self.low <= value <= self.high:
            allowed = f"give a number from {self.low:g} to {self.high:g}"
            raise BadInputError(f"{key}: found {text[:40]!r}; {allowed}{_or_none(self.empty)}")
        return value

    def parse(self, given: Any, option: str) -> Any:
        """Refuse 0 where it must be above; typer holds the other bounds."""
        if self.unit and given <= 0:
            raise BadInputError(f"{option}: found 0; give {self.unit} above 0")
        return given


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number in a range; ``none`` in an address where it may be empty."""

    typed = int
    low: int
    high: int
    empty: bool = False
    step: ClassVar[int] = 1

    def read(self, key: str, text: str) -> Value:
        """Read a whole number within the range."""
        if self.empty and text == "none":
            return None
        if not (text.isascii() and text.isdecimal() and self.low <= int(text[:12]) <= self.high):
            allowed = f"give a whole number from {self.low} to {self.high:,}"
            raise BadInputError(f"{key}: found {text[:40]!r}; {allowed}{_or_none(self.empty)}")
        return int(text)


@dataclass(frozen=True)
class Amount(Number):
    """A number with a unit: ``37.5MB/s`` on the command line, in a chosen unit on the page.

    Attributes
    ----------
    quantity : str
        What `planner.units.parse_quantity` is to read.
    units : tuple of str
        Of the control; the first is the default.
    is_whole : bool
        Whether the core counts in whole numbers.
    """

    typed = str
    quantity: str = ""
    units: tuple[str, ...] = ()
    is_whole: bool = False

    def parse(self, given: Any, option: str) -> Any:
        """Read a number with its unit."""
        found = parse_quantity(given, self.quantity, where=option)
        return int(found) if self.is_whole else found

    def to_core(self, value: Any, unit: str = "") -> Any:
        """The SI value of so many units."""
        if value is None:
            return None
        text = f"{float(value)!r}{unit or self.units[0]}"
        found = parse_quantity(text, self.quantity, where=self.quantity)
        return round(found) if self.is_whole else found

    def to_control(self, value: Any, unit: str = "") -> Any:
        """How many units an SI value is, without a float's last digits."""
        if value is None:
            return None
        one = parse_quantity(f"1{unit or self.units[0]}", self.quantity, where=self.quantity)
        return float(f"{value / one:.12g}")

    def write_option(self, value: Any, option: str) -> list[str]:
        """Write the number in the first unit."""
        return [option, f"{self.to_control(value):.12g}{self.units[0]}"]


@dataclass(frozen=True)
class Text(Kind):
    """Any text that its reader takes."""

    check: Any = None
    longest: int = 300

    def read(self, key: str, text: str) -> Value:
        """Take what the reader takes, and nothing at all."""
        if text and self.check:
            self.check(text)
        return text


@dataclass(frozen=True)
class Texts(Kind):
    """Several texts, each with the option before it; the page has no control for them."""

    typed = list[str]

    def read(self, key: str, text: str) -> Value:
        """No address carries them."""
        raise NotImplementedError

    def parse(self, given: Any, option: str) -> Any:
        """Keep their order."""
        return tuple(given)

    def write_option(self, value: Any, option: str) -> list[str]:
        """Write the option before each."""
        return [word for text in value for word in (option, text)]


def _or_none(empty: bool) -> str:
    return " or none" if empty else ""

"""Kinds of settings: how a value is typed, stands in an address, and is counted in the core."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from planner.errors import BadInputError
from planner.units import parse_quantity

Value = str | int | float | bool | None
"""Of a control; ``None`` is an empty field."""

SMALLEST = 1e-6  # of a number above 0, in the unit that is shown
LARGEST = 1e12
FIGURE = (1e-40, 1e40)
"""Of a cluster's figure in any unit: whatever a cluster may have can stand in its control."""


class Kind(ABC):
    """What a setting may be.

    A value has three forms: the control's (`Value`, as the address writes it), the command line's
    (of the type ``typed``), and the core's, in SI. They are the same unless a kind says otherwise.
    """

    typed: Any = str
    longest: int = 300  # characters of an address that are looked at

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
        """The control's value of the core's, without a float's last digits."""
        return value

    def to_widget(self, value: Value) -> Any:
        """What the page's widget holds for a control's value."""
        return value

    def from_widget(self, held: Any) -> Value:
        """The control's value of what the page's widget holds."""
        found: Value = held
        return found

    def write_option(self, value: Any, option: str) -> list[str]:
        """What asks for one of the core's values on the command line."""
        return [option, f"{value:.12g}" if isinstance(value, float) else str(value)]


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
    """A finite number in a range, on the page; the command line's bounds are typer's.

    Attributes
    ----------
    low, high, step : float
        Of the control.
    empty : bool
        Whether the control may be empty, which is ``none`` in an address.
    whole : bool
        Whether the core counts in whole numbers.
    above : str
        What is counted, where the command line lets 0 through to be refused here.
    quantity : str
        What `planner.units.parse_quantity` is to read from the command line, which then has units.
    units : tuple of str
        Of the control; the first is the default.
    """

    low: float
    high: float
    step: float = 1.0
    empty: bool = False
    whole: bool = False
    above: str = ""
    quantity: str = ""
    units: tuple[str, ...] = ("",)

    @property
    def typed(self) -> Any:
        """A text with a unit, or a number."""
        return str if self.quantity else int if self.whole else float

    @property
    def steps(self) -> tuple[float, float, float]:
        """Lowest, highest and step of the control, whole where it is."""
        kind = int if self.typed is int else float
        return kind(self.low), kind(self.high), kind(self.step)

    def read(self, key: str, text: str) -> Value:
        """Read a number within the range."""
        if self.empty and text == "none":
            return None
        none = " or none" if self.empty else ""
        if self.typed is int:
            allowed = f"give a whole number from {self.low} to {self.high:,}{none}"
            value: float = int(text[:12]) if text.isascii() and text.isdecimal() else math.nan
        else:
            allowed = f"give a number from {self.low:g} to {self.high:g}{none}"
            try:
                value = float(text)
            except ValueError:
                value = math.nan
        if not self.low <= value <= self.high:
            raise BadInputError(f"{key}: found {text[:40]!r}; {allowed}")
        return value

    def parse(self, given: Any, option: str) -> Any:
        """Read the unit; refuse infinity, and 0 where it must be above."""
        if self.quantity:
            found = parse_quantity(given, self.quantity, where=option)
            return int(found) if self.whole else found
        if not self.whole and not math.isfinite(given):
            raise BadInputError(f"{option}: found {given}; give a finite number")
        if self.above and given <= 0:
            raise BadInputError(f"{option}: found 0; give {self.above} above 0")
        return given

    def to_core(self, value: Any, unit: str = "") -> Any:
        """The SI value of so many units."""
        if value is None or not self.quantity:
            return value
        found = value * self._one(unit)
        return round(found) if self.whole else found

    def to_control(self, value: Any, unit: str = "") -> Any:
        """How many units an SI value is."""
        if value is None or not self.quantity:
            return value
        return float(f"{value / self._one(unit):.12g}")

    def write_option(self, value: Any, option: str) -> list[str]:
        """Write the number in the first unit."""
        return [option, f"{self.to_control(value):.12g}{self.units[0]}"]

    def _one(self, unit: str) -> float:
        text = f"1{unit or self.units[0]}"
        return parse_quantity(text, self.quantity, where=self.quantity)


@dataclass(frozen=True)
class Text(Kind):
    """Any text that its reader takes, and none."""

    check: Callable[[str], object] = str
    longest: int = 300

    def read(self, key: str, text: str) -> Value:
        """Read what the reader takes."""
        if text:
            self.check(text)
        return text


@dataclass(frozen=True)
class WholeOr(Text):
    """A whole number above 0, a word, or none: a text in every form but the core's.

    Attributes
    ----------
    word, most : str, int
    what : str
        Is counted.
    """

    word: str = ""
    most: int = 2**24
    what: str = "units"

    def read(self, key: str, text: str) -> Value:
        """Read either."""
        self._known(text, key)
        return text

    def parse(self, given: Any, option: str) -> Any:
        """Read either, or say what is allowed."""
        return self._known(given, option)

    def to_core(self, value: Any, unit: str = "") -> Any:
        """A number, the word or None."""
        return self._known(value, "")

    def to_control(self, value: Any, unit: str = "") -> Any:
        """Its text."""
        return "" if value is None else str(value)

    def _known(self, text: str, where: str) -> int | str | None:
        if text in ("", self.word):
            return text or None
        found = int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else 0
        if not 1 <= found <= self.most:
            raise BadInputError(
                f"{where or self.what}: found {text[:40]!r}; give a whole number of {self.what} "
                f"up to {self.most:,}, or {self.word}"
            )
        return found


@dataclass(frozen=True)
class SomeOf(Kind):
    """Some of some words, in their order; parted by commas in a control's value.

    The command line takes the option several times, with one word or several parted by commas.
    """

    words: tuple[str, ...]
    typed = list[str]

    def read(self, key: str, text: str) -> Value:
        """Read words parted by commas."""
        return ",".join(self._chosen(text.split(","), f"{key}: found {text[:40]!r}"))

    def parse(self, given: Any, option: str) -> Any:
        """Refuse other words, and none at all."""
        typed = [word for text in given for word in text.split(",")]
        return self._chosen(typed, f"{option} {','.join(given)[:60]!r}")

    def to_core(self, value: Any, unit: str = "") -> Any:
        """The words."""
        return tuple(value.split(","))

    def to_control(self, value: Any, unit: str = "") -> Any:
        """The words, parted by commas."""
        return ",".join(value)

    def to_widget(self, value: Value) -> Any:
        """A list of the words."""
        return str(value).split(",")

    def from_widget(self, held: Any) -> Value:
        """In their order; all where none is chosen."""
        return ",".join(word for word in self.words if word in held or not held)

    def write_option(self, value: Any, option: str) -> list[str]:
        """Write all behind one option."""
        return [option, ",".join(value)]

    def _chosen(self, given: Sequence[str], found: str) -> tuple[str, ...]:
        words = {word.strip() for word in given}
        if not words.issubset(self.words):
            raise BadInputError(f"{found}: give some of {', '.join(self.words)}")
        return tuple(word for word in self.words if word in words)


class Texts(Kind):
    """Several texts, each with the option before it; the page has no control for them."""

    typed = list[str]

    def read(self, key: str, text: str) -> Value:
        """Refuse: no address carries them."""
        raise NotImplementedError

    def parse(self, given: Any, option: str) -> Any:
        """Keep their order."""
        return tuple(given)

    def write_option(self, value: Any, option: str) -> list[str]:
        """Write the option before each."""
        return [word for text in value for word in (option, text)]

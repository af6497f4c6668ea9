"""Sizes as text: whole numbers, names, ``+ - * // %``, ``min`` and ``max``.

Text may come from a stranger's file: it is parsed by the few lines below, never run as code, and
every intermediate value is bounded. Operators bind and round as Python's do.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_CHARACTERS = 400
MAX_NESTING = 20  # of brackets and signs
MAX_VALUE = 2**62

_TOKEN = re.compile(r"\s*(?:(\d{1,19})|([A-Za-z_][A-Za-z0-9_]{0,63})|(//|[=!<>]=|[-+*%(),<>]))")
_SUMS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub}
_PRODUCTS: dict[str, Callable[[int, int], int]] = {
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
}
_FUNCTIONS: dict[str, Callable[..., int]] = {"min": min, "max": max}
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_Worth = Callable[[Mapping[str, int]], int]


@dataclass(frozen=True)
class Expression:
    """What was read: the names that must have a value, and how to work it out with them."""

    names: frozenset[str]
    worth: _Worth

    def value(self, values: Mapping[str, int]) -> int:
        """Work it out.

        Raises
        ------
        ValueError
            It divides by zero, or a value on the way is beyond 2^62.
        """
        try:
            return _bounded(self.worth(values))
        except ZeroDivisionError as error:
            raise ValueError("divides by zero") from error


def _bounded(value: int) -> int:
    if not -MAX_VALUE <= value <= MAX_VALUE:
        raise ValueError("is beyond 2^62")
    return value


def _constant(number: int) -> _Worth:
    return lambda values: number


def _binary(apply: Callable[[int, int], int], left: _Worth, right: _Worth) -> _Worth:
    return lambda values: _bounded(apply(left(values), right(values)))


def _negative(inner: _Worth) -> _Worth:
    return lambda values: -inner(values)


def _extreme(function: Callable[..., int], parts: list[_Worth]) -> _Worth:
    return lambda values: function(*(part(values) for part in parts))


@dataclass(frozen=True)
class Requirement:
    """Two expressions and what must hold between them."""

    left: Expression
    holds: Callable[[int, int], bool]
    right: Expression

    @property
    def names(self) -> frozenset[str]:
        """The names that must have a value."""
        return self.left.names | self.right.names

    def is_met(self, values: Mapping[str, int]) -> bool:
        """Whether it holds; errors as of `Expression.value`."""
        return self.holds(self.left.value(values), self.right.value(values))


def parse_expression(text: str) -> Expression:
    """Read an expression such as ``(h - 1) // 2 + 1``.

    Raises
    ------
    ValueError
        It is longer than 400 characters, nested more than 20 deep, or holds anything else.
    """
    parser = _Parser(text)
    found = parser.expression()
    parser.end()
    return found


def parse_requirement(text: str) -> Requirement:
    """Read what must hold between two expressions, such as ``h % 32 == 0``.

    Raises
    ------
    ValueError
        As `parse_expression`.
    """
    parser = _Parser(text)
    left = parser.expression()
    holds = _COMPARISONS.get(parser.take())
    if holds is None:
        raise ValueError(f"{_shown(text)}: compares nothing; {' '.join(_COMPARISONS)} do")
    right = parser.expression()
    parser.end()
    return Requirement(left, holds, right)


class _Parser:
    """Recursive descent; every part becomes a function of the names' values."""

    def __init__(self, text: str) -> None:
        self._text = text
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"{_shown(text)}: {len(text)} characters; {MAX_CHARACTERS} are read")
        self._tokens: list[str] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            found = _TOKEN.match(text, position)
            if found is None:
                raise ValueError(f"{_shown(text)}: {text[position:][:10]!r} is not understood")
            self._tokens.append(found.group().strip())
            position = found.end()
        self._tokens.append("")
        self._next = 0
        self._nesting = 0
        self._names: set[str] = set()

    def take(self) -> str:
        token = self._tokens[self._next]
        if token:
            self._next += 1
        return token

    def end(self) -> None:
        if self._peek():
            raise ValueError(f"{_shown(self._text)}: {self._peek()!r} is one too many")

    def expression(self) -> Expression:
        self._names = set()
        worth = self._sum()
        return Expression(frozenset(self._names), worth)

    def _sum(self) -> _Worth:
        return self._chain(_SUMS, self._product)

    def _product(self) -> _Worth:
        return self._chain(_PRODUCTS, self._factor)

    def _chain(
        self, operators: dict[str, Callable[[int, int], int]], part: Callable[[], _Worth]
    ) -> _Worth:
        worth = part()
        while self._peek() in operators:
            apply = operators[self.take()]
            worth = _binary(apply, worth, part())
        return worth

    def _factor(self) -> _Worth:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise ValueError(f"{_shown(self._text)}: nested more than {MAX_NESTING} deep")
        token = self.take()
        if token == "-":
            worth = _negative(self._factor())
        elif token == "(":
            worth = self._sum()
            self._expect(")")
        elif token.isdigit():
            worth = _constant(int(token))
        elif token in _FUNCTIONS and self._peek() == "(":
            worth = self._call(_FUNCTIONS[token])
        elif token[:1].isalpha() or token[:1] == "_":
            self._names.add(token)
            worth = operator.itemgetter(token)
        else:
            raise ValueError(f"{_shown(self._text)}: a number or name is missing")
        self._nesting -= 1
        return worth

    def _call(self, function: Callable[..., int]) -> _Worth:
        self._expect("(")
        parts = [self._sum()]
        while self._peek() == ",":
            self.take()
            parts.append(self._sum())
        self._expect(")")
        if len(parts) < 2:
            raise ValueError(f"{_shown(self._text)}: min and max take two values or more")
        return _extreme(function, parts)

    def _peek(self) -> str:
        return self._tokens[self._next]

    def _expect(self, token: str) -> None:
        if self.take() != token:
            raise ValueError(f"{_shown(self._text)}: {token!r} is missing")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")

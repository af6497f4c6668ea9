"""A size that is its value everywhere and remembers how it follows from the inputs' open sizes.

Front ends put such sizes into the shapes of a graph; everything that counts with whole numbers
then yields expressions by the way. What is remembered is a sum of products of *atoms*: names of
open sizes, or bracketed expressions of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import gcd

from planner.domain.expressions import MAX_CHARACTERS

_MAX_TERMS = 16
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)

Terms = dict[tuple[str, ...], int]


class Size(int):
    """A whole number with the sum of products that it is the present value of.

    Sums, differences and products are kept, quotients and remainders too. Other arithmetic (a
    power, a comparison) gives a plain number: whoever writes expressions down checks them
    against other shapes first. An expression of absurd length is an OverflowError.
    """

    terms: Terms

    def __new__(cls, value: int, terms: Terms) -> Size:
        """Make one; ``terms``: coefficients by sorted atoms."""
        made = super().__new__(cls, value)
        made.terms = terms
        return made

    @classmethod
    def of(cls, value: int, text: str) -> Size:
        """A size that is called, or is worked out as, ``text``."""
        return cls(value, {(text if _NAME.fullmatch(text) else f"({text})",): 1})

    @property
    def content(self) -> int:
        """The greatest number that divides all coefficients."""
        return gcd(*self.terms.values())

    @property
    def text(self) -> str:
        """The expression, divided by its `content`."""
        return _written(self.terms, self.content)

    def __add__(self, other: int) -> int:
        """Sum."""
        if not isinstance(other, int):
            return NotImplemented
        terms = dict(self.terms)
        for atoms, factor in _terms(other).items():
            terms[atoms] = terms.get(atoms, 0) + factor
        return _made(int(self) + int(other), terms)

    def __mul__(self, other: int) -> int:
        """Product."""
        if not isinstance(other, int):
            return NotImplemented  # a list that is repeated
        terms: Terms = {}
        for left, first in self.terms.items():
            for right, second in _terms(other).items():
                atoms = tuple(sorted((*left, *right)))
                terms[atoms] = terms.get(atoms, 0) + first * second
        return _made(int(self) * int(other), terms)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> int:
        """Negative."""
        return self * -1

    def __sub__(self, other: int) -> int:
        """Difference."""
        return self + other * -1

    def __rsub__(self, other: int) -> int:
        """Difference of a number and this one."""
        return self * -1 + other

    def __floordiv__(self, other: int) -> int:
        """Quotient, rounded down."""
        return _quotient(self, other)

    def __rfloordiv__(self, other: int) -> int:
        """Quotient of a number by this one."""
        return _quotient(other, self)

    def __mod__(self, other: int) -> int:
        """Remainder."""
        return _call("%", self, other)

    def __rmod__(self, other: int) -> int:
        """Remainder of a number by this one."""
        return _call("%", other, self)


def text_of(size: int) -> str:
    """An expression of the whole value; a plain number is itself."""
    text = _written(_terms(size), 1)
    alone = isinstance(size, Size) and list(size.terms) == [(text,)]
    return text[1:-1] if alone and text.startswith("(") else text


def as_one(size: int) -> int:
    """A sum as one atom, so that products of it stay single products."""
    return Size.of(int(size), text_of(size)) if len(_terms(size)) > 1 else size


def smallest(sizes: Iterable[int]) -> int:
    """``min`` that remembers what it is the least of."""
    return _extreme("min", list(sizes))


def largest(sizes: Iterable[int]) -> int:
    """``max`` that remembers what it is the greatest of."""
    return _extreme("max", list(sizes))


def _terms(size: int) -> Terms:
    return size.terms if isinstance(size, Size) else {(): int(size)}


def _made(value: int, terms: Terms) -> int:
    kept = {atoms: factor for atoms, factor in sorted(terms.items()) if factor}
    if len(kept) > _MAX_TERMS:
        raise OverflowError(f"a size is a sum of more than {_MAX_TERMS} products")
    return Size(value, kept) if any(kept) else value


def _quotient(left: int, right: int) -> int:
    """Without a remainder, of all terms by the one term of the divisor; else bracketed."""
    value = int(left) // int(right)
    above, below = _terms(left), _terms(right)
    if above == below:
        return 1
    if len(below) == 1:
        ((atoms, factor),) = below.items()
        divided = [(_without(term, atoms), times) for term, times in above.items()]
        if all(rest is not None and times % factor == 0 for rest, times in divided):
            return _made(value, {rest: t // factor for rest, t in divided if rest is not None})
    return _call("//", left, right)


def _without(atoms: tuple[str, ...], gone: tuple[str, ...]) -> tuple[str, ...] | None:
    rest = list(atoms)
    for atom in gone:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def _call(operator: str, left: int, right: int) -> int:
    value = int(left) // int(right) if operator == "//" else int(left) % int(right)
    return _atom(value, f"{_operand(left)} {operator} {_operand(right)}")


def _operand(size: int) -> str:
    text = _written(_terms(size), 1)
    is_one = text.isdigit() or _NAME.fullmatch(text) or list(_terms(size)) == [(text,)]
    return text if is_one else f"({text})"


def _extreme(name: str, sizes: list[int]) -> int:
    value = int(min(sizes) if name == "min" else max(sizes))
    if len(sizes) < 2 or not any(isinstance(size, Size) for size in sizes):
        return sizes[0] if len(sizes) == 1 else value
    return _atom(value, f"{name}({', '.join(map(text_of, sizes))})")


def _atom(value: int, text: str) -> int:
    if len(text) > MAX_CHARACTERS:
        raise OverflowError(f"a size is an expression of more than {MAX_CHARACTERS} characters")
    return Size.of(value, text)


def _written(terms: Terms, divisor: int) -> str:
    parts = []
    for atoms, factor in terms.items():
        times = factor // divisor
        kept = [*atoms] if abs(times) == 1 and atoms else [str(abs(times)), *atoms]
        sign = "-" if times < 0 else "+"
        parts.append(f"{sign} {' * '.join(kept)}")
    text = " ".join(parts)
    return text[2:] if text.startswith("+") else f"-{text[2:]}"

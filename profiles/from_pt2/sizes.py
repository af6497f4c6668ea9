"""Sizes of tensors in an exported graph; open ones are expressions, which are never executed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from planner.errors import BadInputError
from profiles.from_pt2.fields import integer, items, mapping, member, text
from profiles.size import as_one, largest, smallest

MAX_ELEMENTS = 2**40
MAX_DIMENSIONS = 64
_MAX_EXPRESSION_CHARACTERS = 2000
_MAX_SIZE = 2**62

_FUNCTIONS: dict[str, Callable[..., int]] = {
    "Integer": lambda number: number,
    "Add": lambda *terms: sum(terms),
    "Mul": lambda *factors: prod(factors),
    "FloorDiv": lambda a, b: a // b,
    "CleanDiv": lambda a, b: a // b,
    "Mod": lambda a, b: a % b,
    "PythonMod": lambda a, b: a % b,
    "Max": lambda *sizes: largest(sizes),
    "Min": lambda *sizes: smallest(sizes),
}
"""The functions of torch's size expressions that are understood; there are no others."""


class _NotUnderstoodError(Exception):
    """An expression with something else in it."""


class Sizes:
    """The value of every open size.

    Parameters
    ----------
    symbols : mapping of str to int
        Values of the symbols that the inputs' shapes fix.
    """

    def __init__(self, symbols: Mapping[str, int]) -> None:
        self._symbols = symbols

    def shape(self, meta: dict[str, Any], where: str) -> tuple[int, ...]:
        """A tensor's shape.

        Raises
        ------
        BadInputError
            A size is negative, absurd, or open and not known.
        """
        sizes = items(meta, "sizes", where)
        if len(sizes) > MAX_DIMENSIONS:
            raise BadInputError(
                f"{where} has {len(sizes)} dimensions; at most {MAX_DIMENSIONS} are read"
            )
        shape = tuple(as_one(self.size(size, where)) for size in sizes)
        if min(shape, default=0) < 0 or max(shape, default=0) > MAX_ELEMENTS:
            raise BadInputError(f"{where} has the shape {_shown(shape)}; sizes are 0 to 2^40")
        if prod(shape) > MAX_ELEMENTS:
            raise BadInputError(
                f"{where} has the shape {_shown(shape)}; "
                f"at most {MAX_ELEMENTS:,} elements are allowed"
            )
        return shape

    def size(self, value: Any, where: str) -> int:
        """One size: a number, or an expression of known symbols."""
        size = mapping(value, f"a size of {where}")
        if "as_int" in size:
            return integer(size["as_int"], f"a size of {where}")
        written = _expression(size, where)
        try:
            found = _value(_parsed(written), self._symbols)
        except (
            _NotUnderstoodError,
            ArithmeticError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise BadInputError(
                f"{where} has the open size {written[:100]!r}, which is not understood"
            ) from error
        if abs(found) > _MAX_SIZE:
            raise BadInputError(f"{where} has a size of more than 2^62")
        return found


def symbols_of_inputs(
    tensors: dict[str, dict[str, Any]],
    given: dict[str, tuple[int, ...]],
    batch: int | None,
    ranges: dict[str, Any],
) -> dict[str, int]:
    """Values of the symbols in the inputs' shapes: as given, else of the traced example.

    Parameters
    ----------
    tensors : dict of str to dict
        The inputs' tensor descriptions.
    given : dict of str to tuple of int
        Shapes that the user wants.
    batch : int, optional
        What the user wants dimension 0 of every input to be.
    ranges : dict
        What the archive allows for each symbol.

    Raises
    ------
    BadInputError
        A given shape differs from a traced one in a size that is not open, two given sizes
        contradict each other, a size is outside the archive's range, or open and not known.
    """
    for name in given:
        if name not in tensors:
            raise BadInputError(f"has no input {name!r}; its inputs are {', '.join(tensors)}")
    symbols: dict[str, int] = {}
    examples: dict[str, int | None] = {}
    for name, meta in tensors.items():
        sizes = items(meta, "sizes", f"input {name!r}")
        wanted: list[int | None] = [*given.get(name, [None] * len(sizes))]
        if batch is not None and wanted:
            wanted[0] = batch
        if len(wanted) != len(sizes):
            raise _fixed(name, wanted, sizes)
        for entry, want in zip(sizes, wanted, strict=True):
            size = mapping(entry, f"a size of input {name!r}")
            if "as_int" in size:
                if want is not None and want != size["as_int"]:
                    raise _fixed(name, wanted, sizes)
                continue
            symbol = _symbol(_expression(size, f"input {name!r}"))
            hint = _hint(size)
            if symbol is None:
                if want is not None and want != hint:
                    raise _fixed(name, wanted, sizes)
                continue
            examples.setdefault(symbol, hint)
            if want is not None and symbols.setdefault(symbol, want) != want:
                raise BadInputError(
                    f"input {name!r}: the size {symbol} is {symbols[symbol]} elsewhere, not {want}"
                )
    for symbol, want in symbols.items():
        _check_range(symbol, want, mapping(ranges.get(symbol) or {}, f"the range of {symbol}"))
    for symbol, example in examples.items():
        if symbol in symbols:
            continue
        if example is None:
            raise BadInputError(
                f"leaves the size {symbol!r} of its inputs open; give it with --input-shape"
            )
        symbols[symbol] = example
    return symbols


def _check_range(symbol: str, want: int, allowed: dict[str, Any]) -> None:
    least, most = allowed.get("min_val"), allowed.get("max_val")
    if want < 1 or (isinstance(least, int) and want < least):
        raise BadInputError(
            f"the size {symbol} is at least {least or 1} in this archive, not {want}"
        )
    if isinstance(most, int) and want > most:
        raise BadInputError(f"the size {symbol} is at most {most} in this archive, not {want}")


def _fixed(name: str, wanted: list[int | None], sizes: list[Any]) -> BadInputError:
    traced = [str(size.get("as_int", "any")) if isinstance(size, dict) else "?" for size in sizes]
    asked = [
        traced[axis] if size is None and axis < len(traced) else str(size)
        for axis, size in enumerate(wanted)
    ]
    return BadInputError(
        f"input {name!r}: a .pt2 keeps its traced shapes, here {','.join(traced)}, "
        f"not {','.join(asked)[:100]}; "
        "export the model again for another one"
    )


def _shown(shape: tuple[int, ...]) -> str:
    return str(shape)[:100]


def _expression(size: dict[str, Any], where: str) -> str:
    written = text(member(size, "as_expr", f"a size of {where}").get("expr_str"), where)
    if len(written) > _MAX_EXPRESSION_CHARACTERS:
        raise BadInputError(f"{where} has an open size of {len(written):,} characters")
    return written


def _hint(size: dict[str, Any]) -> int | None:
    hint = size["as_expr"].get("hint")
    found = hint.get("as_int") if isinstance(hint, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _parsed(written: str) -> ast.expr:
    """The syntax tree; nothing in it is ever compiled or run."""
    try:
        return ast.parse(written, mode="eval").body
    except (SyntaxError, ValueError, MemoryError) as error:
        raise _NotUnderstoodError from error


def _symbol(written: str) -> str | None:
    """The symbol's name, if the expression is nothing else."""
    try:
        tree = _parsed(written)
    except (_NotUnderstoodError, RecursionError):
        return None
    if isinstance(tree, ast.Name):
        return tree.id
    return _symbol_name(tree)


def _symbol_name(tree: ast.expr) -> str | None:
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.args:
        first = tree.args[0]
        if tree.func.id == "Symbol" and isinstance(first, ast.Constant):
            return first.value if isinstance(first.value, str) else None
    return None


def _value(tree: ast.expr, symbols: Mapping[str, int]) -> int:
    """Work an expression out: whole numbers, symbols, + - * // %, and the known functions."""
    name = tree.id if isinstance(tree, ast.Name) else _symbol_name(tree)
    if name is not None:
        if name not in symbols:
            raise _NotUnderstoodError(name)
        return symbols[name]
    if isinstance(tree, ast.Constant) and type(tree.value) is int:
        return tree.value
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return -_value(tree.operand, symbols)
    if isinstance(tree, ast.BinOp):
        left, right = _value(tree.left, symbols), _value(tree.right, symbols)
        return _binary(tree.op, left, right)
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.keywords:
        function = _FUNCTIONS.get(tree.func.id)
        if function is not None:
            return function(*(_value(argument, symbols) for argument in tree.args))
    raise _NotUnderstoodError


def _binary(operator: ast.operator, left: int, right: int) -> int:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return left * right
    if isinstance(operator, ast.FloorDiv):
        return left // right
    if isinstance(operator, ast.Mod):
        return left % right
    raise _NotUnderstoodError

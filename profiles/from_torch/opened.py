"""torch's symbolic sizes as ours, and the conditions under which a trace with them holds."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from profiles.size import Size, as_one, largest, smallest, text_of

_COMPARISONS = {
    "Equality": "==",
    "Unequality": "!=",
    "StrictLessThan": "<",
    "LessThan": "<=",
    "StrictGreaterThan": ">",
    "GreaterThan": ">=",
}


class NotUnderstoodError(Exception):
    """An expression that our sizes do not cover."""


def is_open(value: Any) -> bool:
    """Whether a value is a symbolic whole number of torch."""
    return type(value).__name__ == "SymInt"


def open_size(value: Any) -> int:
    """A symbolic number as ours.

    Raises
    ------
    NotUnderstoodError
        Its expression holds what our sizes do not know.
    """
    return _size(value.node.expr, value.node.shape_env)


def dimension(size: Any) -> int:
    """One size of a tensor."""
    return as_one(open_size(size)) if is_open(size) else int(size)


def requirements(exported: Any) -> tuple[str, ...]:
    """Comparisons of open sizes that torch relied on while it traced.

    Parameters
    ----------
    exported : torch.export.ExportedProgram

    Raises
    ------
    NotUnderstoodError
        As `open_size`.
    """
    from torch.utils._sympy.numbers import int_oo
    from torch.utils._sympy.value_ranges import ValueRanges

    found: list[str] = []
    env = next((e for node in exported.graph.nodes if (e := _env_of(node)) is not None), None)
    if env is None:
        return ()
    for symbol, allowed in exported.range_constraints.items():
        if allowed.lower > 1:
            found.append(f"{symbol} >= {int(allowed.lower)}")
        if allowed.upper.is_Integer:
            found.append(f"{symbol} <= {int(allowed.upper)}")
    ranges = {s: allowed & ValueRanges(1, int_oo) for s, allowed in env.var_to_range.items()}
    for guard in env.guards:
        for condition in _conditions(env.simplify(guard.expr), env):
            name = type(condition).__name__
            if _always(condition, ranges):
                continue
            if name not in _COMPARISONS:
                raise NotUnderstoodError(str(condition))
            left, right = (text_of(_size(side, env)) for side in (condition.lhs, condition.rhs))
            found.append(f"{left} {_COMPARISONS[name]} {right}")
    return tuple(dict.fromkeys(found))


def _env_of(node: Any) -> Any:
    value = node.meta.get("val")
    sizes = getattr(value, "shape", ()) if hasattr(value, "dtype") else (value,)
    return next((size.node.shape_env for size in sizes if is_open(size)), None)


def _conditions(expression: Any, env: Any) -> Iterator[Any]:
    """The parts of a conjunction; of a disjunction the first that holds now, which is stricter."""
    name = type(expression).__name__
    if name == "BooleanTrue":
        return
    if name == "And":
        for part in expression.args:
            yield from _conditions(part, env)
    elif name == "Or":
        held = next(
            (part for part in expression.args if part.xreplace(_hints(env)) == True),  # noqa: E712
            None,
        )
        if held is None:
            raise NotUnderstoodError(str(expression))
        yield from _conditions(held, env)
    else:
        yield expression


def _always(condition: Any, ranges: dict[Any, Any]) -> bool:
    """Whether the ranges of the sizes, which are said anyway, make a comparison true."""
    from torch.utils._sympy.value_ranges import bound_sympy

    return bool(bound_sympy(condition, ranges).is_singleton()) and bool(
        bound_sympy(condition, ranges).lower
    )


def _hints(env: Any) -> dict[Any, Any]:
    hints: dict[Any, Any] = env.backed_var_to_val
    return hints


def _size(expression: Any, env: Any) -> int:
    name = type(expression).__name__
    if expression.is_Integer:
        return int(expression)
    if expression.is_Symbol:
        hint = _hints(env).get(expression)
        if hint is None:
            raise NotUnderstoodError(f"{expression} depends on the data")
        return Size.of(int(hint), str(expression))
    parts = [_size(part, env) for part in expression.args]
    if name == "Add":
        return sum(parts)
    if name == "Mul":
        return prod(parts)
    if name == "Pow" and expression.exp.is_Integer and 0 < expression.exp <= 8:
        return prod(parts[:1] * int(expression.exp))
    if name in ("FloorDiv", "CleanDiv"):
        return parts[0] // parts[1]
    if name in ("Mod", "PythonMod"):
        return parts[0] % parts[1]
    if name == "Min":
        return smallest(parts)
    if name == "Max":
        return largest(parts)
    raise NotUnderstoodError(str(expression))

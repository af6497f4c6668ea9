"""The one place for unit conversions: SI inside, the field's usual units at the edges."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

from planner.errors import BadInputError

FLOP_PER_MAC = 2  # a data sheet's multiply and add; the papers' "op" is one MAC
BITS_PER_BYTE = 8

LEAST, MOST = 1e-30, 1e30
"""What a figure above 0 may be, in SI: products and quotients of some of them stay numbers."""

_PREFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15}
_BINARY_PREFIX = {"ki": 2.0**10, "mi": 2.0**20, "gi": 2.0**30, "ti": 2.0**40}

# unit -> (kind, SI value of one of it)
_UNITS = {
    "b/s": ("bandwidth", 1.0),
    "bit/s": ("bandwidth", 1.0 / BITS_PER_BYTE),
    "bps": ("bandwidth", 1.0 / BITS_PER_BYTE),
    "mac/s": ("compute", 1.0),
    "macs": ("compute", 1.0),
    "flop/s": ("compute", 1.0 / FLOP_PER_MAC),
    "flops": ("compute", 1.0 / FLOP_PER_MAC),
    "b": ("memory", 1.0),
    "s": ("time", 1.0),
}
_EXAMPLES = {
    "bandwidth": "37.5MB/s, 300Mbit/s or a number of bytes per second",
    "compute": "3.75GMAC/s, 7.5GFLOP/s or a number of MACs per second",
    "memory": "512MB, 2GiB or a number of bytes",
    "time": "0.25s, 40ms or a number of seconds",
}
_TIME_PREFIX = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9}


def parse_quantity(text: str, kind: str, *, where: str) -> float:
    """Read a number with a unit into SI.

    Parameters
    ----------
    text : str
        Such as ``37.5MB/s``; a bare number is taken as SI already.
    kind : {"bandwidth", "compute", "memory", "time"}
        What the unit must measure.
    where : str
        The option or field, for the message.

    Raises
    ------
    BadInputError
        The text is no number with a unit of that kind, or none that a figure may be.
    """
    match = re.fullmatch(r"\s*([0-9.eE+-]+?)\s*([a-zA-Zµ/]*)\s*", text)
    allowed = f"{where}: found {text!r}; give {_EXAMPLES[kind]}"
    if not match:
        raise BadInputError(allowed)
    try:
        value = float(match[1])
    except ValueError as error:
        raise BadInputError(allowed) from error
    unit = match[2]
    scale = 1.0 if not unit else _scale(unit, kind)
    if scale is None or not math.isfinite(value) or value <= 0:
        raise BadInputError(allowed)
    if not LEAST <= value * scale < MOST:
        raise BadInputError(f"{allowed}, from {LEAST:g} to below {MOST:g}")
    return value * scale


def _scale(unit: str, kind: str) -> float | None:
    if kind == "time":
        return _TIME_PREFIX.get(unit[:-1]) if unit.endswith("s") else None
    if kind == "bandwidth" and unit.endswith("b/s"):  # bits or bytes? a factor of eight
        return None
    lowered = unit.lower()
    for suffix, (suffix_kind, size) in sorted(_UNITS.items(), key=lambda item: -len(item[0])):
        prefix = lowered.removesuffix(suffix)
        known = _PREFIX | (_BINARY_PREFIX if kind == "memory" else {})
        if suffix_kind == kind and lowered.endswith(suffix) and prefix in known:
            return known[prefix] * size
    return None


def round_up(value: float, digits: int = 6) -> str:
    """Write a number with so many digits, never below it by more than float noise."""
    text = f"{value:.{digits}g}"
    if value - float(text) > 1e-9 * abs(value):
        above = Context(prec=digits, rounding=ROUND_CEILING).create_decimal_from_float(value)
        text = f"{float(above):.{digits}g}"
    return text


def round_down(value: float, digits: int = 6) -> str:
    """Write a number with so many digits, never above it by more than float noise."""
    text = f"{value:.{digits}g}"
    if float(text) - value > 1e-9 * abs(value):
        below = Context(prec=digits, rounding=ROUND_FLOOR).create_decimal_from_float(value)
        text = f"{float(below):.{digits}g}"
    return text


def format_si(value: float, unit: str, digits: int = 3) -> str:
    """Write a value with the prefix that leaves one to three digits before the point."""
    rounded = float(f"{value:.{digits}g}")  # 999,600 are 1 M
    if rounded == 0 or not abs(rounded) < 1e18:
        return f"{value:g} {unit}"
    for prefix, scale in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(rounded) >= scale:
            return f"{rounded / scale:.{digits}g} {prefix}{unit}"
    return f"{rounded:.{digits}g} {unit}"


def format_count(number: float) -> str:
    """Write how many things there are: 252 k, 1.24 G."""
    return format_si(number, "").rstrip()


SIZES = {"GB": 1e9, "MB": 1e6, "kB": 1e3, "B": 1.0}
TIMES = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
"""Units of a column of a table, the largest first, and one of each in SI."""


def fitting_unit(units: Mapping[str, float], values: Iterable[float | None]) -> str:
    """The unit of a column: the largest one of which its largest value has one or more.

    Parameters
    ----------
    units : mapping of str to float
        `SIZES` or `TIMES`.
    values : iterable of float, optional
        In SI; what is not known is None.
    """
    largest = max((value for value in values if value), default=1.0)
    return next((unit for unit, one in units.items() if largest >= one), list(units)[-1])


def format_seconds(value_s: float, digits: int = 4) -> str:
    """Write a duration in seconds, milliseconds or microseconds, four digits."""
    rounded = float(f"{value_s:.{digits}g}")  # 999.96 ms are 1 s
    if rounded == 0:
        return "0 ms"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(rounded) >= scale:
            shown = rounded / scale
            return f"{shown:,.0f} {unit}" if shown >= 1000 else f"{shown:.{digits}g} {unit}"
    return f"{rounded * 1e6:.3g} µs"


def format_times(ratio: float) -> str:
    """Write a ratio with two or three digits: 3.5×, 13.7×."""
    return f"{ratio:,.0f}×" if ratio >= 100 else f"{ratio:.{2 if ratio < 10 else 3}g}×"


def format_bytes(value_bytes: float) -> str:
    """Write a size with decimal prefixes: 1 MB is 10^6 bytes."""
    return format_si(value_bytes, "B")


def format_least_bytes(value_bytes: int) -> str:
    """Write a size that is enough, never below it, so that it can be typed: six digits of MB."""
    for prefix, scale in (("G", 1e9), ("M", 1e6)):
        if value_bytes >= scale:
            return f"{round_up(value_bytes / scale)} {prefix}B"
    return format_exact_bytes(value_bytes)


def format_exact_bytes(value_bytes: int) -> str:
    """Write every byte."""
    return f"{value_bytes:,} byte{'s'[: value_bytes != 1]}"


_EXACT = re.compile(r"([0-9,]+) bytes?\b")


def readable_bytes(text: str) -> str:
    """A text whose sizes are told byte by byte with MB and GB, unless two would read alike."""
    sizes = {int(found.replace(",", "")) for found in _EXACT.findall(text)}
    if len({format_least_bytes(size) for size in sizes}) < len(sizes):
        return text
    return _EXACT.sub(lambda found: format_least_bytes(int(found[1].replace(",", ""))), text)


def format_rate(value_per_s: float) -> str:
    """Write inputs per second: three digits, thousands apart."""
    return f"{value_per_s:,.0f}" if value_per_s >= 1000 else f"{value_per_s:.3g}"


def cell_number(text: str) -> float:
    """The number in a cell of a table; not a number where it holds none, and 1_0 is none."""
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan

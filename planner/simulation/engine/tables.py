"""Laying out a run's two arrays, and reading and writing the tables in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from math import prod
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from planner.simulation.engine.state import Floats, Ints, Layout, Sizes

Shape = tuple[int, ...]
FIELDS = get_type_hints(Layout, include_extras=True)
# One for all runs: numba knows the same object again in no time, and compares an equal one field by
# field at every call.
RECORD = np.dtype([(name, np.int64) for name in FIELDS])


def shapes(sizes: Sizes, kind: type) -> dict[str, Shape]:
    """Shape of every table of integers (`int`) or of floats (`float`), by its name in `Layout`."""
    found: dict[str, Shape] = {}
    for name, field in FIELDS.items():
        holds, *axes = getattr(field, "__metadata__", (None,))  # sizes hold no table
        if holds is kind:
            found[name] = tuple(getattr(sizes, axis) for axis in axes)
    return found


@dataclass(frozen=True)
class Tables:
    """A run's numbers.

    Attributes
    ----------
    at : Layout
    layout : the same as the engine takes it
        A list of one for the plain engine; for the compiled one an array of one record, which
        numba reads by address and takes twice as fast as a bare record.
    i, f : arrays for the compiled engine, lists for the plain one
    """

    at: Layout
    layout: Sequence[Layout]
    i: Ints
    f: Floats

    @classmethod
    def of(cls, sizes: Sizes, given: dict[str, Any], arrays: bool) -> Tables:
        """Lay tables out; those that are not given are 0.

        Parameters
        ----------
        given : table's name to its numbers
        arrays : arrays, not lists
        """
        places: dict[str, int] = {}
        laid: list[Any] = []
        for kind, dtype in ((int, np.int64), (float, np.float64)):
            tables = shapes(sizes, kind)
            begins = np.cumsum([0, *map(prod, tables.values())]).tolist()
            places |= dict(zip(tables, begins, strict=False))
            array: NDArray[Any] = np.zeros(begins[-1], dtype=dtype)
            for name in tables.keys() & given.keys():
                begin = places[name]
                array[begin : begin + prod(tables[name])] = np.asarray(given[name]).reshape(-1)
            laid.append(array if arrays else array.tolist())
        at = Layout(**asdict(sizes), **places)
        record: Any = np.array([astuple(at)], dtype=RECORD)
        return cls(at, record if arrays else [at], laid[0], laid[1])

    def get(self, name: str) -> NDArray[Any]:
        """A copy of one table in its shape."""
        begin = getattr(self.at, name)
        ints = shapes(self.at, int)
        shape = ints[name] if name in ints else shapes(self.at, float)[name]
        numbers = (self.i if name in ints else self.f)[begin : begin + prod(shape)]
        return np.array(numbers).reshape(shape)

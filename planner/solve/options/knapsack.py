"""The multiple-choice knapsack problem with peaks as arrays (docs/options.md, eq. O1 to O3).

In the words of the literature a *class* is what one item is taken from. Here the items are a
layer's options, and layers that are equal in every array are one class with a count.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import FEASIBILITY_TOLERANCE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SumRow = tuple[Floats, float]
"""Values of shape (L, K) and the most that they may add up to."""

MemoryRow = tuple[Ints, Ints, int]
"""Stored and live bytes, each of shape (L, K), and the limit of sum plus largest."""

ROUNDING = 4e-16
"""Relative error of one float operation, with a margin: half of 2^-52 is 1.1e-16."""

_COMPARED = 300_000  # elements up to which comparing memories pays: a fraction of a millisecond


class Classes(NamedTuple):
    """The classes as sums; peaks apart.

    Attributes
    ----------
    sums : float array, shape (R + D, G, K)
        The objective is the largest of the first R sums; the others are limited.
    resources : int
        R.
    allowed : bool array, shape (G, K)
    limits : float array, shape (D,)
    counts : int array, shape (G,)
        Layers in each class.
    scale : float array, shape (R + D,)
        The largest value of each sum, of all R together: the units in which the dual works.
    """

    sums: Floats
    resources: int
    allowed: Bools
    limits: Floats
    counts: Ints
    scale: Floats

    @property
    def values(self) -> Floats:
        """What an option takes of each limit, shape (D, G, K)."""
        return self.sums[self.resources :]


class Peaks(NamedTuple):
    """Memory limits of which several options of a layer need unlike live bytes.

    Attributes
    ----------
    live : float array, shape (M, G, K)
    rows : int array, shape (M,)
        Which row of ``Classes.limits`` holds the weights of each, ``floor`` deducted.
    floor : float array, shape (M,)
        Live bytes that are always needed.
    """

    live: Floats
    rows: Ints
    floor: Floats


class Knapsack:
    """The caller's arrays, and the same with one class for all layers that are equal.

    Limits that cannot break, and memories that break only when another one does, are left out.

    Attributes
    ----------
    classes : Classes
    live : float array, shape (M, G, K)
        Live bytes; those memories are the last M limits of the classes.
    limited : float array, shape (D + M, G, K)
        What an option takes of each limit, and its live bytes.
    breakable : int array, shape (D,)
        Which of the caller's limits are left, sums first.
    """

    def __init__(
        self,
        costs: Floats,
        allowed: Bools,
        sums: Sequence[SumRow],
        memories: Sequence[MemoryRow],
    ) -> None:
        self._costs = costs if costs.ndim == 3 else costs[None]
        self._sums, self._memories = [(values, _cap(most)) for values, most in sums], memories
        self._layers = np.arange(len(allowed))
        columns = [*self._costs, *(values for values, _ in sums)]
        columns += [memory[0] for memory in memories] + [memory[1] for memory in memories]
        features = np.empty((len(allowed), len(columns) + 1, allowed.shape[1]))
        for index, column in enumerate((*columns, allowed)):
            features[:, index] = column
        features *= allowed[:, None]  # what is not allowed tells no layers apart
        alike: dict[bytes, list[int]] = {}
        as_bytes = features.reshape(len(features), -1).view(f"V{features[0].nbytes}")
        for layer, row in enumerate(as_bytes.ravel().tolist()):
            alike.setdefault(row, []).append(layer)
        self._order = np.array(list(chain.from_iterable(alike.values())))
        counts = np.array(list(map(len, alike.values())))
        if len(counts) < len(allowed):
            first = self._order[counts.cumsum() - counts]
            features, allowed = features[first], allowed[first]
        features = np.ascontiguousarray(features[:, :-1].transpose(1, 0, 2))
        resources, end = len(self._costs), len(self._costs) + len(sums) + len(memories)
        limits = np.array([*(most for _, most in self._sums), *(float(m[2]) for m in memories)])
        self.breakable = self._breakable(features[resources:end], features[end:], limits, counts)
        if len(self.breakable) < len(limits):
            held = end + self.breakable[self.breakable >= len(sums)] - len(sums)
            at = np.concatenate([np.arange(resources), resources + self.breakable, held])
            features, end = features[at], resources + len(self.breakable)
        scale = np.abs(features[:end]).max(axis=(1, 2))
        scale[:resources] = scale[:resources].max()
        scale[scale == 0] = 1.0
        self.classes = Classes(
            features[:end], resources, allowed, limits[self.breakable], counts, scale
        )
        self.live, self.limited = features[end:], features[resources:]

    def _breakable(self, values: Floats, live: Floats, limits: Floats, counts: Ints) -> Ints:
        """Limits that can break (options that are not allowed hold zeros)."""
        most = values.max(axis=2, initial=0.0) @ counts
        sums = len(self._sums)
        most[sums:] += live.max(axis=(1, 2), initial=0.0)
        may: Ints = np.flatnonzero(most * (1 + ROUNDING * len(counts)) > limits)
        mine = may[may >= sums]
        if len(mine) < 2 or len(mine) ** 2 * values[0].size > _COMPARED:
            return may
        # a memory that no option loads more than another of no higher limit
        both = np.concatenate([values[mine], live[mine - sums]], axis=1).reshape(len(mine), -1)
        more = (both[:, None] >= both).all(axis=2) & (limits[mine][:, None] <= limits[mine])
        covers = more & (~more.T | (mine[:, None] < mine))  # of equal ones the first stays
        return np.concatenate([may[may < sums], mine[~covers.any(axis=0)]])

    def per_layer(self, counted: Ints) -> Ints:
        """One option per layer, shape (L,), from how often each class takes each, shape (G, K)."""
        chosen = np.empty(len(self._order), dtype=np.int64)
        taken = np.repeat(np.arange(counted.size), counted.ravel())
        chosen[self._order] = taken % counted.shape[1]
        return chosen

    def objective(self, choice: Ints) -> float:
        """The largest of the sums of costs."""
        return float(self._costs[:, self._layers, choice].sum(axis=1).max())

    def fits(self, choice: Ints) -> bool:
        """Whether every limit is kept, on the caller's own arrays."""
        for values, most in self._sums:
            if float(values[self._layers, choice].sum()) > most:
                return False
        for weights, live, limit in self._memories:
            stored = sum(weights[self._layers, choice].tolist())  # integers of any size
            if stored + int(live[self._layers, choice].max()) > limit:
                return False
        return True


def _cap(limit: float) -> float:
    return limit + FEASIBILITY_TOLERANCE * abs(limit)

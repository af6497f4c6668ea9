"""A multiple-choice problem in groups of equal layers, checked on the caller's own arrays."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import FEASIBILITY_TOLERANCE
from planner.solve.sparsity.choice_rows import Floats, Ints, Peaks, rows_of

Narrowed = tuple[NDArray[np.bool_], Floats, Peaks]
"""Options that are left, limits without the floor of live bytes, and what may exceed that."""

SumRow = tuple[Floats, float]
"""Values of shape (L, K) and the most that they may add up to."""

MemoryRow = tuple[Ints, Ints, int]
"""Stored and live bytes, each of shape (L, K), and the limit of sum plus largest."""

_ROUNDING = 4e-16
_COMPARED = 300_000  # elements up to which memories are compared with each other


class LayerGroups:
    """The caller's arrays, and the same with one row for all layers that are equal.

    Limits that cannot break, and memories that break only when another one does, are left out.

    Attributes
    ----------
    rows : Rows
    live : float array, shape (M, G, K)
        Live bytes; those memories are the last M limits of the rows.
    limited : float array, shape (D + M, G, K)
        What an option takes of each limit, and its live bytes.
    narrowed : dict
        What is left in boxes that were looked at, whatever the costs.
    kept : int array, shape (D,)
        Which of the caller's limits are left, sums first.
    """

    def __init__(
        self,
        costs: Floats,
        allowed: NDArray[np.bool_],
        sums: Sequence[SumRow],
        memories: Sequence[MemoryRow],
    ) -> None:
        self._costs = costs if costs.ndim == 3 else costs[None]
        self._allowed = allowed
        self._sums, self._memories = sums, memories
        self._layers = np.arange(len(allowed))
        columns = [*self._costs, *(values for values, _ in sums)]
        columns += [memory[0] for memory in memories] + [memory[1] for memory in memories]
        columns.append(allowed)
        features = np.empty((len(allowed), len(columns), allowed.shape[1]))
        for index, column in enumerate(columns):
            features[:, index] = column
        features *= allowed[:, None]
        members = self._merged(features)
        self._order: Ints | None = None
        counts = np.ones(len(allowed), dtype=np.int64)
        if len(members) < len(allowed):
            self._order = np.concatenate(members)
            counts = np.array([len(group) for group in members])
            first = [group[0] for group in members]
            features, allowed = features[first], allowed[first]
        features = np.ascontiguousarray(features[:, :-1].transpose(1, 0, 2))
        resources, limited = len(self._costs), len(sums) + len(memories)
        at, end = resources, resources + limited
        limits = np.array([*(_cap(limit) for _, limit in sums), *(float(m[2]) for m in memories)])
        self.kept = self._tight(features[at:end], features[end:], limits, counts)
        if len(self.kept) < limited:
            held = end + self.kept[self.kept >= len(sums)] - len(sums)
            features = features[np.concatenate([np.arange(at), at + self.kept, held])]
            end = at + len(self.kept)
        self.rows = rows_of(
            features[:end],
            resources,
            allowed,
            limits[self.kept],
            counts,
        )
        self.live, self.limited = features[end:], features[at:]
        self.limits = limited
        self.narrowed: dict[bytes, Narrowed] = {}

    def with_costs(self, costs: Floats) -> LayerGroups:
        """The same limits with other costs, of the same shape; layers that differed stay apart."""
        if self._order is not None:
            return LayerGroups(costs, self._allowed, self._sums, self._memories)
        other = copy(self)
        rows = self.rows
        other._costs = costs if costs.ndim == 3 else costs[None]
        mine = np.where(self._allowed, other._costs, 0.0)
        sums = np.concatenate([mine, rows.sums[rows.resources :]])
        other.rows = rows_of(sums, rows.resources, rows.allowed, rows.limits, rows.counts)
        return other

    def _merged(self, features: Floats) -> list[list[int]]:
        groups: dict[bytes, list[int]] = {}
        size, data = features[0].nbytes, features.tobytes()
        for layer, at in enumerate(range(0, len(data), size)):
            groups.setdefault(data[at : at + size], []).append(layer)
        return list(groups.values())

    def _tight(self, values: Floats, live: Floats, limits: Floats, counts: Ints) -> Ints:
        """Limits that can break (options that are not allowed hold zeros)."""
        most = values.max(axis=2, initial=0.0) @ counts
        sums = len(self._sums)
        most[sums:] += live.max(axis=(1, 2), initial=0.0)
        kept: Ints = np.flatnonzero(most * (1 + _ROUNDING * len(counts)) > limits)
        mine = kept[kept >= sums]
        if len(mine) < 2 or len(mine) ** 2 * values[0].size > _COMPARED:
            return kept
        both = np.concatenate([values[mine], live[mine - sums]], axis=1).reshape(len(mine), -1)
        more = (both[:, None] >= both).all(axis=2)
        more &= limits[mine][:, None] <= limits[mine]
        equal = more & more.T
        covers = more & (~equal | (mine[:, None] < mine))
        kept = np.concatenate([kept[kept < sums], mine[~covers.any(axis=0)]])
        return kept

    def choice(self, counted: NDArray[np.int64]) -> NDArray[np.int64]:
        """One option per layer from how often each group takes each option."""
        if self._order is None:
            single: Ints = counted.argmax(axis=1)
            return single
        chosen = np.empty(len(self._allowed), dtype=np.int64)
        options = np.tile(np.arange(counted.shape[1]), len(counted))
        chosen[self._order] = np.repeat(options, counted.ravel())
        return chosen

    def allows(self, choice: NDArray[np.int64]) -> bool:
        """Whether every option is allowed where it is taken."""
        return bool(self._allowed[self._layers, choice].all())

    def objective(self, choice: NDArray[np.int64]) -> float:
        """The largest of the sums of costs."""
        return float(self._costs[:, self._layers, choice].sum(axis=1).max())

    def fits(self, choice: NDArray[np.int64]) -> bool:
        """Whether every limit is kept, as `planner.solve.verify` judges it."""
        for values, limit in self._sums:
            if float(values[self._layers, choice].sum()) > _cap(limit):
                return False
        for weights, live, most in self._memories:
            stored = sum(weights[self._layers, choice].tolist())  # integers of any size
            if stored + int(live[self._layers, choice].max()) > most:
                return False
        return True


def _cap(limit: float) -> float:
    return limit + FEASIBILITY_TOLERANCE * abs(limit)

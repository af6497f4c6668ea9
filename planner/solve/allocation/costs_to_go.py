"""Least costs of the rest of a plan: the recurrences of both orders from the end."""

from __future__ import annotations

import numpy as np

from planner.solve.allocation.contiguous import Floats, Ints, RingPlans, Stages
from planner.solve.allocation.ordering import OrderTable


def reversed_stages(stages: Stages) -> Stages:
    """The same chain from its last unit to its first."""
    units = stages.sums.shape[1] - 1
    starts = np.arange(units, -1, -1)
    last = [np.searchsorted(row, starts, side="right") - 1 for row in stages.start]
    return Stages(
        sums=stages.sums[:, -1:] - stages.sums[:, ::-1],
        cut=stages.cut.transpose(1, 0, 2)[:, :, ::-1],
        first=stages.last,
        last=stages.first,
        start=units - np.stack(last),
    )


class RingOrder:
    """Workers in ring order; there is one node, as the last worker tells who may follow."""

    def __init__(self, workers: int, every: bool) -> None:
        self._workers = workers
        self._every = every

    def following(self, node: int, worker: int) -> list[tuple[int, int]]:
        """Node and worker of every stage that may come next."""
        most = worker + 2 if self._every else self._workers
        return [(0, after) for after in range(worker + 1, min(most, self._workers))]

    def costs_to_go(self, stages: Stages) -> Floats:
        """Least cost of all behind a stage, shape (1, N, U + 1); infinite behind none."""
        back = reversed_stages(stages)
        turned = Stages(
            back.sums[::-1], back.cut[::-1, ::-1], back.first[::-1], back.last[::-1],
            back.start[::-1],
        )  # fmt: skip
        before = RingPlans(turned, "sum", self._every).before[::-1, ::-1]
        return np.pad(before, ((0, 0), (1, 0)), constant_values=np.inf)[None]


class AnyOrder:
    """Kinds of workers in any order; a node is the state of `OrderTable` that counts them."""

    def __init__(self, multiplicity: Ints, every: bool) -> None:
        self._most = multiplicity
        self._every = every
        self._stride = np.concatenate([[1], np.cumprod(multiplicity[:-1] + 1)])

    def following(self, node: int, worker: int) -> list[tuple[int, int]]:
        """Node and kind of every stage that may come next."""
        state = max(node, 0)
        used = state // self._stride % (self._most + 1)
        free = np.flatnonzero(used < self._most)
        return [(state + int(self._stride[kind]), int(kind)) for kind in free]

    def costs_to_go(self, stages: Stages) -> Floats:
        """Least cost of all behind a stage, shape (states, K, U + 1)."""
        table = OrderTable(reversed_stages(stages), self._most, "sum")
        table.fill()
        rest = table.best
        if not self._every:  # those who are free may be used or not
            shape = (*(self._most[::-1] + 1), *rest.shape[1:])
            free = rest.reshape(shape)
            for axis in range(len(self._most)):
                free = np.minimum.accumulate(free, axis=axis)
            rest = free.reshape(rest.shape)
        rest = rest[::-1, :, ::-1]  # by who was used instead of who is left, by cut from the front
        costs = np.full(rest.shape, np.inf)
        for kind in range(len(self._most)):
            following = rest[:, :, 1:-1] + stages.cut[kind]
            following.min(axis=1, out=costs[:, kind, 1:-1])
        costs[-1 if self._every else slice(None), :, -1] = stages.last
        return costs

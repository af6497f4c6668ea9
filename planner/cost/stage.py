"""What a stage's layers cost on its group of nodes, at one option each or at several."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from planner.cost.memory import stage_memory_bytes, stored_twice
from planner.cost.overlap import busy_s
from planner.cost.table import CostTable
from planner.domain.cluster import Casting
from planner.domain.layouts import Way
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import LayerOwners


@dataclass(frozen=True, eq=False)
class StageCosts:
    """A run of layers on a group of nodes.

    Attributes
    ----------
    table : CostTable
        Of all layers of the model on the group. In a plan each layer has one option; where a
        plan is still looked for, one per level of sparsity.
    owners : LayerOwners
        Which node of the group holds which feature.
    casting : Casting
        Whether each receiver has a subset of its own or all share the sender's.
    profile : ModelProfile
    rows : slice
        The stage's layers.
    ways : tuple of Way
        In which each of these runs; all gather features where none is given.
    on_host : tuple of int
        Rows whose weights lie in the memory of the nodes' hosts.
    """

    table: CostTable
    owners: LayerOwners
    casting: Casting
    profile: ModelProfile
    rows: slice = field(default_factory=lambda: slice(None))
    ways: tuple[Way | None, ...] = ()
    on_host: tuple[int, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the group's nodes."""
        return self.table.node_names

    def pruned_layers(self) -> NDArray[np.int64]:
        """Rows of the stage whose first option does not exchange all features."""
        mask = np.zeros(len(self.table.layer_names), dtype=np.bool_)
        mask[self.rows] = True
        sparse = self.table.sparsifiable & (self.table.comm_sparsity[:, 0] > 0)
        rows: NDArray[np.int64] = np.flatnonzero(mask & sparse)
        return rows

    def sum_of(self, column: NDArray[np.float64]) -> float:
        """Sum of a table's column of shape (L, K) over the stage, at each layer's first option."""
        return float(column[self.rows, 0].sum())

    def busy_s(self, overlap: bool, software_s: float = 0.0) -> float:
        """Seconds between two results of this stage (docs/model.md, eq. 10).

        ``software_s`` are those of messages from the stage before and to the one behind.
        """
        return max(self.occupied_s(overlap, software_s))

    def occupied_s(self, overlap: bool, software_s: float = 0.0) -> tuple[float, ...]:
        """The same of each of the stage's resources, the nodes the last of them."""
        table, mine = self.table, (self.rows, 0)
        busy = busy_s(table.wire_s[mine], table.software_s[mine], table.compute_s[mine], overlap)
        total = busy.sum(axis=1)
        total[-1] += software_s  # of the nodes
        return tuple(total.tolist())

    def memory_bytes(self) -> dict[str, int]:
        """What every node needs, by its name (eq. 11)."""
        needed = stage_memory_bytes(self.own_bytes(), self.table.live_bytes[self.rows, 0])
        return dict(zip(self.nodes, needed.tolist(), strict=True))

    def own_bytes(self, first: StageCosts | None = None) -> NDArray[np.int64]:
        """What the nodes store of every layer in their own memory, shape (l, n).

        Parameters
        ----------
        first : StageCosts, optional
            A stage before this one on the same nodes: what these store for that one is left out.
        """
        stored, rows, ways = self.table.weight_bytes, self.indices, self.ways
        if first is not None:
            stored = stored.copy()
            stored[first.rows] = first.table.weight_bytes[first.rows]
            rows, ways = [*first.indices, *rows], first.ways + ways
        own, _ = self.parted((stored - stored_twice(self.profile, stored, rows, ways))[:, 0])
        return own[self.rows]

    @property
    def indices(self) -> list[int]:
        """The stage's layers by their rows."""
        return list(range(len(self.profile.layers))[self.rows])

    def parted(self, stored: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What layers store in the nodes' own memory, and in their hosts', shape (L, n) each."""
        hosted = np.zeros_like(stored)
        rows = list(self.on_host)
        hosted[rows] = stored[rows]
        return stored - hosted, hosted

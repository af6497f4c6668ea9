"""Energy of the real weights as a loss: the share of their L1 mass that is pruned.

It needs no training and no data, and says nothing in points of a metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.interface import LossKind, PredictedLoss, total_score
from planner.accuracy.ranking import Magnitudes, ranking, sub_row_norms
from planner.cost.stage import StageCosts
from planner.domain.cluster import Casting
from planner.domain.owners import Owners

Tails = list[NDArray[np.float64]]
"""Pruned L1 mass of a layer, one array per sender (see `tail_masses`)."""


@dataclass(frozen=True)
class EnergyModel:
    """Pruned share of the L1 mass of every layer's off-diagonal blocks (docs/accuracy.md).

    Attributes
    ----------
    name : str
        Such as ``energy:model.safetensors``.
    magnitudes : tuple of float arrays of shape (O, I), or None
        One per layer; None where a layer has no weights that are known.
    tails : dict
        Of the layers on each group, computed when first needed.
    """

    name: str
    magnitudes: tuple[Magnitudes | None, ...]
    tails: dict[object, list[Tails | None]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def kind(self) -> LossKind:
        """It counts in a share of the weights' energy."""
        return "energy"

    @property
    def metric(self) -> str:
        """What it counts in."""
        return "share of the weights' L1 mass"

    @property
    def unit(self) -> str:
        """Of a score, in words."""
        return "of the weights' L1 mass"

    def scores(self, stage: StageCosts) -> NDArray[np.float64]:
        """Every layer's part in the network's energy loss, (L, K) (docs/accuracy.md, eq. A7).

        The kept sub-rows are those of largest norm, as many per ordered pair as the plan has.
        Layers without known weights score 0 where they send everything, else infinity.
        """
        table = stage.table
        mass = np.array([0.0 if m is None else m.sum(dtype=np.float64) for m in self.magnitudes])
        scores = np.zeros(table.comm_sparsity.shape)
        for row, tails in enumerate(self._tails(stage)):
            if tails is not None:
                scores[row] = pruned_share(tails, table.counts.of(row)) * mass[row] / mass.sum()
            elif table.sparsifiable[row]:
                scores[row] = np.where(table.comm_sparsity[row] > 0, np.inf, 0.0)
        return scores

    def _tails(self, stage: StageCosts) -> list[Tails | None]:
        """Of every layer that exchanges features and whose weights are known."""
        table = stage.table
        key = (stage.owners, stage.casting, table.decisions.tobytes())
        if key in self.tails:
            return self.tails[key]
        norms = [
            None
            if size is None or not table.sparsifiable[row]
            else sub_row_norms(size, stage.owners.outputs[row], len(table.node_names))
            for row, size in enumerate(self.magnitudes)
        ]
        found: list[Tails | None] = []
        for row, own in enumerate(norms):
            if own is None:
                found.append(None)
                continue
            # layers that share one transmission send one subset, ranked for all of them
            together = np.flatnonzero(table.decisions == table.decisions[row])
            ranked_by = np.sum([n for other in together if (n := norms[other]) is not None], axis=0)
            found.append(tail_masses(own, ranked_by, stage.owners.inputs[row], stage.casting))
        self.tails[key] = found
        return found

    @property
    def exponent(self) -> int:
        """Shares add up as they are."""
        return 1

    def score_limit(self, loss: float) -> float:
        """Sum of scores at a loss: scores are shares already."""
        return loss

    def predicted(self, stages: Sequence[StageCosts]) -> PredictedLoss:
        """The pruned share of the network's L1 mass."""
        total = total_score(self, stages)
        if not np.isfinite(total):
            return PredictedLoss()
        return PredictedLoss(energy_loss=min(total, 1.0), origin="derived")


def tail_masses(
    norms: NDArray[np.float64],
    ranked_by: NDArray[np.float64],
    input_owners: Owners,
    casting: Casting,
) -> Tails:
    """What is pruned of a layer for every sender and receiver, by the number of kept features.

    Parameters
    ----------
    norms : float array, shape (I, n)
        Of the layer's sub-rows.
    ranked_by : float array, shape (I, n)
        The norms that decide which go first: the layer's own, or their sum over the layers that
        share its transmission.
    input_owners : int array, shape (I,)
    casting : {"unicast", "broadcast"}

    Returns
    -------
    list of float arrays, one per sender i, shape (I_i + 1, n)
        Entry (k, j): L1 mass of the sub-rows towards node j that are pruned where k are kept.
    """
    nodes = norms.shape[1]
    tails = []
    for sender in range(nodes):
        order = ranking(ranked_by, input_owners, sender, casting)
        masses = np.take_along_axis(norms, order, axis=0)
        masses[:, sender] = 0.0  # the diagonal block is always kept
        tail = np.zeros((len(order) + 1, nodes))
        tail[:-1] = np.cumsum(masses[::-1], axis=0)[::-1]
        tails.append(tail)
    return tails


def pruned_share(tails: Tails, kept: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pruned share of a layer's off-diagonal L1 mass (docs/accuracy.md, eq. A6).

    Parameters
    ----------
    tails : list of float arrays
        As `tail_masses` has them.
    kept : int array, shape (K, n, n)
        Features that each node sends to each other.

    Returns
    -------
    float array, shape (K,)
        From 0 to 1; 0 where the off-diagonal blocks hold nothing.
    """
    receivers = np.arange(len(tails))
    pruned = np.zeros(len(kept))
    for sender, tail in enumerate(tails):
        pruned += tail[kept[:, sender, :], receivers].sum(axis=1)
    whole = sum(float(tail[0].sum()) for tail in tails)
    return pruned / whole if whole > 0 else pruned

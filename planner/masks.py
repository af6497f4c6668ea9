"""The sub-rows of every weight that a plan keeps: DISCO's selection by L1 norm (its section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.interface import Exchange
from planner.accuracy.ranking import Magnitudes, ranking, sub_row_norms
from planner.domain.cluster import Casting
from planner.domain.owners import REPLICATED, Owners

Sent = tuple[tuple[NDArray[np.int64], ...], ...]
"""Entry [i][j]: the input features that node i sends to node j, ascending; none to itself."""


@dataclass(frozen=True, eq=False)
class LayerMask:
    """What one layer keeps of its weight on the n nodes of its stage.

    Attributes
    ----------
    row : int
        The layer's place in the profile.
    nodes : tuple of str
        Names, in the order of the owners' numbers.
    input_owners, output_owners : int arrays, shapes (I,) and (O,)
        The node that holds or computes each feature, or ``REPLICATED``.
    sent : tuple of tuples of int arrays
    prunes : bool
        Whether any sub-row goes; else the mask is true everywhere.
    """

    row: int
    nodes: tuple[str, ...]
    input_owners: Owners
    output_owners: Owners
    sent: Sent
    prunes: bool

    def mask(self) -> NDArray[np.bool_]:
        """True where a weight stays, shape (O, I).

        Output features of a node read what the node holds itself, what all nodes hold, and what
        it is sent.
        """
        kept = np.zeros((len(self.output_owners), len(self.input_owners)), dtype=np.bool_)
        for receiver in range(len(self.nodes)):
            reads = (self.input_owners == receiver) | (self.input_owners == REPLICATED)
            for of_sender in self.sent:
                reads[of_sender[receiver]] = True
            kept[self.output_owners == receiver] = reads
        return kept


def needed_weights(stages: Sequence[Exchange]) -> NDArray[np.bool_]:
    """Layers whose weights decide what goes, shape (L,).

    Those that prune, and those whose transmission they share.
    """
    needed = np.zeros(len(stages[0].table.layer_names), dtype=np.bool_)
    for stage in stages:
        for row in stage.sparse():
            needed |= _together(stage, row)
    return needed


def plan_masks(
    stages: Sequence[Exchange], magnitudes: Sequence[Magnitudes | None]
) -> tuple[LayerMask, ...]:
    """The sub-rows that every layer keeps, exactly as many per ordered pair as the plan has.

    Towards each node those of largest L1 norm stay; where features are broadcast, one ranking
    serves all receivers, and layers that share a transmission are ranked by the sum of their
    norms. The energy model reckons with the same choice (docs/accuracy.md).

    Parameters
    ----------
    stages : sequence of Exchange
        As `planner.strategies.evaluation.exchanges` has them.
    magnitudes : sequence of float arrays of shape (O, I), or None
        One per layer of the model; known where `needed_weights` says so.

    Returns
    -------
    tuple of LayerMask
        In the model's order, of the layers that exchange features. None of a stage of one node.

    Raises
    ------
    ValueError
        A weight that is needed is None.
    """
    found = []
    for stage in stages:
        table = stage.table
        sparse = set(stage.sparse().tolist())
        for row in np.arange(len(table.layer_names))[stage.rows].tolist():
            if not table.sparsifiable[row]:
                continue
            owners = stage.owners.inputs[row]
            norms = np.zeros((len(owners), len(table.node_names)))  # all stay: no order is needed
            if row in sparse:
                for other in np.flatnonzero(_together(stage, row)):
                    norms += _norms(stage, magnitudes, int(other))
            found.append(
                LayerMask(
                    row=row,
                    nodes=table.node_names,
                    input_owners=owners,
                    output_owners=stage.owners.outputs[row],
                    sent=kept_sub_rows(norms, owners, table.kept_features[row, 0], stage.casting),
                    prunes=row in sparse,
                )
            )
    return tuple(found)


def kept_sub_rows(
    norms: NDArray[np.float64], input_owners: Owners, kept: NDArray[np.int64], casting: Casting
) -> Sent:
    """The input features whose sub-rows stay, for every ordered pair of nodes.

    Parameters
    ----------
    norms : float array, shape (I, n)
        As `planner.accuracy.ranking.sub_row_norms` has them.
    input_owners : int array, shape (I,)
    kept : int array, shape (n, n)
        Features that each node sends to each other, 0 on the diagonal.
    casting : {"unicast", "broadcast"}
        The best for each receiver, or of one ranking for all: then a smaller subset is part of
        every larger one, so that one transmission serves all.

    Raises
    ------
    ValueError
        More are to stay than a node holds.
    """
    sent = []
    for sender, counts in enumerate(kept):
        order = ranking(norms, input_owners, sender, casting)
        if counts.max(initial=0) > len(order):
            raise ValueError(f"node {sender} holds {len(order)} features, not {counts.max()}")
        sent.append(tuple(np.sort(order[:count, j]) for j, count in enumerate(counts)))
    return tuple(sent)


def _together(stage: Exchange, row: int) -> NDArray[np.bool_]:
    """Layers that are ranked with one, itself among them, shape (L,)."""
    decisions = stage.table.decisions
    together: NDArray[np.bool_] = (decisions == decisions[row]) & stage.table.sparsifiable
    return together


def _norms(
    stage: Exchange, magnitudes: Sequence[Magnitudes | None], row: int
) -> NDArray[np.float64]:
    size = magnitudes[row]
    if size is None:
        raise ValueError(f"the weight of layer {stage.table.layer_names[row]!r} is needed")
    return sub_row_norms(size, stage.owners.outputs[row], len(stage.table.node_names))

"""The sub-rows of every weight that a plan keeps: DISCO's selection by L1 norm (its section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.ranking import Magnitudes, ranking, sub_row_norms
from planner.cost.stage import StageCosts
from planner.domain.cluster import Casting
from planner.domain.owners import REPLICATED, Owners

Sent = tuple[tuple[NDArray[np.int64], ...], ...]
"""Entry ``[i][j]``: the input features that node i sends to node j, ascending; none to itself."""


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
        Whether the plan takes any sub-row away.
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

    def like(self, mask: NDArray[np.bool_]) -> LayerMask:
        """The same layer with another mask, shape (O, I), that keeps whole sub-rows."""
        nodes = range(len(self.nodes))
        reads = [mask[self.output_owners == node][:1].any(axis=0) for node in nodes]
        sent = tuple(
            tuple(np.flatnonzero(reads[j] & (self.input_owners == i) & (i != j)) for j in nodes)
            for i in nodes
        )
        return replace(self, sent=sent)


def needed_weights(stages: Sequence[StageCosts]) -> NDArray[np.bool_]:
    """Layers whose weights decide what goes, shape (L,).

    Those that prune, and those whose transmission they share.
    """
    needed = np.zeros(len(stages[0].table.layer_names), dtype=np.bool_)
    for stage in stages:
        for row in stage.pruned_layers():
            needed |= _together(stage, row)
    return needed


def plan_masks(
    stages: Sequence[StageCosts],
    magnitudes: Sequence[Magnitudes | None],
    progress: float = 1.0,
    before: Iterable[LayerMask] = (),
) -> tuple[LayerMask, ...]:
    """The sub-rows that every layer keeps, exactly as many per ordered pair as the plan has.

    Towards each node those of largest L1 norm stay; where features are broadcast, one ranking
    serves all receivers, and layers that share a transmission are ranked by the sum of their
    norms. The energy model reckons with the same choice (docs/accuracy.md).

    Parameters
    ----------
    stages : sequence of StageCosts
        As `planner.strategies.costed.cost_stages` has them.
    magnitudes : sequence of float arrays of shape (O, I), or None
        One per layer of the model; known where `needed_weights` says so.
    progress : float
        0 keeps all, 1 what the plan keeps (see `round_counts`).
    before : iterable of LayerMask
        Of an earlier round with less progress: what it pruned does not come back.

    Returns
    -------
    tuple of LayerMask
        In the model's order, of the layers that exchange features. None of a stage of one node.

    Raises
    ------
    ValueError
        A weight that is needed is None.
    """
    earlier = {layer.row: layer for layer in before}
    found = []
    for stage in stages:
        table = stage.table
        sparse = set(stage.pruned_layers().tolist())
        rows = np.arange(len(table.layer_names))[stage.rows].tolist()
        for row in rows:
            if not table.sparsifiable[row]:
                continue
            owners, outputs = stage.owners.inputs[row], stage.owners.outputs[row]
            shape = len(owners), len(table.node_names)
            norms, alive = np.zeros(shape), np.zeros(shape, dtype=np.int64)
            counts = table.counts.of(row)[0]
            if row in sparse:  # else all stay: no order is needed
                counts = round_counts(dense_counts(owners, outputs, shape[1]), counts, progress)
                for other in np.flatnonzero(_together(stage, row)).tolist():
                    norms += _norms(stage, magnitudes, other)
                    if other in earlier and other in rows:
                        alive += _received(earlier[other])
            found.append(
                LayerMask(
                    row=row,
                    nodes=table.node_names,
                    input_owners=owners,
                    output_owners=outputs,
                    sent=kept_sub_rows(norms, owners, counts, stage.casting, alive),
                    prunes=row in sparse,
                )
            )
    return tuple(found)


def dense_counts(input_owners: Owners, output_owners: Owners, nodes: int) -> NDArray[np.int64]:
    """Features that each node sends to each other where nothing is pruned, shape (n, n).

    All that it holds, to those that compute anything of the layer.
    """
    held = np.array([np.count_nonzero(input_owners == node) for node in range(nodes)])
    reads = np.array([bool(np.any(output_owners == node)) for node in range(nodes)])
    counts: NDArray[np.int64] = held[:, None] * reads[None, :] * ~np.eye(nodes, dtype=np.bool_)
    return counts


def round_counts(
    dense: NDArray[np.int64], planned: NDArray[np.int64], progress: float
) -> NDArray[np.int64]:
    """Features that each node sends to each other part of the way to the plan.

    Parameters
    ----------
    dense, planned : int arrays of one shape
        At the start and in the plan.
    progress : float
        Share of the way, from 0 to 1: the counts fall evenly, to the nearest integer.

    Raises
    ------
    ValueError
        The progress is not from 0 to 1.
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress {progress}: a number from 0 to 1 is needed")
    left = np.floor((1.0 - progress) * (dense - planned) + 0.5).astype(np.int64)
    counts: NDArray[np.int64] = planned + left
    return counts


def kept_sub_rows(
    norms: NDArray[np.float64],
    input_owners: Owners,
    kept: NDArray[np.int64],
    casting: Casting,
    alive: NDArray[np.int64] | None = None,
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
    alive : int array, shape (I, n), optional
        How many layers that are ranked together still send a feature to each node: what more of
        them send goes later, whatever its norm.

    Raises
    ------
    ValueError
        More are to stay than a node holds.
    """
    tiers = np.zeros(norms.shape, dtype=np.int64) if alive is None else alive
    if casting == "broadcast":
        tiers = np.repeat(tiers.sum(axis=1)[:, None], norms.shape[1], axis=1)
    sent = []
    for sender, counts in enumerate(kept):
        order = ranking(norms, input_owners, sender, casting)
        ranks = np.argsort(-np.take_along_axis(tiers, order, axis=0), axis=0, kind="stable")
        order = np.take_along_axis(order, ranks, axis=0)
        if counts.max(initial=0) > len(order):
            raise ValueError(f"node {sender} holds {len(order)} features, not {counts.max()}")
        sent.append(tuple(np.sort(order[:count, j]) for j, count in enumerate(counts)))
    return tuple(sent)


def _together(stage: StageCosts, row: int) -> NDArray[np.bool_]:
    """Layers that are ranked with one, itself among them, shape (L,)."""
    decisions = stage.table.decisions
    together: NDArray[np.bool_] = (decisions == decisions[row]) & stage.table.sparsifiable
    return together


def _received(layer: LayerMask) -> NDArray[np.int64]:
    """Whether each node is sent each feature, 0 or 1, shape (I, n)."""
    received = np.zeros((len(layer.input_owners), len(layer.nodes)), dtype=np.int64)
    for of_sender in layer.sent:
        for receiver, features in enumerate(of_sender):
            received[features, receiver] = 1
    return received


def _norms(
    stage: StageCosts, magnitudes: Sequence[Magnitudes | None], row: int
) -> NDArray[np.float64]:
    size = magnitudes[row]
    if size is None:
        raise ValueError(f"the weight of layer {stage.table.layer_names[row]!r} is needed")
    return sub_row_norms(size, stage.owners.outputs[row], len(stage.table.node_names))

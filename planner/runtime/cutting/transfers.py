"""Which features go from which node to which before a layer, as lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.cost.ownership import FeatureShares
from planner.domain.layer_profile import LayerProfile
from planner.domain.owners import REPLICATED, Owners
from planner.weights.masks import LayerMask


@dataclass(frozen=True, eq=False)
class Transfer:
    """Features of one tensor on their way from one node to another.

    Attributes
    ----------
    tensor : str
    sender, receiver : int
        Positions in the group (the receiver's own group where the group changes).
    features : int array
        Ascending.
    shared : bool
        Selected features on a broadcast medium: all receivers hear one transmission.
    """

    tensor: str
    sender: int
    receiver: int
    features: NDArray[np.int64]
    shared: bool = False


def moves(layer: LayerProfile, shares: FeatureShares, row: int) -> list[Transfer]:
    """What changes owner before a layer (the lists behind ``FeatureShares.moved_bytes``)."""
    nodes = shares.outputs.shape[1]
    found: dict[tuple[str, int, int], NDArray[np.int64]] = {}
    for name, needed in zip(layer.inputs, shares.needed[row], strict=True):
        current = shares.owners[name]
        if needed is None:
            continue
        for receiver in range(nodes):
            lacks = (current != REPLICATED) & (current != receiver)
            wanted = lacks & ((needed == receiver) | (needed == REPLICATED))
            for sender in np.unique(current[wanted]).tolist():
                features = np.flatnonzero(wanted & (current == sender)).astype(np.int64)
                found[name, sender, receiver] = features
    return [Transfer(*key, features) for key, features in found.items()]


def selected(layer: LayerProfile, mask: LayerMask, shared: bool) -> list[Transfer]:
    """What a mixing layer's nodes send each other: the features whose sub-rows stay."""
    return [
        Transfer(layer.inputs[0], sender, receiver, features, shared)
        for sender, row in enumerate(mask.sent)
        for receiver, features in enumerate(row)
        if len(features)
    ]


def handed_over(tensor: str, has: Owners, needs: Owners, receivers: int) -> list[Transfer]:
    """What the nodes of a group send to those of the next one (docs/model.md, eq. 19).

    What all senders hold comes from the first of them.
    """
    origin = np.where(has == REPLICATED, 0, has)
    found = []
    for receiver in range(receivers):
        wanted = (needs == receiver) | (needs == REPLICATED)
        for sender in np.unique(origin[wanted]).tolist():
            features = np.flatnonzero(wanted & (origin == sender)).astype(np.int64)
            found.append(Transfer(tensor, sender, receiver, features))
    return found


def without_known(
    transfers: list[Transfer], known: dict[tuple[str, int, int], NDArray[np.int64]]
) -> list[Transfer]:
    """Leave out what a receiver has from an earlier layer; note what it has from now on."""
    fresh = []
    for item in transfers:
        key = item.tensor, item.sender, item.receiver
        had = known.get(key, np.array([], dtype=np.int64))
        new = np.setdiff1d(item.features, had)
        known[key] = np.union1d(had, item.features)
        if len(new):
            fresh.append(Transfer(*key, new, item.shared))
    return fresh

"""Which part of which tensor goes from which node to which before a layer, as lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.cost.ownership import FeatureShares
from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import Conversion, Layout
from planner.domain.owners import REPLICATED
from planner.domain.positions import Mask
from planner.runtime.cutting.holdings import Holdings
from planner.runtime.running.extents import Extent
from planner.weights.masks import LayerMask


@dataclass(frozen=True, eq=False)
class Transfer:
    """A part of one tensor on its way from one node to another.

    Attributes
    ----------
    tensor : str
    sender, receiver : int
        Positions in the group (the receiver's own group where the group changes).
    extent : Extent
    shared : bool
        All receivers hear one transmission, on a broadcast medium.
    common : bool
        Features that every node is to hold, beside those that are the receiver's alone.
    """

    tensor: str
    sender: int
    receiver: int
    extent: Extent
    shared: bool = False
    common: bool = False

    def message(self, before: str, senders: Sequence[str]) -> str:
        """What the receiver calls it."""
        ending = " for all" if self.common else ""
        return f"{before}/{self.tensor} from {senders[self.sender]}{ending}"


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
    return [Transfer(*key, Extent(features=features)) for key, features in found.items()]


def selected(layer: LayerProfile, mask: LayerMask, shared: bool) -> list[Transfer]:
    """What a mixing layer's nodes send each other: the features whose sub-rows stay."""
    return [
        Transfer(layer.inputs[0], sender, receiver, Extent(features=features), shared)
        for sender, row in enumerate(mask.sent)
        for receiver, features in enumerate(row)
        if len(features)
    ]


def halos(name: str, axis: Layout, needed: Mask, holdings: Holdings) -> list[Transfer]:
    """What nodes lack of a tensor that lies by positions or samples.

    Parameters
    ----------
    name : str
    axis : Layout
    needed : bool array, shape (n, P)
        Positions that each node reads.
    holdings : Holdings
    """
    runs = holdings.runs(name, axis)
    pairs = [(i, j) for j in range(len(runs)) for i in range(len(runs)) if i != j]
    found = ((i, j, np.flatnonzero(runs[i] & needed[j] & ~runs[j])) for i, j in pairs)
    return [Transfer(name, i, j, Extent(**{axis: lacks})) for i, j, lacks in found if len(lacks)]


def converted(item: Conversion, holdings: Holdings, broadcast: bool) -> list[Transfer]:
    """What nodes send each other to bring a tensor to another layout.

    What all receivers are to hold is one transmission where the medium carries it to all.
    """
    name, target = item.tensor, item.target
    found = []
    for sender in range(holdings.nodes):
        has = holdings.alone(name, item.source, sender)
        for receiver in range(holdings.nodes):
            wanted = {False: holdings.alone(name, target, receiver)}
            if target == "features":
                wanted[True] = holdings.common(name)
            for common, extent in wanted.items():
                part = has.meet(extent)
                if sender != receiver and not part.empty:
                    shared = broadcast and (common or target == "whole")
                    found.append(Transfer(name, sender, receiver, part, shared, common))
    return found


def handed_over(tensor: str, has: Sequence[Extent], needs: Sequence[Extent]) -> list[Transfer]:
    """What the nodes of a group send to those of the next one (docs/model.md, eq. 19 and 37).

    Parameters
    ----------
    tensor : str
    has : sequence of Extent
        What each sender supplies, every element once.
    needs : sequence of Extent
        What each receiver is to hold.
    """
    found = []
    for receiver, wanted in enumerate(needs):
        for sender, supplied in enumerate(has):
            part = supplied.meet(wanted)
            if not part.empty:
                found.append(Transfer(tensor, sender, receiver, part))
    return found


def supplied(name: str, layout: Layout, holdings: Holdings, node: int) -> Extent:
    """What a node hands over of a tensor: what all hold comes from the first of them."""
    if layout == "features" and node == 0:
        return holdings.held(name, layout, node)
    if layout == "whole":
        return holdings.held(name, "one-node", node)
    return holdings.alone(name, layout, node)


def without_known(
    transfers: list[Transfer], known: dict[tuple[str, int, int], NDArray[np.int64]]
) -> list[Transfer]:
    """Leave out what a receiver has from an earlier layer; note what it has from now on."""
    fresh = []
    for item in transfers:
        key = item.tensor, item.sender, item.receiver
        features = item.extent.features
        assert features is not None
        had = known.get(key, np.array([], dtype=np.int64))
        new = np.setdiff1d(features, had)
        known[key] = np.union1d(had, features)
        if len(new):
            fresh.append(Transfer(*key, Extent(features=new), item.shared))
    return fresh

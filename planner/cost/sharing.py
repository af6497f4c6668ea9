"""Layers that read the same tensor and may share its transmission (an option, ours).

A block's first convolution and its down-sampling read one tensor, as do a head's q, k and v.
Where they share, the selected subsets are nested: what an earlier reader has received is not
sent again, and the receivers reserve its dense size until the last reader has run
(`planner.cost.memory.reserved_bytes`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.cost.ownership import FeatureShares
from planner.cost.sparsity import Count, FeatureCounts, numbered
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings

Readers = list[list[int]]
"""Rows of the layers that share one transmission of a tensor, two or more each, in order."""


def sharing_readers(
    profile: ModelProfile, shares: FeatureShares, settings: CostSettings
) -> Readers:
    """Find the layers that share a transmission; none unless the settings say so."""
    if not settings.share_inputs:
        return []
    by_tensor: dict[str, list[int]] = {}
    for row, layer in enumerate(profile.layers):
        if shares.kinds.owned[shares.kind[row]].any():
            by_tensor.setdefault(layer.inputs[0], []).append(row)
    return [rows for rows in by_tensor.values() if len(rows) > 1]


def newly_sent(counts: FeatureCounts[Count], readers: Readers) -> FeatureCounts[Count]:
    """Leave out the features that each layer's readers have from an earlier one.

    A pattern is parted where its layers follow unlike readers.
    """
    if not readers:
        return counts
    layers, options = counts.pattern.shape
    read_by = [[row] for row in range(layers)]  # each layer, and the earlier readers of its input
    for rows in readers:
        for place, row in enumerate(rows):
            read_by[row] += rows[:place]
    patterns = [
        tuple(of_option) for rows in read_by for of_option in counts.pattern[rows].T.tolist()
    ]
    pattern, first = numbered(patterns)
    kept = counts.kept[[patterns[index][0] for index in first]]
    for number, index in enumerate(first):
        if before := patterns[index][1:]:
            kept[number] = np.maximum(kept[number] - counts.kept[list(before)].max(axis=0), 0)
    return FeatureCounts(pattern.reshape(layers, options), first, kept)


def shared_decisions(layers: int, readers: Readers) -> NDArray[np.int64]:
    """Number the choices of an option, shape (L,): layers that share a transmission have one."""
    first = np.arange(layers)
    for rows in readers:
        first[rows] = rows[0]
    return np.unique(first, return_inverse=True)[1].astype(np.int64)

"""Layers that read the same tensor and may share its transmission (an option, ours).

A block's first convolution and its down-sampling read one tensor, as do a head's q, k and v.
Where they share, the selected subsets are nested: what an earlier reader has received is not
sent again, and the receivers reserve its dense size until the last reader has run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.cost.ownership import FeatureShares
from planner.cost.sparsity import Count
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings


def sharing_readers(
    profile: ModelProfile, shares: FeatureShares, settings: CostSettings
) -> list[list[int]]:
    """Rows of the layers that share one transmission of a tensor, two or more each, in order.

    None unless the settings say that inputs are shared.
    """
    if not settings.share_inputs:
        return []
    by_tensor: dict[str, list[int]] = {}
    for row, layer in enumerate(profile.layers):
        if shares.owned[row].any():
            by_tensor.setdefault(layer.inputs[0], []).append(row)
    return [rows for rows in by_tensor.values() if len(rows) > 1]


def newly_sent(kept: NDArray[Count], readers: list[list[int]]) -> NDArray[Count]:
    """Features that each layer's readers do not have yet, shape (L, K, n, n)."""
    fresh = kept.copy()
    for rows in readers:
        known = kept[rows[0]]
        for row in rows[1:]:
            fresh[row] = np.maximum(kept[row] - known, 0)
            known = np.maximum(kept[row], known)
    return fresh


def reserved_bytes(
    profile: ModelProfile, shares: FeatureShares, readers: list[list[int]]
) -> NDArray[np.int64]:
    """Bytes that each node keeps of shared transmissions while a layer runs, shape (L, n)."""
    reserved = np.zeros_like(shares.live_bytes)
    for rows in readers:
        owned = shares.owned[rows[0]]
        received = (owned.sum() - owned) * (shares.outputs[rows].max(axis=0) > 0)
        size = received * profile.layers[rows[0]].input_feature_bytes
        reserved[rows[0] + 1 : rows[-1] + 1] += size
    return reserved

"""Feature counts of a sparsity level and back (docs/model.md, eq. 1 and 2)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.cost.ownership import FeatureShares

Count = TypeVar("Count", np.int64, np.float64)
"""Features that are sent: whole in every plan, fractions where a paper's arithmetic is repeated."""


@dataclass(frozen=True)
class FeatureCounts(Generic[Count]):
    """Features that every layer's nodes send each other, at K options.

    Layers that cost the same are one kind (`FeatureShares.kind`, and equal counts besides).

    Attributes
    ----------
    kind : int array, shape (L,)
        The kind of every layer, from 0.
    first : int array, shape (D,)
        A layer of each kind.
    kept : int or float array, shape (D, K, n, n)
        Of each kind, sender to receiver: k_ij.
    """

    kind: NDArray[np.int64]
    first: NDArray[np.int64]
    kept: NDArray[Count]

    @classmethod
    def uniform(cls, shares: FeatureShares, levels: NDArray[np.float64]) -> FeatureCounts[np.int64]:
        """Whole numbers of features at uniform levels of S_comm, shape (K,)."""
        kinds = shares.kinds
        kept = kept_features(kinds.owned, levels, kinds.receives)
        return FeatureCounts(shares.kind, shares.first, kept)

    @classmethod
    def given(cls, shares: FeatureShares, kept: NDArray[Count]) -> FeatureCounts[Count]:
        """Counts of every layer, shape (L, K, n, n)."""
        kind, first = numbered(
            (kind, counts.tobytes())
            for kind, counts in zip(shares.kind.tolist(), kept, strict=True)
        )
        return FeatureCounts(kind, first, kept[first])

    def of(self, layer: int) -> NDArray[Count]:
        """Counts of a layer, shape (K, n, n)."""
        counts: NDArray[Count] = self.kept[self.kind[layer]]
        return counts


def numbered(keys: Iterable[Hashable]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number equal keys alike.

    Returns
    -------
    kind : int array, shape (L,)
        Of every key, from 0 in the order in which they come.
    first : int array, shape (D,)
        Where each number comes first.
    """
    numbers: dict[Hashable, int] = {}
    first, kind = [], []
    for index, key in enumerate(keys):
        if key not in numbers:
            numbers[key] = len(numbers)
            first.append(index)
        kind.append(numbers[key])
    return np.array(kind, dtype=np.int64), np.array(first, dtype=np.int64)


def kept_features(
    owned: NDArray[np.int64], levels: NDArray[np.float64], receives: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Features that each node sends to each other at each level (DISCO, section 3).

    The nearest integer to (1 - S)·I_i, at least one while S < 1 and none at S = 1.

    Parameters
    ----------
    owned : int array, shape (L, n)
        I_i, input features that each node holds.
    levels : float array, shape (K,)
        S_comm, from 0 to 1.
    receives : bool array, shape (L, n)
        Nodes that compute any output feature; the others need nothing.

    Returns
    -------
    int array, shape (L, K, n, n), zero on the diagonal
    """
    density = np.round(1.0 - levels, 12)
    nearest = np.floor(owned[:, None, :] * density[:, None] + 0.5).astype(np.int64)
    at_least = np.minimum(owned[:, None, :], (density > 0)[:, None].astype(np.int64))
    count = np.where(density[:, None] > 0, np.maximum(nearest, at_least), 0)
    return _to_each_other(count, receives)


def kept_fractions(
    owned: NDArray[np.int64], levels: NDArray[np.float64], receives: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(1 - S)·I_i as it is, fractions of features included: no plan, the paper's arithmetic.

    Parameters and shape as in `kept_features`.
    """
    return _to_each_other(owned[:, None, :] * np.round(1.0 - levels, 12)[:, None], receives)


def _to_each_other(count: NDArray[Count], receives: NDArray[np.bool_]) -> NDArray[Count]:
    """What every sender, shape (L, K, n), sends to every other node that receives."""
    kept = count[..., :, None] * receives[:, None, None, :]
    nodes = count.shape[-1]
    return np.where(np.eye(nodes, dtype=np.bool_), 0, kept)


def comm_sparsity(
    kept: NDArray[np.int64], owned: NDArray[np.int64], receives: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """S_comm = 1 - kept / dense counts over all ordered pairs; 0 where nothing is exchanged.

    Parameters
    ----------
    kept : int array, shape (L, K, n, n)
    owned, receives : arrays, shape (L, n)

    Returns
    -------
    float array, shape (L, K)
    """
    pairs = owned[:, :, None] * receives[:, None, :]
    dense = pairs.sum(axis=(1, 2)) - np.einsum("lii->l", pairs)
    sent = kept.sum(axis=(2, 3))
    return np.where(dense[:, None] > 0, 1.0 - sent / np.maximum(dense, 1)[:, None], 0.0)

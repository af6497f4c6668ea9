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

    Layers of one kind at options with equal counts cost the same: such a pattern is counted once.

    Attributes
    ----------
    pattern : int array, shape (L, K)
        The pattern of every layer at every option, from 0.
    first : int array, shape (C,)
        Where in the flattened ``pattern`` each number comes first.
    kept : int or float array, shape (C, n, n)
        Of each pattern, sender to receiver: k_ij.
    """

    pattern: NDArray[np.int64]
    first: NDArray[np.int64]
    kept: NDArray[Count]

    @property
    def layer(self) -> NDArray[np.int64]:
        """A layer of each pattern, shape (C,)."""
        layers: NDArray[np.int64] = self.first // self.pattern.shape[1]
        return layers

    @classmethod
    def by_sender(cls, shares: FeatureShares, sent: NDArray[Count]) -> FeatureCounts[Count]:
        """Every node sends as many features to all others that need any.

        Parameters
        ----------
        shares : FeatureShares
        sent : int or float array, shape (D, K, n)
            Of each kind of layers (`kept_features`, `kept_fractions`).
        """
        kinds, options, nodes = sent.shape
        receives = shares.kinds.receives
        has_receivers = receives.sum(axis=1, keepdims=True) > receives  # besides the node itself
        rows = np.where(has_receivers[:, None], sent, 0).reshape(-1, nodes)
        of_kind = np.repeat(np.arange(kinds), options)
        pattern, first = numbered(zip(of_kind.tolist(), map(bytes, rows), strict=True))
        kind, option = np.divmod(first, options)
        kept = to_each_other(rows[first], receives[kind])
        in_layers = pattern.reshape(kinds, options)[shares.kind]
        return FeatureCounts(in_layers, shares.first[kind] * options + option, kept)

    @classmethod
    def by_pair(cls, shares: FeatureShares, kept: NDArray[Count]) -> FeatureCounts[Count]:
        """Counts of every layer, option and ordered pair of nodes, shape (L, K, n, n)."""
        layers, options, nodes, _ = kept.shape
        rows = kept.reshape(-1, nodes, nodes)
        of_layer = np.repeat(np.arange(layers), options)
        pattern, first = numbered(
            zip(shares.kind[of_layer].tolist(), map(bytes, rows), strict=True)
        )
        return FeatureCounts(pattern.reshape(layers, options), first, rows[first])

    def of(self, layer: int) -> NDArray[Count]:
        """Counts of a layer, shape (K, n, n)."""
        counts: NDArray[Count] = self.kept[self.pattern[layer]]
        return counts


def numbered(keys: Iterable[Hashable]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number equal keys alike.

    Returns
    -------
    number : int array
        Of every key, from 0 in the order in which they come.
    first : int array
        Where each number comes first.
    """
    numbers: dict[Hashable, int] = {}
    first: list[int] = []
    found: list[int] = []
    for index, key in enumerate(keys):
        number = numbers.setdefault(key, len(numbers))
        if number == len(first):
            first.append(index)
        found.append(number)
    return np.array(found, dtype=np.int64), np.array(first, dtype=np.int64)


def kept_features(owned: NDArray[np.int64], levels: NDArray[np.float64]) -> NDArray[np.int64]:
    """Features that each node sends to each other at each level (DISCO, section 3).

    The nearest integer to (1 - S)·I_i, at least one while S < 1 and none at S = 1.

    Parameters
    ----------
    owned : int array, shape (D, n)
        I_i, input features that each node holds.
    levels : float array, shape (K,)
        S_comm, from 0 to 1.

    Returns
    -------
    int array, shape (D, K, n)
    """
    density = np.round(1.0 - levels, 12)[:, None]
    nearest = np.floor(owned[:, None, :] * density + 0.5).astype(np.int64)
    at_least = np.minimum(owned[:, None, :], (density > 0).astype(np.int64))
    return np.where(density > 0, np.maximum(nearest, at_least), 0)


def kept_fractions(owned: NDArray[np.int64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1 - S)·I_i as it is, fractions of features included: no plan, the paper's arithmetic.

    Parameters and shape as in `kept_features`.
    """
    return owned[:, None, :] * np.round(1.0 - levels, 12)[:, None]


def to_each_other(sent: NDArray[Count], receives: NDArray[np.bool_]) -> NDArray[Count]:
    """What every sender sends to every other node that receives anything.

    Parameters
    ----------
    sent : int or float array, shape (..., n)
    receives : bool array, shape (..., n)
        Nodes that compute any output feature; the others need nothing.

    Returns
    -------
    array of the type of ``sent``, shape (..., n, n), zero on the diagonal
    """
    kept = sent[..., :, None] * receives[..., None, :]
    return np.where(np.eye(sent.shape[-1], dtype=np.bool_), 0, kept)


def comm_sparsity(
    kept: NDArray[np.int64], owned: NDArray[np.int64], receives: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """S_comm = 1 - kept / dense counts over all ordered pairs; 0 where nothing is exchanged.

    Parameters
    ----------
    kept : int array, shape (..., n, n)
    owned, receives : arrays, shape (..., n)

    Returns
    -------
    float array, shape (...)
    """
    dense = to_each_other(owned, receives).sum(axis=(-2, -1))
    sent = kept.sum(axis=(-2, -1))
    return np.where(dense > 0, 1.0 - sent / np.maximum(dense, 1), 0.0)

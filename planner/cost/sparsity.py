"""Feature counts of a sparsity level and back (docs/model.md, eq. 1 and 2)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Count = TypeVar("Count", np.int64, np.float64)
"""Features that are sent: whole in every plan, fractions where a paper's arithmetic is repeated."""


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

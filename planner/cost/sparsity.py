"""Integer feature counts of a sparsity level and back (docs/model.md, eq. 1 and 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
    kept = count[..., :, None] * receives[:, None, None, :]
    nodes = owned.shape[1]
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

"""Which sub-rows of a weight matrix go first: DISCO's ranking by L1 norm (its section 3).

In off-diagonal block (i, j) the sub-row of an input feature of node i holds its weights towards
the output features of node j; it is kept or pruned as a whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.domain.cluster import Casting
from planner.domain.owners import REPLICATED, Owners

Magnitudes = NDArray[np.float32]
"""L1 norm of the weights that join an input to an output feature, shape (O, I)."""


def magnitudes(weight: NDArray[np.generic]) -> Magnitudes:
    """Sum the magnitudes of a weight (O, I, *kernel) over its kernel, shape (O, I)."""
    with np.errstate(over="ignore"):  # what is too large for a float32 becomes infinite
        size = np.abs(np.asarray(weight).astype(np.float32))
        total: Magnitudes = size.reshape(*size.shape[:2], -1).sum(axis=2, dtype=np.float32)
    return total


def sub_row_norms(size: Magnitudes, output_owners: Owners, nodes: int) -> NDArray[np.float64]:
    """L1 norm of every input feature's sub-row towards every node (docs/accuracy.md, eq. A5).

    Parameters
    ----------
    size : float array, shape (O, I)
    output_owners : int array, shape (O,)
        The node that computes each output feature, or all of them.
    nodes : int

    Returns
    -------
    float array, shape (I, n)
    """
    norms = np.zeros((size.shape[1], nodes))
    for node in range(nodes):
        made = (output_owners == node) | (output_owners == REPLICATED)
        norms[:, node] = size[made].sum(axis=0, dtype=np.float64)
    return norms


def ranking(
    norms: NDArray[np.float64], input_owners: Owners, sender: int, casting: Casting
) -> NDArray[np.int64]:
    """Features that a node holds, from the last to be pruned to the first, for every receiver.

    Parameters
    ----------
    norms : float array, shape (I, n)
        As `sub_row_norms` has them; summed over layers that share one transmission.
    input_owners : int array, shape (I,)
    sender : int
    casting : {"unicast", "broadcast"}
        Per receiver, or one ranking for all by the norms summed over them.

    Returns
    -------
    int array, shape (I_i, n)
        Column j: indices of the features that are kept for node j, best first; features of
        equal norm in their own order. The sender's own column means nothing.
    """
    held = np.flatnonzero(input_owners == sender)
    keys = norms[held]
    if casting == "broadcast":
        others = np.arange(norms.shape[1]) != sender
        keys = np.repeat(keys[:, others].sum(axis=1)[:, None], norms.shape[1], axis=1)
    order: NDArray[np.int64] = held[np.argsort(-keys, axis=0, kind="stable")]
    return order

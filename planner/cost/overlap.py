"""Whether communication hides behind computation (docs/model.md, eq. 9 and 10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def layer_s(
    comm_s: NDArray[np.float64], compute_s: NDArray[np.float64], overlap: bool
) -> NDArray[np.float64]:
    """Seconds that a layer takes: L_comm + L_comp, with overlap the longer of the two.

    Parameters
    ----------
    comm_s, compute_s : float arrays of one shape
    overlap : bool

    Returns
    -------
    float array of that shape
    """
    return np.maximum(comm_s, compute_s) if overlap else comm_s + compute_s


def busy_s(
    comm_s: NDArray[np.float64], compute_s: NDArray[np.float64], overlap: bool
) -> NDArray[np.float64]:
    """Seconds for which a layer occupies each resource of its stage, between two inputs.

    Its links and its nodes are resources of their own with overlap, else one. A stage is as busy
    as the resource whose sum over the layers is largest; layers' own maxima do not add up to that.

    Parameters
    ----------
    comm_s, compute_s : float arrays of one shape
    overlap : bool

    Returns
    -------
    float array, shape (R, ...)
        R is 2 with overlap, else 1.
    """
    return np.stack([comm_s, compute_s] if overlap else [comm_s + compute_s])

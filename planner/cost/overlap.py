"""Whether communication hides behind computation (docs/model.md, eq. 9 and 10).

Both take seconds of layers as arrays of one shape, whatever their axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def layer_s(
    comm_s: NDArray[np.float64], compute_s: NDArray[np.float64], overlap: bool
) -> NDArray[np.float64]:
    """Seconds that a layer takes: L_comm + L_comp, with overlap the longer of the two."""
    return np.maximum(comm_s, compute_s) if overlap else comm_s + compute_s


def busy_s(
    comm_s: NDArray[np.float64], compute_s: NDArray[np.float64], overlap: bool
) -> NDArray[np.float64]:
    """Seconds for which a layer occupies each resource of its stage, shape (R, ...).

    With overlap links and nodes are resources of their own, R = 2; else one. A stage is as busy
    as the resource whose sum over its layers is largest, which is no sum of `layer_s`.
    """
    return np.stack([comm_s, compute_s] if overlap else [comm_s + compute_s])

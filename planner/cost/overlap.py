"""Whether communication hides behind computation (docs/model.md, eq. 9 and 10).

All take seconds of layers as arrays of one shape, whatever their axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def layer_s(comm_s: Floats, software_s: Floats, compute_s: Floats, overlap: bool) -> Floats:
    """Seconds that a layer takes: L_comm + L_comp, with overlap the longer of the two.

    Parameters
    ----------
    comm_s : float array
        Until all has arrived, with the delay and the software of the messages.
    software_s : float array
        Of that the software, which a node cannot run while it computes.
    compute_s : float array
    overlap : bool
    """
    return np.maximum(comm_s, software_s + compute_s) if overlap else comm_s + compute_s


def busy_s(wire_s: Floats, software_s: Floats, compute_s: Floats, overlap: bool) -> Floats:
    """Seconds for which a layer occupies each resource of its stage, shape (R, ...).

    With overlap links and nodes are resources of their own, R = 2; else one. A stage is as busy
    as the resource whose sum over its layers is largest, which is no sum of `layer_s`. A delay
    occupies nothing: other inputs are on their way or computed meanwhile.
    """
    nodes = software_s + compute_s
    return np.stack([wire_s, nodes] if overlap else [wire_s + nodes])


def exposed_s(comm_s: Floats, software_s: Floats, compute_s: Floats, overlap: bool) -> Floats:
    """Seconds of a node's messages that its computation does not hide.

    Parameters
    ----------
    comm_s : float array
        For which the node sends or receives, the software of the messages included.
    software_s : float array
        Of the busiest node: no node's is longer.
    compute_s : float array
        For which the node computes.
    overlap : bool
    """
    if not overlap:
        return comm_s
    return np.maximum(comm_s - compute_s, np.minimum(comm_s, software_s))

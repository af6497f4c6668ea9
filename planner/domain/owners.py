"""Which node of a group holds which feature, feature by feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REPLICATED = -1
"""The owner of a feature that every node of the group holds."""

Owners = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class LayerOwners:
    """Owners of what each of L layers reads and makes on one group; equal to itself alone.

    Attributes
    ----------
    inputs : tuple of int arrays, shape (I,) each
        Of the features of the layer's first input.
    outputs : tuple of int arrays, shape (O,) each
    """

    inputs: tuple[Owners, ...]
    outputs: tuple[Owners, ...]

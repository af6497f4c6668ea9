"""A layer's weight as a child process that reads a file tells it to its caller, in JSON."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

import numpy as np

from planner.accuracy.ranking import Magnitudes
from planner.errors import BadInputError
from planner.weights.parameters import StoredWeight

Weight = tuple[Magnitudes, StoredWeight]
"""L1 norms of a layer's weight, shape (O, I), and where it is stored."""


def encoded(size: Magnitudes, stored: StoredWeight) -> dict[str, Any]:
    """A weight as JSON has it, the numbers as float32 in base64."""
    return {
        "name": stored.name,
        "stored_shape": list(stored.shape),
        "own_name": stored.own_name,
        "axes": [stored.output_axis, stored.input_axis],
        "shape": list(size.shape),
        "data": base64.b64encode(np.ascontiguousarray(size, "<f4").tobytes()).decode(),
    }


def decoded(found: Any, label: str) -> Weight:
    """What a child sent, which is not to be trusted either.

    Raises
    ------
    BadInputError
        The shapes and the values do not belong together.
    """
    try:
        rows, columns = (int(n) for n in found["shape"])
        values = np.frombuffer(base64.b64decode(found["data"]), dtype="<f4")
        shape = tuple(int(side) for side in found["stored_shape"])
        output_axis, input_axis = (int(axis) for axis in found["axes"])
        name, own_name = str(found["name"]), str(found["own_name"])
        stored = StoredWeight(name, shape, output_axis, input_axis, own_name)
        sides = shape[stored.output_axis], shape[stored.input_axis]
    except (KeyError, TypeError, ValueError, IndexError, binascii.Error) as error:
        raise BadInputError(f"weights {label}: its reader's answer is not understood") from error
    if values.size != math.prod((rows, columns)) or sides != (rows, columns):
        raise BadInputError(f"weights {label}: its reader contradicts itself")
    return values.reshape(rows, columns).astype(np.float32), stored

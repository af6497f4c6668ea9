"""A tensor that a node puts together from what it stores and what it was sent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from planner.runtime.cutting.regions import Positions
from planner.runtime.running.records import Operand

Source = tuple[str, Positions]
"""A stored tensor or message and the numbers of its elements; −1 for those not to be read."""


def gathered(
    sources: Sequence[Source],
    wanted: Positions,
    shape: tuple[int, ...],
    fill: float | None = None,
) -> Operand | None:
    """The operand of these elements; None where the sources lack one of them.

    Parameters
    ----------
    sources : sequence of Source
        What two of them have is taken from the earlier one.
    wanted : int array
        Numbers of the elements in the order of the result; −1 where ``fill`` is to stand.
    shape : tuple of int
    fill : float, optional
    """
    left = np.unique(wanted)
    left = left[left >= 0]
    there = [(key, numbers) for key, numbers in sources if len(numbers)]
    used: list[Source] = []
    for key, numbers in there:
        found = np.isin(left, numbers)
        if found.any():
            used.append((key, numbers))
            left = left[~found]
    if len(left) or not there:
        return None
    used = used or there[:1]  # padding alone takes the type of what it stands beside
    stored = np.concatenate([numbers for _, numbers in used])
    keys = tuple(key for key, _ in used)
    padded = bool((wanted < 0).any())
    if not padded and np.array_equal(stored, wanted):
        return Operand(keys, None, shape)
    order = np.argsort(stored, kind="stable")
    places = order[np.minimum(np.searchsorted(stored, wanted, sorter=order), len(stored) - 1)]
    index = torch.from_numpy(np.where(wanted < 0, -1, places))
    return Operand(keys, index, shape, fill if padded else None)

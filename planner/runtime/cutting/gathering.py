"""A tensor that a node puts together from what it stores and what it was sent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.runtime.cutting.patterns import recognised
from planner.runtime.cutting.regions import Positions, box_of
from planner.runtime.running.records import Operand

Source = tuple[str, Positions]
"""A stored tensor or message and the numbers of its elements; −1 for those not to be read."""


def gathered(
    sources: Sequence[Source],
    wanted: Positions,
    shape: tuple[int, ...],
    fill: float | None = None,
    whole: tuple[int, ...] | None = None,
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
    whole : tuple of int, optional
        The shape of the tensor whose elements are numbered.
    """
    there = [(key, numbers) for key, numbers in sources if len(numbers)]
    if not there:
        return None
    starts = np.cumsum([0, *(len(numbers) for _, numbers in there)])
    largest = max(int(numbers.max(initial=-1)) for numbers in (wanted, *(n for _, n in there)))
    place = np.full(largest + 2, -1, dtype=np.int64)  # of every number; the last one is of −1
    for start, (_, numbers) in reversed(list(zip(starts, there, strict=False))):
        place[numbers] = start + np.arange(len(numbers))
    place[-1] = -1
    index = place[wanted]
    if (index < 0).sum() != (wanted < 0).sum():
        return None
    if len(there) > 1:
        read = np.searchsorted(starts, index[index >= 0], side="right") - 1
        used = np.bincount(read, minlength=len(there)) > 0
        if not used.all():
            # padding alone takes the type of what it stands beside
            kept = [source for source, is_used in zip(there, used, strict=True) if is_used]
            return gathered(kept or there[:1], wanted, shape, fill, whole)
    keys = tuple(key for key, _ in there)
    padded = bool((wanted < 0).any())

    def lying() -> Positions | None:
        box = None if whole is None or padded else box_of(wanted, whole)
        return None if box is None else place[box]

    pattern = recognised(index, [len(numbers) for _, numbers in there], shape, lying)
    return Operand(keys, pattern, shape, fill if padded else None)

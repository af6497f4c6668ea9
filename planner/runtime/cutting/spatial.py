"""Which entries of a dimension a sliding kernel reads for some of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

from planner.runtime.cutting.regions import Positions


@dataclass(frozen=True, eq=False)
class Sliding:
    """A kernel along one dimension."""

    kernel: int
    stride: int
    padding: int
    dilation: int

    def makes(self, size: int) -> int:
        """Outputs of a dimension of this size with the padding on both sides."""
        reach = self.dilation * (self.kernel - 1)
        return (size + 2 * self.padding - reach - 1) // self.stride + 1


@dataclass(frozen=True, eq=False)
class Reading:
    """Entries of the input, −1 for padding, and how the kernel goes over them."""

    entries: Positions
    stride: int
    dilation: int


def reading(made: Positions, size: int, along: Sliding) -> Reading:
    """What a kernel reads to make some entries of its output, and nothing else.

    Parameters
    ----------
    made : int array
        Ascending.
    size : int
        Of the whole input.
    along : Sliding
    """
    taps = along.dilation * np.arange(along.kernel)
    entries = (made[:, None] * along.stride - along.padding + taps).reshape(-1)
    stride, dilation = along.kernel, 1  # every output with entries of its own
    if made[-1] - made[0] + 1 == len(made):
        # neighbours share entries; those between steps of the same length are left out
        step = along.stride if along.kernel == 1 else gcd(along.stride, along.dilation)
        reach = along.dilation * (along.kernel - 1) // step
        length = (len(made) - 1) * (along.stride // step) + reach + 1
        if length <= len(entries):
            run = entries[0] + step * np.arange(length)
            entries = np.where(np.isin(run, entries), run, -1)
            stride, dilation = along.stride // step, max(along.dilation // step, 1)
    inside = (entries >= 0) & (entries < size)
    return Reading(np.where(inside, entries, -1), stride, dilation)


def reading_transposed(made: Positions, size: int, along: Sliding) -> tuple[Positions, Positions]:
    """Entries that a transposed kernel reads, −1 for none, and where its outputs then are.

    Parameters
    ----------
    made : int array
        Ascending.
    size : int
        Of the whole input.
    along : Sliding
    """
    reach = along.dilation * (along.kernel - 1)
    start, stop = int(made[0]) + along.padding, int(made[-1]) + along.padding
    first = min(-((reach - start) // along.stride), start // along.stride)
    last = max(-((reach - stop) // along.stride), stop // along.stride, first)
    entries = np.arange(first, last + 1, dtype=np.int64)
    reaches = made[:, None] + along.padding - entries[None, :] * along.stride
    read = ((reaches >= 0) & (reaches <= reach) & (reaches % along.dilation == 0)).any(axis=0)
    inside = (entries >= 0) & (entries < size) & read
    return np.where(inside, entries, -1), made + along.padding - first * along.stride


def per_dimension(value: Any, dimensions: int, default: int) -> list[int]:
    """An argument that is one number for all dimensions, one for each, or left out."""
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return [default] * dimensions
    found = list(value) if isinstance(value, (list, tuple)) else [value]
    return found * dimensions if len(found) == 1 else found


def is_cut(indices: Positions, size: int) -> bool:
    """Whether a node makes a part of a dimension alone."""
    return len(indices) != size


def same_padding(kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Padding before each dimension that keeps sizes as they are."""
    return [d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True)]

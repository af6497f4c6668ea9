"""Parts of a tensor as they are told: some features of some positions of some samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Extent:
    """All elements whose feature, position and sample are among these.

    Attributes
    ----------
    features, positions, samples : int array or None
        Ascending; None: all of them.
    """

    features: Numbers | None = None
    positions: Numbers | None = None
    samples: Numbers | None = None

    @property
    def axes(self) -> dict[str, Numbers]:
        """What it is limited to, by name."""
        return {name: found for name, found in vars(self).items() if found is not None}

    @property
    def empty(self) -> bool:
        """Whether it has no element."""
        return any(len(found) == 0 for found in self.axes.values())

    @property
    def key(self) -> tuple[tuple[str, bytes], ...]:
        """The same for equal extents."""
        return tuple((name, found.tobytes()) for name, found in self.axes.items())

    def meet(self, other: Extent) -> Extent:
        """The elements of both."""
        mine, theirs = self.axes, other.axes
        both = {name: np.intersect1d(mine[name], theirs[name]) for name in mine if name in theirs}
        return Extent(**(mine | theirs | both))


EVERYTHING = Extent()
NOTHING = Extent(features=np.array([], dtype=np.int64))

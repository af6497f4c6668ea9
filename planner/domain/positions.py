"""Positions of a tensor, and which of them a layer reads to make others (docs/model.md, eq. 31).

A tensor's positions are counted along one dimension: the rows of a map, the tokens of a sequence
(`LayerProfile.positions`), or the samples of a batch (`LayerProfile.samples`). A node that holds
some positions holds them for every feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, Field, SerializerFunctionWrapHandler, model_serializer

from planner.domain.arrays import Frozen

LARGEST = 2**40
"""Bound of all numbers of positions; products of a few stay whole numbers of 64 bits."""
_Step = Annotated[int, Field(ge=1, lt=LARGEST)]
_Offset = Annotated[int, Field(gt=-LARGEST, lt=LARGEST)]

Mask = NDArray[np.bool_]


class _Brief(Frozen):
    """Writes down what is not at its default: there are several of these in every layer."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {key: found for key, found in write(self).items() if found != fields[key].default}


class Window(_Brief):
    """The positions of an input that one position of the output is made of.

    Position r reads those from ``(r·step + first) // per`` to ``(r·step + last) // per``, as far
    as they exist; where it ``wraps``, positions before the first are the last ones. A convolution
    of kernel k, stride s, dilation d and padding p has step s, per 1, first −p and last
    −p + d·(k − 1); a transposed one has per s and first and last p − d·(k − 1) + s − 1 and p.
    """

    step: _Step = 1
    per: _Step = 1
    first: _Offset = 0
    last: _Offset = 0
    wraps: bool = False

    def reads(self, wanted: Mask, count: int) -> Mask:
        """Which of an input's positions are needed for some of the output's.

        Parameters
        ----------
        wanted : bool array, shape (..., P)
            Positions of the output.
        count : int
            Positions of the input, Q.

        Returns
        -------
        bool array, shape (..., Q)
        """
        if self == SAME and count == wanted.shape[-1]:
            return wanted
        if self.wraps:
            return self._reads_around(wanted, count)
        before, upto = _readers(self, wanted.shape[-1], count)
        some = np.zeros((*wanted.shape[:-1], wanted.shape[-1] + 1), dtype=np.int32)
        np.cumsum(wanted, axis=-1, out=some[..., 1:])
        needed: Mask = some[..., upto] > some[..., before]
        return needed

    def _reads_around(self, wanted: Mask, count: int) -> Mask:
        """The same where positions before the first are the last ones."""
        begin, end = self._span(wanted.shape[-1], count)
        change = np.zeros((*wanted.shape[:-1], 2 * count + 1), dtype=np.int64)
        some = wanted & (end > begin)
        for edge, sign in ((begin, 1), (end, -1)):
            np.add.at(np.moveaxis(change, -1, 0), edge, sign * np.moveaxis(some, -1, 0))
        twice = np.cumsum(change, axis=-1)[..., : 2 * count] > 0
        around: Mask = twice[..., :count] | twice[..., count:]
        return around

    def _span(self, positions: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First position that each of the output's reads, and the one behind the last.

        Where it wraps, of twice as many: those behind the last are the first ones again.
        """
        position = np.arange(positions, dtype=np.int64) * self.step
        first, last = (position + self.first) // self.per, (position + self.last) // self.per
        if self.wraps:  # each stretch is shorter than the input: fold it from one period further
            begins = first % count
            first, last = begins, np.minimum(last - first + begins, begins + count - 1)
        span = 2 * count if self.wraps else count
        return np.clip(first, 0, span), np.clip(last + 1, 0, span)


@lru_cache(maxsize=4096)
def _readers(
    window: Window, positions: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which positions of the output read each of the input's: from one, to below another, (Q,).

    What is read first and last only rises with the position, so that they stand in a row.
    """
    begin, end = window._span(positions, count)
    place = np.arange(count)
    before = np.searchsorted(end, place, side="right")
    upto = np.searchsorted(begin, place, side="right")
    return before, np.maximum(before, upto)


SAME = Window()
"""Position r reads position r."""


class Geometry(_Brief):
    """How the positions of a layer's output follow from those of its inputs."""

    count: Annotated[int, Field(ge=0, lt=LARGEST)] = Field(
        description="positions of the output; 0 if it has none to be parted by"
    )
    reads: tuple[Window | None, ...] = Field(
        description="per input; none: every position reads all of it"
    )
    adds: bool = Field(
        default=False,
        validation_alias=AliasChoices("adds", "sums"),
        description="a position of the output is the sum of what those that it reads give",
    )
    statistics_bytes: Annotated[int, Field(ge=0)] = Field(
        default=0, description="what nodes tell each other where positions are parted"
    )

    def changed(self, numbers: Mapping[str, int]) -> Geometry:
        """With other numbers, by name: ``count``, ``statistics_bytes``, ``0.first``.

        Names of windows that are not there are left aside; one whose step is gone reads all.

        Raises
        ------
        ValueError
            A number is out of all bounds.
        """
        if not numbers:
            return self
        if any(abs(number) >= LARGEST for number in numbers.values()):
            raise ValueError("positions are too many")
        reads = tuple(
            window and _changed(window, index, numbers) for index, window in enumerate(self.reads)
        )
        made: dict[str, Any] = {
            name: numbers.get(name, getattr(self, name)) for name in ("count", "statistics_bytes")
        }
        if min(made.values()) < 0:
            raise ValueError("positions are fewer than none")
        return self.model_copy(update={**made, "reads": reads})

    @property
    def sums(self) -> bool:
        """Whether the whole output is the sum of what each position of the first input gives."""
        return self.adds and not self.parts

    @property
    def parts(self) -> bool:
        """Whether the output can be made by positions at all."""
        return self.count > 1


def _changed(window: Window, index: int, numbers: Mapping[str, int]) -> Window | None:
    parts = {
        part: found
        for part in ("step", "per", "first", "last")
        if (found := numbers.get(f"{index}.{part}")) is not None
    }
    if min(parts.get("step", 1), parts.get("per", 1)) < 1:
        return None
    return window.model_copy(update=parts) if parts else window


def shares_of_positions(shares: Sequence[int] | NDArray[np.int64]) -> Mask:
    """Positions of every node, one run behind the other, shape (n, P)."""
    ends = np.cumsum(shares)
    position = np.arange(int(ends[-1]) if len(ends) else 0)
    held: Mask = (position < ends[:, None]) & (position >= (ends - np.asarray(shares))[:, None])
    return held

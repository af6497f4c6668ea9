"""Patterns of elements as documents: a list of parts, each of earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Literal

import torch
from pydantic import Field

from planner.domain.arrays import Frozen
from planner.errors import BadInputError
from planner.runtime.running.records import Join, Pad, Pattern, Source, Take, View

Sizes = tuple[int, ...]
_DEEPEST = 32
_LARGEST = 2**40


class PartDocument(Frozen):
    """See `planner.runtime.running.records.Pattern`; the last part is all of it."""

    kind: Literal["source", "view", "join", "pad"]
    of: tuple[int, ...] = Field(
        description="of a source its number among the operand's; else parts of this list"
    )
    split: Sizes = Field(default=(), description="view: the shape that it is read in")
    takes: tuple[tuple[int, int, int] | str | None, ...] = Field(
        default=(),
        description="view, for each dimension: start, stop and step; a tensor of the node's file, "
        "which is an index of this dimension alone; null: all",
    )
    order: Sizes = Field(default=(), description="view: the dimensions as they then stand")
    sizes: Sizes = Field(default=(), description="view: up to which those of one are repeated")
    shape: Sizes = Field(default=(), description="view: the result's")
    axis: int = Field(default=0, description="join: along which dimension")
    entries: tuple[tuple[int, int], ...] = Field(
        default=(), description="pad: entries before and behind it along every dimension"
    )


Parts = tuple[PartDocument, ...]


def pattern_parts(pattern: Pattern, keep: Callable[[torch.Tensor], str]) -> Parts:
    """The parts of a pattern.

    Parameters
    ----------
    pattern : Pattern
    keep : callable
        Puts an index among the tensors; returns its name there.
    """
    parts: list[PartDocument] = []

    def add(item: Pattern) -> int:
        if isinstance(item, Source):
            part = PartDocument(kind="source", of=(item.number,))
        elif isinstance(item, Join):
            part = PartDocument(kind="join", of=tuple(map(add, item.of)), axis=item.axis)
        elif isinstance(item, Pad):
            part = PartDocument(kind="pad", of=(add(item.of),), entries=item.entries)
        else:
            part = PartDocument(
                kind="view",
                of=(add(item.of),),
                split=item.split,
                takes=tuple(map(taken, item.takes, item.split)),
                order=item.order,
                sizes=item.sizes,
                shape=item.shape,
            )
        parts.append(part)
        return len(parts) - 1

    def taken(take: Take, size: int) -> tuple[int, int, int] | str | None:
        if isinstance(take, torch.Tensor):
            return keep(take.to(torch.int32) if size < 2**31 else take)
        return None if take == (0, size, 1) else take

    add(pattern)
    return tuple(parts)


def pattern_of(
    parts: Parts,
    sources: int,
    padded: bool,
    elements: int,
    tensors: Mapping[str, torch.Tensor],
    where: str,
) -> Pattern:
    """The pattern of its parts.

    Parameters
    ----------
    parts : sequence of PartDocument
    sources : int
        How many there are.
    padded : bool
        Whether it is told what padding is.
    elements : int
        Of the result.
    tensors : mapping of str to tensor
    where : str
        For messages.

    Raises
    ------
    BadInputError
        Parts do not fit to each other, to the sources or to the result.
    """
    reader = _Reader(sources, padded, tensors)
    try:
        return reader.read(parts, elements)
    except _Misfit as error:
        raise BadInputError(f"{where}: pattern: {error}") from error


class _Misfit(Exception):
    pass


def _check(holds: bool, why: str) -> None:
    if not holds:
        raise _Misfit(why)


class _Reader:
    """Parts as they are read, with the shape that each has; None: that of a source, not known."""

    def __init__(self, sources: int, padded: bool, tensors: Mapping[str, torch.Tensor]) -> None:
        self._sources, self._padded, self._tensors = sources, padded, tensors
        self._open: dict[int, tuple[Pattern, Sizes | None, int]] = {}  # parts that none has named

    def read(self, parts: Parts, elements: int) -> Pattern:
        _check(len(parts) > 0, "it has no part")
        for number, part in enumerate(parts):
            try:
                found = self._part(part)
            except _Misfit as error:
                raise _Misfit(f"part {number} ({part.kind}): {error}") from error
            self._open[number] = found
            _check(found[2] <= _DEEPEST, f"it is nested deeper than {_DEEPEST} parts")
            size = prod(found[1] or ())
            _check(size <= _LARGEST, f"part {number} ({part.kind}): has {size} elements")
        pattern, shape, _ = self._open.pop(len(parts) - 1)
        _check(not self._open, f"part {min(self._open, default=0)} is in no other")
        if shape is not None and prod(shape) != elements:
            raise _Misfit(f"it has {prod(shape)} elements, its operand {elements}")
        return pattern

    def _part(self, part: PartDocument) -> tuple[Pattern, Sizes | None, int]:
        if part.kind == "source":
            _check(len(part.of) == 1, "names one source")
            _check(0 <= part.of[0] < self._sources, f"there is no source {part.of[0]}")
            return Source(part.of[0]), None, 1
        for number in part.of:
            _check(number in self._open, f"part {number} is not before it, or is in another part")
            _check(part.of.count(number) == 1, f"part {number} is in it twice")
        inner = [self._open.pop(number) for number in part.of]
        depth = 1 + max((deep for _, _, deep in inner), default=0)
        patterns = [pattern for pattern, _, _ in inner]
        if part.kind == "join":
            shape = _joined([shape for _, shape, _ in inner], part.axis)
            return Join(tuple(patterns), part.axis), shape, depth
        _check(len(inner) == 1, "is of one part")
        ((of, held, _),) = inner
        if part.kind == "pad":
            _check(self._padded, "it is not said what fills it")
            return Pad(of, part.entries), _padded(held, part.entries), depth
        takes = self._takes(part, held)
        return View(of, part.split, takes, part.order, part.sizes, part.shape), part.shape, depth

    def _takes(self, part: PartDocument, shape: Sizes | None) -> tuple[Take, ...]:
        """What a view takes, once all else about it is known to fit."""
        rank = len(part.split)
        for name, sizes in (("split", part.split), ("sizes", part.sizes), ("shape", part.shape)):
            _check(all(0 <= size <= _LARGEST for size in sizes), f"{name} has a size that none is")
            _check(prod(sizes) <= _LARGEST, f"{name} has {prod(sizes)} elements")
        if shape is not None:
            _check(prod(shape) == prod(part.split), f"splits {shape} into {part.split}")
        _check(len(part.takes) == rank, f"takes something along {len(part.takes)} of {rank}")
        _check(sorted(part.order) == list(range(rank)), f"{part.order} is no order of {rank}")
        _check(len(part.sizes) == rank, f"has {len(part.sizes)} sizes for {rank} dimensions")
        takes = tuple(map(self._take, part.takes, part.split))
        counts = [_count(takes[axis]) for axis in part.order]
        for found, size in zip(counts, part.sizes, strict=True):
            _check(found in (1, size), f"repeats {found} entries to {size}")
        _check(prod(part.sizes) == prod(part.shape), f"shapes {part.sizes} as {part.shape}")
        return takes

    def _take(self, given: tuple[int, int, int] | str | None, size: int) -> Take:
        if given is None:
            return 0, size, 1
        if isinstance(given, str):
            _check(given in self._tensors, f"the node's file has no tensor {given!r}")
            index = self._tensors[given]
            whole = index.dtype in (torch.int32, torch.int64) and index.dim() == 1
            _check(whole, f"{given!r} is no index: one dimension of whole numbers is needed")
            inside = not len(index) or (int(index.min()) >= 0 and int(index.max()) < size)
            _check(inside, f"{given!r} leads out of the {size} entries of its dimension")
            return index.long()
        start, stop, step = given
        inside = 0 <= start < stop <= size and step >= 1
        _check(inside, f"{list(given)} is no slice of {size} entries")
        return given


def _count(take: Take) -> int:
    if isinstance(take, torch.Tensor):
        return len(take)
    start, stop, step = take
    return len(range(start, stop, step))


def _joined(shapes: Sequence[Sizes | None], axis: int) -> Sizes:
    known = [shape for shape in shapes if shape is not None]
    _check(len(known) == len(shapes) and len(known) > 0, "is of views, joins and pads")
    first = known[0]
    _check(0 <= axis < len(first), f"there is no dimension {axis}")
    for shape in known:
        other = (*shape[:axis], *first[axis : axis + 1], *shape[axis + 1 :])
        _check(other == first, f"{shape} does not stand behind {first} along dimension {axis}")
    return (*first[:axis], sum(shape[axis] for shape in known), *first[axis + 1 :])


def _padded(shape: Sizes | None, entries: tuple[tuple[int, int], ...]) -> Sizes:
    _check(shape is not None and len(shape) == len(entries), "is along every dimension")
    assert shape is not None
    _check(
        all(0 <= n <= _LARGEST for pair in entries for n in pair),
        "has a number of entries that none is",
    )
    return tuple(size + sum(pair) for size, pair in zip(shape, entries, strict=True))

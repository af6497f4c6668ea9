"""How elements lie in what they are taken from, recognised in their bare numbers.

An index of every element says where each comes from. What a node reads are boxes, halos and
permutations of a few tensors, so the index is a sum of one short array for every dimension
(`_factors`), or a few such pieces beside each other (`_joined`), with padding around (`_padded`).
What is recognised is carried out on the numbers themselves before it is used: a pattern that does
not reproduce them is none. What is not recognised stays an index of all elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice, pairwise
from math import gcd, prod

import numpy as np
import torch
from numpy.typing import NDArray

from planner.runtime.cutting.regions import Positions
from planner.runtime.running.operands import arranged
from planner.runtime.running.records import Join, Pad, Pattern, Source, Take, View

_PIECES = 8
"""More of them are brought in order by an index of the dimension that they lie along."""
_TRIES = 256
"""Ways of taking dimensions together that are looked at; what is read has few dimensions."""


def recognised(
    index: Positions,
    sizes: Sequence[int],
    shape: tuple[int, ...],
    lying: Callable[[], Positions | None] | None = None,
) -> Pattern:
    """The pattern of the elements with these numbers.

    Parameters
    ----------
    index : int array
        Places in the sources' elements, which stand one behind the other; −1 for padding.
    sizes : sequence of int
        Elements of every source.
    shape : tuple of int
        Of the result.
    lying : callable, optional
        Returns the places of the same elements, each once and without padding, as they lie in a
        whole tensor, in the shape of the box that they are there; None: they are none. What is
        more than pieces beside each other is put together so first, and then rearranged.
    """
    starts = np.cumsum([0, *sizes])
    wanted = index.reshape(shape)
    found = [_pattern(wanted, starts) if index.size else None]
    if lying is not None and (found[0] is None or longest_index(found[0])):
        found.append(_in_two(wanted, starts, lying()))
    known = [one for one in found if one is not None and _reproduces(one, index, sizes)]
    best = min(known, key=longest_index) if known else _bare(index, sizes, shape)
    return best.of if isinstance(best, View) and _changes_nothing(best) else best


def _changes_nothing(view: View) -> bool:
    """Whether all elements stay in their order, in whatever shape."""
    kept = all(t == (0, n, 1) for t, n in zip(view.takes, view.split, strict=True))
    return kept and view.order == tuple(range(len(view.order))) and view.sizes == view.split


def longest_index(pattern: Pattern) -> int:
    """Entries of the longest index in a pattern; 0 without any."""
    if isinstance(pattern, Source):
        return 0
    if isinstance(pattern, Join):
        return max(map(longest_index, pattern.of))
    takes = pattern.takes if isinstance(pattern, View) else ()
    own = [len(take) for take in takes if isinstance(take, torch.Tensor)]
    return max([longest_index(pattern.of), *own])


def _reproduces(pattern: Pattern, index: Positions, sizes: Sequence[int]) -> bool:
    """Whether the pattern puts the elements where the index wants them."""
    numbers = torch.split(torch.arange(sum(sizes)), list(sizes))
    made = arranged(pattern, numbers, fill=-1).reshape(-1).numpy()
    return np.array_equal(made, index)


def _bare(index: Positions, sizes: Sequence[int], shape: tuple[int, ...]) -> Pattern:
    """The index as it is, of all elements in one row."""
    rows = [_row(Source(number), size) for number, size in enumerate(sizes)]
    whole: Pattern = rows[0] if len(rows) == 1 else Join(tuple(rows), 0)
    count = sum(sizes)
    if (index < 0).any():
        whole, index, count = Pad(whole, ((0, 1),)), np.where(index < 0, count, index), count + 1
    return View(whole, (count,), (_tensor(index),), (0,), (index.size,), shape)


def _row(of: Pattern, size: int) -> View:
    return View(of, (size,), ((0, size, 1),), (0,), (size,), (size,))


def _tensor(index: NDArray[np.int64]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(index, dtype=np.int64))


def _pattern(index: Positions, starts: NDArray[np.int64]) -> Pattern | None:
    if (index < 0).any():
        return _padded(index, starts)
    last = np.searchsorted(starts, index.max(), side="right") - 1
    if index.min() >= starts[last]:
        size = int(starts[last + 1] - starts[last])
        return _view(index - starts[last], size, Source(int(last)))
    return _joined(index, starts)


def _padded(index: Positions, starts: NDArray[np.int64]) -> Pattern | None:
    """A box of elements, padding everywhere else."""
    there = index >= 0
    rank = index.ndim
    sets = [np.flatnonzero(there.any(axis=_but(axis, rank))) for axis in range(rank)]
    if prod(map(len, sets)) != there.sum() or not there.any():
        return None
    inner = _pattern(index[np.ix_(*sets)], starts)
    if inner is None:
        return None
    entries: list[tuple[int, int]] = []
    takes: list[Take] = []
    for size, found in zip(index.shape, sets, strict=True):
        first, behind = int(found[0]), int(found[-1]) + 1
        if behind - first == len(found):
            entries.append((first, size - behind))
            takes.append((0, size, 1))
        else:  # padding between entries is another one behind all of them
            entries.append((0, 1))
            spread = np.full(size, len(found))
            spread[found] = np.arange(len(found))
            takes.append(_tensor(spread))
    padded = Pad(inner, tuple(entries))
    if all(isinstance(take, tuple) for take in takes):
        return padded
    split = tuple(len(s) + sum(pair) for s, pair in zip(sets, entries, strict=True))
    return View(padded, split, tuple(takes), tuple(range(rank)), index.shape, index.shape)


def _joined(index: Positions, starts: NDArray[np.int64]) -> Pattern | None:
    """Pieces of several sources beside each other along a dimension."""
    owners = np.searchsorted(starts, index, side="right") - 1
    best: tuple[int, int, list[int]] | None = None
    for axis in range(index.ndim):
        rows = np.moveaxis(owners, axis, 0).reshape(index.shape[axis], -1)
        cuts = [0, *(np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1)) + 1).tolist()]
        if len(cuts) > 1 and (best is None or len(cuts) < best[0]):
            best = len(cuts), axis, cuts
    if best is None:
        return None
    pieces, axis, cuts = best
    if pieces > _PIECES:
        return _interleaved(index, owners, axis, starts)
    parts = [_pattern(part, starts) for part in np.split(index, cuts[1:], axis)]
    known = tuple(part for part in parts if part is not None)
    return Join(known, axis) if len(known) == len(parts) else None


def _interleaved(
    index: Positions, owners: NDArray[np.int64], axis: int, starts: NDArray[np.int64]
) -> Pattern | None:
    """What comes from the same sources together, then all entries in order by an index."""
    rows = np.moveaxis(owners, axis, 0).reshape(index.shape[axis], -1)
    kinds: dict[bytes, list[int]] = {}
    for number, row in enumerate(rows):
        kinds.setdefault(row.tobytes(), []).append(number)
    if len(kinds) > _PIECES:
        return None
    together = [entry for kind in kinds.values() for entry in kind]
    inner = _pattern(np.take(index, together, axis), starts)
    if inner is None:
        return None
    place = np.argsort(together)
    takes = [_tensor(place) if a == axis else (0, n, 1) for a, n in enumerate(index.shape)]
    return View(
        inner, index.shape, tuple(takes), tuple(range(index.ndim)), index.shape, index.shape
    )


def _in_two(index: Positions, starts: NDArray[np.int64], whole: Positions | None) -> Pattern | None:
    """The elements brought together as they lie in the whole tensor, then rearranged."""
    if whole is None or (index < 0).any():
        return None
    inner = _pattern(whole, starts)
    if inner is None:
        return None
    place = np.full(int(starts[-1]), -1, dtype=np.int64)
    place[whole.reshape(-1)] = np.arange(whole.size)
    return _view(place[index], whole.size, inner)


def _view(index: Positions, size: int, of: Pattern) -> View | None:
    """Elements of one tensor of this size, in one view or in one of another."""
    found = _one_view(index, size, of)
    if (found is None or longest_index(found)) and (np.diff(index.reshape(-1)) <= 0).any():
        lying, place = np.unique(index, return_inverse=True)
        inner = _one_view(lying, size, of)
        outer = inner and _one_view(place.reshape(index.shape), lying.size, inner)
        if outer and (found is None or longest_index(outer) < longest_index(found)):
            return outer
    return found


def _one_view(index: Positions, size: int, of: Pattern) -> View | None:
    factors = _factors(index.reshape(-1))
    found = _least_merged(factors, index, size, of)
    if found is None or longest_index(found):
        divided = _divided(factors, gcd(int(index.flat[0]), size))
        other = _least_merged(divided, index, size, of)
        if other and (found is None or longest_index(other) < longest_index(found)):
            return other
    return found


def _least_merged(factors: list[Factor], index: Positions, size: int, of: Pattern) -> View | None:
    """The view with the shortest index of those with the most dimensions."""
    found: View | None = None
    left = 0
    for merged in _merged(factors):
        if found is not None and len(merged) < left:
            break
        view = _fitted(merged, int(index.flat[0]), size, of, index.shape)
        if view is not None and (found is None or longest_index(view) < longest_index(found)):
            found, left = view, len(merged)
    return found


Factor = NDArray[np.int64]
"""Along one dimension: distances from its first entry, which is 0."""


def _factors(values: Positions) -> list[Factor]:
    """Arrays whose sum over all dimensions, the outermost first, is the values less the first.

    From the inside: the longest steady steps that repeat, else the shortest block that does.
    """
    found: list[Factor] = []
    while len(values) > 1:
        size = _steady(values) or _block(values)
        found.append(values[:size] - values[0])
        values = values[::size]
    return found[::-1]


def _steady(values: Positions) -> int:
    """Entries of the runs of equal steps that all values consist of; 0: there are none."""
    steps = np.diff(values)
    breaks = np.flatnonzero(steps != steps[0]) + 1
    size = int(np.gcd.reduce(np.append(breaks, len(values))))
    return size if size > 1 else 0


def _block(values: Positions) -> int:
    """Entries of the shortest block that all values repeat, each time from another number on."""
    count = len(values)
    for size in range(2, count // 2 + 1):
        if count % size == 0:
            rows = values.reshape(-1, size)
            few = rows[[0, 1, len(rows) // 2, -1]]
            if all((some - some[:, :1] == some[0] - some[0, 0]).all() for some in (few, rows)):
                return size
    return count


def _divided(factors: list[Factor], common: int) -> list[Factor]:
    """Steady runs cut where longer steps begin: those along features, inside of a run of some."""
    units = [_unit(factor) for factor in factors]
    found: list[Factor] = []
    for factor, unit in zip(factors, units, strict=True):
        inner = gcd(common, *(other for other in units if other > unit)) // max(unit, 1)
        steady = unit > 0 and (np.diff(factor) == unit).all()
        if steady and 1 < inner < len(factor) and len(factor) % inner == 0:
            found += [factor[::inner], factor[:inner]]
        else:
            found.append(factor)
    return found


def _unit(factor: Factor) -> int:
    """What all entries are multiples of; 0 where all are 0."""
    step = int(factor[1]) if len(factor) > 1 else 0
    if (np.diff(factor) == step).all():
        return abs(step)
    return int(np.gcd.reduce(factor))


def _merged(factors: list[Factor]) -> Iterator[list[Factor]]:
    """The factors, then with ever more neighbours taken together."""
    bounds = (
        [0, *cuts, len(factors)]
        for left in range(len(factors) - 1, -1, -1)
        for cuts in combinations(range(1, len(factors)), left)
    )
    for some in islice(bounds, _TRIES) if factors else ():
        yield [_together(factors[a:b]) for a, b in pairwise(some)]
    if not factors:
        yield []


def _together(factors: list[Factor]) -> Factor:
    made = factors[0]
    for factor in factors[1:]:
        made = (made[:, None] + factor).reshape(-1)
    return made


def _fitted(
    factors: list[Factor], first: int, size: int, of: Pattern, shape: tuple[int, ...]
) -> View | None:
    """Every factor as entries of a dimension of its own; None: they overlap."""
    first += sum(int(factor.min()) for factor in factors)
    factors = [factor - factor.min() for factor in factors]
    units = [_unit(factor) for factor in factors]
    moving = sorted((n for n, unit in enumerate(units) if unit), key=lambda n: -units[n])
    along = [(factors[n], units[n]) for n in moving]
    split, takes = _dimensions(along, first, size)
    row = of
    if not split and moving:
        # the outermost dimension does not divide the tensor: that of a run of elements does
        outer, unit = along[0]
        length = int(outer.max()) + unit
        start = min(first, size - length)
        if start < 0:
            return None
        row = View(of, (size,), ((start, start + length, 1),), (0,), (length,), (length,))
        split, takes = _dimensions(along, first - start, length)
    if not split:
        return None
    repeated = [n for n, unit in enumerate(units) if not unit]
    split += [1] * len(repeated)
    takes += [(0, 1, 1)] * len(repeated)
    axes = {n: axis for axis, n in enumerate(moving)}
    rest = len(split) - len(repeated)
    axes |= {n: rest + place for place, n in enumerate(repeated)}
    order = [axes[n] for n in range(len(factors))]
    order += [axis for axis in range(len(split)) if axis not in order]
    sizes = [len(factor) for factor in factors] + [1] * (len(split) - len(factors))
    return View(row, tuple(split), tuple(takes), tuple(order), tuple(sizes), shape)


def _dimensions(
    along: list[tuple[Factor, int]], first: int, size: int
) -> tuple[list[int], list[Take]]:
    """A shape of so many elements with a dimension for every factor, and what is taken along it.

    Parameters
    ----------
    along : list of (Factor, int)
        With what the entries of each are multiples of, the largest first.
    first : int
        The first element.
    size : int
        Of all elements.

    Returns
    -------
    lists
        Empty where the factors overlap.
    """
    split: list[int] = []
    takes: list[Take] = []
    outer = size
    for factor, unit in (*along, (np.zeros(1, dtype=np.int64), 1)):
        inner = int(np.gcd(unit, outer))
        start, first = divmod(first, inner)
        entries = start + factor // inner
        if entries.max() >= outer // inner:
            return [], []
        split.append(outer // inner)
        takes.append(_take(entries))
        outer = inner
    return (split, takes) if split[-1] > 1 or len(split) == 1 else (split[:-1], takes[:-1])


def _take(entries: NDArray[np.int64]) -> Take:
    steps = np.diff(entries)
    step = int(steps[0]) if len(steps) else 1
    if step > 0 and (steps == step).all():
        return int(entries[0]), int(entries[-1]) + 1, step
    return _tensor(entries)


def _but(axis: int, rank: int) -> tuple[int, ...]:
    return tuple(a for a in range(rank) if a != axis)

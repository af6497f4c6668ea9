"""Which node of a group holds which feature: one integer per feature, and how these are counted.

Every tensor's ownership is an array of one integer per feature: the position in the group of the
node that holds it, or ``REPLICATED``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from numbers import Rational

import numpy as np
from numpy.typing import NDArray

REPLICATED = -1
"""The owner of a feature that every node of the group holds."""

MOST_FEATURES = 2**24
"""Of a tensor that can be shared out: with more, these arrays would fill the memory."""

Owners = NDArray[np.int16]

Ratio = tuple[int, ...]
"""Speeds of nodes as whole numbers without a common divisor."""


@dataclass(frozen=True)
class Ratios:
    """In which ratio nodes share out a model.

    Attributes
    ----------
    whole : Ratio
        Of positions and samples, and of features where nothing else is said.
    by_layer : tuple of Ratio
        Of the features that each layer shares out; empty where all are as the whole.
    """

    whole: Ratio
    by_layer: tuple[Ratio, ...] = ()

    def of(self, row: int) -> Ratio:
        """Of the features of a layer."""
        return self.by_layer[row] if self.by_layer else self.whole


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


def speed_ratio(speeds: Iterable[float]) -> Ratio:
    """Bring speeds to their least whole numbers, so that shares are cut in exact arithmetic.

    A float stands for the decimal number that it is written as: 0.1, 0.2 and 0.3 are 1 to 2 to 3,
    in whatever unit they are given.
    """
    exact = [
        Fraction(int(speed) if isinstance(speed, Rational) else str(float(speed)))
        for speed in speeds
    ]
    scale = lcm(*(speed.denominator for speed in exact))
    whole = [int(speed * scale) for speed in exact]
    common = gcd(*whole)
    return tuple(speed // common for speed in whole)


def shares_by_speed(
    features: int, speeds: Iterable[float], granularity: int = 1
) -> NDArray[np.int64]:
    """Cut features into one share per node in proportion to its speed.

    Shares are multiples of the granularity and differ by at most one such unit on equal nodes;
    the largest remainders get the units that are left, earlier nodes first where they tie.

    Returns
    -------
    int array, shape (n,), summing to ``features``
    """
    ratio, units = speed_ratio(speeds), features // granularity
    shares, remainders = zip(*(divmod(units * speed, sum(ratio)) for speed in ratio), strict=True)
    by_remainder = sorted(range(len(ratio)), key=lambda node: -remainders[node])
    more = set(by_remainder[: units - sum(shares)])
    cut = [(share + (node in more)) * granularity for node, share in enumerate(shares)]
    return np.array(cut, dtype=np.int64)


def owners_from_shares(shares: NDArray[np.int64]) -> Owners:
    """Contiguous ownership: node 0's features first."""
    return np.repeat(np.arange(len(shares), dtype=np.int16), shares)


def held_by(node: int, features: int) -> Owners:
    """All features on one node, or ``REPLICATED``."""
    return np.full(features, node, dtype=np.int16)


def common_holder(owners: Owners) -> int:
    """The node that holds all features; ``REPLICATED`` where they are shared out."""
    return int(owners[0]) if np.all(owners == owners[0]) else REPLICATED


def count_owned(owners: Owners, nodes: int) -> NDArray[np.int64]:
    """Features that each node alone holds, shape (n,)."""
    counted: NDArray[np.int64] = np.bincount(owners + 1, minlength=nodes + 1)[1:]
    return counted


def count_moves(current: Owners, needed: Owners, nodes: int) -> NDArray[np.int64]:
    """Count the features that go from each node of a group to each other one, shape (n, n).

    What all nodes hold already never moves.
    """
    alone = current != REPLICATED
    moves = count_handed_over(current[alone], needed[alone], nodes, nodes)
    np.fill_diagonal(moves, 0)
    return moves


def count_handed_over(
    has: Owners, needs: Owners, senders: int, receivers: int
) -> NDArray[np.int64]:
    """Count the features of one tensor that go from each node of a group to each of another.

    Parameters
    ----------
    has, needs : int array, shape (F,)
        Position of the node that holds, and of the one that will hold, each feature. What all
        senders hold comes from the first of them.
    senders, receivers : int

    Returns
    -------
    int array, shape (senders, receivers)
    """
    origin = np.where(has == REPLICATED, 0, has).astype(np.int64)
    single = needs != REPLICATED
    pair = origin[single] * receivers + needs[single]
    moves = np.bincount(pair, minlength=senders * receivers).reshape(senders, receivers)
    to_all = np.bincount(origin[~single], minlength=senders)
    moved: NDArray[np.int64] = (moves + to_all[:, None]).astype(np.int64)
    return moved

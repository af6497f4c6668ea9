"""Rows of a multiple-choice problem, and the bound on every choice that prices of limits give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROUNDING = 4e-16  # of one float operation, with a margin


class Relaxation(NamedTuple):
    """Costs plus priced limits: ``bound`` holds for every choice that keeps the limits.

    Attributes
    ----------
    multipliers : float array, shape (D,)
        Cost per unit of each limit, none negative.
    weights : float array, shape (R,)
        Shares of the resources in the priced cost; they add up to 1.
    reduced : float array, shape (G, K)
        By how much an option raises the bound when a layer of the group takes it; inf where it is
        not allowed.
    base : int array, shape (G,)
        The option of each group that costs least at these prices.
    bound : float
        Lower bound on the objective, rounding deducted.
    """

    multipliers: Floats
    weights: Floats
    reduced: Floats
    base: Ints
    bound: float


class Rows(NamedTuple):
    """Groups of equal layers as arrays.

    Attributes
    ----------
    sums : float array, shape (R + D, G, K)
        The objective is the largest of the first R sums; the others are limited.
    resources : int
        R.
    allowed : bool array, shape (G, K)
    limits : float array, shape (D,)
    counts : int array, shape (G,)
        Layers in each group.
    scale : float array, shape (R + D,)
        The largest value of each sum, of all R together.
    table : float array, shape (R + D, G * K) or with R > 1 a row of zeros before
        ``sums`` over ``scale``.
    """

    sums: Floats
    resources: int
    allowed: NDArray[np.bool_]
    limits: Floats
    counts: Ints
    scale: Floats
    table: Floats

    @property
    def values(self) -> Floats:
        """What an option takes of each limit, shape (D, G, K)."""
        return self.sums[self.resources :]


class Peaks(NamedTuple):
    """Memory limits of which several options of a layer need unlike live bytes.

    Attributes
    ----------
    live : float array, shape (M, G, K)
    rows : int array, shape (M,)
        Which row of ``Rows.limits`` holds the weights of each; its limit has ``floor`` deducted.
    floor : float array, shape (M,)
        Live bytes that are always needed.
    """

    live: Floats
    rows: Ints
    floor: Floats


def rows_of(
    sums: Floats, resources: int, allowed: NDArray[np.bool_], limits: Floats, counts: Ints
) -> Rows:
    """Rows of arrays in which options that are not allowed hold zeros."""
    flat = sums.reshape(len(sums), -1)
    scale = np.abs(flat).max(axis=1)
    scale[:resources] = scale[:resources].max()
    scale[scale == 0] = 1.0
    table = flat / scale[:, None]
    if resources > 1:
        table = np.concatenate([np.zeros((1, table.shape[1])), table])
    return Rows(sums, resources, allowed, limits, counts, scale, table)


def relaxation(rows: Rows, multipliers: Floats, weights: Floats) -> Relaxation:
    """The bound at given prices; any prices give a valid one."""
    groups, options = rows.allowed.shape
    shares = np.concatenate([weights, multipliers])
    flat = rows.sums.reshape(len(shares), -1)
    priced = (shares @ flat).reshape(groups, options)
    priced[~rows.allowed] = np.inf
    base = priced.argmin(axis=1)
    picked = base + np.arange(0, groups * options, options)
    least = priced.take(picked)
    size = np.abs(flat.take(picked, axis=1)) @ rows.counts
    size[len(weights) :] += np.abs(rows.limits)
    error = _ROUNDING * (groups + len(shares)) * float(shares @ size)
    bound = float(least @ rows.counts) - float(multipliers @ rows.limits) - error
    return Relaxation(multipliers, weights, priced - least[:, None], base, bound)

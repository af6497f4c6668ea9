"""Whole experts by node: how many each has, and what the busiest does (docs/model.md, eq. 49, 50).

Every vector takes any ``taken`` of the ``experts``, whatever the others take (uniform routing, as
`planner.domain.language_model.Experts.distinct` has it). A step waits for the node whose experts
are taken most: what counts is the mean of the busiest, which is more than the busiest's mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import comb, floor, sqrt

import numpy as np
from numpy.typing import NDArray

from planner.domain.layer_profile import Routing
from planner.domain.owners import shares_by_speed

MOST_EXPERTS = 1000
"""Of which whole ones are placed: binomial coefficients of more are no floats."""
_SURE = 1e-12  # what is less likely is left out


@dataclass(frozen=True)
class Busiest:
    """What the busiest of some nodes does of its own, in the mean; 1 is all of it.

    Attributes
    ----------
    met : float
        Experts that any vector takes, of the node's own: at most 1.
    pairs : float
        Vectors with an expert of theirs, of the node's part if all nodes did as much: at least 1.
    """

    met: float
    pairs: float


def whole_experts(experts: int, parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole experts of every node in proportion to its part of other layers, shape (n,)."""
    return shares_by_speed(experts, parts.tolist())


def busiest(routing: Routing, held: NDArray[np.int64]) -> Busiest:
    """What the busiest node does where each holds so many whole experts.

    Nodes hold experts in proportion to their speed, so that the busiest is the one of whose experts
    the largest part is taken. Exact for ``met``. ``pairs`` is exact for one vector, else the less
    of two bounds: every vector's busiest node by itself, and the mean with its spread (T. Aven,
    Upper (lower) bounds on the mean of the maximum (minimum) of a number of random variables,
    1985).

    Parameters
    ----------
    routing : Routing
    held : int array, shape (n,)
        Experts of every node, as many as there are.
    """
    holders = tuple(sorted(count for count in held.tolist() if count))
    return _busiest(routing.experts, routing.taken, routing.vectors, holders)


@lru_cache(maxsize=4096)
def _busiest(experts: int, taken: int, vectors: int, holders: tuple[int, ...]) -> Busiest:
    mean = vectors * taken / experts
    spread = (experts - taken) / max(experts - 1, 1)
    variance = sum(mean * (1 - count / experts) * spread / count for count in holders)
    beyond = sqrt((1 - 1 / len(holders)) * variance)
    by_itself = vectors * float(_largest_parts(experts, holders, taken)[taken])
    if experts * (1 - taken / experts) ** vectors < _SURE:
        met = 1.0
    else:
        chances = _chances(experts, taken, vectors)
        met = float(chances @ _largest_parts(experts, holders, min(vectors * taken, experts)))
    pairs = min(by_itself, mean + beyond) / mean
    return Busiest(met=min(met, 1.0), pairs=max(pairs, 1.0))


@lru_cache(maxsize=256)
def _largest_parts(experts: int, holders: tuple[int, ...], most: int) -> NDArray[np.float64]:
    """Mean of the largest part of a node's experts among s any ones, shape (E + 1,).

    Of s experts that are any, so many are each node's as a multivariate hypergeometric
    distribution says: a product of polynomials whose coefficients are C(e_j, k). Nothing is said
    of more than ``most``.
    """
    levels = {Fraction(k, c) for c in set(holders) for k in range(min(c, most) + 1)} | {Fraction(1)}
    rows = {c: np.array([float(comb(c, k)) for k in range(min(c, most) + 1)]) for c in set(holders)}
    all_ways = np.array([float(comb(experts, s)) for s in range(most + 1)])
    mean = np.zeros(experts + 1)
    for level, following in pairwise(sorted(levels)):
        ways = np.ones(1)
        for count in holders:  # at most this part of every node's
            ways = np.convolve(ways, rows[count][: floor(level * count) + 1])[: most + 1]
        within = np.zeros(most + 1)
        within[: len(ways)] = ways
        mean[: most + 1] += (1.0 - within / all_ways) * float(following - level)
    return mean


@lru_cache(maxsize=256)
def _chances(experts: int, taken: int, vectors: int) -> NDArray[np.float64]:
    """How likely it is that so many vectors take s different experts, shape (E + 1,)."""
    chances = np.zeros(experts + 1)
    if vectors == 1:
        chances[taken] = 1.0
        return chances
    moves = np.zeros((experts + 1, experts + 1))
    for s in range(experts + 1):
        for new in range(max(taken - s, 0), min(taken, experts - s) + 1):
            ways = comb(experts - s, new) * comb(s, taken - new)
            moves[s, s + new] = ways / comb(experts, taken)
    found: NDArray[np.float64] = np.linalg.matrix_power(moves, vectors)[0]
    return found

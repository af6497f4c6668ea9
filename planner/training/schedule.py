"""How pruning proceeds: a further fraction of the sub-rows in every round (DISCO, section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from planner.errors import BadInputError
from planner.weights.masks import LayerMask, dense_counts

_TOLERANCE = 1e-9  # 0.9 in steps of 0.1 are 9 rounds, whatever floats make of it


def round_progress(fraction: float, sparsity: float) -> tuple[float, ...]:
    """Progress at the end of every round, rising evenly to 1.

    Parameters
    ----------
    fraction : float
        Of the sub-rows of the layer that loses most, which go in one round; others lose less.
    sparsity : float
        Of that layer at the end.

    Raises
    ------
    BadInputError
        The fraction is not above 0 and at most 1.
    """
    if not 0.0 < fraction <= 1.0:
        raise BadInputError(f"fraction per round {fraction}: above 0 and at most 1 is needed")
    rounds = max(1, ceil(sparsity / fraction - _TOLERANCE))
    return tuple((index + 1) / rounds for index in range(rounds))


def largest_sparsity(layers: Iterable[LayerMask]) -> float:
    """Share of the off-diagonal sub-rows that the layer loses which loses most; 0 without any."""
    shares = [0.0]
    for layer in layers:
        dense = dense_counts(layer.input_owners, layer.output_owners, len(layer.nodes)).sum()
        kept = sum(len(features) for of_sender in layer.sent for features in of_sender)
        shares.append(1.0 - kept / int(dense) if dense else 0.0)
    return max(shares)

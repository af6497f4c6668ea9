"""AR-MDI's rule: cut a chain at cumulative shares of its weight (AR-MDI, equation 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ar_mdi_shares(total_params: int, seconds_per_param: NDArray[np.float64]) -> NDArray[np.float64]:
    """ρ_n = W · (1/γ_n) / Σ_m (1/γ_m), parameters for each worker.

    Parameters
    ----------
    total_params : int
        W, the parameters of the whole model.
    seconds_per_param : float array, shape (N,)
        γ_n, each worker's computing delay per parameter.
    """
    speed = 1.0 / seconds_per_param
    shares: NDArray[np.float64] = total_params * speed / speed.sum()
    return shares


def cut_at_shares(
    weights: NDArray[np.generic],
    shares: NDArray[np.float64],
    feasible: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Assign contiguous units to workers, each cut at the cut nearest to its cumulative share.

    Every worker can do this alone: it needs all shares, not the others' decisions. A worker
    whose two cuts coincide stays empty.

    Parameters
    ----------
    weights : array, shape (U,)
        What the shares are counted in: parameters, MACs or seconds.
    shares : float array, shape (N,)
        In ring order, in the same unit, summing to the total.
    feasible : bool array, shape (U - 1,), optional
        Cuts that may be used, all by default; the two ends always may.

    Returns
    -------
    int array, shape (U,)
        Worker of each unit.
    """
    usable = np.ones(len(weights) + 1, dtype=np.bool_)
    if feasible is not None:
        usable[1:-1] = feasible
    places = np.flatnonzero(usable)
    reached = np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)])[places]
    wanted = np.cumsum(shares)[:-1]
    cuts = places[np.abs(reached[:, None] - wanted[None, :]).argmin(axis=0)]
    return np.searchsorted(cuts, np.arange(len(weights)), side="right").astype(np.int64)

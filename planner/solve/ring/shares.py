"""AR-MDI's rule: cut a chain at cumulative shares of its weight (AR-MDI, equation 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ar_mdi_shares(total: int, gamma_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """ρ_n = W · (1/γ_n) / Σ_m (1/γ_m), what each worker gets of the whole.

    Parameters
    ----------
    total : int
        W, the parameters of the whole model, or its MACs.
    gamma_s : float array, shape (N,)
        γ_n, each worker's computing delay in seconds per parameter, or per MAC.
    """
    speed = 1.0 / gamma_s
    shares: NDArray[np.float64] = total * speed / speed.sum()
    return shares


def ar_mdi_workers(weights: NDArray[np.int64], gamma_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """The worker of every unit by AR-MDI, from what every worker knows: weights and all γ.

    Nothing is remembered: when a γ changes, every worker calls this again and all agree.

    Parameters
    ----------
    weights : int array, shape (U,)
        Parameters of every unit (the paper), or its MACs.
    gamma_s : float array, shape (N,)
        Seconds per parameter, or per MAC, in ring order.
    """
    return cut_at_shares(weights, ar_mdi_shares(int(weights.sum()), gamma_s))


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

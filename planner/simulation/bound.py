"""The limit: no policy carries more, and none is done sooner (docs/simulation.md, (L1) to (L5)).

A fluid linear program shares every source's inputs out among its ways (local; along AR-MDI's
route; whole on another worker) so that no worker and no link has more to do than there is time.
Every input that any policy of `planner.simulation.policies` handles goes one of these ways and
occupies what the program charges for it, so that

- rates above the largest multiple of the offered ones that the program carries cannot be
  sustained, and
- inputs that come after a moment τ cannot all be done before τ plus the program's least time for
  them; nor can any input be done sooner than its own fastest way takes.

Under churn and drift an input may change its way half-way. There the program asks only who runs
each unit, every worker at the best of its speeds, and links are free: still a limit, a weaker one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.errors import InconsistentResultError
from planner.simulation.network import Network

Array = NDArray[np.float64]
ALL_MODES = ("local", "distributed", "ship")
MOMENTS = 17  # τ for which the least makespan is asked
_SLOWEST = 1e9  # solver units that an input takes at most
_SAFE = 1 - 1e-7  # what the solver's tolerances may add to a limit


@dataclass(frozen=True)
class Ways:
    """Every way of every source, and the seconds that it takes of every resource.

    Attributes
    ----------
    source : int array, shape (M,)
        Number of the source that has the way, not its worker.
    mode : local, distributed or ship, one per way
    load_s : shape (M, R), R = 3N
        Seconds that one input on the way takes of N workers, then of 2N channels
        (`Network.channel_out`, `Network.channel_in`). Delays occupy nobody and are not in it.
    alone_s : shape (M,)
        Seconds from an input's coming to its end where nobody is in the way.
    """

    source: NDArray[np.int64]
    mode: tuple[str, ...]
    load_s: Array
    alone_s: Array

    def only(self, modes: Sequence[str]) -> Ways:
        """Those of some modes."""
        chosen = np.array([mode in modes for mode in self.mode])
        return Ways(
            self.source[chosen],
            tuple(mode for mode in self.mode if mode in modes),
            self.load_s[chosen],
            self.alone_s[chosen],
        )


def ways_of(network: Network, blocking: bool, returns: bool) -> Ways:
    """The ways of a network without churn and drift: everything that an input may do.

    Parameters
    ----------
    network : of which the first epoch is read
    blocking : a worker that sends computes nothing meanwhile, so that sending loads it as well
    returns : results are sent back to their source
    """
    n = len(network.names)
    rows: list[tuple[int, str, Array, float]] = []

    def add(
        source: int,
        mode: str,
        work: list[tuple[int, float]],
        hops: list[tuple[int, int, float]],
    ) -> None:
        load = np.zeros(3 * n)
        alone = sum(seconds for _, seconds in work)
        for node, seconds in work:
            load[node] += seconds
        for sender, receiver, seconds in hops:
            # A set: a shared medium is one channel, and a message occupies it once.
            for channel in {network.channel_out(sender), network.channel_in(receiver)}:
                load[n + channel] += seconds
            load[sender] += seconds * blocking
            alone += seconds + network.delay_s[sender, receiver]
        rows.append((source, mode, load, float(alone)))

    whole_s = network.whole_s()[0]
    parts = network.part_s()[0]
    for source, home in enumerate(network.source_node.tolist()):
        add(source, "local", [(home, whole_s[home])], [])
        add(
            source,
            "distributed",
            list(enumerate(parts[source])),
            network.hops(source, 0, returns),
        )
        for node in range(n):
            if node != home:
                hops = network.round_trip(source, node, returns)
                add(source, "ship", [(node, whole_s[node])], hops)
    sources, modes, loads, alone = zip(*rows, strict=True)
    return Ways(np.array(sources), tuple(modes), np.array(loads), np.array(alone))


def least_time_s(ways: Ways, counts: Array) -> float:
    """Least time in which all resources can do so many inputs of every source.

    Parameters
    ----------
    counts : shape (S,)
        Inputs; given as rates, the answer is the load, and its inverse the largest multiple of
        these rates that can be sustained.

    Returns
    -------
    float
        Seconds from the first to the last of them at the best, not a policy's makespan; infinite
        where a source with inputs has no way.
    """
    m, resources = ways.load_s.shape
    # (L1): every input of source s goes one of its ways, Σ_{w of s} x_w = n_s. Fractions of an
    # input are allowed, which whole inputs can only be worse than.
    shared_out = np.zeros((len(counts), m + 1))
    shared_out[ways.source, np.arange(m)] = 1.0
    if (counts[~shared_out.any(axis=1)] > 0).any():
        return float("inf")
    # (L2): no worker and no channel r has more to do than there is time, Σ_w a_{w,r} x_w ≤ z. In
    # what order is left out: that can only add time. The last column is z.
    loads = np.concatenate([ways.load_s.T, -np.ones((resources, 1))], axis=1)
    return _minimise_time(loads, shared_out, counts)


def least_work_s(network: Network, counts: Array) -> float:
    """The same under churn and drift: who runs each unit, at the best of every worker's speeds.

    Units, not ways: an input whose worker leaves goes on by another route than it began, so that no
    way holds for all of it. Links are free for the same reason, and a worker counts as there.
    """
    from scipy.sparse import coo_array

    n, units = len(network.names), network.units
    # The least of each worker's paces is its best: at none of its speeds is it done sooner.
    work = np.diff(network.done_s, axis=1) * network.pace.min(axis=0)[:, None]
    if not counts.sum():
        return 0.0
    # One kind of input: every source's units are the same work wherever they come from.
    columns = np.arange(n * units)  # x of worker 0's units, then of worker 1's, …; z comes last
    rows = np.repeat(np.arange(n), units)
    # (L4): no worker k has more to do than there is time, Σ_u a_{k,u} x_{k,u} ≤ z.
    loads = coo_array((work.ravel(), (rows, columns)), shape=(n, n * units + 1)).tolil()
    loads[:, -1] = -1.0
    # (L3): every unit u of every input is run by somebody, Σ_k x_{k,u} = Σ_s n_s.
    shared_out = coo_array(
        (np.ones(n * units), (np.tile(np.arange(units), n), columns)), shape=(units, n * units + 1)
    )
    return _minimise_time(loads.tocsr(), shared_out.tocsr(), np.full(units, counts.sum()))


def _minimise_time(loads: Any, shared_out: Any, counts: Array) -> float:
    """Least last variable z ≥ 0 under ``loads @ x <= 0`` and ``shared_out @ x == counts``, x ≥ 0.

    Parameters
    ----------
    loads : matrix, shape (R, M + 1), dense or sparse
        Seconds of one input, and -1 for z.
    shared_out : matrix, shape (C, M + 1), dense or sparse
    counts : shape (C,)
        Inputs or rates; not shares.
    """
    from scipy.optimize import linprog  # a second to import, which only a simulation needs
    from scipy.sparse import csr_array, hstack

    # The solver's tolerances are absolute, and it neither takes what is beyond 1e15 nor sees what
    # is below 1e-9: counts are shares of the largest one, and seconds parts of a time in which it
    # can be done, each row's inputs on the way whose busiest resource has least to do.
    scale = max(float(np.max(counts)), 1e-300)
    seconds, rows = csr_array(loads[:, :-1]), csr_array(shared_out[:, :-1])
    busiest = seconds.max(axis=0).toarray().ravel()
    enough = sum(
        count / scale * busiest[rows.indices[begin:end]].min()
        for count, (begin, end) in zip(counts, pairwise(rows.indptr), strict=True)
        if count
    )
    if not enough:
        return 0.0
    # What would take so much longer is hardly done at all; less of it can only lower the limit.
    seconds.data = np.minimum(seconds.data / enough, _SLOWEST)
    cost = np.zeros(loads.shape[1])
    cost[-1] = 1.0
    least: Any = hstack([seconds, csr_array(-np.ones((loads.shape[0], 1)))])
    found = linprog(
        cost,
        A_ub=least,
        b_ub=np.zeros(loads.shape[0]),
        A_eq=shared_out,
        b_eq=counts / scale,
        method="highs",
    )
    if found.x is None or found.fun is None:
        raise InconsistentResultError(f"fluid program: {found.message}")
    return float(found.fun * enough * scale)


def least_makespan_s(
    ways: Ways, arrivals: Sequence[Array], network: Network, steady: bool
) -> float:
    """No policy finishes the last of these inputs before this moment.

    Parameters
    ----------
    ways : what is allowed; not read where the network is not steady
    arrivals : S arrays of the times of a source's inputs in seconds, in order
    steady : no churn and no drift, so that `ways` hold

    Returns
    -------
    float
        Seconds since the start, not since the first input; 0 without inputs.
    """
    times = np.sort(np.concatenate(arrivals))
    if not len(times):
        return 0.0
    # (L5): what comes from τ on cannot be begun before τ, so that it ends at τ + z(n(τ)) at the
    # earliest. Any τ proves a limit; some that are spread over the inputs come close to the best.
    moments = np.unique(times[np.linspace(0, len(times) - 1, MOMENTS).astype(int)])
    least = 0.0
    for moment in moments:
        counts = np.array([float(len(a) - np.searchsorted(a, moment)) for a in arrivals])
        seconds = least_time_s(ways, counts) if steady else least_work_s(network, counts)
        least = max(least, float(moment) + seconds * _SAFE)
    # And no input is done sooner than its source's fastest way takes; the last one is the latest.
    if steady:
        fastest = [ways.alone_s[ways.source == s].min(initial=np.inf) for s in range(len(arrivals))]
        alone = [a[-1] + f for a, f in zip(arrivals, fastest, strict=True) if len(a)]
        least = max(least, float(max(alone)) * (1 - 1e-12))
    return least


def carried_share(ways: Ways, rates: Array) -> float:
    """The largest multiple of these rates that can be sustained; below 1: unstable.

    By (L1) and (L2) a second's inputs take z seconds of the busiest resource, so that 1/z times as
    many take one.
    """
    load = least_time_s(ways, rates)
    return 1.0 / load if load > 0 else float("inf")

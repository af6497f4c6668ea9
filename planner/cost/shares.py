"""In which ratio the nodes of a group share out features and positions (docs/model.md, eq. 1).

Shares follow the time that each node takes. Where one rate tells all of it that is the inverse of
C, exactly. With a memory bandwidth or rates of kinds of operators it is what the cost model says:
of the whole model for positions and samples, and for features of the layers that share them out
together. Where the weights do not fit so, the fuller nodes get what fits them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.cost.work import column, work_s
from planner.domain.cluster import Node
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import Ratio, Ratios, speed_ratio
from planner.domain.settings import Shares
from planner.structure import sharing_out

_STEPS = 1000
"""Parts of the fastest node's speed that are told apart, where speeds follow from times."""

_ROOM = 0.95
"""Of a node's memory that weights may fill where it binds: the rest is for activations."""


def share_ratios(
    profile: ModelProfile, nodes: Sequence[Node], shares: Shares = "by-time"
) -> Ratios:
    """The ratios of the shares of a group's nodes, as whole numbers without a common divisor.

    Parameters
    ----------
    profile : ModelProfile
    nodes : sequence of Node
    shares : {"either", "by-time", "equal"}
        Either is by time.
    """
    ratios = Ratios((1,) * len(nodes)) if shares == "equal" else _by_time(profile, nodes)
    whole = np.array(ratios.whole, dtype=np.float64)
    fitting = _within_memory(profile, nodes, whole)
    return ratios if fitting is None else Ratios(speed_ratio(fitting.tolist()))


def _by_time(profile: ModelProfile, nodes: Sequence[Node]) -> Ratios:
    if all(node.has_one_rate for node in nodes):
        return Ratios(speed_ratio(node.macs_per_s for node in nodes))
    seconds = _layers_s(profile, nodes)
    leaders = sharing_out(profile)
    of_leader: dict[int, Ratio] = {}
    for leader in dict.fromkeys(leaders):
        rows = np.flatnonzero(np.array(leaders) == leader)
        of_leader[leader] = _inverse(seconds[rows].sum(axis=0))
    by_layer = tuple(of_leader[leader] for leader in leaders)
    return Ratios(_inverse(seconds.sum(axis=0)), by_layer if len(set(by_layer)) > 1 else ())


def _inverse(seconds: NDArray[np.float64]) -> Ratio:
    """The ratio of speeds to nearest whole steps below the largest, at least one."""
    speeds = 1.0 / np.maximum(seconds, 1e-30)
    steps: NDArray[np.int64] = np.rint(speeds / speeds.max() * _STEPS).astype(np.int64)
    return speed_ratio(np.maximum(steps, 1).tolist())


def _layers_s(profile: ModelProfile, nodes: Sequence[Node]) -> NDArray[np.float64]:
    """Seconds of each whole layer on each node, less what does not shrink, shape (L, n)."""
    layers = profile.layers
    macs = column(layers, "macs")[:, None]
    touched = column(layers, "touched_bytes").astype(np.float64)[:, None]
    known: dict[Node, NDArray[np.float64]] = {}
    bare = {"layer_overhead_s": 0.0, "layer_overhead_s_by_kind": {}, "name": "-"}
    for node in nodes:
        alone = node.model_copy(update=bare)
        if alone not in known:
            known[alone] = work_s(layers, (alone,), macs, touched, np.ones_like(touched))[:, 0]
        known[node] = known[alone]
    return np.stack([known[node] for node in nodes], axis=1)


def _within_memory(
    profile: ModelProfile, nodes: Sequence[Node], shares: NDArray[np.float64]
) -> NDArray[np.int64] | None:
    """Shares that the nodes have room for; None where those by time fit, or none do."""
    whole = profile.totals.param_bytes
    limits = np.array([node.memory_bytes or np.inf for node in nodes], dtype=np.float64)
    shares = shares / shares.sum()
    if len(nodes) == 1 or (shares * whole <= limits).all() or whole > limits.sum() * _ROOM:
        return None
    full = np.zeros(len(nodes), dtype=np.bool_)
    most = limits * _ROOM / whole
    by_time = shares.copy()
    while True:  # what the full ones do not take goes to the others, by time
        over = ~full & (shares > most)
        if not over.any():
            return np.maximum(np.floor(shares * _STEPS), 1).astype(np.int64)
        full |= over
        shares = np.where(full, most, 0.0)
        left = np.where(full, 0.0, by_time)
        if not left.any():
            return None
        shares = shares + left / left.sum() * (1.0 - shares.sum())

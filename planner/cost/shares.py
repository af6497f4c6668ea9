"""In which ratio the nodes of a group share out features and positions (docs/model.md, eq. 1).

Shares follow the time that each node takes for the model. Where one rate tells all of it that is
the inverse of C, exactly; with a memory bandwidth or rates of kinds of operators it is what the
cost model says. Where the weights do not fit so, the fuller nodes get what fits them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.cost.work import column, work_s
from planner.domain.cluster import Node
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import Ratio, speed_ratio

_STEPS = 1000
"""Parts of the fastest node's speed that are told apart, where speeds follow from times."""

_ROOM = 0.95
"""Of a node's memory that weights may fill where it binds: the rest is for activations."""


def share_ratio(profile: ModelProfile, nodes: Sequence[Node]) -> Ratio:
    """The ratio of the shares of a group's nodes, as whole numbers without a common divisor."""
    if all(node.memory_bytes_per_s is None and not node.macs_per_s_by_kind for node in nodes):
        ratio = speed_ratio(node.macs_per_s for node in nodes)
    else:
        speeds = 1.0 / _model_s(profile, nodes)
        ratio = speed_ratio(_in_steps(speeds).tolist())
    fitting = _within_memory(profile, nodes, np.array(ratio, dtype=np.float64))
    return ratio if fitting is None else speed_ratio(fitting.tolist())


def _in_steps(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Nearest whole steps below the largest, at least one."""
    steps: NDArray[np.int64] = np.rint(values / values.max() * _STEPS).astype(np.int64)
    return np.maximum(steps, 1)


def _model_s(profile: ModelProfile, nodes: Sequence[Node]) -> NDArray[np.float64]:
    """Seconds of the whole model on each node, without what does not shrink with a share."""
    layers = profile.layers
    macs = column(layers, "macs")[:, None]
    touched = column(layers, "touched_bytes").astype(np.float64)[:, None]
    known: dict[Node, float] = {}
    for node in nodes:
        alone = node.model_copy(update={"layer_overhead_s": 0.0, "name": "-"})
        if alone not in known:
            seconds = work_s(layers, (alone,), macs, touched, np.ones_like(touched))
            known[alone] = max(float(seconds.sum()), 1e-30)
        known[node] = known[alone]
    return np.array([known[node] for node in nodes])


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

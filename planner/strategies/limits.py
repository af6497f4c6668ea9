"""Whether a plan keeps the limits that were asked for: one check, with one slack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planner.domain.cluster import Cluster
from planner.domain.plan import Predicted
from planner.domain.settings import Limits
from planner.units import format_bytes

SLACK = 1e-6
"""Relative: sums of floats in another order, and limits that HiGHS keeps to a tolerance."""

_NOTHING = 1e-9  # of a loss whose limit is 0


def broken_memory(
    memory_bytes: Mapping[str, int],
    cluster: Cluster,
    host_bytes: Mapping[str, int] | None = None,
) -> str:
    """The first node that has no room for what it needs, in words; empty where all have.

    Parameters
    ----------
    memory_bytes : mapping of str to int
        What nodes need, by name; the others need nothing.
    cluster : Cluster
        Its nodes' memory is a limit, exactly, and that of their hosts.
    host_bytes : mapping of str to int, optional
        What they need of their hosts' memory; by default nothing.
    """
    for node in cluster.nodes:
        for what, needed, limit in (
            (node.name, memory_bytes.get(node.name, 0), node.memory_bytes),
            (
                f"the host of {node.name}",
                (host_bytes or {}).get(node.name, 0),
                node.host.memory_bytes if node.host else None,
            ),
        ):
            if limit is not None and needed > limit:
                return f"{what} needs {format_bytes(needed)}, has {format_bytes(limit)}"
    return ""


def find_broken_limits(
    predicted: Predicted,
    cluster: Cluster,
    limits: Limits,
    accuracy_drop: float | None,
    energy_loss: float | None,
) -> Iterator[str]:
    """Every limit that a plan breaks, in words.

    Parameters
    ----------
    predicted : Predicted
    cluster : Cluster
        Its nodes' memory is a limit, exactly.
    limits : Limits
    accuracy_drop, energy_loss : float, optional
        What the plan loses: what was predicted, or what was published for it. What is not known
        breaks no limit.
    """
    if broken := broken_memory(predicted.memory_bytes, cluster):
        yield broken
    for value, most, name in (
        (accuracy_drop, limits.max_accuracy_drop, "over the accuracy limit"),
        (energy_loss, limits.max_energy_loss, "over the energy limit"),
        (predicted.latency_s, limits.max_latency_s, "over the latency limit"),
    ):
        loss = _NOTHING if "latency" not in name else 0.0
        if value is not None and most is not None and value > most * (1 + SLACK) + loss:
            yield name
    rate = limits.min_throughput_per_s
    if rate is not None and predicted.throughput_per_s * (1 + SLACK) < rate:
        yield "under the throughput limit"

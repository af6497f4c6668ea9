"""Changes of a cluster's hardware as one writes them down: ``bandwidth=2x``, ``node=+node-1``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from planner.domain.cluster import Cluster, Link, set_figure, with_copy
from planner.errors import BadInputError
from planner.units import parse_quantity

FIGURES: dict[str, tuple[str, str]] = {
    "bandwidth": ("bandwidth_bytes_per_s", "bandwidth"),
    "compute": ("macs_per_s", "compute"),
    "link-latency": ("latency_s", "time"),
    "memory": ("memory_bytes", "memory"),
    "memory-bandwidth": ("memory_bytes_per_s", "bandwidth"),
    "overhead": ("layer_overhead_s", "time"),
}
"""Field of every node or of every link, and what its unit measures."""

FORMS = (
    "bandwidth=2x, node-1:compute=7.5GMAC/s (one node's), or node=+node-1 (one more like it); what "
    f"changes is one of {', '.join(FIGURES)}"
)
_FACTOR = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?)\s*[x×]")
_COPY = "node"


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes
    ----------
    figure : str
        A key of `FIGURES`; empty where a node is added.
    node : str
        Whose figure; empty for all nodes or links. Where a node is added, which it is like.
    factor : float, optional
        How many times as much.
    value : float, optional
        How much, in SI, in place of a factor.
    """

    figure: str = ""
    node: str = ""
    factor: float | None = None
    value: float | None = None

    def __str__(self) -> str:
        """As it is typed."""
        if not self.figure:
            return f"{_COPY}=+{self.node}"
        amount = f"{self.value:.12g}" if self.factor is None else f"{self.factor:.12g}x"
        return f"{self.node}{':' if self.node else ''}{self.figure}={amount}"


def parse_change(text: str, where: str = "--change") -> Change:
    """Read a change as it is typed.

    Raises
    ------
    BadInputError
        It is none.
    """
    left, _, amount = text.rpartition("=")
    if text.startswith(f"{_COPY}=+") and (name := text.removeprefix(f"{_COPY}=+")):
        return Change(node=name)
    node, colon, figure = left.rpartition(":")
    if figure not in FIGURES or bool(colon) != bool(node):
        raise BadInputError(f"{where} {text[:60]!r}: give {FORMS}")
    field, unit = FIGURES[figure]
    if node and field in Link.model_fields:
        raise BadInputError(f"{where} {text[:60]!r}: {figure} is that of all links; name no node")
    if times := _FACTOR.fullmatch(amount.strip()):
        factor = _number(times[1])
        if not 0 < factor < math.inf:
            raise BadInputError(f"{where} {text[:60]!r}: give a factor above 0, such as 2x")
        return Change(figure, node, factor=factor)
    value = parse_quantity(amount, unit, where=f"{where} {left[:40]}")
    return Change(figure, node, value=round(value) if unit == "memory" else value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def changed_cluster(cluster: Cluster, changes: Iterable[Change]) -> Cluster:
    """The cluster with all changes made, one after the other.

    Raises
    ------
    BadInputError
        A node that the cluster does not have.
    pydantic.ValidationError
        A figure that no cluster may have.
    """
    found = cluster
    for change in changes:
        found = _changed(found, change)
    return found if found is cluster else Cluster.model_validate(found.model_dump())


def _changed(cluster: Cluster, change: Change) -> Cluster:
    names = [node.name for node in cluster.nodes]
    if change.node and change.node not in names:
        raise BadInputError(
            f"{change}: {change.node!r} is no node of {cluster.name}; nodes are {', '.join(names)}"
        )
    if not change.figure:
        return with_copy(cluster, change.node)
    field, _ = FIGURES[change.figure]
    return set_figure(cluster, field, change.factor, change.value, change.node)

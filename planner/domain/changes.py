"""Changes of a cluster's hardware as one writes them down: ``bandwidth=2x``, ``node=+node-1``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from planner.domain.cluster import Cluster, Figure, Link, Node, PairLink, with_copy
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

Holder = TypeVar("Holder", Node, Link, PairLink, Cluster)


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
    return Change(figure, node, value=parse_quantity(amount, unit, where=f"{where} {left[:40]}"))


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
    found = with_figures(cluster, field, change.factor, change.value, change.node)
    key = f"{change.node}.{field}" if change.node else field
    known = [x for x in cluster.figures if not _is_replaced(x, field, change.node)]
    typed = Figure(key=key, origin="assumed", source="set by the user")
    return found.model_copy(update={"figures": (*known, typed)})


def _is_replaced(figure: Figure, field: str, node: str) -> bool:
    """Whether a figure says nothing more; that of all nodes is no longer one node's alone."""
    owner, _, _ = figure.named
    return figure.is_of((field,)) and (not node or owner in ("", node))


def with_figures(
    cluster: Cluster,
    field: str,
    factor: float | None = None,
    value: float | None = None,
    node: str = "",
) -> Cluster:
    """The cluster with another figure of all its nodes or links, or of one node.

    Parameters
    ----------
    cluster : Cluster
    field : str
        Of `Node`, `Link` or `Cluster`; who has no such figure stays without, unless a value is
        given.
    factor : float, optional
        The figures of kinds of operators change alike.
    value : float, optional
        In SI, in place of a factor.
    node : str
        The one node that changes; all do where it is empty.
    """

    def changed(holder: Holder) -> Holder:
        if field not in type(holder).model_fields:
            return holder
        if isinstance(holder, Node) and node not in ("", holder.name):
            return holder
        before = getattr(holder, field)
        if factor is None:
            after = value
        elif isinstance(holder, Node):
            return holder.scaled(field, factor)  # type: ignore[return-value]
        else:
            after = before if before is None else before * factor
        if after is None:
            return holder
        if isinstance(holder, Node):
            return holder.with_figure(field, after)  # type: ignore[return-value]
        return holder.model_copy(update={field: after})

    return changed(cluster).model_copy(
        update={
            "link": changed(cluster.link),
            "pair_links": tuple(map(changed, cluster.pair_links)),
            "nodes": tuple(map(changed, cluster.nodes)),
        }
    )

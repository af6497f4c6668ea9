"""The quantities of a cluster that a what-if varies, and the question at another value of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from planner.case import Case
from planner.domain.changes import FIGURES
from planner.domain.cluster import Cluster, Node, tuned_cluster
from planner.domain.request import Request
from planner.errors import BadInputError
from planner.units import LEAST

Quantity = Literal["bandwidth", "compute", "nodes", "link-latency", "memory", "memory-bandwidth"]
Value = int | float

UNITS: dict[Quantity, str] = {
    "bandwidth": "bytes/s",
    "compute": "MAC/s",
    "nodes": "nodes",
    "link-latency": "s",
    "memory": "bytes",
    "memory-bandwidth": "bytes/s",
}
WHOLE: tuple[Quantity, ...] = ("nodes", "memory")
"""Quantities that are counted, not measured."""

MOST_NODES = 256  # what a cluster may have
LARGEST = 1e29  # figures of a cluster are below `planner.units.MOST`
_MOST: dict[Quantity, float] = {"nodes": MOST_NODES, "memory": 2**62 - 1}
_SHOWN_DIGITS = 4  # values between the ends of a range are such as one would type


def present_value(cluster: Cluster, quantity: Quantity) -> Value | None:
    """What the cluster has now; None where nodes or links differ, or where there is no limit."""
    if quantity == "nodes":
        return len(cluster.nodes)
    field, links = FIGURES[quantity][0], (cluster.link, *cluster.pair_links)
    holders: Sequence[object] = cluster.nodes if field in Node.model_fields else links
    values = {getattr(holder, field) for holder in holders}
    return values.pop() if len(values) == 1 else None


def check_value(quantity: Quantity, value: Value) -> Value:
    """The value, an integer where the quantity is counted.

    Raises
    ------
    BadInputError
        Not above zero (a link's latency: below), too large, or no whole number where one is due.
    """
    most = _MOST.get(quantity, LARGEST)
    least = {"link-latency": 0.0, "nodes": 1, "memory": 1}.get(quantity)
    if not (LEAST if least is None else least) <= value <= most:
        above = "above 0" if least is None else f"{least:g} or more"
        raise BadInputError(
            f"{quantity}: found {value:g}; give {above}, at most {most:g} {UNITS[quantity]}"
        )
    if quantity not in WHOLE:
        return float(value)
    if value != int(value):
        raise BadInputError(f"{quantity}: found {value:g}; give a whole number")
    return int(value)


def with_room(case: Case, nodes: int) -> Case:
    """The case on a cluster of at least so many nodes: copies of its last one are added."""
    if nodes <= len(case.cluster.nodes):
        return case
    return case.on(tuned_cluster(case.cluster, nodes=nodes))


def at_value(
    case: Case, request: Request, quantity: Quantity, value: Value
) -> tuple[Case, Request]:
    """The same question with another value of one quantity, on every node or every link.

    A number of nodes is how many of the cluster's nodes may be used (`Request.max_nodes`), so
    that the plans for fewer nodes are among those for more.
    """
    if quantity == "nodes":
        return case, replace(request, max_nodes=int(value))
    figure: dict[str, Any] = {FIGURES[quantity][0]: check_value(quantity, value)}
    return case.on(tuned_cluster(case.cluster, **figure)), request


def spread_values(quantity: Quantity, first: Value, last: Value, count: int) -> tuple[Value, ...]:
    """Rising values from the first to the last, evenly spaced on a logarithmic scale.

    Those between are rounded, to four digits or to whole numbers, so that there may be fewer;
    where all whole numbers of the range are no more than ``count``, all of them are taken.

    Raises
    ------
    BadInputError
        Fewer than two values, a range that does not rise, or one that begins at zero.
    """
    first, last = check_value(quantity, first), check_value(quantity, last)
    if count < 2:
        raise BadInputError(f"{count} values of {quantity}: a range has at least 2")
    if not 0 < first < last:
        raise BadInputError(
            f"{quantity} from {first:g} to {last:g}: the range must rise, from above 0"
        )
    if quantity in WHOLE and last - first < count:
        return tuple(range(int(first), int(last) + 1))
    spaced = np.geomspace(first, last, count)[1:-1].tolist()
    inner = {round(v) if quantity in WHOLE else rounded(v, _SHOWN_DIGITS) for v in spaced}
    return tuple(sorted({first, *(value for value in inner if first < value < last), last}))


def rounded(value: float, digits: int) -> float:
    """The nearest number of so many significant digits."""
    return float(f"{value:.{digits}g}")


def rising(quantity: Quantity, values: Sequence[Value]) -> tuple[Value, ...]:
    """The values checked, in rising order, each once.

    Raises
    ------
    BadInputError
        There is none, or one that no cluster may have.
    """
    if not values:
        raise BadInputError(f"{quantity}: no value was given")
    return tuple(sorted({check_value(quantity, value) for value in values}))

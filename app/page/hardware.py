"""A cluster as rows that can be edited, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from app.page.quantities import BANDWIDTH, COMPUTE, MEMORY
from planner.domain.cluster import Cluster, Figure
from planner.errors import BadInputError
from profiles.files import first_problem, one_line

Row = dict[str, Any]
MEMORY_BANDWIDTH_UNIT = "MB/s"
_MOST_ROWS = 64
_TYPED = Figure(key="nodes", origin="assumed", source="typed on the page")


def node_rows(cluster: Cluster, compute_unit: str) -> list[Row]:
    """One row per node: speed in the unit, memory in MB, its bandwidth in MB/s, overhead in ms."""
    return [
        {
            "name": node.name,
            "speed": COMPUTE.from_si(node.macs_per_s, compute_unit),
            "memory": None if node.memory_bytes is None else node.memory_bytes / 1e6,
            "memory_bandwidth": None
            if node.memory_bytes_per_s is None
            else BANDWIDTH.from_si(node.memory_bytes_per_s, MEMORY_BANDWIDTH_UNIT),
            "overhead": node.layer_overhead_s * 1e3,
            "device": node.device_type,
        }
        for node in cluster.nodes
    ]


def link_rows(cluster: Cluster, bandwidth_unit: str) -> list[Row]:
    """One row per link that differs from the common one: bandwidth in the unit, latency in ms."""
    return [
        {
            "from": pair.between[0],
            "to": pair.between[1],
            "bandwidth": BANDWIDTH.from_si(pair.bandwidth_bytes_per_s, bandwidth_unit),
            "latency": pair.latency_s * 1e3,
        }
        for pair in cluster.pair_links
    ]


def edited(rows: Sequence[Row], changes: Mapping[str, Any]) -> list[Row]:
    """Rows after what a table's editor says was changed, added and deleted."""
    new = [dict(row) for row in rows]
    for index, cells in changes.get("edited_rows", {}).items():
        new[int(index)].update(cells)
    deleted = set(changes.get("deleted_rows", ()))
    new = [row for index, row in enumerate(new) if index not in deleted]
    blank = dict.fromkeys(rows[0]) if rows else {}
    return [*new, *({**blank, **row} for row in changes.get("added_rows", ()))]


def build_cluster(
    base: Cluster,
    nodes: Sequence[Row],
    links: Sequence[Row],
    units: tuple[str, str],
    link: tuple[float, float] | None = None,
) -> Cluster:
    """The cluster of edited rows.

    Parameters
    ----------
    base : Cluster
        For everything that the rows do not have.
    nodes, links : sequences of dict
        As `node_rows` and `link_rows` make them. A new row takes over what it leaves open.
    units : (str, str)
        Of bandwidths and of speeds.
    link : (float, float), optional
        Bandwidth in its unit and latency in ms of the common link.

    Raises
    ------
    BadInputError
        One line: which cell, what was found, what is allowed.
    """
    if not 1 <= len(nodes) <= _MOST_ROWS or len(links) > _MOST_ROWS**2:
        raise BadInputError(f"nodes: {len(nodes)} rows; give 1 to {_MOST_ROWS}")
    names = [str(row.get("name") or "") for row in nodes]
    source = base.source_node if base.source_node in names else None
    common = base.link.model_dump()
    if link is not None:
        common = {
            "bandwidth_bytes_per_s": _si(link[0], BANDWIDTH, units[0], "common link"),
            "latency_s": _least(link[1], "latency of the common link") / 1e3,
        }
    fields = {
        **base.model_dump(exclude={"nodes", "link", "pair_links", "figures", "source_node"}),
        "nodes": [_node(row, number, nodes[0], units[1]) for number, row in enumerate(nodes, 1)],
        "link": common,
        "pair_links": [
            {
                "between": (str(row.get("from") or ""), str(row.get("to") or "")),
                "bandwidth_bytes_per_s": _si(
                    row.get("bandwidth"), BANDWIDTH, units[0], f"links, row {number}"
                ),
                "latency_s": _least(row.get("latency") or 0.0, f"links, row {number}") / 1e3,
            }
            for number, row in enumerate(links, 1)
        ],
        "figures": [_TYPED],
        "source_node": source,
    }
    try:
        return Cluster.model_validate(fields)
    except ValidationError as error:
        raise BadInputError(first_problem(error, Cluster)) from error


def _node(row: Row, number: int, first: Row, unit: str) -> dict[str, Any]:
    """A row's node; a new row is like the first one where it says nothing."""
    where = f"nodes, row {number}"
    memory, stream = row.get("memory"), row.get("memory_bandwidth")
    speed = row.get("speed")
    return {
        "name": row.get("name") or f"node-{number}",
        "macs_per_s": _si(first["speed"] if speed is None else speed, COMPUTE, unit, where),
        "memory_bytes": None
        if memory is None
        else round(_si(memory, MEMORY, MEMORY.units[0], where)),
        "memory_bytes_per_s": None
        if stream is None
        else _si(stream, BANDWIDTH, MEMORY_BANDWIDTH_UNIT, where),
        "layer_overhead_s": _least(row.get("overhead") or 0.0, where) / 1e3,
        "device_type": row.get("device") or first.get("device") or "generic",
    }


def _si(value: Any, quantity: Any, unit: str, where: str) -> float:
    number = math.nan if value is None else float(value)
    if not (math.isfinite(number) and number > 0):
        shown = "nothing" if value is None else f"{value:g}"
        raise BadInputError(
            f"{one_line(where)}: found {shown} for {quantity.label}; give {unit} above 0"
        )
    found: float = quantity.to_si(number, unit)
    return found


def _least(value: float, where: str) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise BadInputError(f"{one_line(where)}: found {value:g} ms; give 0 or more")
    return value

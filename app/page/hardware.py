"""A cluster's nodes and links as tables that can be edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from app.page.sheet import Column, Document, Edited, Row, Sheet, blank_of, columns_of
from planner.domain.cluster import Cluster, Link, Node, PairLink
from planner.errors import BadInputError
from profiles.files import first_problem

_MOST_ROWS = 64


def node_sheet(cluster: Cluster, compute_unit: str) -> Sheet:
    """The table of the nodes; a new one is like the first."""

    def like(number: int) -> Document:
        return cluster.nodes[0].model_dump() | {"name": f"node-{number}"}

    return Sheet("nodes", columns_of(Node, (compute_unit,)), blank_of(Node), like)


def link_sheet(bandwidth_unit: str) -> Sheet:
    """The table of the links that differ from the common one, their ends first."""
    columns = sorted(columns_of(PairLink, (bandwidth_unit,)), key=lambda x: not x.is_text)
    return Sheet("links", tuple(columns), blank_of(PairLink))


def link_columns(bandwidth_unit: str) -> tuple[Column, ...]:
    """The fields of the common link."""
    return columns_of(Link, (bandwidth_unit,))


@dataclass(frozen=True)
class EditedCluster:
    """A cluster after an edit, and the rows of links that do not say enough yet."""

    cluster: Cluster
    begun: tuple[Row, ...] = ()


def edit_cluster(
    cluster: Cluster,
    units: tuple[str, str],
    *,
    nodes: Mapping[str, Any] | None = None,
    links: Mapping[str, Any] | None = None,
    begun: Sequence[Row] = (),
    link: Mapping[str, Any] | None = None,
) -> EditedCluster:
    """The cluster after what editors say was changed; nothing else of it changes.

    Parameters
    ----------
    cluster : Cluster
    units : (str, str)
        Of bandwidths and of speeds, in cells.
    nodes, links : mapping, optional
        As Streamlit's editors tell them. Links and the source follow a node's new name.
    begun : sequence of dict
        Rows of links below the cluster's own that did not say enough yet.
    link : mapping, optional
        Cells of the common link, by key.

    Raises
    ------
    BadInputError
        One line: which cell, what was found, what is allowed.
    """
    of_nodes = node_sheet(cluster, units[1]).edit(
        [node.model_dump() for node in cluster.nodes], nodes or {}
    )
    for document, origin in zip(of_nodes.documents, of_nodes.origins, strict=True):
        for rate in ("macs_per_s", "memory_bytes_per_s"):  # those of kinds of operators follow
            if origin is None or document[rate] is None:
                continue
            known = cluster.nodes[origin]
            if document[rate] != getattr(known, rate):
                of_kinds = f"{rate}_by_kind"
                document[of_kinds] = getattr(known.with_figure(rate, document[rate]), of_kinds)
    rows = len(of_nodes.documents)
    if not 1 <= rows <= max(_MOST_ROWS, len(cluster.nodes)):
        raise BadInputError(f"nodes: {rows} rows; give 1 to {_MOST_ROWS}")
    names = _names(cluster, of_nodes)
    pairs = [_renamed(pair.model_dump(), names) for pair in cluster.pair_links]
    of_links = link_sheet(units[0]).edit(pairs, links or {}, begun)
    common = cluster.link.model_dump()
    for column in link_columns(units[0]):
        if link and column.key in link:
            column.put(common, column.read(link[column.key], "common link"))
    fields = cluster.model_dump() | {
        "nodes": of_nodes.documents,
        "link": common,
        "pair_links": of_links.documents,
        "source_node": names.get(cluster.source_node or ""),
    }
    typed_anew = {key for key, value in common.items() if value != getattr(cluster.link, key)}
    changed = {*of_nodes.changed, *of_links.changed, *typed_anew}
    if None in of_nodes.origins or rows < len(cluster.nodes):
        changed.add("nodes")
    typed = {"origin": "assumed", "source": "typed on the page"}
    fields["figures"] = [
        *(figure.model_dump() for figure in cluster.figures if not figure.is_of(changed)),
        *({"key": key, **typed} for key in sorted(changed)),
    ]
    try:
        return EditedCluster(Cluster.model_validate(fields), tuple(of_links.begun))
    except ValidationError as error:
        raise BadInputError(first_problem(error, Cluster)) from error


def edited_name(name: str) -> str:
    """What a cluster is called that is a little different from the one of a name."""
    return name if name.endswith("-edited") else f"{name[:60]}-edited"


def _names(cluster: Cluster, edited: Edited) -> dict[str, str]:
    """What each node that is left is called now."""
    pairs = zip(edited.documents, edited.origins, strict=True)
    return {cluster.nodes[at].name: node["name"] for node, at in pairs if at is not None}


def _renamed(pair: Document, names: Mapping[str, str]) -> Document:
    return pair | {"between": tuple(names.get(end, end) for end in pair["between"])}

"""The view *Hardware*: nodes and links one by one, saved and loaded as cluster files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.page import state, uploads
from app.page.hardware import build_cluster, edited, link_rows, node_rows
from app.page.parameters import OWN_CLUSTER
from app.page.quantities import BANDWIDTH, COMPUTE
from app.page.question import Question
from app.page.show import table
from app.page.side_cluster import cluster_changed
from app.page.store import store
from app.page.text import plain
from app.tables import Table
from planner.domain.cluster import Cluster
from planner.errors import BadInputError
from profiles.files import document_text, read_document

_SHOWN = "hardware"  # what of the store holds the cluster that the tables show
_PROBLEM = "hardware_problem"


@dataclass(frozen=True)
class Shown:
    """The cluster that the tables show, in these units; ``number`` counts tables begun anew."""

    cluster: Cluster
    units: tuple[str, str]
    number: int


def show(question: Question) -> None:
    """Draw the view."""
    shown = _begin(question)
    cluster, units, number = shown.cluster, shown.units, shown.number
    st.caption(
        "What the nodes are, in the units of the side bar. A change makes a cluster of your own, "
        "which the link of this page carries."
    )
    st.subheader("Nodes", anchor=False)
    st.data_editor(
        node_rows(cluster, units[1]),
        key=f"nodes_{number}",
        num_rows="dynamic",
        hide_index=True,
        column_config=_node_columns(units[1]),
        on_change=_changed,
        args=("nodes", number),
    )
    st.subheader("Links", anchor=False)
    left, middle, right = st.columns(3)
    for column, label, key, value, step in (
        (
            left,
            f"Bandwidth of every link ({units[0]})",
            "bandwidth",
            BANDWIDTH.from_si(cluster.link.bandwidth_bytes_per_s, units[0]),
            BANDWIDTH.step,
        ),
        (middle, "Latency of a message (ms)", "latency", cluster.link.latency_s * 1e3, 0.1),
    ):
        column.number_input(
            label,
            min_value=0.0,
            value=value,
            step=step,
            format="%.6g",
            key=f"link_{key}_{number}",
            on_change=_changed,
            args=("link", number),
        )
    right.text_input(
        "Name of the cluster",
        value=cluster.name,
        max_chars=80,
        key=f"name_{number}",
        on_change=_changed,
        args=("name", number),
    )
    st.markdown("Links between two nodes that differ from these:")
    st.data_editor(
        link_rows(cluster, units[0]) or _no_links(),
        key=f"links_{number}",
        num_rows="dynamic",
        hide_index=True,
        column_config=_link_columns(cluster, units[0]),
        on_change=_changed,
        args=("links", number),
    )
    if problem := store().read.get(_PROBLEM):
        st.error(plain(str(problem[1])))
    _files(cluster)
    _figures(cluster)


def _begin(question: Question) -> Shown:
    """The cluster that is asked about; its tables begin anew when it is another."""
    cluster = question.tuned_cluster.model_copy(
        update={
            "medium": question.medium or question.base_cluster.medium,
            "casting": question.casting or question.base_cluster.casting,
        }
    )
    units = (st.session_state[BANDWIDTH.unit_key], st.session_state[COMPUTE.unit_key])
    known = _shown()
    if known is None or (known.cluster, known.units) != (cluster, units):
        known = Shown(cluster, units, known.number + 1 if known else 0)
        store().read[_SHOWN] = (None, known)
        store().read.pop(_PROBLEM, None)
    return known


def _shown() -> Shown | None:
    found = store().read.get(_SHOWN, (None, None))[1]
    return found if isinstance(found, Shown) else None


def _no_links() -> dict[str, list[Any]]:
    return {"from": [], "to": [], "bandwidth": [], "latency": []}


def _node_columns(unit: str) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "name": st.column_config.TextColumn("name", max_chars=80),
        "speed": number(f"speed ({unit})", min_value=0.0, format="%.6g"),
        "memory": number("memory (MB)", min_value=0.0, format="%.6g", help="Empty: no limit."),
        "memory_bandwidth": number(
            "memory bandwidth (MB/s)", min_value=0.0, format="%.6g", help="Empty: not counted."
        ),
        "overhead": number("overhead per layer (ms)", min_value=0.0, format="%.6g"),
        "device": st.column_config.TextColumn(
            "device type", max_chars=80, help="Measured times of this device type apply."
        ),
    }


def _link_columns(cluster: Cluster, unit: str) -> dict[str, Any]:
    names = [node.name for node in cluster.nodes]
    number = st.column_config.NumberColumn
    return {
        "from": st.column_config.SelectboxColumn("node", options=names),
        "to": st.column_config.SelectboxColumn("other node", options=names),
        "bandwidth": number(f"bandwidth ({unit})", min_value=0.0, format="%.6g"),
        "latency": number("latency (ms)", min_value=0.0, format="%.6g"),
    }


def _changed(what: str, number: int) -> None:
    """A cell was edited: the cluster is the visitor's own from here on."""
    kept, chosen, shown = store(), st.session_state, _shown()
    if shown is None:
        return
    cluster, units = shown.cluster, shown.units
    try:
        nodes = edited(node_rows(cluster, units[1]), chosen.get(f"nodes_{number}", {}))
        links = edited(link_rows(cluster, units[0]), chosen.get(f"links_{number}", {}))
        if any(not (row.get("from") and row.get("to") and row.get("bandwidth")) for row in links):
            return  # a new row is still being filled in
        common = (chosen[f"link_bandwidth_{number}"], chosen[f"link_latency_{number}"])
        new = build_cluster(cluster, nodes, links, units, common if what == "link" else None)
        named = (chosen[f"name_{number}"] or cluster.name).strip()
        name = named if named != cluster.name or what == "name" else _own_name(cluster.name)
        _use(new.model_copy(update={"name": name or cluster.name}))
    except BadInputError as error:
        kept.read[_PROBLEM] = (None, str(error))


def _own_name(name: str) -> str:
    return name if name.endswith("-edited") else f"{name[:60]}-edited"


def _use(cluster: Cluster) -> None:
    """Make a cluster the one that is asked about."""
    state.put({"hardware": cluster.model_dump_json(exclude_defaults=True), "cluster": OWN_CLUSTER})
    cluster_changed()
    store().read.pop(_PROBLEM, None)


def _files(cluster: Cluster) -> None:
    """Save the cluster as a preset's file, and load one."""
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        st.download_button(
            "Save as a cluster file",
            document_text(cluster),
            "cluster.json",
            "application/json",
            key="save_cluster",
            on_click="ignore",
            icon=":material/save:",
            help="What --cluster FILE of the command line reads, and the field beside.",
        )
    with right:
        st.file_uploader(
            "Load a cluster file",
            type="json",
            key="cluster_upload",
            max_upload_size=uploads.SMALL_MB,
            on_change=_loaded,
        )


def _loaded() -> None:
    file = st.session_state["cluster_upload"]
    if file is None:
        return
    try:
        _use(read_document(file.getvalue(), Cluster, what=f"cluster {file.name}"))
    except BadInputError as error:
        store().read[_PROBLEM] = (None, str(error))


def _figures(cluster: Cluster) -> None:
    """Where the cluster's numbers come from."""
    st.subheader("Where the numbers come from", anchor=False)
    rows = tuple((figure.key, figure.origin, figure.source) for figure in cluster.figures)
    footer = "Measured: published measurements. Derived: from data sheets. Assumed: a choice."
    table(
        Table("figures", ("figure", "origin", "source"), rows, footer),
        key="table_figures",
        height="content",
    )

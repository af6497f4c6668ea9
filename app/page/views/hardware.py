"""The view *Devices*: nodes and links one by one, saved and loaded as cluster files."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from app.page import state, uploads
from app.page.answer import Answer
from app.page.charts.timeline import memory
from app.page.hardware import edit_cluster, edited_name, link_columns, link_sheet, node_sheet
from app.page.hints import hint
from app.page.sheet import Row
from app.page.sheet_view import draw_problem, draw_sheet, tell_problem
from app.page.show import chart, table
from app.page.store import store
from app.question import Question
from app.tables import Table
from planner.domain.cluster import Cluster
from planner.errors import BadInputError
from profiles.files import document_text, read_document

_SHOWN = "hardware"  # what of the store holds the cluster that the tables show
_BEGUN = "begun_links"  # and what an edit hands on to the tables that follow it
_PLACES = ("nodes", "link", "links", "file")
"""What can be edited, each with a place for its own problem."""

_OF_EVERY_LINK = {
    "bandwidth_bytes_per_s": "Bandwidth of every link",
    "latency_s": "Delay of a message",
}


@dataclass(frozen=True)
class ShownCluster:
    """What the tables show.

    Attributes
    ----------
    cluster : Cluster
    units : (str, str)
        Of bandwidths and of speeds.
    number : int
        Counts tables begun anew.
    begun : tuple of dict
        Rows of links that do not say enough yet.
    known : dict
        By key, what the cells of these tables and of those before them are known to hold. A browser
        that still draws old tables tells all their cells once more, as if they had been edited.
    """

    cluster: Cluster
    units: tuple[str, str]
    number: int
    begun: tuple[Row, ...] = ()
    known: dict[str, Any] = field(default_factory=dict)

    def takes(self, key: str, value: Any) -> bool:
        """Whether a widget's value is news; from now on it is not."""
        news = key not in self.known or self.known[key] != value
        self.known[key] = copy.deepcopy(value)
        return news


def show(question: Question, answer: Answer | None) -> None:
    """Draw the view; an answer says what its plan needs of the nodes."""
    shown = _begin(question)
    cluster, units, number = shown.cluster, shown.units, shown.number
    st.caption(
        "What the nodes are, in the units of the side bar. A change makes a cluster of your own, "
        "which the link of this page carries."
    )
    st.subheader("Nodes", anchor=False)
    draw_sheet(
        node_sheet(cluster, units[1]),
        [node.model_dump() for node in cluster.nodes],
        (),
        key=f"nodes_{number}",
        on_change=_edited,
        args=("nodes", number),
    )
    st.subheader("Links", anchor=False)
    fields = link_columns(units[0])
    *places, last = st.columns(len(fields) + 1)
    for place, column in zip(places, fields, strict=True):
        label = f"{_OF_EVERY_LINK.get(column.key, column.key)} ({column.unit})"
        key, value = f"{column.key}_{number}", float(column.show(cluster.link.model_dump()) or 0.0)
        shown.known.setdefault(key, value)
        place.number_input(
            label,
            min_value=0.0,
            value=value,
            format="%.6g",
            key=key,
            on_change=_edited,
            args=("link", number, column.key),
            help=hint(label),
        )
    draw_problem("link")
    shown.known.setdefault(f"name_{number}", cluster.name)
    last.text_input(
        "Name of the cluster",
        value=cluster.name,
        max_chars=80,
        key=f"name_{number}",
        on_change=_renamed,
        args=(number,),
    )
    st.markdown("Links between two nodes that differ from these:")
    draw_sheet(
        link_sheet(units[0]),
        [pair.model_dump() for pair in cluster.pair_links],
        shown.begun,
        key=f"links_{number}",
        on_change=_edited,
        args=("links", number),
        choices=[node.name for node in cluster.nodes],
    )
    if answer is not None:
        _memory(answer)
    _files(cluster)
    _figures(cluster)


def _begin(question: Question) -> ShownCluster:
    """The cluster that is asked about; its tables begin anew when it is another."""
    cluster = question.tuned_cluster.model_copy(
        update={
            "medium": question.costs.medium or question.base_cluster.medium,
            "casting": question.costs.casting or question.base_cluster.casting,
            "collective": question.costs.collective or question.base_cluster.collective,
        }
    )
    units = (st.session_state.bandwidth_unit, st.session_state.compute_unit)
    known = _shown()
    if known is None or (known.cluster, known.units) != (cluster, units):
        number, told = (known.number + 1, known.known) if known else (0, {})
        known = ShownCluster(cluster, units, number, _take_begun(), told)
        store().read[_SHOWN] = (None, known)
        for place in _PLACES:
            tell_problem(place, "")
    return known


def _take_begun() -> tuple[Row, ...]:
    """The rows that the last edit handed on."""
    found = store().read.pop(_BEGUN, (None, ()))[1]
    return found if isinstance(found, tuple) else ()


def _shown() -> ShownCluster | None:
    found = store().read.get(_SHOWN, (None, None))[1]
    return found if isinstance(found, ShownCluster) else None


def _edited(what: str, number: int, key: str = "") -> None:
    """A cell was edited: the cluster is the visitor's own from here on.

    What another table still holds was refused, or is a row of links that is only begun.
    """
    shown, widget = _shown(), f"{key or what}_{number}"
    value = st.session_state.get(widget)
    if shown is None or not shown.takes(widget, value):
        return
    tell_problem(what, "")
    changes: dict[str, Any] = {what: {key: value} if what == "link" else value}
    begun = shown.begun if what == "links" else _begun(shown)
    try:
        new = edit_cluster(shown.cluster, shown.units, begun=begun, **changes)
    except BadInputError as error:
        tell_problem(what, str(error))
        return
    if new.cluster != shown.cluster:
        store().read[_BEGUN] = (None, new.begun)
        state.use_cluster(new.cluster.model_copy(update={"name": edited_name(shown.cluster.name)}))


def _begun(shown: ShownCluster) -> tuple[Row, ...]:
    """The rows of links that are begun when something else is edited."""
    links = st.session_state.get(f"links_{shown.number}")
    try:
        return edit_cluster(shown.cluster, shown.units, links=links, begun=shown.begun).begun
    except BadInputError:
        return shown.begun


def _renamed(number: int) -> None:
    """The cluster has another name."""
    shown, widget = _shown(), f"name_{number}"
    name = st.session_state[widget]
    if shown is not None and shown.takes(widget, name) and name.strip():
        state.use_cluster(shown.cluster.model_copy(update={"name": name.strip()}))


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
        draw_problem("file")


def _loaded() -> None:
    file = st.session_state["cluster_upload"]
    if file is None:
        return
    try:
        state.use_cluster(read_document(file.getvalue(), Cluster, what=f"cluster {file.name}"))
    except BadInputError as error:
        tell_problem("file", str(error))


def _figures(cluster: Cluster) -> None:
    """Where the cluster's numbers come from."""
    st.subheader("Where the numbers come from", anchor=False)
    rows = tuple((figure.key, figure.origin, figure.source) for figure in cluster.figures)
    footer = "Measured: published measurements. Derived: from data sheets. Assumed: a choice."
    table(
        Table("figures", ("figure", "origin", "where from"), rows, footer),
        key="table_figures",
        height="content",
    )


def _memory(answer: Answer) -> None:
    """Bytes per node against its limit."""
    st.subheader("Memory of each node", anchor=False)
    needed = answer.plan.predicted.memory_bytes
    limits = {node.name: node.memory_bytes for node in answer.case.cluster.nodes}
    known = [name for name in needed if limits.get(name) is not None]
    rows = tuple((name, value, limits.get(name)) for name, value in needed.items())
    chart(
        memory(needed, limits),
        Table("memory", ("node", "memory needed (bytes)", "memory limit (bytes)"), rows),
        "Weights of its part, receive buffers and the most activations alive at once. "
        + ("The mark is the limit. " if known else "No limit is known. ")
        + "Derived by the cost model.",
        key="chart_memory",
        alt="Memory that each node needs, with its limit",
    )

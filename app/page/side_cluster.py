"""The side bar's section about the cluster: which one, how many nodes, and its usual knobs."""

from __future__ import annotations

import streamlit as st

from app.kinds import Amount
from app.page import state
from app.page.address import CONTROLS, chosen_cluster, own_cluster, unit_key
from app.page.controls import draw_control
from app.page.text import plain
from app.settings import OWN_CLUSTER
from planner.domain.cluster import Cluster
from profiles.catalog import cluster_names


def cluster_section() -> None:
    """Draw the section."""
    chosen = st.session_state
    labels = {name: name for name in cluster_names()}
    if chosen.hardware:
        labels[OWN_CLUSTER] = f"{own_cluster(chosen.hardware).name} (own)"
    draw_control(
        "cluster",
        options=tuple(labels),
        format_func=labels.__getitem__,
        on_change=cluster_changed,
    )
    cluster = chosen_cluster(state.values())
    if cluster.description:
        st.caption(plain(cluster.description))
    left, right = st.columns((4, 5), vertical_alignment="bottom")
    draw_control("nodes", left)
    draw_control("node_choice", right, width="stretch")
    also = " Sets links between two nodes as well." if cluster.pair_links else ""
    _draw_amount("bandwidth", also)
    if len({node.macs_per_s for node in cluster.nodes}) == 1:
        _draw_amount("compute")
    else:
        st.caption("The nodes compute at different speeds: see Hardware.")
    draw_control("memory", label="Memory per node (MB)", placeholder=_usual_memory(cluster))
    left, right = st.columns(2)
    draw_control("medium", left, format_func=lambda name: name.replace("_", " "))
    draw_control("casting", right)


def cluster_changed() -> None:
    """Another cluster was chosen: its own figures stand in the section's fields."""
    state.refill("nodes", *(key for key, setting in CONTROLS.items() if setting.preset))


def _draw_amount(key: str, also: str = "") -> None:
    """A number beside the choice of its unit."""
    left, right = st.columns((4, 3), vertical_alignment="bottom")
    control = CONTROLS[key].control
    draw_control(key, left, help=f"{control and control.help}{also}")
    unit = unit_key(CONTROLS[key])
    draw_control(unit, right, on_change=_convert, args=(key, unit), label_visibility="collapsed")


def _convert(key: str, unit: str) -> None:
    """Another unit was chosen: the number changes, the quantity stays."""
    chosen, kind = st.session_state, CONTROLS[key].kind
    assert isinstance(kind, Amount)
    (before,) = (other for other in kind.units if other != chosen[unit])
    chosen[key] = kind.to_control(kind.to_core(chosen[key], before), chosen[unit])


def _usual_memory(cluster: Cluster) -> str:
    """What holds where the field is empty."""
    limits = {node.memory_bytes for node in cluster.nodes}
    if len(limits) > 1:
        return "see Hardware"
    memory = limits.pop()
    shown = CONTROLS["memory"].kind.to_control(memory)
    return "no limit" if memory is None else f"{shown:g} (preset)"

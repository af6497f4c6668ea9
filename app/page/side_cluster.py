"""The side bar's section about the cluster: which one, how many nodes, and its usual knobs."""

from __future__ import annotations

import streamlit as st

from app.page import state
from app.page.parameters import (
    CASTINGS,
    LARGEST,
    MEDIA,
    MOST_NODES,
    NODE_CHOICES,
    OWN_CLUSTER,
    SMALLEST,
    chosen_cluster,
    own_cluster,
)
from app.page.quantities import BANDWIDTH, COMPUTE, MEMORY, Quantity
from app.page.text import plain
from planner.domain.cluster import Cluster
from profiles.catalog import cluster_names

CLUSTER_KEYS = ("nodes", "bandwidth", "compute", "memory", "medium", "casting")


def cluster_section() -> None:
    """Draw the section."""
    chosen = st.session_state
    labels = {name: name for name in cluster_names()}
    if chosen.hardware:
        labels[OWN_CLUSTER] = f"{own_cluster(chosen.hardware).name} (own)"
    st.selectbox(
        "Preset",
        tuple(labels),
        key="cluster",
        format_func=labels.__getitem__,
        on_change=cluster_changed,
        help="Fills in everything in this section. The view Hardware edits nodes and links one "
        "by one, and saves and loads presets.",
        persist_state="session",
    )
    cluster = chosen_cluster(state.values())
    if cluster.description:
        st.caption(plain(cluster.description))
    _node_fields()
    speeds = {node.macs_per_s for node in cluster.nodes}
    _quantity_field(
        BANDWIDTH,
        "Of every node's link, in each direction."
        + (" Sets links between two nodes as well." if cluster.pair_links else ""),
    )
    if len(speeds) == 1:
        help_text = "Speed of every node. 1 MAC (a multiply and an add) = 2 FLOP of a data sheet."
        _quantity_field(COMPUTE, help_text)
    else:
        st.caption("The nodes compute at different speeds: see Hardware.")
    _memory_field(cluster)
    left, right = st.columns(2)
    left.selectbox(
        "Medium",
        MEDIA,
        key="medium",
        format_func=lambda name: name.replace("_", " "),
        help="Full duplex: each direction has B. Half duplex: both share it. "
        "Shared: all nodes share it.",
        persist_state="session",
    )
    right.selectbox(
        "Casting",
        CASTINGS,
        key="casting",
        help="Unicast: every receiver gets its own features. Broadcast: all get the same.",
        persist_state="session",
    )


def cluster_changed() -> None:
    """Another cluster was chosen: its own figures stand in the section's fields."""
    state.refill(*CLUSTER_KEYS)


def _node_fields() -> None:
    left, right = st.columns((4, 5), vertical_alignment="bottom")
    left.number_input(
        "Nodes",
        min_value=1,
        max_value=MOST_NODES,
        step=1,
        key="nodes",
        help="Up to: fewer nodes may work if that is better. Exactly: that many work. More than "
        "the cluster has are copies of its last one.",
        persist_state="session",
    )
    right.segmented_control(
        "How many of the nodes work",
        NODE_CHOICES,
        key="node_choice",
        required=True,
        label_visibility="collapsed",
        width="stretch",
        persist_state="session",
    )


def _quantity_field(quantity: Quantity, help_text: str) -> None:
    left, right = st.columns((4, 3), vertical_alignment="bottom")
    left.number_input(
        quantity.label,
        min_value=SMALLEST,
        max_value=LARGEST,
        step=quantity.step,
        format="%.6g",
        key=quantity.key,
        help=help_text,
        persist_state="session",
    )
    right.selectbox(
        f"Unit of {quantity.label}",
        quantity.units,
        key=quantity.unit_key,
        on_change=_convert,
        args=(quantity,),
        label_visibility="collapsed",
        persist_state="session",
    )


def _convert(quantity: Quantity) -> None:
    """Another unit was chosen: the number changes, the quantity stays."""
    chosen = st.session_state
    unit = chosen[quantity.unit_key]
    (before,) = (other for other in quantity.units if other != unit)
    chosen[quantity.key] = quantity.from_si(quantity.to_si(chosen[quantity.key], before), unit)


def _memory_field(cluster: Cluster) -> None:
    limits = {node.memory_bytes for node in cluster.nodes}
    unit = MEMORY.units[0]
    usual = "no limit"
    if len(limits) > 1:
        usual = "see Hardware"
    elif (memory := limits.pop()) is not None:
        usual = f"{MEMORY.from_si(memory, unit):g} (preset)"
    st.number_input(
        f"{MEMORY.label} ({unit})",
        min_value=SMALLEST,
        max_value=LARGEST,
        value=None,
        step=MEMORY.step,
        format="%.6g",
        key=MEMORY.key,
        placeholder=usual,
        help="Weights, receive buffers and activations must fit. 1 MB = 10⁶ bytes.",
        persist_state="session",
    )

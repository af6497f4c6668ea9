"""The devices that run a model: their chip, with a preset or what the visitor owns."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.page import state
from app.page.address import chosen_cluster, own_cluster
from app.page.controls import draw_control
from app.page.hints import hint
from app.page.show import tell_error
from app.page.text import plain, said
from app.settings import OWN_CLUSTER
from planner.domain.cluster import Cluster
from planner.errors import BadInputError
from profiles.catalog import cluster_names
from profiles.devices import cluster_of, device_names, link_names

_KINDS, _LINK, _PROBLEM = "own_kinds", "own_link", "own_problem"
_USUAL_COUNT, _MOST_COUNT = 2, 64
_LONGEST_NAME = 28  # characters of a cluster on the chip


def devices_chip(place: Any) -> None:
    """Draw what opens the choice of a cluster."""
    chosen = st.session_state
    cluster = chosen_cluster(state.values())
    name = cluster.name
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 1]}…"
    shown = f"Devices: {int(chosen.nodes)} × {said(name)}"
    with place.popover(shown, key="devices_chip", help=hint("Devices")):
        _presets(cluster)
        _owned()


def _presets(cluster: Cluster) -> None:
    chosen = st.session_state
    labels = {name: name for name in cluster_names()}
    if chosen.hardware:
        labels[OWN_CLUSTER] = f"{own_cluster(chosen.hardware).name} (own)"
    draw_control(
        "cluster",
        options=tuple(labels),
        format_func=labels.__getitem__,
        on_change=state.cluster_changed,
    )
    if cluster.description:
        st.caption(plain(cluster.description))


def _owned() -> None:
    """Kinds of devices and a link, which make a cluster as ``planner cluster new`` makes it."""
    chosen = st.session_state
    kinds = st.multiselect(
        "Or the devices that you own",
        device_names(),
        key=_KINDS,
        placeholder="type to search",
        persist_state="session",
        help="Their figures and sources are the catalogue's; the view Devices changes them.",
    )
    for kind in kinds:
        st.number_input(
            f"How many {kind}",
            min_value=1,
            max_value=_MOST_COUNT,
            value=chosen.get(_count_key(kind), _USUAL_COUNT),
            key=_count_key(kind),
            persist_state="session",
        )
    st.selectbox(
        "On which link", link_names(), key=_LINK, persist_state="session", help=hint("link")
    )
    st.button("Use these devices", key="use_owned", on_click=_use_owned, disabled=not kinds)
    if message := chosen.get(_PROBLEM):
        tell_error(message)


def _count_key(kind: str) -> str:
    return f"own_count_{kind}"


def _use_owned() -> None:
    chosen = st.session_state
    counts = [(kind, int(chosen[_count_key(kind)])) for kind in chosen[_KINDS]]
    chosen[_PROBLEM] = ""
    try:
        state.use_cluster(cluster_of(counts, chosen[_LINK]))
    except BadInputError as error:
        chosen[_PROBLEM] = str(error)

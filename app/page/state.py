"""The controls' state: begun from a link, kept for the session, and written back to the address.

Every widget keeps its value for the session (``persist_state``): another view does not draw it,
and a run that a new one interrupts may not reach it.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.kinds import Value
from app.page.address import CONTROLS, defaults, read_link, write_link
from app.page.saved import Restored
from app.page.store import Moment, Pinned, store
from app.settings import OWN_CLUSTER
from planner.domain.cluster import Cluster

READ_BY = ("shapes", "batch", "weight_bits", "one_pass")
"""Controls that say how a model's file is read."""

_BEGUN = "_begun"
_REFUSED = "_refused"


def begin() -> None:
    """Set every control from the address, once for a session."""
    state = st.session_state
    if _BEGUN not in state:
        link = read_link(st.query_params.to_dict())
        put(link.values)
        tell_refused(link.message)
        state[_BEGUN] = True


def refused() -> str:
    """What of a link was refused, in one line; told until a control is changed."""
    message, told_at = st.session_state[_REFUSED]
    if told_at is None:
        told_at = values()
        st.session_state[_REFUSED] = (message, told_at)
    return message if told_at == values() else ""


def tell_refused(message: str) -> None:
    """Say what a link or a saved page asked for in vain."""
    st.session_state[_REFUSED] = (message, None)


def values() -> dict[str, Value]:
    """Every control's value."""
    return {key: x.kind.from_widget(st.session_state[key]) for key, x in CONTROLS.items()}


def put(new: Mapping[str, Value]) -> None:
    """Set controls; before they are drawn, or in a callback."""
    for key, setting in CONTROLS.items():
        if key in new:
            st.session_state[key] = setting.kind.to_widget(new[key])


def refill(*keys: str) -> None:
    """Set some controls to what they are by default."""
    usual = defaults(values())
    put({key: usual[key] for key in keys})


def cluster_changed() -> None:
    """Another cluster was chosen: its own figures stand in its controls."""
    refill("nodes", *(key for key, setting in CONTROLS.items() if setting.preset))


def use_cluster(cluster: Cluster) -> None:
    """Make a cluster of the visitor's own the one that is asked about."""
    put({"hardware": cluster.model_dump_json(exclude_defaults=True), "cluster": OWN_CLUSTER})
    cluster_changed()


def restore(found: Restored) -> None:
    """Bring a saved page back."""
    store().files = found.files
    put(found.link.values)
    tell_refused(found.link.message)


def write_address() -> None:
    """Let the address say what the controls say."""
    query = write_link(values())
    if st.query_params.to_dict() != query:
        st.query_params.from_dict(query)


def go_to(moment: Moment) -> None:
    """Come back to a state that had a plan."""
    put(moment.values)
    kept, file = store(), st.session_state.get("upload")
    kept.files = moment.files
    if file is not None:  # what the field holds is not read again in place of the moment's
        key = (file.file_id, *(moment.values[name] for name in READ_BY))
        kept.read["model"] = (key, None)


def undo() -> None:
    """Come back to the last state that had a plan, or from a good state to the one before."""
    kept = store()
    current = kept.last
    if current is not None and current.values == values() and len(kept.past) > 1:
        kept.past.pop()
    if kept.last is not None:
        go_to(kept.last)


def can_undo() -> bool:
    """Whether there is a state to come back to."""
    kept = store()
    return len(kept.past) > 1 or (kept.last is not None and kept.last.values != values())


def pin() -> None:
    """Keep the last state that had a plan as A."""
    kept = store()
    if kept.last is not None and kept.shown is not None:
        kept.pinned = Pinned(kept.last, kept.shown)


def unpin() -> None:
    """Compare with nothing any more."""
    store().pinned = None


def back_to_pinned() -> None:
    """Come back to A."""
    pinned = store().pinned
    if pinned is not None:
        go_to(pinned.moment)

"""The side bar: every figure that can be turned while its effect is seen beside it."""

from __future__ import annotations

import streamlit as st

from app.glossary import terms
from app.kinds import Number
from app.page import state
from app.page.address import CONTROLS, chosen_cluster, unit_key
from app.page.asking import unlike
from app.page.controls import draw_control, draw_section
from app.page.model_choice import Model, is_of_language, model_fields
from app.page.store import store
from app.page.text import plain
from app.setting import ASKED
from app.settings import asked_of
from app.workload_settings import WORKLOAD
from planner.domain.cluster import Cluster


def side_bar() -> Model:
    """Draw the controls; the model, whose file is among them.

    The model is read first: whether it is a language model says which controls stand above it.
    """
    with st.sidebar:
        above, below = st.container(), st.container()
    with below:
        model = model_fields()
        _glossary()
    with above:
        _controls(is_language=is_of_language(model))
    return model


def _controls(*, is_language: bool) -> None:
    """What stands above the model: of a prompt and its answer, or of one forward pass."""
    _buttons()
    _cluster()
    if is_language:
        with st.expander(ASKED, expanded=True, key="asked_open"):
            _asked()
    with st.expander("Links and messages", key="links_open"):
        left, right = st.columns(2)
        draw_control("medium", left, format_func=lambda name: name.replace("_", " "))
        draw_control("casting", right)
        draw_control("collective")
        draw_control("shares")
        draw_section("conventions", asked_of(is_language))
    with st.expander("Stages" if is_language else "Ways and stages", key="more_open"):
        draw_control("parallelism")
        if not is_language:
            draw_control("cut_at")
            draw_control("ways")
            draw_section("limits", asked_of(is_language))


def _asked() -> None:
    """What a language model is asked, two controls beside each other."""
    for at in range(0, len(WORKLOAD), 2):
        places = st.columns(2, vertical_alignment="bottom")
        for setting, place in zip(WORKLOAD[at : at + 2], places, strict=False):
            draw_control(setting.key, place)


def _glossary() -> None:
    """Every term in words, once somebody looks them up."""
    place = st.popover(
        "Glossary",
        key="glossary",
        icon=":material/menu_book:",
        type="tertiary",
        on_change="rerun",
    )
    if place.open:
        for name, meaning in terms().items():
            place.markdown(f"**{plain(name)}**: {meaning}")


def _cluster() -> None:
    cluster = chosen_cluster(state.values())
    left, right = st.columns((4, 5), vertical_alignment="bottom")
    draw_control("nodes", left)
    draw_control("node_choice", right, width="stretch")
    also = " Sets links between two nodes as well." if cluster.pair_links else ""
    _draw_amount("bandwidth", also)
    hidden = unlike(cluster)
    if "macs_per_s" not in hidden:
        _draw_amount("compute")
    if "memory_bytes" not in hidden:
        draw_control("memory", label="Memory per node (MB)", placeholder=_usual_memory(cluster))
    if hidden:
        what = " and ".join(_UNLIKE[field] for field in hidden)
        st.caption(f"The nodes {what}: see the view Devices.")


_UNLIKE = {
    "macs_per_s": "compute at different speeds",
    "memory_bytes": "have different memory",
}


def _draw_amount(key: str, also: str = "") -> None:
    """A number beside the choice of its unit."""
    left, right = st.columns((4, 3), vertical_alignment="bottom")
    draw_control(key, left, help=f"{CONTROLS[key].help}{also}")
    unit = unit_key(CONTROLS[key])
    draw_control(unit, right, on_change=_convert, args=(key, unit), label_visibility="collapsed")


def _convert(key: str, unit: str) -> None:
    """Another unit was chosen: the number changes, the quantity stays."""
    chosen, kind = st.session_state, CONTROLS[key].kind
    assert isinstance(kind, Number)
    (before,) = (other for other in kind.units if other != chosen[unit])
    chosen[key] = kind.to_control(kind.to_core(chosen[key], before), chosen[unit])


def _usual_memory(cluster: Cluster) -> str:
    """What holds where the field is empty."""
    memory = cluster.nodes[0].memory_bytes
    shown = CONTROLS["memory"].kind.to_control(memory)
    return "no limit" if memory is None else f"{shown:g} (preset)"


def _buttons() -> None:
    """Undo, and pinning a plan as A."""
    left, right = st.columns(2)
    left.button(
        "Undo",
        icon=":material/undo:",
        on_click=state.undo,
        key="undo",
        disabled=not state.can_undo(),
        help="Back to the state before, or to the last one that had a plan.",
        width="stretch",
    )
    right.button(
        "Pin as A",
        icon=":material/keep:",
        on_click=state.pin,
        key="pin",
        help="Keep this plan as A, and see every other one, B, beside it.",
        width="stretch",
    )
    if store().pinned is not None:
        left.button("Back to A", on_click=state.back_to_pinned, key="to_pinned", width="stretch")
        right.button("Unpin", on_click=state.unpin, key="unpin", width="stretch")

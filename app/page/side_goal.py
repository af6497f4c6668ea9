"""The side bar's section about the plan: what it is to reach, and what it may cost."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.inputs import Accuracy
from app.page import state, uploads
from app.page.address import own_curve
from app.page.controls import draw_control, draw_section
from app.page.store import File, Same, store
from app.page.text import plain
from app.settings import CSV_FILE, ENERGY_FILE, NO_MODEL
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError

_FILES = {
    CSV_FILE: ("own sensitivities (CSV)", ("csv",), "layer,sparsity,loss", uploads.SMALL_MB),
    ENERGY_FILE: (
        "own weights (L1 energy)",
        ("safetensors", "onnx"),
        "The weights of this very model",
        256,
    ),
}


def goal_section(profile: ModelProfile | None) -> tuple[str | None, Accuracy | None]:
    """Draw the section; the kind and the accuracy model of a file of the visitor's, if any."""
    own = _accuracy_fields(profile)
    draw_control("objective")
    with st.expander("Limits and conventions", key="more_open"):
        draw_section("limits")
        draw_control("parallelism")
        draw_section("conventions")
    return own


def _accuracy_fields(profile: ModelProfile | None) -> tuple[str | None, Accuracy | None]:
    chosen = st.session_state
    published = own_curve(state.values())
    draw_control("accuracy", format_func=lambda name: _curve_name(name, published))
    found: tuple[str | None, Accuracy | None] = (None, None)
    kind = chosen.accuracy
    if kind in _FILES:
        found = _own_accuracy(kind, profile)
    elif kind != NO_MODEL:
        draw_control("rule", format_func=_rule_words)
        if kind != published:
            st.caption("Assumed: it was published for another model.")
    if kind == ENERGY_FILE:
        draw_control("energy_limit")
    elif kind != NO_MODEL:
        draw_control("limit")
    else:
        draw_control("limit", disabled=True, help="Needs an accuracy model.")
    return found


def _own_accuracy(kind: str, profile: ModelProfile | None) -> tuple[str | None, Accuracy | None]:
    """The field for a file, and what it holds for this model."""
    label, types, words, most_mb = _FILES[kind]
    file = st.file_uploader(
        label.capitalize(), type=types, key=f"{kind}_upload", max_upload_size=most_mb, help=words
    )
    kept = store()
    known = kept.files.accuracy.get(kind)
    if file is not None and (known is None or known.token != file.file_id):
        known = File(file.name, file.getvalue(), file.file_id)
        kept.files = replace(kept.files, accuracy={**kept.files.accuracy, kind: known})
    if known is None or profile is None:
        st.caption("Without the file there is no accuracy model.")
        return None, None
    try:
        model = kept.once(
            "accuracy",
            Same(known, profile),
            lambda: uploads.read_accuracy(kind, known, profile),
        )
    except BadInputError as error:
        st.error(plain(str(error)))
        return None, None
    return f"{kind}:{known.name}", model


def _curve_name(name: str, published: str | None) -> str:
    if name in _FILES:
        return _FILES[name][0]
    return f"{name} (published)" if name == published else name


def _rule_words(rule: str) -> str:
    measure, _, squares = rule.partition("-")
    words = {"equal": "equal shares", "macs": "MACs"}.get(measure, measure)
    return f"{words}, squares add up" if squares else words

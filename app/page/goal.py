"""The goal of a plan: its chip, with what may be lost and which limits hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from app.page import state, uploads
from app.page.address import own_curve
from app.page.controls import draw_control
from app.page.hints import hint
from app.page.model_choice import kept_file
from app.page.show import tell_error
from app.page.store import Same, store
from app.settings import CSV_FILE, ENERGY_FILE, NO_MODEL
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.accuracy import Accuracy

_FILES = {
    CSV_FILE: ("own sensitivities (CSV)", ("csv",), "layer,sparsity,loss", uploads.SMALL_MB),
    ENERGY_FILE: (
        "own weights (L1 energy)",
        ("safetensors", "onnx"),
        "The weights of this very model",
        256,
    ),
}


@dataclass(frozen=True)
class OwnAccuracy:
    """The accuracy model of a file of the visitor's: its kind, and itself once it is read."""

    kind: str | None = None
    model: Accuracy | None = None


def goal_chip(place: Any, profile: ModelProfile | None) -> OwnAccuracy:
    """Draw what opens the choice of a goal; the accuracy model of the visitor's own, if any."""
    shown = f"Goal: {_words()}"
    with place.popover(shown, key="goal_chip", help=hint(shown)):
        draw_control("objective")
        own = _accuracy(profile)
        draw_control("max_latency")
        draw_control("min_throughput")
    return own


def _words() -> str:
    """The goal in a few words."""
    chosen = st.session_state
    goal = "least latency" if chosen.objective == "latency" else "most throughput"
    if chosen.accuracy == ENERGY_FILE and chosen.energy_limit:
        return f"{goal}, {chosen.energy_limit:.3g} pruned"
    if chosen.accuracy not in (NO_MODEL, ENERGY_FILE) and chosen.limit:
        return f"{goal}, {chosen.limit:.3g} points"
    return goal


def _accuracy(profile: ModelProfile | None) -> OwnAccuracy:
    chosen = st.session_state
    published = own_curve(state.values())
    draw_control("accuracy", format_func=lambda name: _curve_name(name, published))
    found = OwnAccuracy()
    kind = chosen.accuracy
    if kind in _FILES:
        found = _from_file(kind, profile)
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


def _from_file(kind: str, profile: ModelProfile | None) -> OwnAccuracy:
    """The field for a file, and what it holds for this model."""
    label, types, words, most_mb = _FILES[kind]
    file = st.file_uploader(
        label.capitalize(), type=types, key=f"{kind}_upload", max_upload_size=most_mb, help=words
    )
    kept = store()
    known = kept.files.accuracy.get(kind)
    given = kept_file(known, file)
    if given is not None and given is not known:
        known = given
        kept.files = replace(kept.files, accuracy={**kept.files.accuracy, kind: known})
    if known is None or profile is None:
        st.caption("Without the file there is no accuracy model.")
        return OwnAccuracy()
    try:
        model = kept.once(
            "accuracy", Same(known, profile), lambda: uploads.read_accuracy(kind, known, profile)
        )
    except BadInputError as error:
        tell_error(error)
        return OwnAccuracy()
    return OwnAccuracy(f"{kind}:{known.name}", model)


def _curve_name(name: str, published: str | None) -> str:
    if name in _FILES:
        return _FILES[name][0]
    return f"{name} (published)" if name == published else name


def _rule_words(rule: str) -> str:
    measure, _, squares = rule.partition("-")
    words = {"equal": "equal shares", "macs": "MACs"}.get(measure, measure)
    return f"{words}, squares add up" if squares else words

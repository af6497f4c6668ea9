"""The side bar's section about the plan: what it is to reach, and what it may cost."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.inputs import Accuracy
from app.page import state, uploads
from app.page.parameters import (
    CSV_FILE,
    ENERGY_FILE,
    NO_MODEL,
    OBJECTIVES,
    PARALLELISMS,
    SMALLEST,
    own_curve,
)
from app.page.store import File, Same, store
from app.page.text import plain
from planner.accuracy.spreading import SPREADING_RULES
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.catalog import curve_names

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
    st.segmented_control(
        "Objective",
        OBJECTIVES,
        key="objective",
        required=True,
        help="Least time for one input, or most inputs per second in steady state.",
        persist_state="session",
    )
    with st.expander("Limits and conventions", key="more_open"):
        _limits()
        _conventions()
    return own


def _accuracy_fields(profile: ModelProfile | None) -> tuple[str | None, Accuracy | None]:
    chosen = st.session_state
    published = own_curve(state.values())
    st.selectbox(
        "Accuracy model",
        (NO_MODEL, *curve_names(), *_FILES),
        key="accuracy",
        format_func=lambda name: _curve_name(name, published),
        help="What sparsity costs in accuracy. Without one nothing limits the sparsity.",
        persist_state="session",
    )
    found: tuple[str | None, Accuracy | None] = (None, None)
    kind = chosen.accuracy
    if kind in _FILES:
        found = _own_accuracy(kind, profile)
    elif kind != NO_MODEL:
        st.selectbox(
            "Spread over the layers by",
            SPREADING_RULES,
            key="rule",
            format_func=_rule_words,
            help="An assumption: the curve was measured for the whole network on two nodes.",
            persist_state="session",
        )
        if kind != published:
            st.caption("Assumed: it was published for another model.")
    if kind == ENERGY_FILE:
        st.number_input(
            "Energy limit (share pruned)",
            min_value=0.0,
            max_value=1.0,
            step=0.05,
            format="%.4g",
            key="energy_limit",
            help="Share of the weights' L1 mass that may be pruned; it says nothing in points.",
            persist_state="session",
        )
    else:
        known = kind != NO_MODEL
        st.number_input(
            "Accuracy limit (points lost)",
            min_value=0.0,
            max_value=1e6,
            step=0.1,
            format="%.4g",
            key="limit",
            disabled=not known,
            help="Points of the task's metric." if known else "Needs an accuracy model.",
            persist_state="session",
        )
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


def _limits() -> None:
    for label, key, step, words in (
        ("Latency limit (ms)", "max_latency", 10.0, "Seconds for one input, at most."),
        ("Throughput limit (inputs/s)", "min_throughput", 1.0, "Inputs per second, at least."),
    ):
        st.number_input(
            label,
            min_value=SMALLEST,
            max_value=1e9,
            value=None,
            step=step,
            format="%.6g",
            key=key,
            placeholder="none",
            help=words,
            persist_state="session",
        )
    st.selectbox(
        "Parallelism",
        PARALLELISMS,
        key="parallelism",
        help="Within-layer: one stage on all nodes. Pipeline: one node a stage. Hybrid: anything "
        "between, the best of all.",
        persist_state="session",
    )


def _conventions() -> None:
    for label, key, words in (
        (
            "Overlap communication and computation",
            "overlap",
            "A layer then takes the longer of the two, not their sum.",
        ),
        (
            "Share transmissions",
            "share_inputs",
            "Layers that read one tensor share its transmission.",
        ),
        ("Count the input", "count_input", "Charge sending the input to the nodes."),
        ("Count the output", "count_output", "Charge sending the output back to the source."),
    ):
        st.toggle(label, key=key, help=words, persist_state="session")

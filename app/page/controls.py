"""The side bar: every control, and the question that they ask together.

Every widget keeps its state for the session: a run that a new upload interrupts must not reset
those that it did not reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.page.quantities import BANDWIDTH, COMPUTE, MEMORY, Quantity
from app.page.question import Question
from app.page.text import plain
from app.page.uploads import read_upload, wants_shapes
from planner.accuracy.spreading import DEFAULT_RULE, SPREADING_RULES
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import DEFAULT_MAX_ACCURACY_DROP
from planner.errors import BadInputError
from profiles.catalog import (
    cluster_names,
    curve_for_model,
    curve_names,
    load_cluster,
    load_model,
    model_names,
)

DEFAULT_MODEL = "resnet50"
DEFAULT_CLUSTER = "small-nodes"
DEFAULT_NODES = 4
MOST_NODES = 16
NO_MODEL = "none"
_SOURCES = ("Catalogue", "ONNX file")
_SMALLEST = 1e-6  # of a bandwidth or speed, in the unit that is shown


@dataclass(frozen=True)
class Asked:
    """The question and its model; without a model, a message that says why.

    ``catalogue_model`` is null for an upload. ``is_error``: should there be no plan, something
    is wrong, and not merely missing.
    """

    question: Question
    profile: ModelProfile | None
    catalogue_model: str | None
    message: str
    is_error: bool


def side_bar() -> Asked:
    """Draw the controls and read them."""
    state = st.session_state
    if "cluster" not in state:
        state.source, state.model, state.cluster = _SOURCES[0], DEFAULT_MODEL, DEFAULT_CLUSTER
        _fill_from_cluster()
        _fill_from_model()
    with st.sidebar:
        st.subheader("Model")
        is_upload = _source_is_upload()
        profile, message = _uploaded_model() if is_upload else (_catalogue_model(), "")
        st.subheader("Cluster")
        cluster = _cluster()
        st.subheader("Plan")
        accuracy_model, limit = _accuracy()
        st.segmented_control(
            "Objective",
            ("latency", "throughput"),
            key="objective",
            default="latency",
            required=True,
            help="Least time for one input, or most inputs per second in steady state.",
            persist_state="session",
        )
        st.toggle(
            "Overlap communication and computation",
            key="overlap",
            help="A layer then takes the longer of the two, not their sum.",
            persist_state="session",
        )
    question = Question(
        cluster=state.cluster,
        nodes=state.nodes,
        exactly=state.node_choice == "exactly",
        bandwidth_bytes_per_s=BANDWIDTH.read(cluster.link.bandwidth_bytes_per_s),
        macs_per_s=COMPUTE.read(cluster.nodes[0].macs_per_s),
        memory_bytes=_memory_bytes(cluster),
        medium=None if state.medium == cluster.medium else state.medium,
        casting=None if state.casting == cluster.casting else state.casting,
        overlap=state.overlap,
        objective=state.objective,
        accuracy_model=accuracy_model,
        max_accuracy_drop=limit,
    )
    return Asked(
        question,
        profile,
        catalogue_model=None if is_upload else state.model,
        message=message or "Choose an .onnx file in the side bar.",
        is_error=profile is not None or bool(message),
    )


def _source_is_upload() -> bool:
    st.segmented_control(
        "Where the model comes from",
        _SOURCES,
        key="source",
        required=True,
        on_change=_fill_from_model,
        label_visibility="collapsed",
        width="stretch",
        persist_state="session",
    )
    return bool(st.session_state.source == _SOURCES[1])


def _catalogue_model() -> ModelProfile:
    st.selectbox(
        "Catalogue model",
        model_names(),
        key="model",
        on_change=_fill_from_model,
        persist_state="session",
    )
    return load_model(st.session_state.model)


def _uploaded_model() -> tuple[ModelProfile | None, str]:
    """The upload's profile, or a message; both are empty without a file."""
    file = st.file_uploader(
        "ONNX file",
        type="onnx",
        key="upload",
        on_change=_forget_shapes,
        help="Read on this machine, in a process with limits; forgotten with your session.",
    )
    if file is None:
        return None, ""
    shapes = st.session_state.setdefault("shapes", "")
    profile, message = None, ""
    try:
        profile = read_upload(file, shapes)
    except BadInputError as error:
        message = str(error)
    if shapes or wants_shapes(message):
        st.text_input(
            "Input shapes",
            key="shapes",
            placeholder="image=1,3,224,224",
            help="NAME=DIM,DIM,… for every input with open dimensions, parted by spaces "
            "(--input-shape on the command line).",
            persist_state="session",
        )
    return profile, message


def _forget_shapes() -> None:
    st.session_state.shapes = ""


def _cluster() -> Cluster:
    state = st.session_state
    st.selectbox(
        "Preset",
        cluster_names(),
        key="cluster",
        on_change=_fill_from_cluster,
        help="Fills in everything in this section.",
        persist_state="session",
    )
    cluster = load_cluster(state.cluster)
    if cluster.description:
        st.caption(plain(cluster.description))
    left, right = st.columns((4, 5), vertical_alignment="bottom")
    left.number_input(
        "Nodes",
        min_value=1,
        max_value=MOST_NODES,
        step=1,
        key="nodes",
        help="Up to: fewer nodes may work if that is better. Exactly: every node works.",
        persist_state="session",
    )
    right.segmented_control(
        "How many of the nodes work",
        ("up to", "exactly"),
        key="node_choice",
        default="up to",
        required=True,
        label_visibility="collapsed",
        width="stretch",
        persist_state="session",
    )
    _quantity_field(BANDWIDTH, "Of every node's link, in each direction.")
    _quantity_field(
        COMPUTE,
        "Speed of every node. 1 MAC (a multiply and an add) = 2 FLOP of a data sheet.",
    )
    memory = cluster.nodes[0].memory_bytes
    unit = MEMORY.units[0]
    st.number_input(
        f"{MEMORY.label} ({unit})",
        min_value=_SMALLEST,
        value=None,
        step=MEMORY.step,
        format="%.6g",
        key=MEMORY.key,
        placeholder=(
            "no limit" if memory is None else f"{MEMORY.from_si(memory, unit):g} (preset)"
        ),
        help="Weights, receive buffers and activations must fit. 1 MB = 10⁶ bytes.",
        persist_state="session",
    )
    left, right = st.columns(2)
    left.selectbox(
        "Medium",
        ("full_duplex", "half_duplex", "shared"),
        key="medium",
        format_func=lambda name: name.replace("_", " "),
        help="Full duplex: each direction has B. Half duplex: both share it. "
        "Shared: all nodes share it.",
        persist_state="session",
    )
    right.selectbox(
        "Casting",
        ("unicast", "broadcast"),
        key="casting",
        help="Unicast: every receiver gets its own features. Broadcast: all get the same.",
        persist_state="session",
    )
    return cluster


def _accuracy() -> tuple[str | None, float | None]:
    """The accuracy model as the command line names it, and the limit."""
    state = st.session_state
    own = _own_curve()
    st.selectbox(
        "Accuracy model",
        (NO_MODEL, *curve_names()),
        key="accuracy",
        format_func=lambda name: "none" if name == NO_MODEL else _curve_name(name, own),
        help="What sparsity costs in accuracy. Without one nothing limits the sparsity.",
        persist_state="session",
    )
    chosen = state.accuracy != NO_MODEL
    if chosen:
        st.selectbox(
            "Spread over the layers by",
            SPREADING_RULES,
            key="rule",
            persist_state="session",
            format_func=_rule_words,
            help="An assumption: the curve was measured for the whole network on two nodes.",
        )
        if state.accuracy != own:
            st.caption("Assumed: it was published for another model.")
    st.number_input(
        "Accuracy limit (points lost)",
        min_value=0.0,
        value=DEFAULT_MAX_ACCURACY_DROP,
        step=0.1,
        format="%.4g",
        key="limit",
        disabled=not chosen,
        help="Points of the task's metric." if chosen else "Needs an accuracy model.",
        persist_state="session",
    )
    if not chosen:
        return NO_MODEL, None
    return f"curve:{state.accuracy}/{state.rule}", state.limit


def _rule_words(rule: str) -> str:
    measure, _, squares = rule.partition("-")
    words = {"equal": "equal shares", "macs": "MACs"}.get(measure, measure)
    return f"{words}, squares add up" if squares else words


def _quantity_field(quantity: Quantity, help_text: str) -> None:
    left, right = st.columns((4, 3), vertical_alignment="bottom")
    left.number_input(
        quantity.label,
        min_value=_SMALLEST,
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
        on_change=quantity.convert,
        label_visibility="collapsed",
        persist_state="session",
    )


def _memory_bytes(cluster: Cluster) -> int | None:
    typed = st.session_state[MEMORY.key]
    if typed is None:
        return None
    found = round(MEMORY.to_si(typed, MEMORY.units[0]))
    return None if found == cluster.nodes[0].memory_bytes else found


def _own_curve() -> str | None:
    """The curve published for the chosen catalogue model; an upload's name proves nothing."""
    state = st.session_state
    curve = curve_for_model(state.model) if state.source == _SOURCES[0] else None
    return curve.name if curve else None


def _curve_name(name: str, own: str | None) -> str:
    return f"{name} (published)" if name == own else name


def _fill_from_model() -> None:
    st.session_state.accuracy = _own_curve() or NO_MODEL
    st.session_state.rule = DEFAULT_RULE


def _fill_from_cluster() -> None:
    state: Any = st.session_state
    cluster = load_cluster(state.cluster)
    BANDWIDTH.write(cluster.link.bandwidth_bytes_per_s)
    COMPUTE.write(cluster.nodes[0].macs_per_s)
    memory = cluster.nodes[0].memory_bytes
    state[MEMORY.key] = None if memory is None else MEMORY.from_si(memory, MEMORY.units[0])
    state.nodes = min(DEFAULT_NODES, len(cluster.nodes))
    state.medium, state.casting = cluster.medium, cluster.casting

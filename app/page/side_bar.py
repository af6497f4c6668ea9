"""The side bar: every control, and the question that they ask together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.kinds import Number
from app.page import state, uploads
from app.page.address import CONTROLS, chosen_cluster, own_cluster, own_curve, unit_key
from app.page.answer import Answer, catalogue_answer, catalogue_profile
from app.page.asking import question_of
from app.page.controls import draw_control, draw_section
from app.page.show import tell_error
from app.page.store import File, Same, store
from app.page.text import plain
from app.page.uploads import read_shapes
from app.question import Question
from app.serve import MAX_UPLOAD_MB
from app.settings import CATALOGUE, CSV_FILE, ENERGY_FILE, FILE, NO_MODEL, OWN_CLUSTER
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.quantise import with_weight_bits
from planner.reshape import at_input_shapes
from profiles.accuracy import Accuracy
from profiles.catalog import cluster_names

_LABELS = {CATALOGUE: "Catalogue", FILE: "Own file"}


@dataclass(frozen=True)
class Model:
    """What is to be planned; without a profile, why there is none.

    ``catalogue_model`` is null where a file of the visitor's had a part in it.
    """

    profile: ModelProfile | None
    catalogue_model: str | None = None
    message: str = ""


def model_section() -> Model:
    """Draw the section and read it."""
    draw_control(
        "source", format_func=_LABELS.__getitem__, on_change=_source_changed, width="stretch"
    )
    found = _from_file() if st.session_state.source == FILE else _from_catalogue()
    return _with_times(found)


def _source_changed() -> None:
    state.refill("shapes", "batch", "weight_bits", "accuracy", "rule")


def _from_catalogue() -> Model:
    chosen = st.session_state
    draw_control("model", on_change=_source_changed)
    if chosen.shapes or chosen.batch or chosen.weight_bits:
        _shape_fields()
    else:
        with st.expander("Input shapes and weights", key="shapes_open"):
            _shape_fields()
    try:
        shapes = tuple(uploads.read_shapes(chosen.shapes).items())
        profile = catalogue_profile(chosen.model, shapes, chosen.batch, chosen.weight_bits)
    except BadInputError as error:
        return Model(None, message=str(error))
    return Model(profile, chosen.model)


def _from_file() -> Model:
    file = st.file_uploader(
        "Model file",
        type=uploads.MODEL_TYPES,
        key="upload",
        on_change=_model_file_changed,
        max_upload_size=MAX_UPLOAD_MB,
        help="ONNX, .pt2, a Hugging Face config.json or a saved profile. Read on this machine, "
        "in a process with limits; forgotten with your session.",
    )
    kept, chosen = store(), st.session_state
    if file is None and kept.files.profile is None:
        return Model(None)
    message, profile = "", kept.files.profile
    if file is None:
        profile, message = _reshaped(profile)
    else:
        key = (file.file_id, chosen.shapes, chosen.batch, chosen.weight_bits)
        found = kept.once("model", key, lambda: _read(file))
        if isinstance(found, str):
            message = found
        elif found is not None:
            kept.files = replace(kept.files, profile=found)
            kept.read["model"] = (key, None)  # the profile is where undo looks for it
        profile = kept.files.profile
    if chosen.shapes or chosen.batch or chosen.weight_bits or uploads.wants_shapes(message):
        _shape_fields()
    elif not message:
        with st.expander("Input shapes and weights", key="shapes_open"):
            _shape_fields()
    return Model(None if message else profile, message=message)


def _reshaped(profile: ModelProfile | None) -> tuple[ModelProfile | None, str]:
    """A saved page's profile at the shapes that are asked for, or why it cannot have them."""
    if profile is None:
        return None, ""
    chosen, kept = st.session_state, store()
    try:
        shapes = uploads.read_shapes(chosen.shapes)
        key = (Same(profile), chosen.shapes, chosen.batch, chosen.weight_bits)
        make = partial(_changed, profile, shapes or None, chosen.batch, chosen.weight_bits)
        return kept.once("reshaped", key, make), ""
    except BadInputError as error:
        return None, str(error)


def _changed(
    profile: ModelProfile,
    shapes: dict[str, tuple[int, ...]] | None,
    batch: int | None,
    weight_bits: float | None,
) -> ModelProfile:
    return with_weight_bits(at_input_shapes(profile, shapes, batch), weight_bits)


def _model_file_changed() -> None:
    store().files = replace(store().files, profile=None)
    state.refill("shapes", "batch", "weight_bits")


def _read(file: UploadedFile) -> ModelProfile | str:
    with st.spinner("Reading the file …"):
        try:
            given = File(file.name, file.getvalue())
            chosen = st.session_state
            return uploads.read_model(given, chosen.shapes, chosen.batch, chosen.weight_bits)
        except BadInputError as error:
            return str(error)


def _shape_fields() -> None:
    draw_control("shapes")
    draw_control("batch")
    draw_control("weight_bits")


def _with_times(found: Model) -> Model:
    """The model with the measured times that the visitor brought."""
    if found.profile is None:
        return found
    kept, profile = store(), found.profile
    with st.expander("Measured times", key="times_open"):
        file = st.file_uploader(
            "Seconds per layer",
            type=uploads.TIMES_TYPES,
            key="times_upload",
            max_upload_size=uploads.SMALL_MB,
            help="CSV with layer,device_type,seconds (or JSON). They take the place of derived "
            "times on nodes of that device type.",
        )
        times = _kept_file(kept.files.times, file)
        if times is not kept.files.times:
            kept.files = replace(kept.files, times=times)
        if times is None:
            return found
        try:
            timed = kept.once(
                "times", Same(times, profile), lambda: uploads.with_times(profile, times)
            )
        except BadInputError as error:
            tell_error(error)
            return found
        layers = sum(bool(layer.measured_s) for layer in timed.layers)
        st.caption(f"{layers} of {len(timed.layers)} layers have measured times.")
    return Model(timed, message=found.message)


def _kept_file(known: File | None, file: UploadedFile | None) -> File | None:
    """The same object for the same upload, so that nothing is read twice."""
    if file is None:
        return None
    if known is not None and known.token == file.file_id:
        return known
    return File(file.name, file.getvalue(), file.file_id)


def cluster_section() -> None:
    """Draw the section."""
    chosen = st.session_state
    labels = {name: name for name in cluster_names()}
    if chosen.hardware:
        labels[OWN_CLUSTER] = f"{own_cluster(chosen.hardware).name} (own)"
    draw_control(
        "cluster", options=tuple(labels), format_func=labels.__getitem__, on_change=cluster_changed
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
    draw_control("collective")
    draw_control("shares")


def cluster_changed() -> None:
    """Another cluster was chosen: its own figures stand in the section's fields."""
    state.refill("nodes", *(key for key, setting in CONTROLS.items() if setting.preset))


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
    limits = {node.memory_bytes for node in cluster.nodes}
    if len(limits) > 1:
        return "see Hardware"
    memory = limits.pop()
    shown = CONTROLS["memory"].kind.to_control(memory)
    return "no limit" if memory is None else f"{shown:g} (preset)"


_ACCURACY_FILES = {
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
        draw_control("cut_at")
        draw_control("ways")
        draw_section("conventions")
    return own


def _accuracy_fields(profile: ModelProfile | None) -> tuple[str | None, Accuracy | None]:
    chosen = st.session_state
    published = own_curve(state.values())
    draw_control("accuracy", format_func=lambda name: _curve_name(name, published))
    found: tuple[str | None, Accuracy | None] = (None, None)
    kind = chosen.accuracy
    if kind in _ACCURACY_FILES:
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
    label, types, words, most_mb = _ACCURACY_FILES[kind]
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
            "accuracy", Same(known, profile), lambda: uploads.read_accuracy(kind, known, profile)
        )
    except BadInputError as error:
        tell_error(error)
        return None, None
    return f"{kind}:{known.name}", model


def _curve_name(name: str, published: str | None) -> str:
    if name in _ACCURACY_FILES:
        return _ACCURACY_FILES[name][0]
    return f"{name} (published)" if name == published else name


def _rule_words(rule: str) -> str:
    measure, _, squares = rule.partition("-")
    words = {"equal": "equal shares", "macs": "MACs"}.get(measure, measure)
    return f"{words}, squares add up" if squares else words


@dataclass(frozen=True)
class Chosen:
    """The question and its model; without a model, why there is none."""

    question: Question
    model: Model
    own_accuracy: Accuracy | None = None

    @property
    def is_missing(self) -> bool:
        """Whether a file is merely awaited."""
        return self.model.profile is None and not self.model.message

    @property
    def message(self) -> str:
        """Why there is no model."""
        return self.model.message or "Choose a model file in the side bar."

    def answer(self) -> Answer | None:
        """The answer, nothing of it worked out yet; none without a model.

        What a visitor's own file had a part in stays in the visitor's session.
        """
        chosen, model = st.session_state, self.model
        if model.profile is None:
            return None
        shown = store().shown
        if shown is not None and self._is_about(shown):  # others may have driven it from the cache
            return shown
        if model.catalogue_model is not None and self.own_accuracy is None:
            shapes = tuple(read_shapes(chosen.shapes).items())
            asked = shapes, chosen.batch, chosen.weight_bits
            return catalogue_answer(model.catalogue_model, self.question, *asked)
        profile = model.profile
        key = (Same(profile, self.own_accuracy), self.question)
        return store().once(
            "answer", key, lambda: Answer(profile, self.question, self.own_accuracy, shown)
        )

    def _is_about(self, answer: Answer) -> bool:
        """Whether an answer is to this very question."""
        return (
            answer.profile is self.model.profile
            and answer.own_accuracy is self.own_accuracy
            and answer.question == self.question
        )


def side_bar() -> Chosen:
    """Draw the controls and read them."""
    with st.sidebar:
        _buttons()
        st.subheader("Model", anchor=False)
        model = model_section()
        st.subheader("Cluster", anchor=False)
        cluster_section()
        st.subheader("Plan", anchor=False)
        kind, own_accuracy = goal_section(model.profile)
    return Chosen(question_of(state.values(), kind), model, own_accuracy)


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

"""The side bar's section about the model: which one, at which shapes, with which times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.page import state, uploads
from app.page.answer import catalogue_profile
from app.page.controls import draw_control
from app.page.store import File, Same, store
from app.page.text import plain
from app.serve import MAX_UPLOAD_MB
from app.settings import CATALOGUE, FILE
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.reshape import at_input_shapes

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
        "source",
        format_func=_LABELS.__getitem__,
        on_change=_source_changed,
        width="stretch",
    )
    found = _from_file() if st.session_state.source == FILE else _from_catalogue()
    return _with_times(found)


def _source_changed() -> None:
    state.refill("shapes", "batch", "accuracy", "rule")


def _from_catalogue() -> Model:
    chosen = st.session_state
    draw_control("model", on_change=_source_changed)
    if chosen.shapes or chosen.batch:
        _shape_fields()
    else:
        with st.expander("Input shapes", key="shapes_open"):
            _shape_fields()
    try:
        shapes = tuple(uploads.read_shapes(chosen.shapes).items())
        profile = catalogue_profile(chosen.model, shapes, chosen.batch)
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
        key = (file.file_id, chosen.shapes, chosen.batch)
        found = kept.once("model", key, lambda: _read(file))
        if isinstance(found, str):
            message = found
        elif found is not None:
            kept.files = replace(kept.files, profile=found)
            kept.read["model"] = (key, None)  # the profile is where undo looks for it
        profile = kept.files.profile
    if chosen.shapes or chosen.batch or uploads.wants_shapes(message):
        _shape_fields()
    elif not message:
        with st.expander("Input shapes", key="shapes_open"):
            _shape_fields()
    return Model(None if message else profile, message=message)


def _reshaped(profile: ModelProfile | None) -> tuple[ModelProfile | None, str]:
    """A saved page's profile at the shapes that are asked for, or why it cannot have them."""
    if profile is None:
        return None, ""
    chosen, kept = st.session_state, store()
    try:
        shapes = uploads.read_shapes(chosen.shapes)
        key = (Same(profile), chosen.shapes, chosen.batch)
        make = partial(at_input_shapes, profile, shapes or None, chosen.batch)
        return kept.once("reshaped", key, make), ""
    except BadInputError as error:
        return None, str(error)


def _model_file_changed() -> None:
    store().files = replace(store().files, profile=None)
    state.refill("shapes", "batch")


def _read(file: UploadedFile) -> ModelProfile | str:
    with st.spinner("Reading the file …"):
        try:
            given = File(file.name, file.getvalue())
            return uploads.read_model(given, st.session_state.shapes, st.session_state.batch)
        except BadInputError as error:
            return str(error)


def _shape_fields() -> None:
    draw_control("shapes")
    draw_control("batch")


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
            st.error(plain(str(error)))
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

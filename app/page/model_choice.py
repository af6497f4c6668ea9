"""The model that is planned: its chip, the file that a visitor brought, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.page import state, uploads
from app.page.answer import catalogue_profile
from app.page.controls import draw_control
from app.page.jobs import Job, StoppedError
from app.page.language_answer import catalogue_language
from app.page.saved import open_page
from app.page.show import tell_error
from app.page.store import File, Same, store
from app.serve import MAX_UPLOAD_MB
from app.settings import CATALOGUE, FILE
from planner.domain.cluster import Cluster
from planner.domain.language_model import LanguageModel
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError, PlannerError
from planner.quantise import exact_bits, with_weight_bits
from planner.reshape import at_input_shapes
from profiles.catalog import language_names, model_names
from profiles.files import read_document

READ_PATIENCE_S = 1.5
"""So long a run waits for a file to be read before it shows how that goes on."""

_CHIP = "model_chip"
_OWN = "own file"
_OPENED = "opened"  # what of the store tells a file that was no model
_LET_GO = "let go"  # and what was asked before the field was emptied
_FOLLOWING = (*state.READ_BY, "accuracy", "rule")
"""Controls that begin anew with another model."""


@dataclass(frozen=True)
class Model:
    """What is to be planned, a profile or a language model; without either, why there is none.

    ``catalogue_model`` is null where a file of the visitor's had a part in it, ``reading`` where
    no file is being read.
    """

    profile: ModelProfile | None
    catalogue_model: str | None = None
    message: str = ""
    reading: Job[ModelProfile | LanguageModel] | None = None
    language: LanguageModel | None = None

    @property
    def is_missing(self) -> bool:
        """Whether there is neither."""
        return self.profile is None and self.language is None


def is_language_now() -> bool:
    """Whether the model that is chosen is a language model, as far as its file was read."""
    chosen = st.session_state
    if chosen.source == CATALOGUE:
        return chosen.model in language_names()
    return store().files.language is not None


def is_of_language(model: Model) -> bool:
    """Whether the page is about a prompt and its answer; until a file is read, as it was."""
    return is_language_now() if model.is_missing else model.language is not None


def model_chip(place: Any) -> None:
    """Draw the search over the catalogue, with the visitor's own file before it."""
    chosen, names = st.session_state, (*model_names(), *language_names())
    own = _own_name()
    chosen[_CHIP] = _OWN if chosen.source == FILE else chosen.model
    place.selectbox(
        "Model",
        (_OWN, *names) if own or chosen.source == FILE else names,
        key=_CHIP,
        format_func=lambda name: own or _OWN if name == _OWN else name,
        on_change=_chip_changed,
        label_visibility="collapsed",
        width=230,
    )


def _own_name() -> str:
    file, files = _model_file(), store().files
    known = files.profile or files.language
    if known is not None:
        return known.name
    return PurePath(file.name).stem if file is not None else ""


def _chip_changed() -> None:
    name = st.session_state[_CHIP]
    # The browser sends what it showed: the name of a file is no longer among the choices when
    # another one has come meanwhile.
    is_own = name not in (*model_names(), *language_names())
    if is_own and st.session_state.source == FILE:
        return
    state.put({"source": FILE} if is_own else {"source": CATALOGUE, "model": name})
    state.refill(*_FOLLOWING)


def model_fields() -> Model:
    """Draw the rest of what is said of a model, in the side bar, and read it."""
    st.file_uploader(
        "Model file",
        type=uploads.MODEL_TYPES,
        key="upload",
        on_change=_file_changed,
        max_upload_size=MAX_UPLOAD_MB,
        help="ONNX, .pt2, a Hugging Face config.json or a saved profile; of a language model a "
        ".gguf as well, of which the first 16 MB are enough (head -c 16M model.gguf > head.gguf); "
        "a cluster or a saved page. Drop it anywhere. Read on this machine, in a process with "
        "limits; forgotten with your session.",
    )
    if problem := store().read.get(_OPENED, (None, ""))[1]:
        tell_error(problem)
    own = st.session_state.source == FILE
    return _with_times(_from_file(_model_file()) if own else _from_catalogue())


def _from_catalogue() -> Model:
    chosen = st.session_state
    if is_language_now():
        draw_control("weight_bits")
        found = catalogue_language(chosen.model, chosen.weight_bits)
        return Model(None, chosen.model, language=found)
    _shape_fields(is_open=bool(chosen.shapes or chosen.batch or chosen.weight_bits))
    try:
        shapes = tuple(uploads.read_shapes(chosen.shapes).items())
        profile = catalogue_profile(chosen.model, shapes, chosen.batch, chosen.weight_bits)
    except BadInputError as error:
        return Model(None, message=str(error))
    return Model(profile, chosen.model)


def _from_file(file: UploadedFile | None) -> Model:
    kept, chosen = store(), st.session_state
    if file is None and kept.files.language is not None:
        draw_control("weight_bits")
        return _rewidthed(kept.files.language)
    if file is None and kept.files.profile is None:
        return Model(None)
    found = _reshaped(kept.files.profile) if file is None else _read(file)
    if file is not None and uploads.is_causal_config(file.name, file.getvalue()):
        draw_control("one_pass")
    if found.language is not None:
        draw_control("weight_bits")
        return found
    asked = bool(chosen.shapes or chosen.batch or chosen.weight_bits)
    _shape_fields(is_open=asked or uploads.wants_shapes(found.message))
    return found


def _read(file: UploadedFile) -> Model:
    """The profile of a file, which a process of its own reads."""
    kept, chosen = store(), st.session_state
    key = (file.file_id, *(chosen[name] for name in state.READ_BY))
    if kept.read.get("model", (None,))[0] != key:
        given = File(file.name, file.getvalue(), file.file_id)
        work = partial(uploads.read_model, given, *key[1:])
        job = kept.job("reading", key, work, is_apart=True)
        if not job.wait(READ_PATIENCE_S):
            return Model(None, reading=job)
        try:
            result = job.result()
            kept.files = replace(
                kept.files,
                profile=result if isinstance(result, ModelProfile) else None,
                language=result if isinstance(result, LanguageModel) else None,
            )
            kept.read["model"] = (key, None)  # the files are where undo looks for it
        except StoppedError:
            return Model(None, reading=job)
        except PlannerError as error:
            kept.read["model"] = (key, str(error))
    if message := kept.read["model"][1]:
        return Model(None, message=str(message))
    return Model(kept.files.profile, language=kept.files.language)


def _rewidthed(model: LanguageModel) -> Model:
    """A saved page's language model with weights of the width that is asked for."""
    bits, kept = st.session_state.weight_bits, store()
    if bits is None:
        return Model(None, language=model)
    found = kept.once("reshaped", (Same(model), bits), lambda: model.with_bits(exact_bits(bits)))
    return Model(None, language=found)


def _reshaped(profile: ModelProfile | None) -> Model:
    """A saved page's profile at the shapes that are asked for, or why it cannot have them."""
    if profile is None:
        return Model(None)
    chosen, kept = st.session_state, store()
    try:
        shapes = uploads.read_shapes(chosen.shapes)
        key = (Same(profile), chosen.shapes, chosen.batch, chosen.weight_bits)
        make = partial(_changed, profile, shapes or None, chosen.batch, chosen.weight_bits)
        return Model(kept.once("reshaped", key, make))
    except BadInputError as error:
        return Model(None, message=str(error))


def _changed(
    profile: ModelProfile,
    shapes: dict[str, tuple[int, ...]] | None,
    batch: int | None,
    weight_bits: float | None,
) -> ModelProfile:
    return with_weight_bits(at_input_shapes(profile, shapes, batch), weight_bits)


def _file_changed() -> None:
    """Another file, or none: a model is planned, a cluster or a saved page is opened."""
    kept, file = store(), st.session_state["upload"]
    kept.read.pop(_OPENED, None)
    if file is not None and uploads.kind_of(file.name, file.getvalue()) != "model":
        _take_back()
        kept.read[_OPENED] = (file.file_id, _open(file.name, file.getvalue()))
        return
    before = state.values(), kept.files
    kept.files = replace(kept.files, profile=None, language=None)
    kept.forget("reading")
    if file is not None or st.session_state.source == FILE:
        state.put({"source": CATALOGUE if file is None else FILE})
        state.refill(*_FOLLOWING)
    kept.read[_LET_GO] = (None, None if file is not None else (state.values(), before))


def _take_back() -> None:
    """Keep the model whose file a cluster takes the place of in the field.

    A browser tells first that the field is empty, and then what is in it. Whoever has asked for
    something else in between has let the model go.
    """
    kept = store()
    known: Any = kept.read.pop(_LET_GO, (None, None))[1]
    if known is not None and known[0] == state.values():
        values, kept.files = known[1]
        state.put(values)


def _open(name: str, content: bytes) -> str:
    """Open a cluster or a saved page; why it cannot be, or nothing."""
    try:
        if uploads.kind_of(name, content) == "cluster":
            state.use_cluster(read_document(content, Cluster, what=f"cluster {name}"))
        else:
            state.restore(open_page(name, content))
    except BadInputError as error:
        return str(error)
    return ""


def _model_file() -> UploadedFile | None:
    """The file in the field, unless it was something else than a model."""
    file = st.session_state.get("upload")
    opened = store().read.get(_OPENED)
    return None if file is None or (opened and opened[0] == file.file_id) else file


def _shape_fields(*, is_open: bool) -> None:
    # Without a key: one that has a key stays as it is when it is to open.
    with st.expander("Input shapes and weights", expanded=is_open):
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
        times = kept_file(kept.files.times, file)
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


def kept_file(known: File | None, file: UploadedFile | None) -> File | None:
    """The same object for the same upload, so that nothing is read twice."""
    if file is None:
        return None
    if known is not None and known.token == file.file_id:
        return known
    return File(file.name, file.getvalue(), file.file_id)

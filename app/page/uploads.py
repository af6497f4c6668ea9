"""Uploaded ONNX files: read once, kept in the session of whoever uploaded them."""

from __future__ import annotations

from pathlib import PurePath

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.inputs import parse_input_shapes
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.sources import load_onnx

_READ = "_upload_read"  # session state: (file and shapes, profile or message)
_SHAPES_OPTION = "--input-shape"


def read_upload(file: UploadedFile, shapes: str) -> ModelProfile:
    """Profile an upload; the same file with the same shapes is not read again.

    Parameters
    ----------
    file : UploadedFile
    shapes : str
        ``NAME=1,3,224,224``; several are parted by spaces or semicolons.

    Raises
    ------
    BadInputError
        It is no ONNX model that can be profiled, or the shapes do not fit it.
    """
    key = (file.file_id, shapes)
    known = st.session_state.get(_READ)
    if known is None or known[0] != key:
        with st.spinner("Reading the file …"):
            known = (key, _profile_or_message(file, shapes))
        st.session_state[_READ] = known
    found = known[1]
    if isinstance(found, str):
        raise BadInputError(found)
    return found


def _profile_or_message(file: UploadedFile, shapes: str) -> ModelProfile | str:
    try:
        given = parse_input_shapes(shapes.replace(";", " ").split())
        name = PurePath(file.name).stem
        return load_onnx(file.getvalue(), name=name, source=file.name, input_shapes=given or None)
    except BadInputError as error:
        return str(error)


def wants_shapes(message: str) -> bool:
    """Whether a message asks for the shapes that the page then has a field for."""
    return _SHAPES_OPTION in message

"""Profile an ONNX file. Its bytes are read in a child process with limits, never here."""

from __future__ import annotations

import importlib.util

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.sandbox import Limits
from profiles.strangers import MODULES_ONLY, profile_in_child


def profile_onnx(
    data: bytes,
    *,
    name: str,
    source: str,
    input_shapes: dict[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
    limits: Limits | None = None,
) -> ModelProfile:
    """Profile the bytes of an ONNX file. Weights' values are not kept.

    Parameters
    ----------
    data : bytes
        The whole file; external data is never followed.
    name : str
        The profile's name.
    source : str
        The file's name, for provenance and messages; folders before it are left out.
    input_shapes : dict, optional
        Shape per input; needed where the file leaves dimensions open, and allowed to replace
        fixed sizes.
    batch : int, optional
        Replaces the dimension of every input that is the batch (see `profiles.from_onnx.batch`).
    limits : Limits, optional
        What the child may use.

    Raises
    ------
    BadInputError
        One line: the file is no valid ONNX model or needs too much time or memory, a shape is
        open or does not fit, or nothing depends on the inputs.
    """
    if importlib.util.find_spec("onnx") is None:
        raise BadInputError("onnx is not installed; an ONNX file needs it: pip install onnx")
    return profile_in_child(
        "profiles.from_onnx.child",
        data,
        name=name,
        source=source,
        input_shapes=input_shapes,
        batch=batch,
        limits=limits,
        witness_note=MODULES_ONLY,
    )

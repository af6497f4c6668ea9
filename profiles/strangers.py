"""One door for files from strangers: a child process with limits reads them, never this one."""

from __future__ import annotations

import hashlib
import re

from planner.domain.model_profile import ModelProfile
from profiles.files import made, one_line, too_large
from profiles.sandbox import Limits, run_limited

MAX_MODEL_BYTES = 512 * 2**20  # what a child with the default limits can hold
MODULES_ONLY = "fvcore counts PyTorch modules only"


def profile_in_child(
    child: str,
    data: bytes,
    *,
    name: str,
    source: str,
    input_shapes: dict[str, tuple[int, ...]] | None,
    batch: int | None,
    limits: Limits | None,
    most_bytes: int = MAX_MODEL_BYTES,
    witness_note: str | None = None,
    input_types: dict[str, str] | None = None,
) -> ModelProfile:
    """Let a child module profile the bytes of a file, and check what it answers.

    Parameters
    ----------
    child : str
        A module with ``main(request, data)`` that returns a profile as JSON.
    data : bytes
        The whole file.
    name, source : str
        The profile's name, and the file's; folders before it are left out.
    input_shapes, batch
        As the front ends take them.
    limits : Limits, optional
        What the child may use.
    most_bytes : int
        A larger file is refused unread.
    witness_note : str, optional
        Why nobody else counted the model, where the child does not say.
    input_types : dict, optional
        Element type per input, for front ends that take them.

    Raises
    ------
    BadInputError
        One line: the file is too large, the child refused it or hit a limit.
    """
    file_name = re.split(r"[/\\]", source)[-1]
    what = one_line(file_name or name)[:100]
    if len(data) > most_bytes:
        raise too_large(what, most_bytes)
    request = {
        "name": name,
        "input_shapes": input_shapes or {},
        "batch": batch,
        "input_types": input_types or {},
    }
    result = run_limited(child, request, data, what=what, limits=limits)
    profile = made(ModelProfile, result, what)
    provenance = profile.provenance.model_copy(
        update={"source": file_name, "sha256": hashlib.sha256(data).hexdigest()}
    )
    noted = {} if witness_note is None else {"witness_note": witness_note}
    coverage = profile.coverage.model_copy(update=noted)
    return profile.model_copy(update={"provenance": provenance, "coverage": coverage})

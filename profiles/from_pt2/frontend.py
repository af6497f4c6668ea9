"""Profile a ``.pt2`` archive. Its bytes are read in a child process with limits, never here."""

from __future__ import annotations

import hashlib
import re

from pydantic import ValidationError

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.files import first_problem, one_line
from profiles.sandbox import Limits, run_limited

MAX_PT2_BYTES = 512 * 2**20  # what a child with the default limits can hold


def profile_pt2(
    data: bytes,
    *,
    name: str,
    source: str,
    input_shapes: dict[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
    limits: Limits | None = None,
) -> ModelProfile:
    """Profile what ``torch.export.save`` wrote. torch is not needed, and no code is run.

    Parameters
    ----------
    data : bytes
        The whole archive; of its entries the graph's JSON alone is read.
    name : str
        The profile's name.
    source : str
        The file's name, for provenance and messages; folders before it are left out.
    input_shapes : dict, optional
        Shape per input; only sizes that the archive leaves open can differ from the traced ones.
        Those not given are the ones of the example that it was traced with.
    batch : int, optional
        Replaces dimension 0 of every input, where the archive leaves it open.
    limits : Limits, optional
        What the child may use.

    Raises
    ------
    BadInputError
        One line: the file is no such archive or needs too much time or memory, a shape does not
        fit, or nothing depends on the inputs.
    """
    file_name = re.split(r"[/\\]", source)[-1]
    what = one_line(file_name or name)[:100]
    if len(data) > MAX_PT2_BYTES:
        raise BadInputError(f"{what}: is {len(data):,} bytes; at most {MAX_PT2_BYTES:,} are read")
    request = {"name": name, "input_shapes": input_shapes or {}, "batch": batch}
    result = run_limited("profiles.from_pt2.child", request, data, what=what, limits=limits)
    try:
        profile = ModelProfile.model_validate(result)
    except ValidationError as error:
        raise BadInputError(f"{what}: {first_problem(error, ModelProfile)}") from error
    provenance = profile.provenance.model_copy(
        update={"source": file_name, "sha256": hashlib.sha256(data).hexdigest()}
    )
    coverage = profile.coverage.model_copy(
        update={"witness_note": "fvcore counts PyTorch modules only"}
    )
    return profile.model_copy(update={"provenance": provenance, "coverage": coverage})

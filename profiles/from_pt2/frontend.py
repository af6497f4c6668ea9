"""Profile a ``.pt2`` archive. Its bytes are read in a child process with limits, never here."""

from __future__ import annotations

from planner.domain.model_profile import ModelProfile
from profiles.sandbox import Limits
from profiles.strangers import MODULES_ONLY, profile_in_child


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
    return profile_in_child(
        "profiles.from_pt2.child",
        data,
        name=name,
        source=source,
        input_shapes=input_shapes,
        batch=batch,
        limits=limits,
        witness_note=MODULES_ONLY,
    )

"""The part of the Hugging Face front end that runs in a limited child process (see `sandbox`)."""

from __future__ import annotations

import gc
import os
import tempfile
from typing import Any

from profiles.from_hf.config import library_of, read_config
from profiles.from_hf.others import profile_other
from profiles.from_torch.hygiene import import_torch


def main(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Profile the bytes of a ``config.json``.

    Parameters
    ----------
    request : dict
        ``name``, ``input_shapes``, ``batch`` and ``input_types`` as in
        `profiles.from_hf.frontend.profile_config`.
    data : bytes
        The file.

    Returns
    -------
    dict
        A `ModelProfile` as JSON.

    Raises
    ------
    BadInputError
        As `profiles.from_hf.frontend.profile_config`.
    """
    values = read_config(data)
    gc.disable()  # the child ends after one model; collecting torch's graphs costs a tenth
    os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported: it asks nobody
    # torch looks for folders to write to, which this process may not; it must not make one.
    tempfile.tempdir = os.devnull
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.sep
    torch = import_torch()
    torch.set_num_threads(1)
    if library_of(values):
        return profile_other(values, request).model_dump(mode="json")
    from profiles.from_hf.profiled import profile_values

    profile = profile_values(values, request)
    return profile.model_dump(mode="json")

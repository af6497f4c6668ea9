"""The part of the Hugging Face front end that runs in a limited child process (see `sandbox`)."""

from __future__ import annotations

import gc
import os
import tempfile
from typing import Any

from profiles.from_hf.config import read_config
from profiles.from_torch.frontend import profile_module
from profiles.from_torch.hygiene import import_torch

_MOST_OPEN_MODULES = 600
"""Of a network that is traced with open sizes as well, which takes twice as long again."""


def main(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Profile the bytes of a ``config.json``.

    Parameters
    ----------
    request : dict
        ``name``, ``input_shapes`` and ``batch`` as in `profiles.from_hf.frontend.profile_config`.
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
    import transformers

    from profiles.from_hf import network as hf

    network = hf.build_network(values)
    given = {name: tuple(shape) for name, shape in request["input_shapes"].items()}
    traced = hf.prepared(network, given, request["batch"])
    modules = sum(1 for _ in traced.module.modules())
    profile = profile_module(
        traced.module,
        traced.shapes,
        name=request["name"],
        witness=False,
        dtypes=traced.dtypes,
        open_sizes="all" if modules <= _MOST_OPEN_MODULES else "none",
    )
    provenance = profile.provenance.model_copy(
        update={
            "front_end": "Hugging Face config",
            "tools": {**profile.provenance.tools, "transformers": transformers.__version__},
            "note": "; ".join(
                filter(None, (hf.description(network, values), profile.provenance.note))
            ),
        }
    )
    coverage = profile.coverage.model_copy(
        update={"witness_note": "a configuration has no weights for fvcore to run with"}
    )
    profile = profile.model_copy(update={"provenance": provenance, "coverage": coverage})
    return profile.model_dump(mode="json")

"""Profile a Hugging Face ``config.json``; it is read and built in a process with limits."""

from __future__ import annotations

import hashlib
import importlib.util
import re

from pydantic import ValidationError

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.files import first_problem, one_line
from profiles.from_hf.config import MAX_CONFIG_BYTES
from profiles.sandbox import Limits, run_limited

CONFIG_LIMITS = Limits(cpu_s=60, wall_s=60.0)
"""Importing torch takes seconds, tracing a hundred layers ten; sizes are checked before both."""


def profile_config(
    data: bytes,
    *,
    name: str,
    source: str,
    input_shapes: dict[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
    limits: Limits | None = None,
) -> ModelProfile:
    """Profile the architecture that a ``config.json`` describes. There are no weights.

    Parameters
    ----------
    data : bytes
        The whole file.
    name : str
        The profile's name.
    source : str
        The file's name, for provenance and messages; folders before it are left out.
    input_shapes : dict, optional
        Shape per input, by transformers' names; otherwise 128 tokens, or the image size that the
        configuration names. ``past_tokens: (1024,)`` puts a filled key-value cache before the
        tokens: with ``input_ids: (1, 1)``, one step of decoding.
    batch : int, optional
        Replaces dimension 0 of every input.
    limits : Limits, optional
        What the child may use.

    Raises
    ------
    BadInputError
        One line: the file is no configuration, asks for code of its own or for absurd sizes,
        transformers cannot build it, torch.export cannot trace it, or a limit was hit.
    """
    file_name = re.split(r"[/\\]", source)[-1]
    what = one_line(file_name or name)[:100]
    for package in ("torch", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise BadInputError(
                f"{package} is not installed; a Hugging Face config.json needs it: "
                "pip install 'disco-planner[hf]'"
            )
    if len(data) > MAX_CONFIG_BYTES:
        raise BadInputError(
            f"{what}: is {len(data):,} bytes; at most {MAX_CONFIG_BYTES:,} are read"
        )
    request = {"name": name, "input_shapes": input_shapes or {}, "batch": batch}
    result = run_limited(
        "profiles.from_hf.child", request, data, what=what, limits=limits or CONFIG_LIMITS
    )
    try:
        profile = ModelProfile.model_validate(result)
    except ValidationError as error:
        raise BadInputError(f"{what}: {first_problem(error, ModelProfile)}") from error
    provenance = profile.provenance.model_copy(
        update={"source": file_name, "sha256": hashlib.sha256(data).hexdigest()}
    )
    return profile.model_copy(update={"provenance": provenance})

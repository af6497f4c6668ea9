"""Profile a Hugging Face ``config.json``; it is read and built in a process with limits."""

from __future__ import annotations

import importlib.util

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError, install_advice
from profiles.from_hf.config import MAX_CONFIG_BYTES
from profiles.sandbox import Limits
from profiles.strangers import profile_in_child

CONFIG_LIMITS = Limits(cpu_s=60, wall_s=600.0)
"""Importing torch takes seconds, tracing a hundred layers ten; sizes are checked before both."""


def profile_config(
    data: bytes,
    *,
    name: str,
    source: str,
    input_shapes: dict[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
    limits: Limits | None = None,
    input_types: dict[str, str] | None = None,
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
        configuration names. ``past_tokens: (1024,)`` puts what the network keeps of so many tokens
        before them (keys and values, latent ones, states): with ``input_ids: (1, 1)``, one step of
        decoding.
    batch : int, optional
        Replaces dimension 0 of every input.
    limits : Limits, optional
        What the child may use.
    input_types : dict, optional
        Element type per input, such as ``int64``; otherwise what its name says.

    Raises
    ------
    BadInputError
        One line: the file is no configuration, is another library's, asks for absurd sizes,
        transformers cannot build it, torch.export cannot trace it, or a limit was hit.
    """
    for package in ("torch", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise BadInputError(
                f"{package} is not installed; a Hugging Face config.json needs it: "
                f"{install_advice('hf')}"
            )
    return profile_in_child(
        "profiles.from_hf.child",
        data,
        name=name,
        source=source,
        input_shapes=input_shapes,
        batch=batch,
        limits=limits or CONFIG_LIMITS,
        most_bytes=MAX_CONFIG_BYTES,
        input_types=input_types,
    )

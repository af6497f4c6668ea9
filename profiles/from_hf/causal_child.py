"""The part that reads a causal model's ``config.json`` in a limited child (see `sandbox`)."""

from __future__ import annotations

from typing import Any

from profiles.from_hf.causal import language_model_of
from profiles.from_hf.config import read_config


def main(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    """The shapes of a causal model, as JSON.

    Parameters
    ----------
    request : dict
        ``name`` of the model.
    data : bytes
        The file.

    Raises
    ------
    BadInputError
        As `profiles.from_hf.causal.language_model_of`.
    """
    return language_model_of(read_config(data), name=request["name"]).model_dump(mode="json")

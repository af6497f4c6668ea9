"""The part of the GGUF front end that runs in a limited child process (see `sandbox`)."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from planner.domain.language_model import LanguageModel
from planner.errors import BadInputError
from profiles.files import first_problem
from profiles.from_gguf.header import read_header
from profiles.from_gguf.model import language_model_of


def main(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    """The shapes of a model, as JSON.

    Parameters
    ----------
    request : dict
        ``name`` of the model, where the file has none.
    data : bytes
        The beginning of the file.

    Raises
    ------
    BadInputError
        As `profiles.from_gguf.header.read_header` and `profiles.from_gguf.model.language_model_of`.
    """
    try:
        found = language_model_of(read_header(data), name=request["name"])
    except ValidationError as error:
        raise BadInputError(f"GGUF: {first_problem(error, LanguageModel)}") from error
    return found.model_dump(mode="json")

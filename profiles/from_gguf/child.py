"""The part of the GGUF front end that runs in a limited child process (see `sandbox`)."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from pydantic import ValidationError

from planner.domain.language_model import LanguageModel
from planner.errors import BadInputError
from profiles.files import first_problem
from profiles.from_gguf.header import read_headers
from profiles.from_gguf.model import language_model_of


def main(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    """The shapes of a model, as JSON.

    Parameters
    ----------
    request : dict
        ``name`` of the model, where the file has none; ``sizes``, of its parts where it has some.
    data : bytes
        The beginning of the file, or of all its parts one behind the other.

    Raises
    ------
    BadInputError
        As `profiles.from_gguf.header.read_headers` and
        `profiles.from_gguf.model.language_model_of`.
    """
    ends = list(accumulate(request.get("sizes", [len(data)])))
    parts = [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    try:
        found = language_model_of(read_headers(parts), name=request["name"])
    except ValidationError as error:
        raise BadInputError(f"GGUF: {first_problem(error, LanguageModel)}") from error
    return found.model_dump(mode="json")

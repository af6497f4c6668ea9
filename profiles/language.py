"""From what a user names to a language model by its shapes: a preset, a config, a GGUF header."""

from __future__ import annotations

import hashlib
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

from planner.domain.language_model import LanguageModel
from planner.errors import BadInputError
from planner.language import Phase, phase_profile
from planner.quantise import exact_bits
from profiles.catalog import language_names, load_language
from profiles.files import (
    allowed_names,
    made,
    one_line,
    read_document,
    read_file,
)
from profiles.from_gguf.file import is_gguf_file, read_parts
from profiles.from_hf.config import MAX_CONFIG_BYTES, is_config_file, name_of_config
from profiles.from_hf.stored import is_stored, stored_bytes
from profiles.sandbox import Limits, run_limited

LANGUAGE_HELP = (
    "a language model: a name of planner catalog language, a Hugging Face config.json, a .gguf "
    "file or the beginning of one, a .safetensors file or index beside its config.json, or a saved "
    "document"
)
_LIMITS = Limits(cpu_s=15, wall_s=120.0)


def load_language_model(
    source: str, weight_bits: Fraction | float | str | None = None
) -> LanguageModel:
    """A language model by its shapes; no weight is read.

    Parameters
    ----------
    source : str
        A name of the catalogue or a path.
    weight_bits : Fraction, float or str, optional
        Of every weight with its scales, in place of what the file says.

    Raises
    ------
    BadInputError
        One line: nothing of that name, a file that is none, or an architecture that is not known.
    """
    found = _as_it_is(source)
    return found if weight_bits is None else found.with_bits(exact_bits(weight_bits))


def _as_it_is(source: str) -> LanguageModel:
    if source in language_names():
        return load_language(source)
    path = Path(source)
    if not os.path.exists(path):
        raise BadInputError(
            f"SOURCE {source!r}: no such language model; "
            f"{allowed_names(source, language_names())}; or give {LANGUAGE_HELP}"
        )
    what = one_line(path.name)
    if is_stored(path):
        return _as_stored(path)
    if is_gguf_file(path):
        parts, name = read_parts(path)
        sizes = [len(part) for part in parts]
        return language_model_in_child(
            "profiles.from_gguf.child", b"".join(parts), name, path.name, sizes=sizes
        )
    if is_config_file(path):
        data, name = read_file(path, what, MAX_CONFIG_BYTES), name_of_config(path)
        return language_model_in_child("profiles.from_hf.causal_child", data, name, path.name)
    return read_document(path, LanguageModel, what="language model")


_CLOSE = Fraction(1, 50)
"""Of the bytes that a configuration says: safetensors files hold a little beside the weights."""


def _as_stored(path: Path) -> LanguageModel:
    """The configuration beside a file of weights, with blocks of the width that is stored."""
    config = path.with_name("config.json")
    if not config.exists():
        raise BadInputError(
            f"{one_line(path.name)}: the config.json beside it says what its tensors are, and is "
            "not there"
        )
    found, size = _as_it_is(str(config)), stored_bytes(path)
    said = phase_profile(found, Phase(tokens=1)).totals.param_bytes
    if abs(size - said) <= _CLOSE * said:
        return found
    return found.with_block_bytes(size - said)


def language_model_in_child(
    child: str, data: bytes, name: str, source: str, **more: Any
) -> LanguageModel:
    """Let a child read a file, and check what it answers.

    Parameters
    ----------
    child : str
        A module with ``main(request, data)``.
    data : bytes
        The file, or the beginning of it.
    name, source : str
        The model's name, and the file's.
    **more
        Of the request.
    """
    what = one_line(source)[:100]
    result: Any = run_limited(child, {"name": name, **more}, data, what=what, limits=_LIMITS)
    found = made(LanguageModel, result, what)
    told = {"source": source, "sha256": hashlib.sha256(data).hexdigest()}
    provenance = found.provenance.model_copy(update=told)
    return found.model_copy(update={"provenance": provenance})

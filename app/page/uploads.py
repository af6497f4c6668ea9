"""Files from visitors: read once, in a process with limits where that is the reader's way."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, Literal

from app.inputs import parse_input_shapes
from app.page.apart import Watch
from app.page.store import File
from planner.domain.language_model import LanguageModel
from planner.domain.model_profile import ModelProfile
from planner.quantise import exact_bits, with_weight_bits
from planner.reshape import at_input_shapes
from profiles.accuracy import Accuracy, find_accuracy
from profiles.files import read_document
from profiles.from_gguf.file import MAX_HEADER_BYTES
from profiles.from_hf.causal import is_causal
from profiles.from_hf.config import MAX_CONFIG_BYTES, is_config_file
from profiles.from_hf.frontend import profile_config
from profiles.from_pt2.frontend import profile_pt2
from profiles.language import language_model_in_child
from profiles.measured import attach_times, read_times
from profiles.sources import load_onnx

MODEL_TYPES = ("onnx", "pt2", "json", "gguf")
TIMES_TYPES = ("csv", "json")
SMALL_MB = 16
"""Largest upload of tables, clusters and page files."""

_LONGEST_KIND = 60
_SHAPES_OPTION = "--input-shape"
_SAFE = re.compile(r"[^\w.\- ]")


def kind_of(name: str, content: bytes) -> Literal["model", "cluster", "page"]:
    """What a file is by its name and its keys; what is none of the others is read as a model."""
    if not name.lower().endswith(".json") or len(content) > SMALL_MB * 2**20:
        return "model"
    keys = set(_values(content))
    if "controls" in keys:
        return "page"
    return "cluster" if {"nodes", "link"} <= keys else "model"


def read_model(
    file: File,
    shapes: str,
    batch: int | None,
    weight_bits: float | None = None,
    one_pass: bool = False,
    watch: Watch | None = None,
) -> ModelProfile | LanguageModel:
    """Read an uploaded model: the shapes of a language model, or the profile of any other.

    Parameters
    ----------
    file : File
        ``.onnx``, ``.pt2``, a profile or a Hugging Face configuration (``.json``); ``.gguf``, of
        which the beginning is enough.
    shapes : str
        ``NAME=1,3,224,224``; several are parted by spaces or semicolons.
    batch : int, optional
        Replaces dimension 0 of every input.
    weight_bits : float, optional
        Of every weight, scales included.
    one_pass : bool
        Profile one forward pass of a configuration that is a causal model's.
    watch : callable, optional
        Not called: reading has no steps, and whoever waits ends the process.

    Raises
    ------
    BadInputError
        It is nothing that can be profiled, or the shapes do not fit it.
    """
    language = None if one_pass else read_language(file)
    if language is not None:
        return language if weight_bits is None else language.with_bits(exact_bits(weight_bits))
    return with_weight_bits(_read_as_it_is(file, shapes, batch), weight_bits)


def read_language(file: File) -> LanguageModel | None:
    """The language model of a file; nothing where it is a model of another kind.

    Raises
    ------
    BadInputError
        It is a language model's, and cannot be read.
    """
    stem, content = PurePath(file.name).stem, file.content
    if PurePath(file.name).suffix.lower() == ".gguf":
        head = content[:MAX_HEADER_BYTES]
        return language_model_in_child("profiles.from_gguf.child", head, stem, file.name)
    if not file.name.lower().endswith(".json") or len(content) > SMALL_MB * 2**20:
        return None
    if {"kinds", "order", "embedding"} <= set(_values(content)):
        return read_document(content, LanguageModel, what=f"language model {file.name}")
    if not is_causal_config(file.name, content):
        return None
    name = _config_name(stem, content)
    return language_model_in_child("profiles.from_hf.causal_child", content, name, file.name)


def is_causal_config(name: str, content: bytes) -> bool:
    """Whether a file is a configuration that is read as a language model, unless asked not to."""
    is_small = name.lower().endswith(".json") and len(content) <= MAX_CONFIG_BYTES
    return is_small and is_causal(_values(content))


def _values(content: bytes) -> dict[str, Any]:
    """The keys of a JSON document; none where it is no object, which its reader then says."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_as_it_is(file: File, shapes: str, batch: int | None) -> ModelProfile:
    given = read_shapes(shapes)
    name, suffix = PurePath(file.name).stem, PurePath(file.name).suffix.lower()
    options = {"name": name, "source": file.name, "input_shapes": given or None, "batch": batch}
    if suffix == ".onnx":
        return load_onnx(file.content, **options)  # type: ignore[arg-type]
    if suffix == ".pt2":
        return profile_pt2(file.content, **options)  # type: ignore[arg-type]
    with on_disk(file) as path:
        is_config = is_config_file(path)
    if is_config:
        options["name"] = _config_name(name, file.content)
        return profile_config(file.content, **options)  # type: ignore[arg-type]
    profile = read_document(file.content, ModelProfile, what=f"profile {file.name}")
    return at_input_shapes(profile, given or None, batch)


def _config_name(name: str, content: bytes) -> str:
    """The file's name, or the kind of model: every configuration is called ``config.json``."""
    kind = json.loads(content).get("model_type") if name == "config" else None
    return kind[:_LONGEST_KIND] if isinstance(kind, str) and kind else name


def read_shapes(text: str) -> dict[str, tuple[int, ...]]:
    """Shapes by input; a `planner.errors.BadInputError` says what they look like."""
    return parse_input_shapes(text.replace(";", " ").split())


def with_times(profile: ModelProfile, file: File) -> ModelProfile:
    """A profile with measured times in place of derived ones.

    Raises
    ------
    BadInputError
        A line that says something else, or a layer that the profile does not have.
    """
    with on_disk(file) as path:
        return attach_times(profile, read_times(path, profile), where=file.name)


def read_accuracy(kind: str, file: File, profile: ModelProfile) -> Accuracy:
    """The accuracy model of a file of sensitivities (``csv``) or of weights (``energy``).

    Raises
    ------
    BadInputError
        It does not fit the model.
    """
    with on_disk(file) as path:
        return find_accuracy(f"{kind}:{path}", profile)


@contextmanager
def on_disk(file: File) -> Iterator[Path]:
    """A file of its name in a folder of its own, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="planner-") as folder:
        name = _SAFE.sub("_", PurePath(file.name).name)[-100:].lstrip(".")
        path = Path(folder) / (name or "file")
        path.write_bytes(file.content)
        yield path


def wants_shapes(message: str) -> bool:
    """Whether a message asks for the shapes that the page then has a field for."""
    return _SHAPES_OPTION in message

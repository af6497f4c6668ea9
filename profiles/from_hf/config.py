"""Read a ``config.json`` as data: what it is, and whether its sizes are sane."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from planner.errors import BadInputError
from profiles.files import field_path, one_line, read_document, read_file

MAX_CONFIG_BYTES = 2**20
MAX_LAYERS = 256  # of one kind; each is a module to build and a piece of graph to trace
MAX_SIZE = 2**24  # of a width, a vocabulary, a number of positions
_LISTED = 4096  # items of a list
_LAYER_KEY = re.compile(
    r"^(?!.*(dim|size|channel|width))(.*layers?$|n_layer|.*depths?(_|$)|.*(block|stage|repeat)s?$)",
    re.IGNORECASE,
)
"""Numbers of layers; widths that every stage has are none."""
_SOME_LAYERS = re.compile(r"^(?!num_|n_).+_layers$", re.IGNORECASE)
_NO_SIZE = re.compile(r"theta|token_id|seed|clip|_id$|_val(ue)?$|id2label|label2id", re.IGNORECASE)

Location = tuple[int | str, ...]


class _Config(BaseModel):
    """The fields that decide what is built; the others are the library's to read."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model_type: str | None = None
    architectures: list[str] | None = None


def is_config_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a ``config.json`` of Hugging Face, by its content.

    What cannot be read or parsed is none: whoever reads it next says why.
    """
    try:
        data = json.loads(read_file(Path(path), "config", MAX_CONFIG_BYTES))
    except (BadInputError, ValueError, RecursionError):
        return False
    return (
        isinstance(data, dict)
        and not {"schema_version", "layers"} & set(data)
        and bool({"model_type", "architectures", "auto_map"} & set(data) or library_of(data))
    )


def library_of(values: dict[str, Any]) -> str:
    """Whose file it is, if not transformers': ``timm`` or ``diffusers``; else nothing."""
    if "model_type" in values:
        return ""
    if "_class_name" in values and "_diffusers_version" in values:
        return "diffusers"
    if isinstance(values.get("architecture"), str):
        return "timm"
    return ""


def name_of_config(path: Path) -> str:
    """The file's name, or its folder's: every model's configuration is called ``config.json``."""
    if path.stem != "config":
        return path.stem
    folder = path.absolute().parent
    if folder.parent.name == "snapshots":  # of a cache, which calls it models--owner--name
        folder = folder.parent.parent
    return folder.name.rpartition("--")[2] or path.stem


def read_config(data: bytes) -> dict[str, Any]:
    """The values of a ``config.json``.

    Raises
    ------
    BadInputError
        One line: it is too large, no JSON, names neither a model type nor an architecture, or
        declares sizes that no network has.
    """
    if len(data) > MAX_CONFIG_BYTES:
        raise BadInputError(
            f"is larger than {MAX_CONFIG_BYTES // 2**20} MiB, the most that is read"
        )
    values = read_document(data, _Config, what="config").model_dump(exclude_unset=True)
    if not (values.get("model_type") or values.get("architectures") or library_of(values)):
        if "auto_map" in values:
            raise BadInputError("auto_map: names code outside transformers, which is never run")
        raise BadInputError("config: model_type is missing, and no architectures are named")
    for location, value in _leaves(values):
        if "auto_map" not in location:
            _check_size(location, value)
    return values


def _leaves(values: Any) -> Iterator[tuple[Location, Any]]:
    """Every value that holds no others, and every list, with where it stands."""
    stack: list[tuple[Location, Any]] = [((), values)]
    while stack:
        location, value = stack.pop()
        if isinstance(value, dict):
            if location and not value:
                yield location, value
            stack += [((*location, key), item) for key, item in value.items()]
        else:
            yield location, value
            if isinstance(value, list):
                stack += [((*location, index), item) for index, item in enumerate(value)]


def _are_numbers_of_layers(key: str, items: list[Any]) -> bool:
    """Whether a list says which layers, in rising order, and not how many each stage has."""
    numbers = [item for item in items if type(item) is int and 0 <= item <= MAX_LAYERS]
    rising = all(a < b for a, b in itertools.pairwise(numbers))
    return bool(_SOME_LAYERS.search(key)) and rising and len(numbers) == len(items)


def _check_size(location: Location, value: Any) -> None:
    names = [part for part in location if isinstance(part, str)]
    key = names[-1] if names else ""
    where = one_line(field_path(location))[:100]
    if isinstance(value, list):
        if len(value) > _LISTED:
            raise BadInputError(f"{where}: {len(value):,} items; at most {_LISTED:,} are read")
        if not _LAYER_KEY.search(key) or _are_numbers_of_layers(key, value):
            return
        value = sum(item for item in value if isinstance(item, int))
    if isinstance(value, bool) or not isinstance(value, int) or any(map(_NO_SIZE.search, names)):
        return
    most = MAX_LAYERS if _LAYER_KEY.search(key) else MAX_SIZE
    if abs(value) > most:
        raise BadInputError(f"{where}: found {value:,}; at most {most:,} is built")

"""Find the graph inside a ``.pt2`` archive. Nothing is extracted; weights are never read."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from typing import Any

from planner.errors import BadInputError

MAX_ENTRIES = 50_000
MAX_JSON_BYTES = 64 * 2**20
_CHUNK_BYTES = 2**20
_ENCRYPTED = 1  # bit of an entry's flags
_OLD_NAME = "serialized_exported_program.json"  # before torch 2.8


def read_graph_json(data: bytes) -> Any:
    """The JSON document that holds the exported graph.

    Raises
    ------
    BadInputError
        No zip archive, no graph or several in it, an entry that is too large or not what it
        says, or no JSON.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            text = _read(archive, _graph_entry(archive))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise BadInputError(f"is no .pt2 archive, or a part of one is missing ({error})") from error
    except (ValueError, OverflowError, RuntimeError) as error:
        raise BadInputError("is no .pt2 archive: its table of contents is broken") from error
    return parse_json(text)


def _graph_entry(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise BadInputError(f"has {len(entries):,} entries; at most {MAX_ENTRIES:,} are read")
    graphs = [entry for entry in entries if _is_graph(entry.filename)]
    if not graphs:
        raise BadInputError(
            "holds no models/model.json, so it is no .pt2 archive that torch.export.save wrote"
        )
    if len(graphs) > 1:
        raise BadInputError(f"holds {len(graphs)} graphs; save one model per archive")
    return graphs[0]


def _is_graph(name: str) -> bool:
    *folders, last = name.split("/")
    if last == _OLD_NAME:
        return len(folders) <= 1
    return folders[-1:] == ["models"] and len(folders) <= 2 and last.endswith(".json")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.flag_bits & _ENCRYPTED:
        raise BadInputError("is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadInputError("is compressed in a way that .pt2 archives are not")
    if entry.file_size > MAX_JSON_BYTES:
        raise BadInputError(
            f"holds a graph of {entry.file_size:,} bytes; at most {MAX_JSON_BYTES:,} are read"
        )
    with archive.open(entry) as file:  # yields no more than is declared, but may unpack it at once
        return b"".join(iter(lambda: file.read(_CHUNK_BYTES), b""))


def parse_json(text: bytes) -> Any:
    """Parse a document. Infinite numbers are refused too: torch writes them as texts.

    Raises
    ------
    BadInputError
        It is no JSON, holds NaN or infinity, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_constant)
    except RecursionError as error:
        raise BadInputError("holds a graph that is nested too deeply") from error
    except ValueError as error:
        raise BadInputError(f"holds a graph that is no JSON: {error}") from error


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no number")

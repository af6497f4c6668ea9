"""How many bytes a model's weights take, from safetensors' index or header; no weight is read."""

from __future__ import annotations

import struct
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, RootModel

from planner.errors import BadInputError
from profiles.files import one_line, read_document, read_head

INDEX = ".safetensors.index.json"
"""How the name of an index ends."""
_LENGTH = 8  # bytes in front of a header
_MOST = 100 * 2**20  # of a header: what the format allows


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="allow")

    total_size: float = Field(gt=0, lt=2**62)  # some write it as a decimal number


class _Index(BaseModel):
    model_config = ConfigDict(extra="allow")

    metadata: _Metadata


class _Tensor(BaseModel):
    model_config = ConfigDict(extra="allow")

    data_offsets: tuple[int, int] | None = None


class _Header(RootModel[dict[str, _Tensor]]):
    pass


def is_stored(path: Path) -> bool:
    """Whether a file is an index of safetensors files, or one of them."""
    return path.name.endswith((INDEX, ".safetensors"))


def stored_bytes(path: Path) -> int:
    """Bytes of all tensors that an index, or a file's header, speaks of.

    Raises
    ------
    BadInputError
        It is neither, or one of several files.
    """
    what = one_line(path.name)
    if path.name.endswith(INDEX):
        return int(read_document(path, _Index, what="index").metadata.total_size)
    if path.with_name(f"model{INDEX}").exists():
        raise BadInputError(f"{what}: is one of several files; give model{INDEX}")
    head = read_head(path, what, _LENGTH)
    if len(head) < _LENGTH:
        raise BadInputError(f"{what}: is no safetensors file")
    (length,) = struct.unpack("<Q", head)
    if not 2 <= length <= _MOST:
        raise BadInputError(f"{what}: is no safetensors file: a header of {length:,} bytes")
    data = read_head(path, what, _LENGTH + length)[_LENGTH:]
    found = read_document(data, _Header, what=what).root
    ends = [tensor.data_offsets[1] for tensor in found.values() if tensor.data_offsets]
    if not ends or max(ends) <= 0:
        raise BadInputError(f"{what}: has no tensors")
    return max(ends)

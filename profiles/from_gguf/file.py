"""Whether a file is a GGUF one, how much of it is read, and which parts it has."""

from __future__ import annotations

import re
from pathlib import Path

from planner.errors import BadInputError
from profiles.files import one_line, read_head
from profiles.from_gguf.header import MAGIC

MAX_HEADER_BYTES = 64 * 2**20
"""Of the file's beginning: a vocabulary with its merges has some ten megabytes."""


def is_gguf_file(path: Path) -> bool:
    """Whether a file is called one or begins as one does; what cannot be read is none."""
    if path.suffix.lower() == ".gguf":
        return True
    try:
        return read_head(path, "file", len(MAGIC)) == MAGIC
    except BadInputError:
        return False


_PART = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf")
MOST_PARTS = 64
_MAX_PART_BYTES = 2**20
"""Of the beginning of a part behind the first, which has names of its tensors and little else."""


def read_parts(path: Path) -> tuple[list[bytes], str]:
    """The beginning of a file, or of all its parts in order, and the model's name.

    A part is called ``name-00001-of-00003.gguf``; the others lie beside it and are called as it
    is but for the number.

    Raises
    ------
    BadInputError
        One line: a part cannot be read, or there are more than are read.
    """
    named = _PART.fullmatch(path.name)
    if named is None:
        return [read_head(path, one_line(path.name), MAX_HEADER_BYTES)], path.stem
    name, number, count = named[1], int(named[2]), int(named[3])
    if not 1 <= number <= count <= MOST_PARTS:
        raise BadInputError(
            f"{one_line(path.name)}: is part {number} of {count:,}; "
            f"1 to {MOST_PARTS} parts are read"
        )
    heads = []
    for part in range(1, count + 1):
        beside = path.with_name(f"{name}-{part:05}-of-{count:05}.gguf")
        most = MAX_HEADER_BYTES if part == 1 else _MAX_PART_BYTES
        heads.append(read_head(beside, one_line(beside.name), most))
    return heads, name

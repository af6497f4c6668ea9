"""Whether a file is a GGUF one, and how much of it is read."""

from __future__ import annotations

from pathlib import Path

from planner.errors import BadInputError
from profiles.files import read_head
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

"""A reader of files that misbehaves as its request says."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any


def main(request: dict[str, Any], data: bytes) -> Any:
    """Answer, or do not."""
    name = request["name"]
    if name == "loops":
        while True:
            pass
    if name == "sleeps":
        time.sleep(60)
    if name == "talks":
        return "x" * 10**6
    if name == "ends":
        os._exit(3)
    if name == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "eats":
        return len(bytearray(2**33))
    if name == "fails":
        raise ValueError("/a/path/of/this/machine")
    if name == "reads ONNX":
        return _cause_of_giving_up(data, request["room_bytes"])
    return {}


def _cause_of_giving_up(data: bytes, room_bytes: int) -> str:
    """What protobuf calls it when a model needs more address space than is left."""
    from profiles.from_onnx.file import read_model

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most_bytes = pages * resource.getpagesize() + room_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))
    try:
        read_model(data)
    except MemoryError as error:
        return type(error.__cause__).__name__
    return "nothing"

"""A reader of files that misbehaves as its request says."""

from __future__ import annotations

import os
import signal
import time
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
    return {}

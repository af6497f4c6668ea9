"""Work that a process of its own does in tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

from app.page.apart import Watch
from planner.errors import BadInputError
from tests.processor_time import HANG_S


def count_up(steps: int, watch: Watch) -> int:
    """Tell every step; who did it."""
    for step in range(steps):
        watch(step, steps)
    return os.getpid()


def read_for_ever(*given: object) -> None:
    time.sleep(HANG_S)


def refuse(watch: Watch) -> None:
    raise BadInputError("no such thing")


def break_down(watch: Watch) -> None:
    raise ZeroDivisionError("a defect")


def vanish(watch: Watch) -> None:
    os._exit(9)


def linger(said: Path, watch: Watch) -> None:
    """Say who does it, and hear nothing any more."""
    said.write_text(str(os.getpid()))
    time.sleep(HANG_S)

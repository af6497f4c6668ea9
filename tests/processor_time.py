"""Limits of time that a busy machine keeps as well as an idle one: they count processor time.

What waits for another process counts no seconds of its own; it gives up after `HANG_S`, which only
guards against hanging and says nothing about speed.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HANG_S = 500.0
"""Long enough for any machine, and less than pytest's own limit, which ends the whole worker."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Allow the body, and the processes that it starts and waits for, so much processor time."""
    before = _used_s()
    yield
    used = _used_s() - before
    assert used < seconds, f"{used:.2f} s of processor time, at most {seconds:g} s expected"


def _used_s() -> float:
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, both))


def process_s(pid: int) -> float:
    """Processor time of another process so far, 0 once it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def ended(process: subprocess.Popen[bytes], within_s: float) -> int:
    """Wait for a process that should end by itself; its exit status."""
    begun, deadline = process_s(process.pid), time.monotonic() + HANG_S
    while process.poll() is None:
        assert process_s(process.pid) - begun < within_s, "it works on"
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.02)
    return process.returncode

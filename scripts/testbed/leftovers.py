"""Processes of a testbed whose owner is gone.

Every process of a testbed, and whatever they start, has a mark among its environment variables that
names the owner; of namespaces and devices nothing outlives these processes.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

VARIABLE = "PLANNER_TESTBED"
_PROC = Path("/proc")
_PATIENCE_S = 10.0  # with those that are another user's, or do not end


def mark(serial: int) -> str:
    """The mark of one more testbed of this process."""
    return f"{os.getpid()}-{_begun(os.getpid())}-{serial}"


def owner_lives(text: str) -> bool:
    """Whether the process that a mark names still runs."""
    pid, begun, _ = text.split("-")
    return _begun(int(pid)) == begun


def orphans() -> dict[int, str]:
    """Marks of processes whose testbed has no owner any more, by process number."""
    return _marked(lambda text: not owner_lives(text))


def end_all(text: str) -> list[int]:
    """End every process with this mark, other than this one; their numbers."""
    return _end(lambda found: found == text)


def end_orphans() -> list[int]:
    """End every process whose testbed has no owner any more; their numbers."""
    return _end(lambda text: not owner_lives(text))


def _end(wanted: Callable[[str], bool]) -> list[int]:
    ended: set[int] = set()
    deadline_s = time.monotonic() + _PATIENCE_S
    # Again until there are none: one may have started another meanwhile.
    while (found := _marked(wanted)) and time.monotonic() < deadline_s:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if set(found) <= ended:
            time.sleep(0.01)
        ended |= set(found)
    return sorted(ended)


def _marked(wanted: Callable[[str], bool]) -> dict[int, str]:
    found = {}
    start = f"{VARIABLE}=".encode()
    for folder in _PROC.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with suppress(OSError):
            for variable in (folder / "environ").read_bytes().split(b"\0"):
                text = variable.removeprefix(start).decode(errors="replace")
                if variable.startswith(start) and _is_mark(text) and wanted(text):
                    found[int(folder.name)] = text
    return found


def _is_mark(text: str) -> bool:
    parts = text.split("-")
    return len(parts) == 3 and all(part.isdigit() for part in parts)


def _begun(pid: int) -> str:
    """When a process began, in ticks: numbers of processes are given again. Empty if it is gone."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]

"""What all benchmarks share: a table's header (machine and versions), and the clock."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PACKAGES = ("numpy", "pulp", "highspy")


def header(packages: tuple[str, ...] = PACKAGES) -> str:
    """Processor, cores, load and versions, in two lines."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{model}, {os.cpu_count()} cores{load}\n"
        f"{platform.system()}, Python {platform.python_version()}, {versions}"
    )


def timed(
    call: Callable[[], T], times: int = 1, taken: Callable[[list[float]], float] = min
) -> tuple[float, T]:
    """Seconds of a call, and what the last one returned.

    Parameters
    ----------
    call : callable
    times : int
        How often it is called.
    taken : callable
        Which of the times counts: the quickest, unless told otherwise.
    """
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return taken(seconds), result

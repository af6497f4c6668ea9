"""Read an untrusted file in a child process that has limits.

The child limits itself before it imports any parser, so that threads of the caller are safe
(nothing of ours runs between fork and exec). It has its own process group, which is killed when
the time is up or the caller is interrupted, and it dies with a caller that is killed.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from planner.errors import BadInputError, PlannerError
from planner.units import format_bytes
from profiles.files import one_line


@dataclass(frozen=True)
class Limits:
    """What a child may use."""

    memory_bytes: int = 2 * 2**30  # of address space
    cpu_s: int = 14
    wall_s: float = 140.0  # only against hanging: on a busy machine a second of work takes longer
    output_bytes: int = 64 * 2**20


_BOOT = """\
import json, sys
spec = json.loads(sys.argv[1])
sys.path[:] = spec["path"]
from profiles.sandbox import serve
serve(spec)
"""
_OUT_OF_MEMORY = 71  # the exit status of a child that saw a MemoryError
_MEMORY_SIGNS = (
    "MemoryError",
    "bad_alloc",
    "failed to map segment",
    "cannot allocate memory",  # glibc, on its way to exit status 127
)
_MESSAGE_CHARACTERS = 450
_CHUNK_BYTES = 2**16
_LOG_BYTES = 2**16  # of stderr that are kept, to tell why a child died


def short_line(text: str) -> str:
    """The text as one printable line of limited length."""
    line = one_line(" ".join(text.split()))
    return line if len(line) <= _MESSAGE_CHARACTERS else f"{line[:_MESSAGE_CHARACTERS]}…"


def run_limited(
    module: str, request: dict[str, Any], data: bytes, *, what: str, limits: Limits | None = None
) -> Any:
    """Call ``main(request, data)`` of a module in a limited child.

    Parameters
    ----------
    module : str
        Its ``main`` returns what JSON can hold, or raises `planner.errors.PlannerError`.
    request : dict
        JSON; small.
    data : bytes
        The untrusted file.
    what : str
        The file's name, for messages.
    limits : Limits, optional
        The defaults otherwise.

    Returns
    -------
    object
        What ``main`` returned.

    Raises
    ------
    BadInputError
        One line: what ``main`` had to say, or which limit the child hit, or that it crashed.
    """
    limits = limits or Limits()
    spec = {
        "module": module,
        "path": import_path(),
        "parent": os.getpid(),
        "memory_bytes": limits.memory_bytes,
        "cpu_s": limits.cpu_s,
        "alarm_s": ceil(limits.wall_s) + 1,
    }
    header = json.dumps({"bytes": len(data), "request": request}).encode() + b"\n"
    deadline = time.monotonic() + limits.wall_s
    with subprocess.Popen(
        [sys.executable, "-I", "-B", "-c", _BOOT, json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
        # Each thread of a BLAS library reserves address space, and there is nothing to multiply.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            output, log = _exchange(process, (header, data), deadline, limits.output_bytes)
            status = process.wait(max(deadline - time.monotonic(), 0))
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            raise BadInputError(f"{what}: takes more than {limits.wall_s:g} s to read") from error
        except _TooMuchError as error:
            raise BadInputError(
                f"{what}: its result is larger than {format_bytes(limits.output_bytes)}"
            ) from error
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    if status:
        raise BadInputError(f"{what}: {_cause_of_death(status, log, limits)}")
    result = json.loads(output)
    if "error" in result:
        raise BadInputError(f"{what}: {short_line(result['error'])}")
    if "defect" in result:
        raise BadInputError(f"{what}: its reader fails ({result['defect']})")
    return result["value"]


class _TooMuchError(Exception):
    """The child wrote more than it may."""


def import_path() -> list[str]:
    """Where the child finds what the caller finds, except in a current folder."""
    root = str(Path(__file__).resolve().parents[1])
    return [*(path for path in sys.path if path and os.path.isabs(path)), root]


def _exchange(
    process: subprocess.Popen[bytes], chunks: tuple[bytes, ...], deadline: float, most_bytes: int
) -> tuple[bytes, bytes]:
    """Feed the child while reading what it says, until it closes both of its outputs."""
    assert process.stdin and process.stdout and process.stderr
    stdin, stdout, stderr = (
        pipe.fileno() for pipe in (process.stdin, process.stdout, process.stderr)
    )
    pending = [memoryview(chunk) for chunk in chunks if chunk]
    read = {stdout: bytearray(), stderr: bytearray()}
    os.set_blocking(stdin, False)
    with selectors.DefaultSelector() as selector:
        selector.register(stdin, selectors.EVENT_WRITE)
        for pipe in read:
            selector.register(pipe, selectors.EVENT_READ)
        while set(selector.get_map()) != {stdin} and selector.get_map():
            events = selector.select(max(deadline - time.monotonic(), 0))
            if not events or time.monotonic() > deadline:
                raise TimeoutError
            for key, _ in events:
                if key.fd == stdin:
                    if not _feed(stdin, pending):
                        selector.unregister(stdin)
                        process.stdin.close()
                    continue
                piece = os.read(key.fd, _CHUNK_BYTES)
                if not piece:
                    selector.unregister(key.fd)
                elif key.fd == stdout or len(read[stderr]) < _LOG_BYTES:
                    read[key.fd] += piece
                if len(read[stdout]) > most_bytes:
                    raise _TooMuchError
    return bytes(read[stdout]), bytes(read[stderr])


def _feed(stdin: int, pending: list[memoryview]) -> bool:
    """Write what the pipe takes; whether there is more to write."""
    try:
        while pending:
            written = os.write(stdin, pending[0])
            pending[0] = pending[0][written:]
            if not pending[0]:
                pending.pop(0)
    except BlockingIOError:
        return True
    except BrokenPipeError:  # the child has died; its exit status tells why
        pending.clear()
    return bool(pending)


def _cause_of_death(status: int, log: bytes, limits: Limits) -> str:
    text = log.decode(errors="replace")
    if status == _OUT_OF_MEMORY or any(sign in text for sign in _MEMORY_SIGNS):
        return f"needs more than {limits.memory_bytes / 2**30:.3g} GiB of memory to read"
    if status == -signal.SIGXCPU:
        return f"takes more than {limits.cpu_s} s of processor time to read"
    if status == -signal.SIGALRM:
        return f"takes more than {limits.wall_s:g} s to read"
    if status < 0:
        return f"crashes its reader ({signal.Signals(-status).name})"
    return f"its reader fails (exit status {status})"


def serve(spec: dict[str, Any]) -> None:
    """Be the child: limit oneself, read a request, answer it on standard output."""
    signal.alarm(spec["alarm_s"])
    _limit(spec["memory_bytes"], spec["cpu_s"])
    die_with(spec["parent"])
    answers = os.dup(1)
    os.dup2(2, 1)  # nothing but the answer may reach the caller's parser
    header = json.loads(sys.stdin.buffer.readline())
    data = sys.stdin.buffer.read()
    if len(data) != header["bytes"]:
        sys.exit("the caller went away")
    try:
        result = {"value": importlib.import_module(spec["module"]).main(header["request"], data)}
    except PlannerError as error:
        result = {"error": str(error)}
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except Exception as error:  # the type alone: its message may hold local paths
        result = {"defect": type(error).__name__}
    with os.fdopen(answers, "wb") as file:
        file.write(json.dumps(result).encode())


def _limit(memory_bytes: int, cpu_s: int) -> None:
    import resource

    for which, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),  # the soft limit's signal says what it is
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
    ):
        most = resource.getrlimit(which)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(which, (soft, hard))


def die_with(parent: int) -> None:
    """Ask Linux to kill this process when its caller dies; elsewhere the alarm has to do."""
    if sys.platform != "linux":
        return
    import ctypes

    set_death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the caller went away")

"""Work in a process of its own: it stops at once, and leaves no memory behind.

One process that has read the planner waits and forks another for each piece of work. It has a
single thread, so that no lock is held at a fork that nobody would ever let go; the server, which
has many, must not fork itself.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Any, TypeVar

from planner.errors import PlannerError
from profiles.sandbox import die_with, import_path

Watch = Callable[[int, int], None]
Result = TypeVar("Result")

_BOOT = """\
import json, sys
handle, sys.path[:] = json.loads(sys.argv[1])
from app.page.apart import wait
wait(handle)
"""
_STEP_S = 0.05  # so often the caller looks whether it is to stop
_NICE = 5  # whoever draws the page goes first


class WorkLostError(PlannerError):
    """A process ended before its work was done."""


def run(work: Callable[[Watch], Result], watch: Watch, check: Callable[[], None]) -> Result:
    """What some work returns in a process of its own.

    Parameters
    ----------
    work : callable
        Can be pickled, as well as what it returns. Takes a function that it calls with the steps
        that are done and their number.
    watch : callable
        Told the same here.
    check : callable
        Called again and again; what it raises ends the process.

    Raises
    ------
    WorkLostError
        The process ended before; what the work raises is raised as well.
    """
    door, theirs = Pipe()
    with door:
        try:
            _forker().fork(theirs)
        finally:
            theirs.close()
        try:
            pid = door.recv()
        except EOFError:
            raise _lost() from None
        try:
            door.send(work)
            while True:
                if not door.poll(_STEP_S):
                    check()
                    continue
                kind, *said = door.recv()
                if kind == "step":
                    watch(*said)
                    continue
                pid = None
                if kind == "failed":
                    raise said[0]
                result: Result = said[0]
                return result
        except (EOFError, ConnectionError):
            raise _lost() from None
        finally:
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)


def _lost() -> WorkLostError:
    return WorkLostError(
        "the work ended before it was done: the machine may have too little memory for it"
    )


def begin() -> None:
    """Let the process that forks others read the planner already."""
    _forker()


class _Forker:
    """The process that waits; ended with this one, whose end of the socket is closed then."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        self._turn = threading.Lock()
        with theirs:
            handle = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _BOOT, json.dumps((handle, import_path()))],
                stdin=subprocess.DEVNULL,
                pass_fds=(handle,),
                start_new_session=True,
            )

    @property
    def is_there(self) -> bool:
        """Whether it still waits."""
        return self._process.poll() is None

    def end(self) -> None:
        """Let it end."""
        self._ours.close()
        self._process.wait()

    def fork(self, door: Connection) -> None:
        """Let a new process listen at a door."""
        with self._turn:
            socket.send_fds(self._ours, [b"+"], [door.fileno()])


_lock = threading.Lock()
_forkers: list[_Forker] = []


def _forker() -> _Forker:
    with _lock:
        if _forkers and not _forkers[-1].is_there:
            _forkers.pop().end()
        if not _forkers:
            _forkers.append(_Forker())
        return _forkers[-1]


@atexit.register
def _end() -> None:
    for forker in _forkers:
        forker.end()


def wait(handle: int) -> None:
    """Be the process that forks others, until nobody is at the other end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that are done
    _read_planner()
    with socket.socket(fileno=handle) as door:
        while True:
            said, handles, _, _ = socket.recv_fds(door, 1, 1)
            if not said:
                return
            if os.fork() == 0:
                door.detach()
                _work(Connection(handles[0]))
            os.close(handles[0])


def _read_planner() -> None:
    """Import what most work needs."""
    import planner.simulation.study
    import planner.strategies.phases.peers  # noqa: F401


def _work(door: Connection) -> None:
    """Be a forked process: do what is asked at the door, and end."""
    status = 1
    try:
        die_with(os.getppid())
        os.setpgid(0, 0)
        os.nice(_NICE)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # children of its own are waited for
        door.send(os.getpid())
        work = door.recv()
        door.send(_outcome(work, lambda done, total: door.send(("step", done, total))))
        status = 0
    except (EOFError, ConnectionError):
        pass  # nobody waits for the result any more
    finally:
        os._exit(status)


def _outcome(work: Callable[[Watch], Any], watch: Watch) -> tuple[str, Any]:
    try:
        return "done", work(watch)
    except ConnectionError:
        raise
    except Exception as error:
        if not isinstance(error, PlannerError):
            error.add_note(traceback.format_exc())
        return "failed", error

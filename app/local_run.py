"""All nodes of a plan as processes of this machine; nothing listens but on 127.0.0.1."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from app.render import say
from planner.errors import NodeLostError
from planner.meeting import Environment, Meeting, torch_distributed

ADDRESS = "127.0.0.1"
PARENT = "PLANNER_RUN_PARENT"
"""Names the process that a node's process ends with."""

_POLL_S = 0.05
_GRACE_S = 5.0
"""For which the others may take to end once one has."""


def run_locally(
    nodes: Sequence[str],
    source: str,
    arguments: Sequence[str],
    *,
    threads: int,
    timeout_s: float,
) -> int:
    """Start `planner run` once for every node and wait for all of them.

    Parameters
    ----------
    nodes : sequence of str
    source : str
        The node whose words and results are shown.
    arguments : sequence of str
        Of the command, but for the node's name.
    threads : int
        Of each process.
    timeout_s : float

    Returns
    -------
    int
        The exit code of the source's process, or of the first that failed.

    Raises
    ------
    NodeLostError
        A process was killed: says which.
    """
    listening = socket.socket()
    listening.bind((ADDRESS, 0))
    listening.listen(len(nodes) + 8)
    port = listening.getsockname()[1]
    distributed = torch_distributed("plans are run")
    store = distributed.TCPStore(
        ADDRESS,
        port,
        None,
        True,
        timedelta(seconds=timeout_s),
        wait_for_workers=False,
        master_listen_fd=listening.detach(),
    )
    here = Environment(0, len(nodes), ADDRESS, port)
    meeting = Meeting(store, here, list(nodes), timeout_s, "run", NodeLostError)
    variables = os.environ | {
        "WORLD_SIZE": str(len(nodes)),
        "MASTER_ADDR": ADDRESS,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # this process keeps the store
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        PARENT: str(os.getpid()),
    }
    with _all(nodes, source, arguments, variables) as processes:
        _wait(processes, meeting)
    codes = {node: process.returncode for node, process in processes.items()}
    failed = {node: code for node, code in codes.items() if code}
    if codes[source] > 0 or not failed:
        return int(codes[source])  # it has said why
    raise NodeLostError(meeting.failure or f"{next(iter(failed))} stopped")


@contextmanager
def _all(
    nodes: Sequence[str], source: str, arguments: Sequence[str], variables: dict[str, str]
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The nodes' processes; none is left behind."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for rank, node in enumerate(nodes):
            shown: Any = None if node == source else subprocess.DEVNULL
            processes[node] = subprocess.Popen(
                [sys.executable, "-m", "planner.run", *arguments, "--name", node],
                env=variables | {"RANK": str(rank)},
                stdin=subprocess.DEVNULL,
                stdout=shown,
                stderr=shown,
            )
        yield processes
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.kill()
        for process in processes.values():
            process.wait()


def _wait(processes: dict[str, subprocess.Popen[bytes]], meeting: Meeting) -> None:
    """Until all have ended, or some time after the first one that failed."""
    deadline = None
    while None in [process.poll() for process in processes.values()]:
        failed = {n: p.returncode for n, p in processes.items() if p.returncode}
        if failed and deadline is None:
            node, code = next(iter(failed.items()))
            if code < 0:
                meeting.fail(f"{node} was killed ({signal.Signals(-code).name})")
            deadline = time.monotonic() + _GRACE_S
        if deadline is not None and time.monotonic() > deadline:
            return
        time.sleep(_POLL_S)
    killed = {n: p.returncode for n, p in processes.items() if p.returncode < 0}
    for node, code in killed.items():
        meeting.fail(f"{node} was killed ({signal.Signals(-code).name})")


@contextmanager
def ends_when_told() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind, so that processes and files of this one go with it."""

    def leave(number: int, _: object) -> None:
        say(f"planner: ended by {signal.Signals(number).name}")
        sys.exit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

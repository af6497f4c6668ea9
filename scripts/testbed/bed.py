"""A testbed: nodes of their own network on this machine, gone afterwards whatever happens."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from planner.errors import BadInputError
from scripts.testbed import leftovers, relay, taps
from scripts.testbed.nodes import VARIABLE as FACTOR
from scripts.testbed.shaping import Shaper

Kind = Literal["namespaces", "loopback"]

PORT = 29500
MOST_NODES = 64
_REPO = Path(__file__).parents[2]
_PATIENCE_S = 20.0  # with the switch, on a busy machine
_SERIAL = itertools.count()


@dataclass(frozen=True)
class Finished:
    """How a node's command ended: exit status (negative: the signal), and what it printed."""

    code: int
    output: str
    error: str


@dataclass(frozen=True)
class Run:
    """What one run did.

    Attributes
    ----------
    nodes : tuple of Finished
        By rank.
    over_time : bool
        The limit was up, and what still ran was ended.
    frames, payload_bytes : numpy.ndarray
        That were handed over, from sender (row) to receiver (column): frames on the wire, and the
        data of TCP and UDP that they carried. Frames include acknowledgements.
    late_median_s, late_p99_s, late_most_s : float
        How much later than due frames were handed over.
    dropped : int
        Trains that found a queue full. If it is not 0, the run tells nothing.
    """

    nodes: tuple[Finished, ...]
    over_time: bool
    frames: np.ndarray
    payload_bytes: np.ndarray
    late_median_s: float
    late_p99_s: float
    late_most_s: float
    dropped: int


class Testbed:
    """Nodes joined by a switch; a context manager.

    Parameters
    ----------
    nodes : sequence of str
        Names, two or more.
    bandwidth_bytes_per_s : float or sequence
        Of each node's cable, one way, in bytes of data of full frames.
    delay_s : float or array
        One way, between any two nodes, or from sender (row) to receiver (column).
    factors : sequence of float
        By how much each node is slower than this machine; a node's program learns it by
        `scripts.testbed.nodes.own_factor`.
    kind : {"namespaces", "loopback"}, optional
        By default namespaces, and where they are refused the loopback with `ports`.
    ports : sequence of int
        That the loopback's relay carries; MASTER_PORT is the first.
    settings : mapping of str to str
        Of every namespace's kernel, such as ``{"net.ipv4.tcp_slow_start_after_idle": "0"}``.
    urgent : bool
        Ask that the switch runs before all else (SCHED_FIFO).

    Raises
    ------
    BadInputError
        Something of the above cannot be, or the machine does not allow this kind: says why.
    """

    __test__ = False  # no test, whatever pytest makes of its name

    def __init__(
        self,
        nodes: Sequence[str],
        bandwidth_bytes_per_s: ArrayLike,
        delay_s: ArrayLike = 0.0,
        *,
        factors: Sequence[float] | None = None,
        kind: Kind | None = None,
        ports: Sequence[int] = (PORT,),
        settings: Mapping[str, str] | None = None,
        urgent: bool = True,
    ) -> None:
        self.nodes = tuple(nodes)
        if not 2 <= len(self.nodes) <= MOST_NODES:
            raise BadInputError(f"nodes: found {len(self.nodes)}; give 2 to {MOST_NODES}")
        self.factors = tuple(factors or [1.0] * len(self.nodes))
        if len(self.factors) != len(self.nodes) or not all(1 <= f < 1e6 for f in self.factors):
            raise BadInputError("factors: give one for each node, 1 (as this machine) or more")
        if not ports:
            raise BadInputError("ports: give one at least")
        self.bandwidth_bytes_per_s = np.asarray(bandwidth_bytes_per_s)
        self.delay_s = np.asarray(delay_s)
        # What is wrong with them is said here, not by another process.
        Shaper(self.bandwidth_bytes_per_s, self.delay_s, len(self.nodes))
        self.ports = tuple(ports)
        self.kind: Kind = kind or "namespaces"
        self.refused = ""
        """Why it is the loopback, if namespaces were wanted."""
        self.not_urgent = ""
        """Why the switch runs like any other process."""
        self._fallback = kind is None
        self._mark = leftovers.mark(next(_SERIAL))
        self._asked: dict[str, Any] = {
            "nodes": len(self.nodes),
            "bandwidth_bytes_per_s": self.bandwidth_bytes_per_s.tolist(),
            "delay_s": self.delay_s.tolist(),
            "ports": self.ports,
            "settings": dict(settings or {}),
            "urgent": urgent,
            "mark": self._mark,
        }
        self._switch: subprocess.Popen[bytes] | None = None
        self._spaces: list[str] = []

    def __enter__(self) -> Self:
        """Start the switch."""
        leftovers.end_orphans()
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything."""
        self._end()

    def address(self, rank: int, seen_from: int | None = None) -> str:
        """Where a node is, to itself or as another node reaches it."""
        if self.kind == "namespaces":
            return taps.address(rank)
        return relay.address(rank, seen_from)

    def environment(self, rank: int) -> dict[str, str]:
        """What a node's command finds in its environment, besides this process's own.

        That of torchrun; ``TESTBED_ADDRESSES``, all nodes as this one reaches them; its factor.
        """
        ranks = range(len(self.nodes))
        return {
            "RANK": str(rank),
            "LOCAL_RANK": "0",
            "WORLD_SIZE": str(len(self.nodes)),
            "MASTER_ADDR": self.address(0, rank),
            "MASTER_PORT": str(self.ports[0]),
            "GLOO_SOCKET_IFNAME": taps.INTERFACE if self.kind == "namespaces" else "lo",
            "OMP_NUM_THREADS": "1",
            "TESTBED_ADDRESSES": ",".join(self.address(other, rank) for other in ranks),
            "TESTBED_NAME": self.nodes[rank],
            FACTOR: repr(self.factors[rank]),
            leftovers.VARIABLE: self._mark,
        }

    def run(
        self,
        commands: Sequence[Sequence[str]],
        env: Mapping[str, str] | None = None,
        *,
        time_limit_s: float = 600.0,
        folder: Path | None = None,
    ) -> Run:
        """Run a command on every node, and wait for all.

        Parameters
        ----------
        commands : sequence of sequence of str
            By rank.
        env : mapping of str to str
            Further variables, for all.
        time_limit_s : float
            What still runs then is ended.
        folder : Path
            In which they run; by default this process's.
        """
        if len(commands) != len(self.nodes) or not all(commands):
            raise BadInputError(f"commands: give one for each of {len(self.nodes)} nodes")
        self._ask("reset")
        with self._started(commands, dict(env or {}), folder) as (processes, files):
            deadline_s = time.monotonic() + time_limit_s
            over_time = False
            for process in processes:
                try:
                    process.wait(max(deadline_s - time.monotonic(), 0.0))
                except subprocess.TimeoutExpired:
                    over_time = True
                    break
            said = self._ask("report")
            for process in processes:
                _kill_group(process)
            finished = tuple(
                Finished(process.wait(), *(_text(file) for file in pair))
                for process, pair in zip(processes, files, strict=True)
            )
        return Run(
            nodes=finished,
            over_time=over_time,
            frames=np.array(said["frames"]),
            payload_bytes=np.array(said["payload_bytes"]),
            late_median_s=said["late_s"]["median"],
            late_p99_s=said["late_s"]["p99"],
            late_most_s=said["late_s"]["most"],
            dropped=said["dropped"],
        )

    @contextlib.contextmanager
    def _started(
        self, commands: Sequence[Sequence[str]], env: dict[str, str], folder: Path | None
    ) -> Iterator[tuple[list[subprocess.Popen[bytes]], list[tuple[IO[bytes], IO[bytes]]]]]:
        processes: list[subprocess.Popen[bytes]] = []
        files: list[tuple[IO[bytes], IO[bytes]]] = []
        with contextlib.ExitStack() as stack:
            try:
                for rank, command in enumerate(commands):
                    # Files, not pipes: nobody has to read while they run.
                    out = stack.enter_context(tempfile.TemporaryFile())
                    error = stack.enter_context(tempfile.TemporaryFile())
                    files.append((out, error))
                    enter = [sys.executable, "-I", "-S", str(Path(__file__).with_name("enter.py"))]
                    processes.append(
                        subprocess.Popen(
                            [*enter, str(os.getpid()), self._spaces[rank], *command],
                            stdin=subprocess.DEVNULL,
                            stdout=out,
                            stderr=error,
                            env={**os.environ, **env, **self.environment(rank)},
                            cwd=folder,
                            start_new_session=True,
                        )
                    )
                yield processes, files
            finally:
                for process in processes:
                    _kill_group(process)
                    process.wait()

    def _start(self) -> None:
        said = self._serve()
        if "refused" in said and self._fallback:
            self._end()
            self.refused, self.kind = said["refused"], "loopback"
            said = self._serve()
        if "refused" in said:
            raise BadInputError(f"testbed of {self.kind}: not on this machine: {said['refused']}")
        self.not_urgent = said["not_urgent"]
        assert self._switch is not None
        files = f"/proc/{self._switch.pid}/fd/"
        if self.kind == "namespaces":
            self._spaces = [f"{files}{space}" for space in said["spaces"]]
        else:
            self._spaces = ["-"] * len(self.nodes)

    def _serve(self) -> dict[str, Any]:
        self._switch = subprocess.Popen(
            [sys.executable, "-m", "scripts.testbed.switch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **this_checkout(), leftovers.VARIABLE: self._mark},
            start_new_session=True,  # Ctrl-C is this process's to handle
            bufsize=0,
        )
        return self._ask(json.dumps(self._asked | {"kind": self.kind}))

    def _ask(self, line: str) -> dict[str, Any]:
        if self._switch is None:
            raise BadInputError("testbed: use it within `with Testbed(...) as bed:`")
        assert self._switch.stdin is not None and self._switch.stdout is not None
        deadline_s = time.monotonic() + _PATIENCE_S + len(self.nodes)
        answer = b""
        with contextlib.suppress(BrokenPipeError):
            self._switch.stdin.write(line.encode() + b"\n")
        while not answer.endswith(b"\n"):
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([self._switch.stdout], [], [], left_s)[0]:
                raise BadInputError("testbed: the switch does not answer")
            piece = os.read(self._switch.stdout.fileno(), 2**16)
            if not piece:
                raise BadInputError("testbed: the switch ended; what it said is above")
            answer += piece
        found: dict[str, Any] = json.loads(answer)
        return found

    def _end(self) -> None:
        """End the switch, which ends all that has its mark."""
        switch, self._switch = self._switch, None
        if switch is None:
            return
        assert switch.stdin is not None and switch.stdout is not None
        switch.stdin.close()
        try:
            switch.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            switch.kill()
            switch.wait()
        finally:
            switch.stdout.close()
            leftovers.end_all(self._mark)


def this_checkout() -> dict[str, str]:
    """The variable by which a child finds this checkout's packages before all others."""
    path = [str(_REPO), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, path))}


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")

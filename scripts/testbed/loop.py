"""The loop of a switch: frames in, a precise wait, frames out, and a record of how it went."""

from __future__ import annotations

import ctypes
import json
import os
import select
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scripts.testbed.shaping import Shaper, Train

SPIN_S = 50e-6
"""Before something is due the clock is read without rest; a sleep is not more precise than this."""
IDLE_S = 0.25
"""Between two looks whether the owner still lives."""
_PRIORITY = 10
_TIMER_SLACK = 29  # prctl
_MICROSECONDS = 100_000


@dataclass
class Record:
    """Frames and bytes of data by sender and receiver, and how late what left was."""

    nodes: int
    late: np.ndarray = field(default_factory=lambda: np.zeros(_MICROSECONDS + 1, dtype=np.int64))
    most_late_s: float = 0.0

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.frames = np.zeros((self.nodes, self.nodes), dtype=np.int64)
        self.payload_bytes = np.zeros((self.nodes, self.nodes), dtype=np.int64)

    def left(self, train: Train, late_s: float) -> None:
        """A train was handed over, later than it was due."""
        pair = train.sender, train.receiver
        self.frames[pair] += train.frames
        self.payload_bytes[pair] += train.payload_bytes
        self.late[min(int(late_s * 1e6), _MICROSECONDS)] += 1
        self.most_late_s = max(self.most_late_s, late_s)

    def as_json(self) -> dict[str, Any]:
        """Counts as lists; quantiles of how late, in seconds (by the microsecond)."""
        total = int(self.late.sum())
        ranks = np.searchsorted(np.cumsum(self.late), [0.5 * total, 0.99 * total])
        median, p99 = (ranks * 1e-6).tolist() if total else (0.0, 0.0)
        return {
            "frames": self.frames.tolist(),
            "payload_bytes": self.payload_bytes.tolist(),
            "late_s": {"median": median, "p99": p99, "most": self.most_late_s},
        }


def first_in_line() -> str:
    """Run before everything that is not as urgent; why not, if this is refused."""
    # Timers of an ordinary process may be 50 µs late, to save power.
    ctypes.CDLL(None).prctl(_TIMER_SLACK, 1, 0, 0, 0)
    policy = os.SCHED_FIFO | getattr(os, "SCHED_RESET_ON_FORK", 0)
    try:
        os.sched_setscheduler(0, policy, os.sched_param(_PRIORITY))
    except OSError as error:
        return str(error.strerror)
    return ""


@dataclass
class Loop:
    """Serve until the owner says so or is gone.

    Attributes
    ----------
    shaper : Shaper
    readers : mapping of int to callable
        By file descriptor; called when there is something to read. It may change while serving.
    writers : mapping of int to callable
        Likewise, when something can be written.
    deliver : callable
        Hands a train over.
    tick : callable
        Called a few times a second.
    """

    shaper: Shaper
    readers: Mapping[int, Callable[[float], None]]
    deliver: Callable[[Train], None]
    writers: Mapping[int, Callable[[], None]] = field(default_factory=dict)
    tick: Callable[[], None] = lambda: None

    def serve(self, ready: Mapping[str, Any]) -> None:
        """Answer the owner's lines on standard input: ``reset``, ``report``; its end is the end."""
        owner = os.getppid()
        record = Record(self.shaper.nodes)
        _say(ready)
        clock = time.monotonic
        looked_s = clock()
        while True:
            now = clock()
            if now - looked_s > IDLE_S:
                looked_s = now
                self.tick()
                if os.getppid() != owner:
                    return
            wait_s = min(max(self.shaper.next_s - SPIN_S - now, 0.0), IDLE_S)
            readable, writable, _ = select.select(
                [0, *self.readers], list(self.writers), [], wait_s
            )
            now = clock()
            for descriptor in writable:
                if descriptor in self.writers:  # an earlier one may have closed it
                    self.writers[descriptor]()
            for descriptor in readable:
                if descriptor == 0:
                    line = os.read(0, 64).decode().strip()
                    if not line:
                        return
                    if line == "reset":
                        record = Record(self.shaper.nodes)
                        self.shaper.dropped = 0
                    _say(record.as_json() | {"dropped": self.shaper.dropped})
                elif descriptor in self.readers:
                    self.readers[descriptor](now)
            for due_s, train in self.shaper.arrived(clock()):
                self.deliver(train)
                record.left(train, clock() - due_s)


def _say(what: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()

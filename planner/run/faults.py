"""Who stopped: every process says now and then at the store that it lives, and what it is at.

A message that does not come says little: its sender may wait for another one, and so on. Who is
named is the last of that row: one that no longer says anything, or works for too long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from planner.errors import NodeLostError
from planner.meeting import Meeting
from planner.run.loop import Doing, LostError

PERIOD_S = 0.5
"""Between two words of a process."""

LISTENS_S = 4.0
"""For which another process listens to them: long for one that shares a busy processor."""

_ALIVE = 2  # words within that time
_APART = "\x1f"
Result = TypeVar("Result")


class Beats(threading.Thread):
    """Says at the store that this process lives, and what it is at.

    Parameters
    ----------
    store : torch.distributed.Store
        A connection of its own.
    key : str
    doing : Doing
    """

    def __init__(self, store: Any, key: str, doing: Doing) -> None:
        super().__init__(daemon=True, name="beats")
        self._store, self._key, self._doing = store, key, doing
        self._over = threading.Event()

    def run(self) -> None:
        """Until told to stop, or nobody listens any more."""
        count = 0
        try:
            while True:
                count += 1
                said = (str(count), *self._doing.now)
                self._store.set(self._key, _APART.join(said))
                if self._over.wait(PERIOD_S):
                    return
        except RuntimeError:  # the store is gone: the next wait of the run says so
            return

    def stop(self) -> None:
        """Say nothing more."""
        self._over.set()
        self.join()


@dataclass(frozen=True)
class _Heard:
    """Words of a process within some time, and what it is at."""

    words: int
    waits_for: str
    what: str

    @property
    def alive(self) -> bool:
        return self.words >= _ALIVE


@dataclass(frozen=True)
class Watch:
    """Finds out who stopped, and says it for all.

    Attributes
    ----------
    meeting : Meeting
    nodes : tuple of str
        By rank.
    """

    meeting: Meeting
    nodes: tuple[str, ...]

    def beat_key(self, node: str) -> str:
        """Where a node says that it lives."""
        return f"{self.meeting.prefix}/beat/{self.nodes.index(node)}"

    def lost(self, error: LostError, run: int) -> NodeLostError:
        """The one line that all nodes end with, within a bounded time."""
        here = self.nodes[self.meeting.here.rank]
        wanted = f"{here} waited for {error.what!r} of run {run + 1}"
        closed = "Timed out" not in str(error)
        find = self._closed if closed else self._silent
        longest_s = LISTENS_S * (len(self.nodes) + 1) + self.meeting.time_limit_s

        def found() -> str:
            try:
                return self.meeting.fail(find(error.peer, wanted))
            except NodeLostError:
                return f"{self.nodes[0]}, where the nodes meet, stopped while {wanted}"

        line = within(longest_s, found)
        return NodeLostError(line or f"{error.peer} stopped while {wanted}; nobody else answers")

    def _closed(self, peer: str, wanted: str) -> str:
        """A connection was closed: by a process that ended, or on its way."""
        heard, said = self._listened(peer)
        if said:
            return said
        if heard.alive:
            return f"the connection to {peer} was lost while {wanted}; both still run"
        return f"{peer} stopped while {wanted}: its connection was closed"

    def _silent(self, peer: str, wanted: str) -> str:
        """Nothing came: the peer stopped, or waits for another one."""
        limit_s = self.meeting.time_limit_s
        row = [self.nodes[self.meeting.here.rank], peer]
        while True:
            heard, said = self._listened(row[-1])
            if said:
                return said
            if not heard.alive:
                return f"{row[-1]} stopped answering: {wanted} for {limit_s:g} s"
            if not heard.waits_for:
                return (
                    f"{row[-1]} is at {heard.what} while {wanted} for {limit_s:g} s; "
                    "--timeout-s waits longer"
                )
            if heard.waits_for in row:
                return (
                    f"nothing passes between {row[-1]} and {heard.waits_for} while {wanted} for "
                    f"{limit_s:g} s; both still run"
                )
            row.append(heard.waits_for)

    def _listened(self, node: str) -> tuple[_Heard, str]:
        """What a process says for a while; or at once what some process has ended from."""
        deadline = time.monotonic() + LISTENS_S
        last, words = self._word(node), 0
        while time.monotonic() < deadline and words < _ALIVE:
            if said := self.meeting.failure:
                return _Heard(words, last[1], last[2]), said
            time.sleep(PERIOD_S / 5)
            word = self._word(node)
            words += word[0] != last[0]
            last = word
        return _Heard(words, last[1], last[2]), self.meeting.failure

    def _word(self, node: str) -> tuple[str, str, str]:
        key, store = self.beat_key(node), self.meeting.store
        with self.meeting.talking_to(None):
            text = store.get(key).decode(errors="replace") if store.check([key]) else ""
        parts = (*text.split(_APART), "", "", "")
        waits_for = parts[1] if parts[1] in self.nodes else ""
        return parts[0], waits_for, parts[2][:200]


def within(limit_s: float, function: Callable[[], Result]) -> Result | None:
    """What a function answers in time; None where it does not."""
    found: list[Result] = []
    thread = threading.Thread(target=lambda: found.append(function()), daemon=True)
    thread.start()
    thread.join(limit_s)
    return found[0] if found else None

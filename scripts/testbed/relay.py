"""Where no namespaces are to be had: connections through loopback addresses, shaped all the same.

Node b listens on its own address; node a reaches it under another one, on which this relay listens
and passes on what comes, both ways. That works for ports that are told beforehand, and not for
libraries that tell each other addresses of their own, as gloo does.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from scripts.testbed.loop import Loop
from scripts.testbed.shaping import Shaper, Train

_PIECE_BYTES = 2**16
_AHEAD_S = 8e-3
"""Of one connection's data, that may wait here; a faster sender waits itself, as TCP makes it."""


def address(rank: int, seen_from: int | None = None) -> str:
    """Loopback address of a node: its own, or the one under which another node reaches it."""
    return f"127.77.{(rank if seen_from is None else seen_from) + 1}.{rank + 1}"


@dataclass
class _End:
    """One socket of a connection, and what is to be written to it."""

    socket: socket.socket
    node: int
    waiting: deque[bytes] = field(default_factory=deque)
    on_the_way_bytes: int = 0
    ended: bool = False  # its node sends no more
    told: bool = False  # and has been told that the other node does not
    other: _End | None = None


class Relay:
    """Listens for every node in the place of every other."""

    def __init__(self, shaper: Shaper, ports: Sequence[int]) -> None:
        self.shaper = shaper
        self.readers: dict[int, Callable[[float], None]] = {}
        self.writers: dict[int, Callable[[], None]] = {}
        # Enough to fill the cable until the first of it has come.
        ahead_s = _AHEAD_S + float(np.max(shaper.delay_s))
        self._most_bytes = max(2 * _PIECE_BYTES, int(max(shaper.wire_bytes_per_s) * ahead_s))
        self._listening: list[socket.socket] = []
        self._unanswered: list[tuple[_End, int, int]] = []
        for a in range(shaper.nodes):
            for b in range(shaper.nodes):
                for port in ports if a != b else ():
                    self._listen(a, b, port)

    def loop(self) -> Loop:
        """What serves it."""
        return Loop(self.shaper, self.readers, self._deliver, self.writers, self._answer)

    def _listen(self, a: int, b: int, port: int) -> None:
        listening = socket.create_server((address(b, a), port), backlog=64)
        listening.setblocking(False)
        self._listening.append(listening)
        self.readers[listening.fileno()] = partial(self._accept, listening, a, b, port)

    def _accept(self, listening: socket.socket, a: int, b: int, port: int, now_s: float) -> None:
        with suppress(BlockingIOError):
            self._unanswered.append((self._end(listening.accept()[0], a), b, port))
            self._answer()

    def _end(self, connection: socket.socket, node: int) -> _End:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _End(connection, node)

    def _answer(self) -> None:
        """Reach the nodes that were called; one that does not listen yet is called again."""
        left = []
        for end, b, port in self._unanswered:
            try:
                connection = socket.create_connection(
                    (address(b), port), timeout=1.0, source_address=(address(end.node, b), 0)
                )
            except OSError as error:
                if error.errno == errno.ECONNREFUSED:
                    left.append((end, b, port))
                else:
                    end.socket.close()
                continue
            other = self._end(connection, b)
            end.other, other.other = other, end
            for one in (end, other):
                self.readers[one.socket.fileno()] = partial(self._read, one)
        self._unanswered = left

    def _read(self, end: _End, now_s: float) -> None:
        assert end.other is not None
        try:
            data = end.socket.recv(_PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        other = end.other
        other.on_the_way_bytes += len(data)
        # An end travels like a frame without data, behind all that was sent before.
        self.shaper.enter(now_s, Train.of_data(end.node, other.node, len(data), (other, data)))
        if not data or other.on_the_way_bytes > self._most_bytes:
            self.readers.pop(end.socket.fileno(), None)
            end.ended |= not data

    def _deliver(self, train: Train) -> None:
        end, data = train.content
        end.waiting.append(data)
        self._write(end)

    def _write(self, end: _End) -> None:
        descriptor = end.socket.fileno()
        if descriptor < 0:
            return
        try:
            while end.waiting:
                if not end.waiting[0]:
                    end.waiting.clear()
                    self.writers.pop(descriptor, None)
                    end.socket.shutdown(socket.SHUT_WR)
                    end.told = True
                    if end.other is not None and end.other.told:
                        self._close(end)
                    return
                sent = end.socket.send(end.waiting[0])
                end.on_the_way_bytes -= sent
                end.waiting[0] = end.waiting[0][sent:]
                if not end.waiting[0]:
                    end.waiting.popleft()
        except BlockingIOError:
            self.writers[descriptor] = partial(self._write, end)
            return
        except OSError:
            self._close(end)
            return
        self.writers.pop(descriptor, None)
        other = end.other
        assert other is not None
        below = end.on_the_way_bytes <= self._most_bytes
        if below and not other.ended and other.socket.fileno() >= 0:
            self.readers.setdefault(other.socket.fileno(), partial(self._read, other))

    def _close(self, end: _End) -> None:
        assert end.other is not None
        for one in (end, end.other):
            self.readers.pop(one.socket.fileno(), None)
            self.writers.pop(one.socket.fileno(), None)
            one.socket.close()

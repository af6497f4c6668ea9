"""When a frame arrives over a store-and-forward switch: arithmetic on times, without a clock.

Every node has one cable to the switch, which carries both directions at once. A frame waits for the
sender's end, is sent over it bit by bit, travels for the delay, waits for the receiver's end and is
sent over that. Several frames that the kernel handed over as one (segmentation is left to the
device) are a train: frame behind frame, each of which crosses the switch by itself.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from planner.errors import BadInputError

FRAME_BYTES = 1514
"""A full frame: Ethernet's header and 1,500 bytes of IP."""
SEGMENT_BYTES = 1448
"""Of them the data: less the headers of Ethernet, IP, and TCP with timestamps."""
HEADER_BYTES = FRAME_BYTES - SEGMENT_BYTES
QUEUE_BYTES = 2**26
"""That wait at one end of a cable at most; what comes then is dropped, and counted."""


@dataclass(frozen=True)
class Train:
    """Frames from one node to another that were handed over as one.

    Attributes
    ----------
    sender, receiver : int
    wire_bytes : int
        Of all its frames, with their headers.
    frame_bytes : int
        Of its largest frame.
    payload_bytes : int
        Data that its frames carry.
    frames : int
    content : object
        What is handed over on the other side.
    """

    sender: int
    receiver: int
    wire_bytes: int
    frame_bytes: int
    payload_bytes: int
    frames: int
    content: Any = None

    @classmethod
    def of_data(cls, sender: int, receiver: int, payload_bytes: int, content: Any = None) -> Train:
        """The frames in which TCP sends so many bytes."""
        frames = max(-(-payload_bytes // SEGMENT_BYTES), 1)
        return cls(
            sender,
            receiver,
            wire_bytes=payload_bytes + frames * HEADER_BYTES,
            frame_bytes=min(payload_bytes, SEGMENT_BYTES) + HEADER_BYTES,
            payload_bytes=payload_bytes,
            frames=frames,
            content=content,
        )


@dataclass
class Shaper:
    """Nodes' cables and the frames on them.

    Attributes
    ----------
    bandwidth_bytes_per_s : array_like
        Of each node's cable, one way, in bytes of data of full frames: the cable itself is faster
        by their headers, so that a transfer alone gets what is set.
    delay_s : array_like
        From sender (row) to receiver (column); one number for all.
    nodes : int
    queue_bytes : int
        That wait at one end of a cable at most.
    """

    bandwidth_bytes_per_s: ArrayLike
    delay_s: ArrayLike
    nodes: int
    queue_bytes: int = QUEUE_BYTES
    dropped: int = 0
    _crossing: list[tuple[float, int, float, Train]] = field(default_factory=list)
    _arriving: list[tuple[float, int, Train]] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        """Refuse links that cannot be."""
        data = _filled(self.bandwidth_bytes_per_s, (self.nodes,), "bandwidth")
        if np.any(data <= 0):
            raise BadInputError("bandwidth: give more than 0 bytes/s for every node")
        delay = _filled(self.delay_s, (self.nodes, self.nodes), "delay")
        if np.any(delay < 0):
            raise BadInputError("delay: give 0 s or more for every pair")
        # Lists: a number of them is read in a fifth of the time.
        self.wire_bytes_per_s: list[float] = (data * FRAME_BYTES / SEGMENT_BYTES).tolist()
        self._s_per_byte = [1 / rate for rate in self.wire_bytes_per_s]
        self._delay_s: list[list[float]] = delay.tolist()
        self._out_free_s = [0.0] * self.nodes
        self._in_free_s = [0.0] * self.nodes

    def enter(self, now_s: float, train: Train) -> None:
        """A node hands over a train."""
        a, b = train.sender, train.receiver
        slow_s = self._s_per_byte[a]
        begin_s = max(now_s, self._out_free_s[a])
        if (begin_s - now_s) > self.queue_bytes * slow_s:
            self.dropped += 1
            return
        self._out_free_s[a] = end_s = begin_s + train.wire_bytes * slow_s
        delay_s = self._delay_s[a][b]
        first_s = begin_s + train.frame_bytes * slow_s + delay_s
        self._count += 1
        heapq.heappush(self._crossing, (first_s, self._count, end_s + delay_s, train))

    @property
    def next_s(self) -> float:
        """When something happens next; infinite if nothing is on the way."""
        first = self._crossing[0][0] if self._crossing else np.inf
        return min(first, self._arriving[0][0]) if self._arriving else first

    def arrived(self, now_s: float) -> list[tuple[float, Train]]:
        """Trains that have arrived by now, and when they did, in this order."""
        # Whoever reaches a receiver's cable first goes first, so this is decided then, not before.
        while self._crossing and self._crossing[0][0] <= now_s:
            first_s, number, last_s, train = heapq.heappop(self._crossing)
            b = train.receiver
            slow_s = self._s_per_byte[b]
            begin_s = max(first_s, self._in_free_s[b])
            if (begin_s - first_s) > self.queue_bytes * slow_s:
                self.dropped += 1
                continue
            # A faster cable still waits for the last frame of the slower one.
            end_s = max(begin_s + train.wire_bytes * slow_s, last_s + train.frame_bytes * slow_s)
            self._in_free_s[b] = end_s
            heapq.heappush(self._arriving, (end_s, number, train))
        found = []
        while self._arriving and self._arriving[0][0] <= now_s:
            end_s, _, train = heapq.heappop(self._arriving)
            found.append((end_s, train))
        return found


def _filled(value: ArrayLike, shape: tuple[int, ...], what: str) -> np.ndarray:
    try:
        found = np.broadcast_to(np.asarray(value, dtype=np.float64), shape)
    except (TypeError, ValueError) as error:
        wanted = " by ".join(map(str, shape))
        raise BadInputError(f"{what}: give one number, or {wanted} of them") from error
    if not np.all(np.isfinite(found)):
        raise BadInputError(f"{what}: give finite numbers")
    return found

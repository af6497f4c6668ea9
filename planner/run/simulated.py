"""What a run takes that computes for so long and sends so much: actions against links, no clock.

Every node does its actions one after another. A message leaves once its sender's software is done
with it; messages of one pair of nodes follow one another, as on one connection, and pairs share
what they use together, interfaces, a medium, fairly (max-min, as TCP comes near to it). A message
has arrived when its last byte has travelled for the link's delay; the receiver's software takes
its time when it is asked for. This is the road to a prediction that knows segments and not layers:
computing times may be modelled, or measured on each node alone.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from planner.cost.exchange import Ends, Links
from planner.errors import InconsistentResultError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Works:
    """A node computes for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Sends:
    """A node sends a message of some bytes to another one, by its position."""

    receiver: int
    message: str
    size_bytes: int


@dataclass(frozen=True)
class Waits:
    """A node needs a message of another one, by its position."""

    sender: int
    message: str


Act = Works | Sends | Waits


def fair_rates(links: Links, active: Sequence[tuple[int, int]]) -> Floats:
    """Bytes per second of messages that are under way at once, by pair of nodes; max-min fair."""
    shares = _shared(links, active)
    rates = np.zeros(len(active))
    open_ = np.ones(len(active), dtype=np.bool_)
    left = np.array([capacity for capacity, _ in shares])
    uses = np.array([members for _, members in shares], dtype=np.bool_)
    while open_.any():
        # all rise together until something is full; what passes there stays as it is
        users = (uses & open_).sum(axis=1)
        room = np.where(users > 0, left / np.maximum(users, 1), np.inf)
        step = room.min()
        rates[open_] += step
        left = left - step * users
        full = (users > 0) & (room <= step * (1 + 1e-12))
        open_ &= ~uses[full].any(axis=0)
    return rates


def _shared(links: Links, active: Sequence[tuple[int, int]]) -> list[tuple[float, list[bool]]]:
    """What messages share: its bytes per second, and which of them pass there."""
    found: list[tuple[float, list[bool]]] = []
    for index, pair in enumerate(active):
        alone = [other == index for other in range(len(active))]
        found.append((float(links.pair_bandwidth_bytes_per_s[pair]), alone))
    if links.medium == "shared":
        found.append((links.slowest_bandwidth_bytes_per_s, [True] * len(active)))
    else:
        for node, rate in enumerate(links.out.bandwidth_bytes_per_s.tolist()):
            out, into = ([pair[side] == node for pair in active] for side in (0, 1))
            if links.medium == "half_duplex":
                found.append((rate, [a or b for a, b in zip(out, into, strict=True)]))
            else:
                found += [(rate, out), (rate, into)]
    if np.isfinite(links.switch_bytes_per_s):
        found.append((links.switch_bytes_per_s, [True] * len(active)))
    return found


@dataclass(frozen=True)
class Simulated:
    """A run as it went.

    Attributes
    ----------
    spans_s : tuple of float arrays, shape (A, 2) each
        By node, begin and end of every act; a wait ends when the message has been taken in.
    """

    spans_s: tuple[Floats, ...]

    @property
    def latency_s(self) -> float:
        """Until the last node has done its last act."""
        return max((float(spans[-1, 1]) for spans in self.spans_s if len(spans)), default=0.0)


def simulate_run(
    acts: Sequence[Sequence[Act]], links: Links, starts_s: Sequence[float] | None = None
) -> Simulated:
    """Do all nodes' acts.

    Parameters
    ----------
    acts : sequence of sequences of Act
        By node, in order. A pair of nodes uses a name of a message once.
    links : Links
        Among these nodes; messages go directly, each to one receiver.
    starts_s : sequence of float, optional
        When each node begins; all at 0 by default.

    Raises
    ------
    InconsistentResultError
        A node waits for what nobody sends.
    """
    return _Simulation(acts, links).run(starts_s or [0.0] * len(acts))


@dataclass
class _Flow:
    """A message that is under way."""

    message: str
    size_bytes: int
    left_bytes: float


@dataclass
class _Simulation:
    acts: Sequence[Sequence[Act]]
    links: Links
    now_s: float = 0.0
    _events: list[tuple[float, int, str, tuple[int, ...], str]] = field(default_factory=list)
    _count: int = 0
    _queued: dict[tuple[int, int], deque[_Flow]] = field(default_factory=dict)
    _arrived: dict[tuple[int, int, str], int] = field(default_factory=dict)
    _waiting: dict[tuple[int, int, str], int] = field(default_factory=dict)
    _place: list[int] = field(default_factory=list)
    _waited: dict[int, int] = field(default_factory=dict)
    _rates: Mapping[tuple[int, int], float] = field(default_factory=dict)

    def run(self, starts_s: Sequence[float]) -> Simulated:
        self._place = [0] * len(self.acts)
        self._spans = [np.zeros((len(mine), 2)) for mine in self.acts]
        for node, start in enumerate(starts_s):
            self._at(start, "go on", (node,))
        while self._events or self._queued:
            self._advance()
        for (sender, node, message), _ in self._waiting.items():
            raise InconsistentResultError(
                f"node {node} waits for {message!r} of node {sender}, which does not send it"
            )
        return Simulated(tuple(self._spans))

    def _at(self, time_s: float, what: str, where: tuple[int, ...], message: str = "") -> None:
        self._count += 1  # of events at one time the earlier one first
        heapq.heappush(self._events, (time_s, self._count, what, where, message))

    def _advance(self) -> None:
        """Up to the next event, or until the next message has left."""
        ends = {p: self.now_s + q[0].left_bytes / self._rates[p] for p, q in self._queued.items()}
        first = min(ends.values(), default=np.inf)
        then = min(first, self._events[0][0] if self._events else np.inf)
        for pair, flows in self._queued.items():
            flows[0].left_bytes -= self._rates[pair] * (then - self.now_s)
        self.now_s = then
        left = [pair for pair, end in ends.items() if end <= then]
        for pair in left:
            flow = self._queued[pair].popleft()
            if not self._queued[pair]:
                del self._queued[pair]
            at = then + float(self.links.pair_latency_s[pair])
            self._at(at, "arrived", (*pair, flow.size_bytes), flow.message)
        changed = bool(left)
        while self._events and self._events[0][0] <= then:
            _, _, what, where, message = heapq.heappop(self._events)
            if what == "go on":
                self._go_on(where[0])
            elif what == "arrived":
                sender, receiver, size = where
                self._arrive(sender, receiver, size, message)
            else:
                node, receiver, size = where
                pair = node, receiver
                changed |= pair not in self._queued
                flow = _Flow(message, size, max(float(size), 1e-9))
                self._queued.setdefault(pair, deque()).append(flow)
        if changed:
            pairs = list(self._queued)
            found = fair_rates(self.links, pairs) if pairs else np.zeros(0)
            self._rates = dict(zip(pairs, found.tolist(), strict=True))

    def _arrive(self, sender: int, receiver: int, size_bytes: int, message: str) -> None:
        self._arrived[sender, receiver, message] = size_bytes
        node = self._waiting.pop((sender, receiver, message), None)
        if node is not None:
            self._go_on(node)

    def _go_on(self, node: int) -> None:
        """Begin the next act of a node that is free."""
        place, spans = self._place[node], self._spans[node]
        if place == len(self.acts[node]):
            return
        act, links = self.acts[node][place], self.links
        if isinstance(act, Waits):
            key = act.sender, node, act.message
            if self._waited.get(node) != place:
                self._waited[node] = place
                spans[place, 0] = self.now_s
            if key not in self._arrived:
                self._waiting[key] = node
                return
            seconds = _software_s(links.into, node, self._arrived[key])
        else:
            spans[place, 0] = self.now_s
            seconds = (
                act.seconds
                if isinstance(act, Works)
                else _software_s(links.out, node, act.size_bytes)
            )
        end = self.now_s + seconds
        spans[place, 1] = end
        self._place[node] = place + 1
        if isinstance(act, Sends):
            self._at(end, "sent", (node, act.receiver, act.size_bytes), act.message)
        self._at(end, "go on", (node,))


def _software_s(ends: Ends, node: int, size_bytes: int) -> float:
    """For which a message occupies the node at one of its ends."""
    return float(ends.message_s[node] + size_bytes * ends.s_per_byte[node])

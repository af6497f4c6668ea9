"""Measure the links between nodes with torch.distributed (gloo), one process a node.

Started by torchrun on all nodes. Pairs are measured one after the other while the others wait, then
several transfers at once. Nodes meet at a store that torchrun keeps, not through the links that are
measured: whoever stops is known by name, and all end within the time limit.
"""

from __future__ import annotations

import importlib
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from planner.errors import BadInputError
from planner.measure.links import Raw, link_document
from planner.measure.parts import LinkMeasurement
from planner.meeting import Environment, Meeting, open_store, torch_distributed
from planner.meeting import environment as place_among_others

Watch = Callable[[str], None]

HOW_TO_START = (
    "run it on every node under torchrun, such as: torchrun --nnodes 2 --node-rank 0 "
    "--master-addr FIRST_NODE --master-port 29500 --no-python planner measure links -o links.json"
)
LONG_ENOUGH_S = 0.4
"""Of a transfer: shorter ones show a shaper's burst instead of its rate."""

_MEASURED = "links are measured"

_WARM_UP = 20
_ROUND_TRIPS = 200
_TINY_MESSAGES = 200  # a run of them, for the software's time
_RUNS = 5
_FIRST_BYTES = 2**18
_MOST_BYTES = 2**26
_PIECES, _AHEAD = 64, 16  # of a transfer beside another one; on the way at once
_LEAST_S = 1e-9


def environment() -> Environment:
    """Place of this process among the others.

    Raises
    ------
    BadInputError
        torchrun did not start it, or started it alone.
    """
    here = place_among_others(what=_MEASURED, how_to_start=HOW_TO_START)
    if here.world < 2:
        raise BadInputError(f"a link needs two nodes, found one process; {HOW_TO_START}")
    return here


def measure_links(
    *,
    name: str = "",
    time_limit_s: float = 120.0,
    long_enough_s: float = LONG_ENOUGH_S,
    watch: Watch = lambda _: None,
) -> LinkMeasurement | None:
    """Measure every pair; rank 0 returns what was found, the others None.

    Parameters
    ----------
    name : str
        This node's; by default its host's.
    time_limit_s : float
        For which a node waits for another at most.
    long_enough_s : float
        Of a transfer that tells a rate.
    watch : callable
        Is told how far it is.

    Raises
    ------
    BadInputError
        torchrun did not start it, torch is missing, or a node stopped: says which.
    """
    here = environment()
    distributed = torch_distributed(_MEASURED)
    limit = timedelta(seconds=time_limit_s)
    store = open_store(here, time_limit_s, _MEASURED)
    names = [f"rank {rank}" for rank in range(here.world)]
    meeting = Meeting(store, here, names, time_limit_s, "measure")
    joined = False
    try:
        _exchange_names(meeting, name or socket.gethostname())
        with meeting.talking_to(None):
            distributed.init_process_group(
                "gloo",
                store=distributed.PrefixStore("measure/gloo", store),
                rank=here.rank,
                world_size=here.world,
                timeout=limit,
            )
            joined = True
        return _Measuring(meeting, watch, long_enough_s).all()
    except BadInputError as error:
        meeting.fail(str(error))
        raise
    finally:
        if joined:
            with suppress(RuntimeError):
                distributed.destroy_process_group()


def _exchange_names(meeting: Meeting, host: str) -> None:
    """Know all nodes by name; processes of one host get their ranks behind it."""
    hosts = [text.decode() for text in meeting.gathered("name", host.encode())]
    meeting.names = [
        host if hosts.count(host) == 1 else f"{host}-{rank}" for rank, host in enumerate(hosts)
    ]


@dataclass
class _Measuring:
    """The measurements, the same calls on every node."""

    meeting: Meeting
    watch: Watch
    long_enough_s: float

    def __post_init__(self) -> None:
        self.torch = importlib.import_module("torch")
        self.distributed = importlib.import_module("torch.distributed")
        self.rank, self.world = self.meeting.here.rank, self.meeting.here.world
        self.tiny = self.torch.zeros(1)
        self.sizes: dict[int, int] = {}

    def all(self) -> LinkMeasurement | None:
        """Every pair in turn, then several transfers at once."""
        names = self.meeting.names
        pairs = [(a, b) for a in range(self.world) for b in range(a + 1, self.world)]
        raw = Raw()
        for number, (a, b) in enumerate(pairs, start=1):
            self.watch(f"measuring {names[a]} and {names[b]}, pair {number} of {len(pairs)}")
            if self.rank in (a, b):
                self._pair(raw, b if self.rank == a else a)
            self.meeting.gathered(f"pair-{a}-{b}", b"-")
        transfers = transfers_at_once(self.world)
        if transfers:
            self.watch("measuring several pairs at once")
            self._at_once(raw, transfers)
        texts = self.meeting.gathered("found", raw.model_dump_json().encode())
        self.meeting.leave()
        if self.rank:
            return None
        found = [Raw.model_validate_json(text) for text in texts]
        engine = f"torch.distributed {self.torch.__version__}, gloo"
        return link_document(names, found, transfers, engine)

    def _pair(self, raw: Raw, peer: int) -> None:
        """Everything of one pair, as this node sees it."""
        first = self.rank < peer
        with self.meeting.talking_to(peer):
            round_trips = self._round_trips(peer, first)
            self._software(raw, peer, first)
            size = self.sizes[peer] = self._size(peer, first)
            delay_s = statistics.median(round_trips)
            sent = []
            for sends in (first, not first):
                for run in range(_RUNS + 1):
                    seconds = self._one_way(peer, sends, size)
                    if sends and run:  # the first one opens windows and empties buckets
                        sent.append(size / max(seconds - delay_s, _LEAST_S))
            both = [self._both(peer, first, size) for _ in range(_RUNS + 1)]
        raw.round_trip_s[peer] = round_trips
        raw.sent_bytes_per_s[peer] = sent
        raw.both_bytes_per_s[peer] = both[1:]

    def _send(self, tensor: Any, peer: int) -> None:
        self.distributed.send(tensor, peer)

    def _receive(self, tensor: Any, peer: int) -> None:
        self.distributed.recv(tensor, peer)

    def _there_and_back(self, peer: int, first: bool) -> None:
        for sends in (first, not first):
            (self._send if sends else self._receive)(self.tiny, peer)

    def _round_trips(self, peer: int, first: bool) -> list[float]:
        seconds = []
        for _ in range(_WARM_UP + _ROUND_TRIPS):
            start = time.perf_counter()
            self._there_and_back(peer, first)
            seconds.append(time.perf_counter() - start)
        return seconds[_WARM_UP:]

    def _software(self, raw: Raw, peer: int, first: bool) -> None:
        """Processor seconds of each message of many that go one way.

        All are begun before the first is waited for: between messages the engine looks for the next
        one without rest, which is no work.
        """
        for run in range(2 * _RUNS):
            sends = first == (run % 2 == 0)
            begin = self.distributed.isend if sends else self.distributed.irecv
            start = time.process_time()
            works = [begin(self.tiny, peer) for _ in range(_TINY_MESSAGES)]
            for one in works:
                one.wait()
            spent = (time.process_time() - start) / _TINY_MESSAGES
            (raw.send_s if sends else raw.receive_s).append(spent)
            self._there_and_back(peer, first)

    def _size(self, peer: int, first: bool) -> int:
        """Bytes of a transfer that takes long enough; the first node decides."""
        size = _FIRST_BYTES
        while True:
            decided = self.torch.tensor([self._one_way(peer, first, size)])
            (self._send if first else self._receive)(decided, peer)
            if float(decided[0]) >= self.long_enough_s or size >= _MOST_BYTES:
                return size
            size *= 2

    def _one_way(self, peer: int, sends: bool, size: int) -> float:
        """Seconds from a transfer's begin until its sender knows that it came."""
        payload = self._bytes(size)
        start = time.perf_counter()
        if sends:
            self._send(payload, peer)
            self._receive(self.tiny, peer)
        else:
            self._receive(payload, peer)
            self._send(self.tiny, peer)
        return time.perf_counter() - start

    def _both(self, peer: int, first: bool, size: int) -> float:
        """Bytes a second that come while as much goes the other way.

        In pieces: the engine writes a message to its end before it reads on. The clock starts when
        the first ones have come: before that, nodes tell each other what they wait for, and one
        direction does without the other.
        """
        piece = size // _PIECES
        out, into = self._bytes(piece), self._bytes(piece)
        sent, received = [], []

        def begin() -> None:
            sent.append(self.distributed.isend(out, peer))
            received.append(self.distributed.irecv(into, peer))

        self._there_and_back(peer, first)
        for _ in range(_AHEAD):
            begin()
        start = 0.0
        for number in range(_PIECES):
            self._wait([received[number]], peer)
            if number + 1 == _AHEAD:
                start = time.perf_counter()
            if len(received) < _PIECES:
                begin()
        seconds = time.perf_counter() - start
        self._wait(sent, peer)
        return (_PIECES - _AHEAD) * piece / max(seconds, _LEAST_S)

    def _at_once(self, raw: Raw, transfers: Sequence[tuple[int, int]]) -> None:
        """Rates of what this node receives while all transfers go on."""
        peers = [(b, True) for a, b in transfers if a == self.rank]
        peers += [(a, False) for a, b in transfers if b == self.rank]
        for run in range(_RUNS):
            self.meeting.gathered(f"together-{run}", b"-")  # names whoever is missing
            with self.meeting.talking_to(None):
                self.distributed.barrier()  # and lets all begin at once
            start = time.perf_counter()
            works = []
            for peer, sends in peers:
                with self.meeting.talking_to(peer):
                    move = self.distributed.isend if sends else self.distributed.irecv
                    works.append((peer, sends, move(self._bytes(self.sizes[peer]), peer)))
            for peer, sends, one in works:
                self._wait([one], peer)
                if not sends and run:
                    rate = self.sizes[peer] / (time.perf_counter() - start)
                    raw.together_bytes_per_s.setdefault(peer, []).append(rate)

    def _wait(self, works: Sequence[Any], peer: int) -> None:
        with self.meeting.talking_to(peer):
            for one in works:
                one.wait()

    def _bytes(self, size: int) -> Any:
        return self.torch.zeros(size, dtype=self.torch.uint8)


def transfers_at_once(nodes: int) -> list[tuple[int, int]]:
    """Of four nodes or more disjoint pairs, of three a ring, of two nothing; sender, receiver."""
    if nodes >= 4:
        return [(2 * pair, 2 * pair + 1) for pair in range(nodes // 2)]
    return [(0, 1), (1, 2), (2, 0)] if nodes == 3 else []

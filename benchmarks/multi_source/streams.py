"""Messages between workers: streams whose next receives are always posted, and an ear for all.

A stream has one sender, one receiver and one size. Its messages come in order, so that a window of
receives can stand ready although nobody knows beforehand which input comes next or when.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import torch

from benchmarks.multi_source.pieces import Letter, Piece
from planner.errors import NodeLostError
from planner.meeting import first_line
from planner.run.channel import Channel, Pending
from planner.simulation.network import Network

WINDOW = 8
END = -1
"""The first number of a stream's last message."""
_FOR_EVER = timedelta(hours=1)


@dataclass(frozen=True)
class Stream:
    """One sender's messages of one kind to one receiver.

    Attributes
    ----------
    number : int
        Among all streams, the same at all workers; its tags follow from it.
    sender, receiver : int
    source : int or None
        Whose inputs' parts it carries; None: words.
    letter : Letter
    """

    number: int
    sender: int
    receiver: int
    source: int | None
    letter: Letter

    def tag(self, place: int) -> int:
        """Of the stream's message at a place in its order."""
        return self.number * WINDOW + place % WINDOW


def streams_of(network: Network, rank: int, pieces: Mapping[int, Piece]) -> list[Stream]:
    """Those that a worker sends or receives: words to and from all, parts along the routes.

    Parameters
    ----------
    network : Network
    rank : int
    pieces : mapping of int to Piece
        By source, the worker's own.
    """
    ranks, sources = range(len(network.names)), range(len(network.source_node))
    ends: list[tuple[int, int, int | None]] = [(a, b, None) for a in ranks for b in ranks if a != b]
    ends += [(a, b, source) for source in sources for a, b, _ in network.hops(source, 0, False)]

    def letter(sender: int, source: int | None) -> Letter:
        if source is None:
            return Letter({})
        return Letter(pieces[source].sends if sender == rank else pieces[source].receives)

    return [
        Stream(number, sender, receiver, source, letter(sender, source))
        for number, (sender, receiver, source) in enumerate(ends)
        if rank in (sender, receiver)
    ]


@dataclass(frozen=True)
class Heard:
    """A message that came, or why none will."""

    stream: Stream
    message: torch.Tensor
    failed: str = ""


class Ears:
    """Listens to streams, each in a thread of its own that waits and does nothing else.

    Parameters
    ----------
    channel : Channel
    streams : iterable of Stream
        That this worker receives.
    """

    def __init__(self, channel: Channel, streams: Iterable[Stream]) -> None:
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._listen, args=(channel, stream), daemon=True)
            for stream in streams
        ]
        for thread in self._threads:
            thread.start()

    def next(self, timeout_s: float) -> Heard | None:
        """What came first; None where nothing comes in time.

        Raises
        ------
        NodeLostError
            A worker stopped.
        """
        try:
            found = self._heard.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return None
        if found.failed:
            raise NodeLostError(f"worker {found.stream.sender} stopped: {found.failed}")
        return found

    def close(self) -> None:
        """Wait for the last message of every stream."""
        for thread in self._threads:
            thread.join()

    def _listen(self, channel: Channel, stream: Stream) -> None:
        def post(place: int) -> tuple[Pending, torch.Tensor]:
            into = stream.letter.empty()
            return channel.receive(into, stream.sender, stream.tag(place)), into

        try:
            ready = [post(place) for place in range(WINDOW)]
            place = 0
            while True:
                pending, message = ready[place % WINDOW]
                pending.wait(_FOR_EVER)
                if stream.letter.numbers(message)[0] == END:
                    return
                ready[place % WINDOW] = post(place + WINDOW)
                self._heard.put(Heard(stream, message))
                place += 1
        except RuntimeError as error:
            self._heard.put(Heard(stream, stream.letter.empty(), first_line(error)))


class Mouth:
    """Sends on streams; what it sends is kept until it has surely left.

    Parameters
    ----------
    channel : Channel
    limit_s : float
        For which one message may take to leave.
    """

    def __init__(self, channel: Channel, limit_s: float) -> None:
        self._channel, self._limit = channel, timedelta(seconds=limit_s)
        self._places: dict[int, int] = {}
        self._leaving: list[tuple[Pending, torch.Tensor]] = []

    def say(self, stream: Stream, message: torch.Tensor) -> None:
        """Begin to send a message; it must not change any more."""
        place = self._places.get(stream.number, 0)
        self._places[stream.number] = place + 1
        pending = self._channel.send(message, stream.receiver, stream.tag(place))
        self._leaving.append((pending, message))

    def finish(self) -> None:
        """Wait until all has left."""
        for pending, _ in self._leaving:
            pending.wait(self._limit)
        self._leaving.clear()

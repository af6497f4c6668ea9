"""A node's loop: its actions, run after run, with several runs' buffers at once.

Whatever can be received within the next runs has been asked for before it is sent, because a
message whose receiver does not expect it yet costs a round trip more. What is sent is not waited
for: its value is kept until it has left.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from planner.run.channel import Channel, Pending
from planner.run.messages import (
    GO,
    READY,
    Ends,
    Message,
    Messages,
    input_message,
    output_message,
)
from planner.runtime.compiling.programs import last_reads
from planner.runtime.running.program import Action, Compute, Post, Program

Tensors = dict[str, torch.Tensor]
Feed = Callable[[int], Tensors]
"""The inputs of a run, at the source."""
Take = Callable[[int, Tensors], None]
"""What becomes of a run's outputs, at the source."""

_SPIN_NS = 200_000


@dataclass
class Doing:
    """What a process is at, for whoever asks why it does not answer.

    Attributes
    ----------
    now : (str, str)
        Another node that it waits for, or nothing; and what for, or what it works on.
    run : int
    """

    now: tuple[str, str] = ("", "the start")
    run: int = 0


class LostError(Exception):
    """A message did not come or go: whose, which, and what torch says."""

    def __init__(self, peer: str, what: str, reason: RuntimeError) -> None:
        super().__init__(str(reason))
        self.peer, self.what = peer, what


@dataclass(frozen=True)
class Output:
    """A whole output: its shape, and where in it the parts of nodes lie, flat."""

    shape: tuple[int, ...]
    positions: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Job:
    """How many runs there are, those that only warm up among them, and how many at once."""

    runs: int
    warmup: int = 0
    window: int = 1


@dataclass(frozen=True)
class Beginning:
    """When all nodes that hold an input begin with it.

    Attributes
    ----------
    ahead_ns : int
        From the source's word until then: longer than the word takes.
    offset_ns : int
        What this node's clock is behind the source's.
    """

    ahead_ns: int = 1_000_000
    offset_ns: int = 0


@dataclass(frozen=True)
class Stamps:
    """When a node did what, in nanoseconds of its own clock.

    Attributes
    ----------
    actions : int array, shape (runs, A, 2)
        Begin and end of every action.
    start : int array, shape (runs,)
        Of the first action, or before it: when the inputs were there.
    whole : int array, shape (runs,)
        When the outputs were put together, at the source; when the own parts were sent, elsewhere.
    sent_bytes : dict of (str, str) to int
        What was handed to the socket, over all runs, by stretch and receiver.
    """

    actions: NDArray[np.int64]
    start: NDArray[np.int64]
    whole: NDArray[np.int64]
    sent_bytes: dict[tuple[str, str], int]


@dataclass
class _Buffers:
    """Of one run at a time."""

    into: dict[tuple[str, str], torch.Tensor]
    expected: dict[tuple[str, str], Pending] = field(default_factory=dict)
    leaving: list[tuple[Pending, Message, torch.Tensor]] = field(default_factory=list)
    outputs: Tensors = field(default_factory=dict)


class Loop:
    """All runs of a node.

    Parameters
    ----------
    program : Program
    ends : Ends
    messages : Messages
    ranks : dict of str to int
    channel : Channel
    job : Job
    outputs : dict of str to Output
        At the source; nothing elsewhere.
    limit_s : float
        For which one message is waited for.
    doing : Doing
    beginning : Beginning
    """

    def __init__(
        self,
        program: Program,
        ends: Ends,
        messages: Messages,
        ranks: dict[str, int],
        channel: Channel,
        job: Job,
        outputs: dict[str, Output],
        limit_s: float,
        doing: Doing,
        beginning: Beginning = Beginning(),
    ) -> None:
        self._program, self._ends, self._messages = program, ends, messages
        self._ranks, self._channel, self._job, self._outputs = ranks, channel, job, outputs
        self._limit, self._doing, self._beginning = timedelta(seconds=limit_s), doing, beginning
        self._lag = max(job.window, 2)  # runs after which a value has surely been used
        self._sets = [
            _Buffers({key: _empty(message) for key, message in messages.received.items()})
            for _ in range(min(self._lag + job.window, job.runs))
        ]
        self._is_source = program.node == ends.source
        self._labels = [_label(action) for action in program.actions]
        self._frees = last_reads(program)
        self._asked = 0
        self._collected = 0
        self._sent_bytes: dict[tuple[str, str], int] = {}
        runs = job.runs
        self._stamps = np.zeros((runs, len(program.actions), 2), dtype=np.int64)
        self._start = np.zeros(runs, dtype=np.int64)
        self._whole = np.zeros(runs, dtype=np.int64)

    def run(self, feed: Feed, take: Take) -> Stamps:
        """Do all runs.

        Parameters
        ----------
        feed, take : callables
            Called at the source alone.

        Raises
        ------
        LostError
            A message did not come or go within the time limit.
        """
        with torch.inference_mode():
            self._ask_up_to(len(self._sets))
            for number in range(self._job.runs):
                self._doing.run = number
                self._collect_up_to(number - self._job.window + 1, take)
                self._retire(number - self._lag)
                values = self._begin(number, feed)
                self._act(number, values)
                self._end(number, values)
            self._collect_up_to(self._job.runs, take)
            for number in range(max(self._job.runs - self._lag, 0), self._job.runs):
                self._retire(number)
        return Stamps(self._stamps, self._start, self._whole, self._sent_bytes)

    def _act(self, number: int, values: Tensors) -> None:
        """The actions of a run."""
        stamps, doing, now = self._stamps[number], self._doing, time.perf_counter_ns
        for place, action in enumerate(self._program.actions):
            doing.now = self._labels[place]
            stamps[place, 0] = now()
            if isinstance(action, Compute):
                made = action.module(*[values[name] for name in action.reads])
                values.update(zip(action.makes, made, strict=True))
            elif isinstance(action, Post):
                self._send(number, action.receiver, action.message, values[action.value])
            else:
                values[action.message] = self._receive(number, action.sender, action.message)
            stamps[place, 1] = now()
            for name in self._frees.get(place, ()):
                del values[name]

    def _begin(self, number: int, feed: Feed) -> Tensors:
        """The inputs that the node holds, once all may begin."""
        ends, given = self._ends, self._ends.given
        values: Tensors = {}
        word = torch.zeros(1, dtype=torch.int64)
        if self._is_source:
            self._doing.now = "", "reading the inputs"
            values = dict(feed(number))
            for peer, names in given.items():
                for name in names:
                    self._send(number, peer, input_message(name), values[name])
            if ends.in_step and given:
                for peer in given:
                    self._receive(number, peer, READY)
                word[0] = time.perf_counter_ns() + self._beginning.ahead_ns
                for peer in given:
                    self._send(number, peer, GO, word)
                _sleep_until(int(word[0]))
        elif needed := given.get(self._program.node):
            for name in needed:
                values[name] = self._receive(number, ends.source, input_message(name))
            if ends.in_step:
                self._send(number, ends.source, READY, word)
                said = int(self._receive(number, ends.source, GO)[0])
                _sleep_until(said - self._beginning.offset_ns, self._beginning.ahead_ns)
        self._start[number] = time.perf_counter_ns()
        return values

    def _end(self, number: int, values: Tensors) -> None:
        """Keep the own parts of the outputs, or send them to the source."""
        parts = {name: values[at].reshape(-1) for name, at in self._program.outputs.items()}
        if self._is_source:
            self._sets[number % len(self._sets)].outputs = parts
            return
        for name, part in parts.items():
            self._send(number, self._ends.source, output_message(name), part.contiguous())
        self._whole[number] = time.perf_counter_ns()

    def _collect_up_to(self, stop: int, take: Take) -> None:
        """Put the outputs of all runs before one together."""
        for number in range(self._collected, stop if self._is_source else 0):
            found = {}
            own = self._sets[number % len(self._sets)].outputs
            for name, output in self._outputs.items():
                parts = {
                    node: own[name]
                    if node == self._program.node
                    else self._receive(number, node, output_message(name))
                    for node in output.positions
                }
                found[name] = joined(output, parts)
            self._whole[number] = time.perf_counter_ns()
            take(number, found)
            self._collected = number + 1

    def _send(self, number: int, peer: str, name: str, value: torch.Tensor) -> None:
        message = self._messages.sent[peer, name]
        tag = self._tag(number, peer, name, sent=True)
        try:
            pending = self._channel.send(value, self._ranks[peer], tag)
        except RuntimeError as error:
            raise LostError(peer, name, error) from error
        self._sets[number % len(self._sets)].leaving.append((pending, message, value))
        key = message.stretch, peer
        self._sent_bytes[key] = self._sent_bytes.get(key, 0) + value.nbytes

    def _receive(self, number: int, peer: str, name: str) -> torch.Tensor:
        mine = self._sets[number % len(self._sets)]
        self._doing.now = peer, name
        self._wait(mine.expected.pop((peer, name)), peer, name)
        return mine.into[peer, name]

    def _wait(self, pending: Pending, peer: str, name: str) -> None:
        try:
            pending.wait(self._limit)
        except RuntimeError as error:
            raise LostError(peer, name, error) from error

    def _retire(self, number: int) -> None:
        """Take back the buffers of a run that nobody needs any more, for one to come."""
        if number < 0:
            return
        mine = self._sets[number % len(self._sets)]
        for pending, message, _ in mine.leaving:
            self._doing.now = message.peer, f"{message.name} to leave"
            self._wait(pending, message.peer, message.name)
        mine.leaving.clear()
        mine.outputs = {}
        self._ask_up_to(number + len(self._sets) + 1)

    def _ask_up_to(self, stop: int) -> None:
        """Say what is expected of all runs before one."""
        for number in range(self._asked, min(stop, self._job.runs)):
            mine = self._sets[number % len(self._sets)]
            for (peer, name), into in mine.into.items():
                tag = self._tag(number, peer, name, sent=False)
                try:
                    mine.expected[peer, name] = self._channel.receive(into, self._ranks[peer], tag)
                except RuntimeError as error:
                    raise LostError(peer, name, error) from error
            self._asked = number + 1

    def _tag(self, number: int, peer: str, name: str, *, sent: bool) -> int:
        """Of a message among all that may be on their way between two nodes."""
        runs = len(self._sets)
        return self._messages.tag(peer, name, sent=sent) * runs + number % runs


def joined(output: Output, parts: Tensors) -> torch.Tensor:
    """A whole output of the nodes' parts."""
    first = next(iter(parts.values()))
    whole = torch.empty(prod(output.shape), dtype=first.dtype)
    for node, positions in output.positions.items():
        whole[positions] = parts[node]
    return whole.reshape(output.shape)


def _empty(message: Message) -> torch.Tensor:
    return torch.empty(message.form.shape, dtype=message.form.dtype)


def _label(action: Action) -> tuple[str, str]:
    if isinstance(action, Compute):
        return "", f"segment {action.name!r}"
    if isinstance(action, Post):
        return "", f"sending {action.message!r}"
    return action.sender, action.message


def _sleep_until(moment_ns: int, most_ns: int | None = None) -> None:
    """Wait for a moment of the own clock; no longer than what is said."""
    left = moment_ns - time.perf_counter_ns()
    if most_ns is not None and left > most_ns:
        return  # clocks that have parted: at once is nearer
    if left > _SPIN_NS:
        time.sleep((left - _SPIN_NS) / 1e9)
    while time.perf_counter_ns() < moment_ns:
        pass

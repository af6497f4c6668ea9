"""Which messages a node sends and expects in one run, in the order that both sides know.

Besides the program's own there are those of the ends: the source gives the inputs to the other
nodes that hold them and takes the parts of the outputs in. They have stretches of their own, so
that they are counted apart from the plan's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from planner.runtime.running.program import Await, Form, Post, Program

INPUTS, OUTPUTS, START = "(inputs)", "(outputs)", "(start)"
"""Stretches of the ends."""

READY, GO = "(ready)", "(go)"
"""One input at a time: a node has it, and the source's word when all begin."""

_WORD = Form((1,), torch.int64)


@dataclass(frozen=True)
class Message:
    """One message of a run, as one of its two nodes sees it.

    Attributes
    ----------
    peer : str
        The other node.
    name, stretch : str
    form : Form
    """

    peer: str
    name: str
    stretch: str
    form: Form


@dataclass(frozen=True)
class Ends:
    """Who holds what where a run begins and ends.

    Attributes
    ----------
    source : str
        The node that reads the inputs and takes the outputs in.
    reads : dict of str to tuple of str
        By node, model inputs that it needs.
    inputs : dict of str to Form
    parts : dict of str to dict of str to Form
        By output and node, the part that the node holds at the end.
    in_step : bool
        One input at a time: all nodes that hold it begin at one moment.
    """

    source: str
    reads: dict[str, tuple[str, ...]]
    inputs: dict[str, Form]
    parts: dict[str, dict[str, Form]]
    in_step: bool

    @property
    def given(self) -> dict[str, tuple[str, ...]]:
        """By other node, the inputs that the source gives to it."""
        return {node: names for node, names in self.reads.items() if names and node != self.source}


@dataclass(frozen=True)
class Messages:
    """All of a node's, by peer and name."""

    sent: dict[tuple[str, str], Message]
    received: dict[tuple[str, str], Message]

    def tag(self, peer: str, name: str, *, sent: bool) -> int:
        """A message's number among those of its sender to its receiver, the same on both sides."""
        return self._tags[sent][peer, name]

    @cached_property
    def most(self) -> int:
        """More than any tag of the node's."""
        return 1 + max((*self._tags[True].values(), *self._tags[False].values()), default=0)

    def fingerprint(self, peer: str, *, sent: bool) -> bytes:
        """8 bytes, the same on both sides where they expect what the other one sends."""
        of = self.sent if sent else self.received
        said = sorted(
            (name, str(m.form.dtype), m.form.size_bytes)
            for (who, name), m in of.items()
            if who == peer
        )
        return hashlib.sha256(repr(said).encode()).digest()[:8]

    @cached_property
    def _tags(self) -> dict[bool, dict[tuple[str, str], int]]:
        found: dict[bool, dict[tuple[str, str], int]] = {}
        for sent, of in ((True, self.sent), (False, self.received)):
            counts: dict[str, int] = {}
            tags = found[sent] = {}
            for peer, name in sorted(of):
                tags[peer, name] = counts.get(peer, 0)
                counts[peer] = tags[peer, name] + 1
        return found


def messages_of(program: Program, ends: Ends) -> Messages:
    """All messages of a node's run, those of the ends among them."""
    sent = [
        Message(a.receiver, a.message, a.stretch, program.forms[a.value])
        for a in program.actions
        if isinstance(a, Post)
    ]
    received = [
        Message(a.sender, a.message, a.stretch, program.forms[a.message])
        for a in program.actions
        if isinstance(a, Await)
    ]
    for sender, receiver, message in _of_ends(ends):
        if sender == program.node:
            sent.append(Message(receiver, *message))
        if receiver == program.node:
            received.append(Message(sender, *message))
    return Messages(_by_name(sent), _by_name(received))


def input_message(name: str) -> str:
    """What an input is called on its way."""
    return f"{INPUTS} {name}"


def output_message(name: str) -> str:
    """What a part of an output is called on its way."""
    return f"{OUTPUTS} {name}"


def _of_ends(ends: Ends) -> Iterator[tuple[str, str, tuple[str, str, Form]]]:
    """Sender, receiver, and a message's name, stretch and form."""
    for peer, names in ends.given.items():
        for name in names:
            yield ends.source, peer, (input_message(name), INPUTS, ends.inputs[name])
        if ends.in_step:
            yield peer, ends.source, (READY, START, _WORD)
            yield ends.source, peer, (GO, START, _WORD)
    for output, parts in ends.parts.items():
        for holder, form in parts.items():
            if holder != ends.source:
                yield holder, ends.source, (output_message(output), OUTPUTS, form)


def _by_name(found: list[Message]) -> dict[tuple[str, str], Message]:
    named = {(message.peer, message.name): message for message in found}
    assert len(named) == len(found), "two messages of a pair have one name"
    return named

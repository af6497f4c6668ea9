"""A node's tasks, posts and awaits in order: what is sent goes early, what is awaited late."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch

from planner.runtime.compiling.tasks import Begin, Finish, Gather, Gathered, Task
from planner.runtime.running.kernels import part_name
from planner.runtime.running.node import Node
from planner.runtime.running.program import Await, Post
from planner.runtime.running.records import Operand, Source, Step

Item = Task | Post | Await

Place = tuple[int, int, int]
"""Step, phase of the step, and what comes behind: what is computed first, then what is posted."""

_START: Place = (-1, 0, 0)
_AWAIT, _BEGIN, _TOLD, _FINISH = range(4)


class Schedule:
    """What a node does, in the order of its steps, with sends as soon as their content is made.

    Parameters
    ----------
    node : Node
    inputs : collection of str
        Model inputs that it holds from the start.

    Attributes
    ----------
    items : list of Item
        In order.
    stored : dict of str to str
        What the node has at the end: by key, the name of the value.
    """

    def __init__(self, node: Node, inputs: Collection[str]) -> None:
        self._node = node.name
        self._weights: dict[str, torch.Tensor] = {}
        self._found: list[tuple[Place, Item]] = []
        self._named = set(inputs)
        self._values = {name: name for name in inputs}  # what is stored under a key now
        self._made = dict.fromkeys(inputs, _START)
        self._pending: dict[str, Await] = {}
        self._contents: dict[tuple[object, ...], str] = {}
        for number, (stretch, step) in enumerate(node.steps.items()):
            self._weights |= {f"{step.layer}/{key}": item for key, item in step.weights.items()}
            self._step(number, stretch, step)
        for item in self._pending.values():  # sent, but read by nothing: taken in nonetheless
            self._found.append(((len(node.steps), 0, 0), item))
        self.items = [item for _, item in sorted(self._found, key=lambda pair: pair[0])]
        self.stored = dict(self._values)

    def _step(self, number: int, stretch: str, step: Step) -> None:
        for send in step.sends:
            content = self._gathered(send.content, (number, _AWAIT, 0))
            value, made = self._content(stretch, send.message, content)
            post = Post(stretch, send.receiver, send.message, value, send.shared)
            self._found.append(((*made[:2], 2), post))
        for item in step.receives:
            self._await(stretch, item.sender, item.message)
        if step.kernel != "none":
            operands = tuple(
                self._gathered(operand, (number, _AWAIT, 0)) for operand in step.operands
            )
            parts: tuple[tuple[int, str], ...] = ()
            if step.told:
                operands = self._held(number, stretch, step, operands)
                parts = self._parts(number, stretch, step)
            place = number, _FINISH, 0
            makes = self._new(step.layer, place)
            self._found.append((place, Finish(stretch, makes, step, operands, parts)))
        for name in step.frees:
            self._values.pop(name, None)

    def _held(
        self, number: int, stretch: str, step: Step, operands: Sequence[Gathered]
    ) -> tuple[Gathered, ...]:
        """Operands that the partial result and the layer are both made of, as values."""
        place = number, _BEGIN, 0
        found = []
        for n, item in enumerate(operands):
            name = self._new(f"{step.layer}/operand {n}", place)
            self._found.append((place, Gather(stretch, name, item, flat=False)))
            found.append(Gathered(Operand((name,), Source(0), item.operand.shape), {}))
        if self._node in step.told:
            message = part_name(step.layer, self._node)
            makes = self._new(message, place)
            reads = tuple(name for item in found for name in item.reads)
            self._found.append((place, Begin(stretch, makes, step, reads)))
            for receiver in step.tells:
                post = Post(stretch, receiver, message, makes, step.tells_at_once)
                self._found.append(((number, _BEGIN, 2), post))
        return tuple(found)

    def _parts(self, number: int, stretch: str, step: Step) -> tuple[tuple[int, str], ...]:
        parts = []
        for teller, count in step.told.items():
            message = part_name(step.layer, teller)
            if teller != self._node:
                self._await(stretch, teller, message)
            parts.append((count, self._read(message, (number, _TOLD, 0))))
        return tuple(parts)

    def _content(self, stretch: str, message: str, content: Gathered) -> tuple[str, Place]:
        """The value that is a message's content, and where it is made: one for equal contents."""
        known = self._contents.get(content.key)
        if known is not None:
            return known, self._made[known]
        step, phase, _ = max((self._made[name] for name in content.reads), default=_START)
        place = step, phase, 1
        name = self._new(f"{message}, content", place)
        self._contents[content.key] = name
        self._found.append((place, Gather(stretch, name, content, flat=True)))
        return name, place

    def _await(self, stretch: str, sender: str, message: str) -> None:
        """Wait for a message when it is first read."""
        self._pending[message] = Await(stretch, sender, message)
        self._values[message] = message
        self._named.add(message)

    def _read(self, key: str, place: Place) -> str:
        name = self._values[key]
        if name in self._pending:
            self._found.append((place, self._pending.pop(name)))
            self._made[name] = place
        return name

    def _gathered(self, operand: Operand, place: Place) -> Gathered:
        """The operand with values in place of what the node stores under these names."""
        sources, weights = [], {}
        for key in operand.sources:
            if key in self._values:
                sources.append(self._read(key, place))
            else:
                sources.append(key)
                weights[key] = self._weights[key]
        return Gathered(replace(operand, sources=tuple(sources)), weights)

    def _new(self, key: str, place: Place) -> str:
        """A name for what is stored under a key from now on."""
        name, count = key, 1
        while name in self._named:
            count += 1
            name = f"{key} ({count})"
        self._named.add(name)
        self._values[key], self._made[name] = name, place
        return name

"""What a node does in one run, in order: compute a segment, post a message, await one.

A segment is everything between two exchanges. What is posted is made by a segment, flat and ready
to send; what is awaited is read by a later one. Nothing here is data of a run.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Form:
    """Shape and type of a value: known from the plan, never from the network."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Number of its elements."""
        return torch.Size(self.shape).numel()

    @property
    def size_bytes(self) -> int:
        """Bytes of its elements."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Compute:
    """Run a segment.

    Attributes
    ----------
    name : str
        Unique on its node.
    stretches : tuple of str
        The layers and conversions that it works on, in order.
    reads, makes : tuples of str
        Values that it is called with, and those that it returns, in order.
    module : torch.nn.Module
        Called with tensors; returns a tuple of contiguous tensors.
    """

    name: str
    stretches: tuple[str, ...]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    module: torch.nn.Module


@dataclass(frozen=True)
class Post:
    """Send a value that a segment made; the run goes on at once.

    Attributes
    ----------
    stretch : str
        The layer, conversion or change of group that it belongs to.
    receiver, message : str
        The other node, and what the message is called there and on every node.
    value : str
    shared : bool
        Part of one transmission that all receivers hear, where the medium carries it to all.
    """

    stretch: str
    receiver: str
    message: str
    value: str
    shared: bool = False


@dataclass(frozen=True)
class Await:
    """Wait for a message, which is a value from then on, under its own name."""

    stretch: str
    sender: str
    message: str


Action = Compute | Post | Await


@dataclass(frozen=True, eq=False)
class Program:
    """A node's run.

    Attributes
    ----------
    node : str
    actions : tuple of Action
    forms : dict of str to Form
        Of every value: inputs, what segments make, messages.
    inputs : tuple of str
        Model inputs that the node holds from the start.
    outputs : dict of str to str
        Model outputs that the node holds parts of at the end, and the value that each part is.
    """

    node: str
    actions: tuple[Action, ...]
    forms: dict[str, Form]
    inputs: tuple[str, ...]
    outputs: dict[str, str]


def read_by(program: Program) -> frozenset[str]:
    """Values that its segments read, that it sends, or that are parts of outputs."""
    read = {name for a in program.actions if isinstance(a, Compute) for name in a.reads}
    sent = {action.value for action in program.actions if isinstance(action, Post)}
    return frozenset(read | sent | set(program.outputs.values()))

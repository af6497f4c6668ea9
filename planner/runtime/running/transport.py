"""What the nodes say to each other, and how much it is.

All that passes between nodes goes through here: a real network would take its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch

Pair = tuple[str, str]
"""Sender and receiver."""


class Transport(Protocol):
    """Delivers messages between nodes."""

    def send(
        self, layer: str, pair: Pair, message: str, content: torch.Tensor, *, shared: bool = False
    ) -> None:
        """Take a message.

        Parameters
        ----------
        layer : str
            Before which, or in which, it is sent.
        pair : Pair
        message : str
            What the receiver calls it.
        content : tensor of one dimension
        shared : bool
            Part of the one transmission that all receivers of the sender hear in this layer: its
            largest message, of which the others are parts.
        """

    def receive(self, pair: Pair, message: str) -> torch.Tensor:
        """Hand a message out, once."""


@dataclass
class InProcess:
    """Mailboxes of nodes in one process, which count what passes.

    Attributes
    ----------
    sent_bytes : dict of str to dict of Pair to int
        By layer.
    """

    sent_bytes: dict[str, dict[Pair, int]] = field(default_factory=dict)
    _alone: dict[str, int] = field(default_factory=dict)
    _shared: dict[str, dict[str, int]] = field(default_factory=dict)
    _waiting: dict[tuple[Pair, str], torch.Tensor] = field(default_factory=dict)

    def send(
        self, layer: str, pair: Pair, message: str, content: torch.Tensor, *, shared: bool = False
    ) -> None:
        """Take a copy, so that nothing of the sender's is shared."""
        size = content.numel() * content.element_size()
        counted = self.sent_bytes.setdefault(layer, {})
        counted[pair] = counted.get(pair, 0) + size
        if shared:
            largest = self._shared.setdefault(layer, {})
            largest[pair[0]] = max(largest.get(pair[0], 0), size)
        else:
            self._alone[layer] = self._alone.get(layer, 0) + size
        self._waiting[pair, message] = content.clone()

    def receive(self, pair: Pair, message: str) -> torch.Tensor:
        """Hand a message out, once."""
        return self._waiting.pop((pair, message))

    def arrived(self, pair: Pair, message: str) -> bool:
        """Whether a message can be received."""
        return (pair, message) in self._waiting

    @property
    def wire_bytes(self) -> dict[str, int]:
        """Bytes that all nodes put on the wire, by layer."""
        return {
            layer: self._alone.get(layer, 0) + sum(self._shared.get(layer, {}).values())
            for layer in self.sent_bytes
        }

    @property
    def undelivered(self) -> int:
        """Messages that nobody asked for."""
        return len(self._waiting)

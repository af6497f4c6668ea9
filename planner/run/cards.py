"""What every process says of itself before a run, and what of it must agree."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from planner.errors import BadInputError
from planner.run.loop import Job

PROTOCOL = 1
"""Of what processes say to each other; one more with every change of it."""

_CARD = struct.Struct("!I64s512s64s64sQQQ")
_MOST_NAME_BYTES = 512


@dataclass(frozen=True)
class Card:
    """What a process says, in a fixed number of bytes.

    Attributes
    ----------
    node : str
    plan, slices : str
        Digests.
    job : Job
        Of which the source's counts.
    version : str
        Of this package.
    protocol : int
    """

    node: str
    plan: str
    slices: str
    job: Job
    version: str
    protocol: int = PROTOCOL

    def packed(self) -> bytes:
        """The bytes."""
        node, job = self.node.encode(), self.job
        if len(node) > _MOST_NAME_BYTES:
            raise BadInputError(f"node {self.node[:40]!r}…: more than {_MOST_NAME_BYTES} bytes")
        return _CARD.pack(
            self.protocol,
            self.version.encode()[:64],
            node,
            self.plan.encode(),
            self.slices.encode(),
            job.runs,
            job.warmup,
            job.window,
        )

    @staticmethod
    def read(content: bytes, rank: int) -> Card:
        """The card of a rank.

        Raises
        ------
        BadInputError
            It is none: another version speaks otherwise.
        """
        if len(content) != _CARD.size:
            raise BadInputError(f"rank {rank} runs another version of planner: it has no such card")
        protocol, version, node, plan, slices, *counts = _CARD.unpack(content)
        texts = [t.rstrip(b"\0").decode(errors="replace") for t in (node, plan, slices, version)]
        return Card(texts[0], texts[1], texts[2], Job(*counts), texts[3], protocol)


def check_cards(cards: Sequence[Card], nodes: Sequence[str]) -> None:
    """All are of one version, plan and folder, and every node of the plan is there once.

    Raises
    ------
    BadInputError
        Says whose card is another one.
    """
    first = cards[0]
    for card in cards[1:]:
        if (card.protocol, card.version) != (first.protocol, first.version):
            raise BadInputError(
                f"{card.node} runs planner {card.version} (protocol {card.protocol}), {first.node} "
                f"{first.version} (protocol {first.protocol}); install one version on all nodes"
            )
    for card in cards[1:]:
        if card.plan != first.plan:
            raise BadInputError(
                f"{card.node} has slices of another plan than {first.node} (digests "
                f"{card.plan[:12]} and {first.plan[:12]}); give all nodes those of one"
            )
        if card.slices != first.slices:
            raise BadInputError(
                f"{card.node} has a slices.json other than {first.node}'s (digests "
                f"{card.slices[:12]} and {first.slices[:12]}); give all nodes files of one folder"
            )
    names = [card.node for card in cards]
    for node in dict.fromkeys(names):
        if names.count(node) > 1:
            ranks = " and ".join(f"rank {rank}" for rank, name in enumerate(names) if name == node)
            raise BadInputError(f"{ranks} both run the node {node!r}; give each a node of its own")
    for node in nodes:
        if node not in names:
            raise BadInputError(
                f"no process runs the node {node!r}; the plan has {', '.join(nodes)}"
            )


def check_messages(sent: Sequence[Sequence[bytes]], nodes: Sequence[str]) -> None:
    """What every node sends to another one is what that one waits for.

    Parameters
    ----------
    sent : sequence of sequences of bytes
        By rank, fingerprints of what it sends to every rank, and behind them of what it expects.
    nodes : sequence of str
        By rank.

    Raises
    ------
    BadInputError
        Two nodes' slices are not of one cut.
    """
    world = len(nodes)
    for sender in range(world):
        for receiver in range(world):
            if sent[sender][receiver] != sent[receiver][world + sender]:
                raise BadInputError(
                    f"the slices of {nodes[sender]} and {nodes[receiver]} do not fit each other: "
                    "they were not written together"
                )

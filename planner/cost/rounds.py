"""Which messages an algorithm of a collective sends at once, round after round.

Direct exchange sends every message at once. A ring passes on what all nodes get, or adds up what
comes by; so does a tree, in about log2(n) rounds of growing messages; a star sends everything
through its root. What goes to one node alone (a halo) is sent directly but in a star. Bytes are
those that really pass each link, so that a relayed one counts every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.domain.cluster import Collective

Amounts = NDArray[Any]
"""Bytes, whole or of fractions of features."""


@dataclass(frozen=True)
class Round:
    """Messages that go at once, in bytes from sender to receiver, shape (..., s, r).

    Attributes
    ----------
    selected : array
        The same for all receivers of a sender: a broadcast medium carries them once.
    moved : array
        For one receiver each.
    """

    selected: Amounts
    moved: Amounts


def rounds_of(
    selected: Amounts, moved: Amounts, added: Amounts, collective: Collective
) -> list[Round]:
    """The rounds of an exchange.

    Parameters
    ----------
    selected : array, shape (..., s, r)
        Bytes of what is the same for all receivers of a sender. Relays pass on one subset, the
        largest of its receivers'.
    moved : int array, shape (..., s, r)
        Bytes for one receiver each.
    added : int array, shape (..., s, r)
        Bytes of parts of sums, to the node that ends with the sum.
    collective : Collective
        Anything but ``best``.

    Returns
    -------
    list of Round
        One for a direct exchange, n - 1 for a ring, log2(n) rounded up for a tree, two for a star.
    """
    relays = _RELAYS.get(collective)
    nodes = np.broadcast_shapes(selected.shape, moved.shape, added.shape)[-1]
    if relays is None or nodes < 2:
        return [Round(selected, moved + added)]
    shape = np.broadcast_shapes(selected.shape, moved.shape, added.shape)
    full = (np.broadcast_to(part, shape) for part in (selected, moved, added))
    return [Round(np.zeros_like(sent), sent) for sent in relays(*full)]


def _ring(selected: Amounts, moved: Amounts, added: Amounts) -> list[Amounts]:
    """Each node passes blocks to the next; in round k those that began k nodes before it."""
    nodes = selected.shape[-1]
    here = np.arange(nodes)
    after = (here + 1) % nodes
    rounds = []
    for k in range(1, nodes):
        sent = np.zeros(selected.shape, dtype=np.result_type(selected, moved, added))
        origin, goal = (here - k + 1) % nodes, (here - k) % nodes
        # a block goes on while anyone from the next node on needs it, or has part of it
        sent[..., here, after] += _largest(selected, origin, nodes - k, forwards=True)
        sent[..., here, after] += _largest(np.swapaxes(added, -1, -2), goal, k, forwards=False)
        if k == 1:
            sent = sent + moved
        rounds.append(sent)
    return rounds


def _largest(sizes: Amounts, of: NDArray[np.int64], count: int, forwards: bool) -> Amounts:
    """The largest of some entries of each row: of the ``count`` nodes before it in the ring.

    Forwards: of the receivers farthest behind an origin, those that lie just before it. Else: of
    the origins of a sum's parts, those that come first behind the goal.
    """
    nodes = sizes.shape[-1]
    steps = -np.arange(1, count + 1) if forwards else np.arange(1, count + 1)
    at = (of[:, None] + steps) % nodes
    found: Amounts = sizes[..., of[:, None], at].max(axis=-1)
    return found


def _tree(selected: Amounts, moved: Amounts, added: Amounts) -> list[Amounts]:
    """Bruck's algorithm: in every round each node hands on all blocks that it has.

    Parts of sums go the same way back, so that every round halves what is left.
    """
    nodes = selected.shape[-1]
    here = np.arange(nodes)
    block, total = selected.max(axis=-1), added.max(axis=-2)
    steps = [1 << r for r in range((nodes - 1).bit_length())]
    rounds = []
    for number, (out, back) in enumerate(zip(steps, steps[::-1], strict=True)):
        sent = np.zeros(selected.shape, dtype=np.result_type(selected, moved, added))
        blocks = (here[:, None] + np.arange(min(out, nodes - out))) % nodes
        sent[..., here, (here - out) % nodes] += block[..., blocks].sum(axis=-1)
        goals = (here[:, None] + np.arange(min(back, nodes - back))) % nodes
        sent[..., (here - back) % nodes, here] += total[..., goals].sum(axis=-1)
        if number == 0:
            sent = sent + moved
        rounds.append(sent)
    return rounds


def _star(selected: Amounts, moved: Amounts, added: Amounts) -> list[Amounts]:
    """All to the first node, which adds up and sends everyone what it needs."""
    up = np.zeros(selected.shape, dtype=np.result_type(selected, moved, added))
    down = up.copy()
    up[..., 1:, 0] = (selected.max(axis=-1) + moved.sum(axis=-1) + added.sum(axis=-1))[..., 1:]
    down[..., 0, 1:] = (selected.sum(axis=-2) + moved.sum(axis=-2) + added.max(axis=-2))[..., 1:]
    return [up, down]


_RELAYS: dict[Collective, Callable[..., list[Amounts]]] = {
    "ring": _ring,
    "tree": _tree,
    "star": _star,
}

"""How far nodes' clocks are from the source's: stamps there and back, the quickest one counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from numpy.typing import NDArray

from planner.run.channel import Channel

_EXCHANGES = 32
_TAG = 2**30
"""Larger than any message's."""


@dataclass(frozen=True)
class Offset:
    """A clock against the source's.

    Attributes
    ----------
    ahead_ns : int
        What the source's clock is ahead.
    error_ns : int
        At most; half of the quickest way there and back.
    at_ns : int
        When that was, on the own clock.
    """

    ahead_ns: int = 0
    error_ns: int = 0
    at_ns: int = 0


def quickest(stamps: list[tuple[int, int, int]]) -> Offset:
    """The offset that the quickest of some exchanges tells.

    Parameters
    ----------
    stamps : list of (int, int, int)
        Own clock at the begin, the source's clock in between, own clock at the end; nanoseconds.
    """
    begin, there, end = min(stamps, key=lambda found: found[2] - found[0])
    return Offset(there - (begin + end) // 2, (end - begin + 1) // 2, end)


def at(first: Offset, last: Offset, moments_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Moments of the own clock on the source's, between two alignments; clocks drift evenly."""
    between = max(last.at_ns - first.at_ns, 1)
    drift = (moments_ns - first.at_ns) / between * (last.ahead_ns - first.ahead_ns)
    found: NDArray[np.int64] = moments_ns + first.ahead_ns + np.rint(drift).astype(np.int64)
    return found


class SilentError(Exception):
    """A peer did not answer."""

    def __init__(self, peer: int, reason: RuntimeError) -> None:
        super().__init__(str(reason))
        self.peer, self.reason = peer, reason


def align(
    channel: Channel,
    rank: int,
    source: int,
    world: int,
    limit_s: float,
    waits: Callable[[int], None] = lambda _: None,
) -> Offset:
    """Exchange stamps with the source, one node after the other; all call it.

    Parameters
    ----------
    channel : Channel
    rank, source, world : int
    limit_s : float
    waits : callable
        Is told which peer is waited for.

    Returns
    -------
    Offset
        At the source how far off the others may be at most.

    Raises
    ------
    SilentError
    """
    found = Offset(at_ns=time.perf_counter_ns())
    for peer in range(world):
        if peer == source or rank not in (source, peer):
            continue
        with_whom = peer if rank == source else source
        waits(with_whom)
        try:
            stamps = _exchange(channel, with_whom, rank == source, timedelta(seconds=limit_s))
        except RuntimeError as error:
            raise SilentError(with_whom, error) from error
        told = quickest(stamps)
        largest_ns = max(found.error_ns, told.error_ns)
        found = told if rank == peer else Offset(0, largest_ns, told.at_ns)
    return found


def _exchange(
    channel: Channel, peer: int, answers: bool, limit: timedelta
) -> list[tuple[int, int, int]]:
    words = [torch.zeros(1, dtype=torch.int64) for _ in range(_EXCHANGES)]
    expected = [channel.receive(word, peer, _TAG + n) for n, word in enumerate(words)]
    stamps = []
    own = torch.zeros(1, dtype=torch.int64)
    for n, pending in enumerate(expected):
        if answers:
            begin = time.perf_counter_ns()
            pending.wait(limit)
            own[0] = time.perf_counter_ns()
            channel.send(own, peer, _TAG + n).wait(limit)
            stamps.append((begin, int(own[0]), int(own[0])))
        else:
            begin = time.perf_counter_ns()
            leaving = channel.send(own, peer, _TAG + n)
            pending.wait(limit)
            stamps.append((begin, int(words[n][0]), time.perf_counter_ns()))
            leaving.wait(limit)
    return stamps[1:]  # the source's first one waited for the other to begin

"""What every node saw of its links, as one document: rates, delays, and what is shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from pydantic import BaseModel, Field

from planner.domain.cluster import Medium
from planner.measure.parts import (
    LinkMeasurement,
    Messages,
    PairMeasurement,
    Rate,
    Spread,
    Together,
)

INTERVAL = (0.05, 0.5, 0.95)
FULL_DUPLEX_SHARE = 0.75
"""Of its rate alone that a direction keeps beside the other one where a link has both at once."""
SHARED_SHARE = 0.42
"""Of three transfers in a ring: half is a half-duplex link's, a third that of a shared medium."""
PAIRS_SHARE = 0.75
"""Of two disjoint pairs at once: what less than that is left shares something."""


class Raw(BaseModel):
    """What one node saw; peers by rank."""

    round_trip_s: dict[int, list[float]] = Field(default_factory=dict)
    send_s: list[float] = Field(default_factory=list)
    receive_s: list[float] = Field(default_factory=list)
    sent_bytes_per_s: dict[int, list[float]] = Field(default_factory=dict)
    both_bytes_per_s: dict[int, list[float]] = Field(default_factory=dict)
    together_bytes_per_s: dict[int, list[float]] = Field(default_factory=dict)


def link_document(
    names: Sequence[str],
    found: Sequence[Raw],
    transfers: Sequence[tuple[int, int]],
    engine: str,
    measured_at: str = "",
) -> LinkMeasurement:
    """The document of all nodes' measurements.

    Parameters
    ----------
    names : sequence of str
        Nodes by rank.
    found : sequence of Raw
        By rank.
    transfers : sequence of (int, int)
        Sender and receiver of each transfer that went on at once with the others.
    engine : str
    measured_at : str
        Now, if empty.
    """
    messages = tuple(
        Messages(name=name, send_s=_spread(raw.send_s), receive_s=_spread(raw.receive_s))
        for name, raw in zip(names, found, strict=True)
    )
    pairs = tuple(
        _pair(names, found, messages, a, b)
        for a in range(len(names))
        for b in range(a + 1, len(names))
    )
    shares = [
        float(np.median(found[b].together_bytes_per_s[a]))
        / float(np.median(found[a].sent_bytes_per_s[b]))
        for a, b in transfers
    ]
    together: tuple[Together, ...] = ()
    if shares:
        named = tuple((names[a], names[b]) for a, b in transfers)
        together = (Together(transfers=named, share=min(shares)),)
    return LinkMeasurement(
        part="links",
        complete=True,
        names=tuple(names),
        engine=engine,
        measured_at=measured_at or datetime.now(UTC).isoformat(timespec="seconds"),
        medium=medium_of(pairs, together),
        pairs=pairs,
        messages=messages,
        together=together,
    )


def medium_of(pairs: Sequence[PairMeasurement], together: Sequence[Together] = ()) -> Medium:
    """Whether transfers of other pairs, or of the other direction, slow one down.

    Of two nodes a shared medium and a half-duplex link look alike, and cost the same.
    """
    directions = [
        pair.both_bytes_per_s.value
        / min(pair.forward_bytes_per_s.value, pair.backward_bytes_per_s.value)
        for pair in pairs
    ]
    for one in together:
        ends = [end for transfer in one.transfers for end in transfer]
        disjoint = len(set(ends)) == len(ends)
        if one.share < (PAIRS_SHARE if disjoint else SHARED_SHARE):
            return "shared"
    return "full_duplex" if float(np.median(directions)) >= FULL_DUPLEX_SHARE else "half_duplex"


def _pair(
    names: Sequence[str], found: Sequence[Raw], messages: Sequence[Messages], a: int, b: int
) -> PairMeasurement:
    software_s = float(
        np.mean([one.send_s.value + one.receive_s.value for one in (messages[a], messages[b])])
    )
    low, value, high = np.quantile(found[a].round_trip_s[b], INTERVAL) / 2
    latency = [max(float(half) - software_s, 0.0) for half in (low, value, high)]
    return PairMeasurement(
        between=(names[a], names[b]),
        latency_s=Spread(low=latency[0], value=latency[1], high=latency[2]),
        forward_bytes_per_s=_rate(found[a].sent_bytes_per_s, b),
        backward_bytes_per_s=_rate(found[b].sent_bytes_per_s, a),
        both_bytes_per_s=_rate(
            {0: [*found[a].both_bytes_per_s[b], *found[b].both_bytes_per_s[a]]}, 0
        ),
    )


def _spread(values: Sequence[float]) -> Spread:
    low, value, high = map(float, np.quantile(values, INTERVAL))
    return Spread(low=low, value=value, high=high)


def _rate(values: Mapping[int, Sequence[float]], peer: int) -> Rate:
    low, value, high = map(float, np.quantile(values[peer], INTERVAL))
    return Rate(low=low, value=value, high=high)

"""How shares must be cut so that later layers find whole heads and groups on one node.

A layer that works inside groups wants its inputs cut at multiples of a group; a slice into
equal parts (q, k and v of one projection) wants every part shared out alike. Both wishes go back
through the layers that keep features where they are, to the one that shares features out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, lcm

from profiles.contract_parts import Contract, Operand
from profiles.graph import Operator


@dataclass(frozen=True)
class Alignment:
    """Cuts at multiples of ``granularity`` inside each of ``segments`` equal runs."""

    granularity: int = 1
    segments: int = 1

    def merged(self, other: Alignment, features: int) -> Alignment:
        """Both wishes where they fit the features, else this one."""
        both = Alignment(
            lcm(self.granularity, other.granularity), lcm(self.segments, other.segments)
        )
        return both if features % (both.granularity * both.segments) == 0 else self


NONE = Alignment()


def alignments(
    operators: tuple[Operator, ...], contracts: list[Contract], operands: dict[str, Operand]
) -> list[Alignment]:
    """Alignment of every mixing layer's output; none for the others."""
    wanted: dict[str, Alignment] = {}
    result = []
    for operator, found in zip(reversed(operators), reversed(contracts), strict=True):
        here = wanted.get(operator.name, NONE)
        result.append(here if found.flow == "mixing" else NONE)
        sources = [operands[name] for name in operator.inputs]
        wishes = _wishes(found, here, sources)
        for name, source, wish in zip(operator.inputs, sources, wishes, strict=True):
            wanted[name] = wanted.get(name, NONE).merged(wish, source.count)
    return result[::-1]


def _wishes(found: Contract, here: Alignment, sources: list[Operand]) -> list[Alignment]:
    """What an operator wants of its inputs, given what is wanted of its output."""
    count = found.layout.count
    if found.flow == "local":
        leader = max(source.count for source in sources)
        return [_through(here, source.count, count, leader) for source in sources]
    if found.flow == "slice":
        return [_of_slice(here, found.start, count, sources[0].count)]
    if found.flow == "grouped":
        runs = max(here.granularity * found.groups // count, 1)
        return [
            Alignment(runs * source.count // found.groups)
            if source.count % found.groups == 0
            else NONE
            for source in sources
        ]
    if found.flow == "concat":
        unit = here.granularity
        fits = all(source.count % unit == 0 for source in sources)
        return [Alignment(unit) if fits else NONE for source in sources]
    return [NONE] * len(sources)


def _through(here: Alignment, features: int, outputs: int, leader: int) -> Alignment:
    if features != leader:
        return NONE
    ratio = outputs // features
    return Alignment(here.granularity // gcd(here.granularity, ratio), here.segments)


def _of_slice(here: Alignment, start: int, length: int, features: int) -> Alignment:
    tiles = features % length == 0 and start % length == 0
    return Alignment(here.granularity, features // length if tiles else 1)

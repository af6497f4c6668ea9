"""How shares must be cut so that later layers find whole heads and groups on one node.

A layer that works inside groups wants its inputs cut at multiples of a group; a slice into
equal parts (q, k and v of one projection) wants every part shared out alike. Both wishes go back
through the layers that keep features where they are, to the one that shares features out.
"""

from __future__ import annotations

from planner.domain.flows import ANYWHERE, FLOWS, Alignment
from profiles.contract_parts import Contract, Operand
from profiles.graph import Operator


def alignments(
    operators: tuple[Operator, ...], contracts: list[Contract], operands: dict[str, Operand]
) -> list[Alignment]:
    """Find the alignment of every mixing layer's output; the others may be cut anywhere."""
    wanted: dict[str, Alignment] = {}
    result = []
    for operator, found in zip(reversed(operators), reversed(contracts), strict=True):
        here = wanted.get(operator.name, ANYWHERE)
        flow = FLOWS[found.flow]
        result.append(here if flow.mixes else ANYWHERE)
        features = [operands[name].count for name in operator.inputs]
        wishes = flow.wishes(here, features, found.layout.count, found.groups, found.start)
        for name, count, wish in zip(operator.inputs, features, wishes, strict=True):
            wanted[name] = wanted.get(name, ANYWHERE).merged(wish, count)
    return result[::-1]

"""How a tensor lies on a group of nodes, and how a layer runs there (docs/model.md, eq. 31 to 38).

A *layout* says which of a tensor's elements each node holds; a *way* says which layouts a layer
reads and which one it makes. A tensor that several layers read may lie in several layouts at
once: a conversion adds one, and is paid once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from planner.domain.arrays import Frozen

Layout = Literal["features", "positions", "samples", "whole", "one-node", "sums", "experts"]
"""By features as ownership says, by rows or tokens, by samples of the batch, all of it on every
node, all of it on the first node, as one part of a sum on every node, or what a node's own experts
made."""

Way = Literal[
    "features",
    "positions",
    "samples",
    "sums",
    "outputs",
    "whole",
    "one-node",
    "experts",
    "expert-sums",
]
"""How a layer runs on several nodes.

features
    Each node makes its own outputs and gathers the inputs that it lacks, of which some may be
    dropped (DISCO).
positions, samples
    Each node makes its own rows, tokens or samples of all outputs; a halo is gathered.
sums
    Each node multiplies the inputs that it holds and makes a part of the sum of every output; or
    adds up the positions that it holds.
outputs
    Each node makes its own outputs of an input that all hold.
whole
    Every node does all of it.
one-node
    The first node does all of it.
experts
    Each node holds some of the experts whole, and runs those for the vectors that take them.
expert-sums
    The same of the matrix that joins them: each node makes a part of the sum of every output.
"""

LAYOUTS: tuple[Layout, ...] = get_args(Layout)
EXPERT_WAYS: tuple[Way, ...] = ("experts", "expert-sums")
"""Those of a language model's experts, which placements of it use (`planner.strategies.phases`)."""
WAYS: tuple[Way, ...] = tuple(way for way in get_args(Way) if way not in EXPERT_WAYS)
"""Those that any model's layers may run in."""

Holding = frozenset[Layout]
"""All layouts in which a tensor lies at a time."""

WHOLE: Holding = frozenset(("whole",))


class Conversion(Frozen):
    """A tensor that is brought to another layout before a layer runs."""

    tensor: str
    source: Layout
    target: Layout


def holds(holding: Holding, layout: Layout) -> bool:
    """Whether what is held is enough to read a layout without any message.

    What every node holds whole is there in every layout, but not as parts of a sum.
    """
    return layout in holding or ("whole" in holding and layout != "sums")


def main_layout(holding: Iterable[Layout]) -> Layout:
    """The layout in which a tensor is handed on to other nodes: the first of `LAYOUTS`."""
    return min(holding, key=LAYOUTS.index)


def joined(holding: Holding, layout: Layout) -> Holding:
    """What is held once a conversion has added a layout.

    Parts of a sum are gone once they are added up; a whole tensor makes all else superfluous.
    """
    if layout == "whole":
        return WHOLE
    return frozenset((holding - {"sums"}) | {layout})


def settled(holding: Holding) -> Holding:
    """What is left of a holding once a layer has run.

    A copy on one node serves that layer alone: it is not kept beside other layouts.
    """
    return holding - {"one-node"} if len(holding) > 1 else holding

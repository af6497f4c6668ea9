"""How a layer's outputs depend on its input features: one class per feature flow.

A flow decides what must hold of a layer, which ownership it needs of its inputs and which it
leaves (docs/model.md). What does not match is moved, and the move is paid for. A new way for
features to pass through a layer is a new class here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, lcm
from typing import Literal, Protocol

import numpy as np

from planner.domain.owners import (
    REPLICATED,
    Owners,
    Ratio,
    common_holder,
    held_by,
    owners_from_shares,
    shares_by_speed,
)

FeatureFlow = Literal[
    "mixing", "grouped", "local", "concat", "slice", "shuffle", "reduce", "one-node"
]
"""The name of a flow, as profiles have it."""


class LayerOfFlow(Protocol):
    """What a flow reads of a layer (`planner.domain.layer_profile.LayerProfile`)."""

    inputs: tuple[str, ...]
    macs: int
    in_features: int
    out_features: int
    input_bytes: int
    groups: int
    granularity: int
    segments: int
    feature_start: int


@dataclass(frozen=True)
class Alignment:
    """Where a tensor may be cut: at multiples of ``granularity`` in each of ``segments`` runs."""

    granularity: int = 1
    segments: int = 1

    def merged(self, other: Alignment, features: int) -> Alignment:
        """Both wishes where they fit the features, else this one."""
        both = Alignment(
            lcm(self.granularity, other.granularity), lcm(self.segments, other.segments)
        )
        return both if features % (both.granularity * both.segments) == 0 else self


ANYWHERE = Alignment()

Followed = tuple[Owners, list[Owners | None]]
"""Owners of the output, and those that each input needs; None: it stays as it is."""


class Flow:
    """What all flows have in common: nothing is checked, moved, mixed or aligned.

    Attributes
    ----------
    mixes : bool
        Every output feature reads every input feature: selected features are sent, the others'
        weights can be pruned.
    reads_first : bool
        The layer's input features are those of its first input.
    shares_out : bool
        Outputs are shared out anew, whoever holds the first input; ``input_bytes`` count that one
        alone.
    has_groups : bool
        ``groups`` of the layer counts runs of features.
    gathers : bool
        One node needs all inputs whole.
    reduces : bool
        What nodes tell each other is the output's own numbers.
    """

    mixes = False
    reads_first = False
    shares_out = False
    has_groups = False
    gathers = False
    reduces = False

    def check(self, layer: LayerOfFlow, features: Sequence[int]) -> str:
        """Say what is wrong with a layer that reads so many features per input; "" if nothing."""
        if self.reads_first and features[0] != layer.in_features:
            return (
                f"reads {features[0]} features of {layer.inputs[0]!r}, declares {layer.in_features}"
            )
        sides = layer.in_features, layer.out_features
        if self.has_groups and any(count % layer.groups for count in sides):
            return "its groups do not divide its features"
        if self.shares_out and layer.input_bytes % layer.in_features:
            return "input bytes are no multiple of input features"
        return ""

    def follow(self, layer: LayerOfFlow, sources: Sequence[Owners], ratio: Ratio) -> Followed:
        """Find the owners that a layer leaves and needs, from those of each input's features."""
        raise NotImplementedError

    def leading_input(self, features: Sequence[int], whole: Sequence[bool]) -> int:
        """Find the input whose features are the layer's own, given which ones all nodes hold."""
        return 0

    def leaves_whole(self, whole: Sequence[bool]) -> bool:
        """Whether every node ends with all of the output, given which inputs all nodes hold."""
        return self.reduces or (all(whole) and not self.shares_out)

    def wishes(
        self, here: Alignment, features: Sequence[int], outputs: int, groups: int, start: int
    ) -> list[Alignment]:
        """Say how each input should be cut, given how the output should.

        Parameters
        ----------
        here : Alignment
            Wanted of the output.
        features : sequence of int
            Of each input.
        outputs : int
            Features of the output.
        groups, start : int
            Of a grouped flow and of a slice; they mean nothing elsewhere.
        """
        return [ANYWHERE] * len(features)


class Mixing(Flow):
    """Every output feature reads every input feature (convolution, linear)."""

    mixes = True
    reads_first = True
    shares_out = True

    def check(self, layer: LayerOfFlow, features: Sequence[int]) -> str:
        """MACs and bytes divide by features, so that a node's part of them is exact."""
        if layer.macs % (layer.in_features * layer.out_features):
            return "MACs are no multiple of input times output features"
        return super().check(layer, features)

    def follow(self, layer: LayerOfFlow, sources: Sequence[Owners], ratio: Ratio) -> Followed:
        """Each segment of the outputs is cut by speed at multiples of the granularity."""
        run = layer.out_features // layer.segments
        one = owners_from_shares(shares_by_speed(run, ratio, layer.granularity))
        return np.tile(one, layer.segments), [None] * len(sources)


class Grouped(Flow):
    """Features come in equal runs, and outputs read those of their own (heads, groups)."""

    reads_first = True
    has_groups = True
    shares_out = True

    def follow(self, layer: LayerOfFlow, sources: Sequence[Owners], ratio: Ratio) -> Followed:
        """Groups stay with the node that holds all of their inputs, or are shared out by speed."""
        runs = sources[0].reshape(layer.groups, -1)
        if np.all(runs == runs[:, :1]) and runs[0, 0] != REPLICATED:
            of_group = runs[:, 0]
        else:
            of_group = owners_from_shares(shares_by_speed(layer.groups, ratio))
        needed: list[Owners | None] = [_needed_of_group(of_group, len(s)) for s in sources]
        return np.repeat(of_group, layer.out_features // layer.groups), needed

    def wishes(
        self, here: Alignment, features: Sequence[int], outputs: int, groups: int, start: int
    ) -> list[Alignment]:
        """Whole groups on one node, as many as stay together in the output."""
        runs = max(here.granularity * groups // outputs, 1)
        return [
            Alignment(runs * count // groups) if count % groups == 0 else ANYWHERE
            for count in features
        ]


def _needed_of_group(of_group: Owners, features: int) -> Owners:
    """Who needs each feature of an operand; heads that several groups read may need all nodes."""
    groups = len(of_group)
    if features % groups == 0:
        return np.repeat(of_group, features // groups)
    readers = gcd(groups, features)
    runs = of_group.reshape(readers, -1)
    one_owner = np.where(np.all(runs == runs[:, :1], axis=1), runs[:, 0], REPLICATED)
    return np.repeat(one_owner.astype(np.int16), features // readers)


class Local(Flow):
    """Output feature i reads input feature i, or a block of outputs reads one input."""

    def check(self, layer: LayerOfFlow, features: Sequence[int]) -> str:
        """One input has the layer's features; the output has so many for each of them."""
        if layer.in_features not in features:
            return f"none of its inputs has the {layer.in_features} it declares"
        if layer.out_features % layer.in_features:
            return "output features are no multiple of input features"
        return ""

    def follow(self, layer: LayerOfFlow, sources: Sequence[Owners], ratio: Ratio) -> Followed:
        """All operands follow the first one that is split like the output."""
        if _all_whole(sources):
            return held_by(REPLICATED, layer.out_features), [None] * len(sources)
        leader = next(
            source
            for source in sources
            if len(source) == layer.in_features and np.any(source != REPLICATED)
        )
        needed: list[Owners | None] = [
            # one value for all features: every node that has outputs needs it
            leader if len(source) == len(leader) else held_by(common_holder(leader), len(source))
            for source in sources
        ]
        return np.repeat(leader, layer.out_features // len(leader)), needed

    def leading_input(self, features: Sequence[int], whole: Sequence[bool]) -> int:
        """The widest of those that are shared out; of all, where none is."""
        candidates = [i for i, held in enumerate(whole) if not held] or range(len(whole))
        return max(candidates, key=lambda index: features[index])

    def wishes(
        self, here: Alignment, features: Sequence[int], outputs: int, groups: int, start: int
    ) -> list[Alignment]:
        """What the output wants, in the input's own features."""
        leader = max(features)
        ratio = outputs // leader
        wish = Alignment(here.granularity // gcd(here.granularity, ratio), here.segments)
        return [wish if count == leader else ANYWHERE for count in features]


def _all_whole(sources: Sequence[Owners]) -> bool:
    """Whether every node holds all that is read; then every node works it out for itself."""
    return all(np.all(source == REPLICATED) for source in sources)


class Concat(Flow):
    """Features of the inputs stand one behind the other."""

    def check(self, layer: LayerOfFlow, features: Sequence[int]) -> str:
        """No feature is lost or made."""
        if sum(features) != layer.out_features:
            return "the inputs' features do not add up to its output's"
        return ""

    def follow(self, layer: LayerOfFlow, sources: Sequence[Owners], ratio: Ratio) -> Followed:
        """Every part keeps its owners."""
        return np.concatenate(sources), [None] * len(sources)

    def wishes(
        self, here: Alignment, features: Sequence[int], outputs: int, groups: int, start: int
    ) -> list[Alignment]:
        """Every part cut alike, where all can be."""
        fits = all(count % here.granularity == 0 for count in features)
        return [Alignment(here.granularity) if fits else ANYWHERE] * len(features)


class Slice(Flow):
    """A contiguous run of the input's features, from ``feature_start``."""

    reads_first = True

    def check(self, layer: LayerOfFlow, features: Sequence[int]) -> str:
        """The run lies inside of the input."""
        wrong = super().check(layer, features)
        if not wrong and layer.feature_start + layer.out_features > layer.in_features:
            return "the slice ends behind its input's last feature"
        return wrong

    def follow(self, layer: LayerOfFlow, sources: Sequence[Owners], ratio: Ratio) -> Followed:
        """It keeps its owners."""
        start = layer.feature_start
        return sources[0][start : start + layer.out_features], [None] * len(sources)

    def wishes(
        self, here: Alignment, features: Sequence[int], outputs: int, groups: int, start: int
    ) -> list[Alignment]:
        """Equal parts (q, k and v of one projection) are shared out alike."""
        tiles = features[0] % outputs == 0 and start % outputs == 0
        return [Alignment(here.granularity, features[0] // outputs if tiles else 1)]


class Shuffle(Flow):
    """The runs of the input's features interleaved (channel shuffle)."""

    has_groups = True

    def follow(self, layer: LayerOfFlow, sources: Sequence[Owners], ratio: Ratio) -> Followed:
        """Owners move with their features."""
        return sources[0].reshape(layer.groups, -1).T.ravel(), [None] * len(sources)


class Reduce(Flow):
    """One feature out of all (a sum, a maximum): every node tells its part, and all hold it."""

    reads_first = True
    reduces = True

    def follow(self, layer: LayerOfFlow, sources: Sequence[Owners], ratio: Ratio) -> Followed:
        """All hold the result; one node, where it alone holds what is read."""
        return held_by(common_holder(sources[0]), layer.out_features), [None] * len(sources)


class OneNode(Flow):
    """Anything else: the inputs are gathered on the first node, which runs the layer alone."""

    gathers = True

    def follow(self, layer: LayerOfFlow, sources: Sequence[Owners], ratio: Ratio) -> Followed:
        """All on the first node, unless every node holds all inputs."""
        if _all_whole(sources):
            return held_by(REPLICATED, layer.out_features), [None] * len(sources)
        return held_by(0, layer.out_features), [held_by(0, len(source)) for source in sources]


FLOWS: dict[FeatureFlow, Flow] = {
    "mixing": Mixing(),
    "grouped": Grouped(),
    "local": Local(),
    "concat": Concat(),
    "slice": Slice(),
    "shuffle": Shuffle(),
    "reduce": Reduce(),
    "one-node": OneNode(),
}

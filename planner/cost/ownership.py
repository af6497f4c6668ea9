"""Which node of a group holds which feature of every tensor, followed through the graph.

A layer's flow (`planner.domain.flows`) says which ownership it needs of its inputs and which one
it leaves; what does not match is moved, and the move is paid for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import (
    REPLICATED,
    Owners,
    Ratio,
    count_moves,
    count_owned,
    held_by,
    speed_ratio,
)
from planner.structure import tensor_bytes


@dataclass(frozen=True)
class KindShares:
    """Ownership as counts, over D kinds of layers and n nodes.

    Attributes
    ----------
    owned : int array, shape (D, n)
        Input features of a mixing layer that each node alone holds, I_i; 0 in other layers.
    replicated : int array, shape (D,)
        Input features of a mixing layer that every node holds (the input image).
    outputs : int array, shape (D, n)
        Output features that each node computes, O_j.
    moved_bytes : int array, shape (D, n, n)
        Bytes that change owner before the layer runs, sender to receiver; never sparsified.
    mixing, replicated_output : bool array, shape (D,)
    """

    owned: NDArray[np.int64]
    replicated: NDArray[np.int64]
    outputs: NDArray[np.int64]
    moved_bytes: NDArray[np.int64]
    mixing: NDArray[np.bool_]
    replicated_output: NDArray[np.bool_]

    @property
    def receives(self) -> NDArray[np.bool_]:
        """Nodes that compute any output feature, shape (D, n); the others need nothing."""
        return self.outputs > 0

    def at(self, index: NDArray[np.int64]) -> KindShares:
        """The same of other layers, each by the number of its kind."""
        return KindShares(**{name: array[index] for name, array in vars(self).items()})


@dataclass(frozen=True)
class FeatureShares:
    """Ownership of all layers on one group of n nodes.

    Layers of one kind are equal in every number that a cost follows from, in which nodes hold
    what they read, and in which hold what they make: each kind is counted once.

    Attributes
    ----------
    kind : int array, shape (L,)
        The kind of every layer, from 0.
    first : int array, shape (D,)
        A layer of each kind.
    kinds : KindShares
        Counts of each kind.
    ratio : tuple of int
        Speeds of the nodes to each other.
    owners : dict of str to int array
        The node that holds each feature of every tensor, or ``REPLICATED``. Equal arrays are one.
    needed : list of tuples, one per layer
        Per input of the layer, the owners that it needs; None where they stay as they are. What
        differs is moved, and ``moved_bytes`` counts it.
    """

    kind: NDArray[np.int64]
    first: NDArray[np.int64]
    kinds: KindShares
    ratio: Ratio
    owners: dict[str, Owners] = field(repr=False)
    needed: list[tuple[Owners | None, ...]] = field(repr=False)

    @cached_property
    def owned(self) -> NDArray[np.int64]:
        """`KindShares.owned` of every layer, shape (L, n)."""
        return self.kinds.owned[self.kind]

    @cached_property
    def replicated(self) -> NDArray[np.int64]:
        """`KindShares.replicated` of every layer, shape (L,)."""
        return self.kinds.replicated[self.kind]

    @cached_property
    def outputs(self) -> NDArray[np.int64]:
        """`KindShares.outputs` of every layer, shape (L, n)."""
        return self.kinds.outputs[self.kind]

    @property
    def moved_bytes(self) -> NDArray[np.int64]:
        """`KindShares.moved_bytes` of every layer, shape (L, n, n): large, made anew each time."""
        return self.kinds.moved_bytes[self.kind]

    @cached_property
    def mixing(self) -> NDArray[np.bool_]:
        """`KindShares.mixing` of every layer, shape (L,)."""
        return self.kinds.mixing[self.kind]

    @cached_property
    def replicated_output(self) -> NDArray[np.bool_]:
        """`KindShares.replicated_output` of every layer, shape (L,)."""
        return self.kinds.replicated_output[self.kind]


_NUMBERS = attrgetter(
    *"feature_flow macs params weight_params param_bytes in_features out_features groups "
    "granularity segments feature_start statistics_bytes input_bytes output_bytes".split()
)
"""All that a layer's cost follows from, but for its inputs and its measured times."""


def feature_shares(profile: ModelProfile, speeds: Iterable[float]) -> FeatureShares:
    """Follow ownership through the graph for a group of nodes with the given speeds.

    Parameters
    ----------
    profile : ModelProfile
    speeds : iterable of float, n of them
        MACs per second of each node, or their ratio: only that matters, and exactly
        (`planner.domain.owners.speed_ratio`).
    """
    ratio = speed_ratio(speeds)
    known: dict[bytes, Owners] = {}

    def once(owners: Owners) -> Owners:
        return known.setdefault(owners.tobytes(), owners)

    sizes = tensor_bytes(profile)
    owners = {spec.name: once(held_by(REPLICATED, spec.features)) for spec in profile.inputs}
    numbers: dict[object, int] = {}
    found: list[_Followed] = []
    kind = np.zeros(len(profile.layers), dtype=np.int64)
    first = []
    for index, layer in enumerate(profile.layers):
        sources = [owners[name] for name in layer.inputs]
        read = tuple((id(owners[name]), sizes[name]) for name in layer.inputs)
        key = (_NUMBERS(layer), tuple(layer.measured_s.items()), read)
        number = numbers.setdefault(key, len(numbers))
        if number == len(found):
            found.append(_followed(layer, sources, [sizes[name] for name in layer.inputs], ratio))
            found[-1].output = once(found[-1].output)
            first.append(index)
        kind[index] = number
        owners[layer.name] = found[number].output
    return FeatureShares(
        kind=kind,
        first=np.array(first, dtype=np.int64),
        kinds=KindShares(
            owned=np.stack([item.owned for item in found]),
            replicated=np.array([item.replicated for item in found], dtype=np.int64),
            outputs=np.stack([item.outputs for item in found]),
            moved_bytes=np.stack([item.moved_bytes for item in found]),
            mixing=np.array([profile.layers[index].flow.mixes for index in first]),
            replicated_output=np.array([bool(np.all(f.output == REPLICATED)) for f in found]),
        ),
        ratio=ratio,
        owners=owners,
        needed=[found[number].needed for number in kind],
    )


@dataclass
class _Followed:
    """Ownership at one layer; arrays as in `KindShares`, of a single kind."""

    output: Owners
    needed: tuple[Owners | None, ...]
    owned: NDArray[np.int64]
    replicated: int
    outputs: NDArray[np.int64]
    moved_bytes: NDArray[np.int64]


def _followed(
    layer: LayerProfile, sources: list[Owners], source_bytes: list[int], ratio: Ratio
) -> _Followed:
    nodes = len(ratio)
    output, needed = layer.flow.follow(layer, sources, ratio)
    moved = np.zeros((nodes, nodes), dtype=np.int64)
    for size, current, need in zip(source_bytes, sources, needed, strict=True):
        if need is not None and need is not current:
            moved += count_moves(current, need, nodes) * (size // len(current))
    outputs = count_owned(output, nodes) + np.count_nonzero(output == REPLICATED)
    holds = count_owned(sources[0], nodes)
    told = np.outer(holds > 0, outputs > 0) & ~np.eye(nodes, dtype=np.bool_)
    return _Followed(
        output=output,
        needed=tuple(needed),
        owned=holds if layer.flow.mixes else np.zeros_like(holds),
        replicated=int(np.count_nonzero(sources[0] == REPLICATED)) if layer.flow.mixes else 0,
        outputs=outputs,
        moved_bytes=moved + told * layer.statistics_bytes,
    )

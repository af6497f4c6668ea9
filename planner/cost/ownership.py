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
    MOST_FEATURES,
    REPLICATED,
    Owners,
    Ratios,
    count_moves,
    count_owned,
    held_by,
    speed_ratio,
)
from planner.errors import BadInputError
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
    mixing : bool array, shape (D,)
    """

    owned: NDArray[np.int64]
    replicated: NDArray[np.int64]
    outputs: NDArray[np.int64]
    moved_bytes: NDArray[np.int64]
    mixing: NDArray[np.bool_]

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
    ratios : Ratios
        In which the nodes share out features and positions.
    owners : dict of str to int array
        The node that holds each feature of every tensor, or ``REPLICATED``. Equal arrays are one.
    needed : list of tuples, one per layer
        Per input of the layer, the owners that it needs; None where they stay as they are. What
        differs is moved, and ``moved_bytes`` counts it.
    """

    kind: NDArray[np.int64]
    first: NDArray[np.int64]
    kinds: KindShares
    ratios: Ratios
    owners: dict[str, Owners] = field(repr=False)
    needed: list[tuple[Owners | None, ...]] = field(repr=False)

    @property
    def nodes(self) -> int:
        """How many share."""
        return len(self.ratios.whole)

    @cached_property
    def owned(self) -> NDArray[np.int64]:
        """`KindShares.owned` of every layer, shape (L, n)."""
        return self.kinds.owned[self.kind]

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


_NUMBERS = attrgetter(
    *"kind feature_flow macs params weight_params param_bytes weight_bytes in_features "
    "out_features groups granularity segments feature_start statistics_bytes input_bytes "
    "output_bytes cache_bytes cache_parts read_bytes".split()
)
"""All that a layer's cost follows from, but for its inputs and its measured times."""


def feature_shares(profile: ModelProfile, speeds: Iterable[float] | Ratios) -> FeatureShares:
    """Follow ownership through the graph for a group of nodes with the given speeds.

    Parameters
    ----------
    profile : ModelProfile
    speeds : iterable of float, n of them, or Ratios
        MACs per second of each node, or their ratio: only that matters, and exactly
        (`planner.domain.owners.speed_ratio`).

    Raises
    ------
    BadInputError
        A tensor has more features than can be shared out (`MOST_FEATURES`).
    """
    _check_features(profile)
    ratios = speeds if isinstance(speeds, Ratios) else Ratios(speed_ratio(speeds))
    nodes = len(ratios.whole)
    known: dict[bytes, Owners] = {}

    def once(owners: Owners) -> Owners:
        return known.setdefault(owners.tobytes(), owners)

    sizes = tensor_bytes(profile)
    owners = {spec.name: once(held_by(REPLICATED, spec.features)) for spec in profile.inputs}
    counting = _Counting(nodes)
    numbers: dict[object, int] = {}
    made: list[Owners] = []
    needs: list[tuple[Owners | None, ...]] = []
    counts: list[_Counts] = []
    kind, first = [], []
    for index, layer in enumerate(profile.layers):
        sources = [owners[name] for name in layer.inputs]
        source_bytes = [sizes[name] for name in layer.inputs]
        read = tuple((id(source), size) for source, size in zip(sources, source_bytes, strict=True))
        ratio = ratios.of(index)
        key = (_NUMBERS(layer), tuple(layer.measured_s.items()), read, ratio)
        number = numbers.setdefault(key, len(numbers))
        if number == len(made):
            output, needed = layer.flow.follow(layer, sources, ratio)
            made.append(once(output))
            needs.append(tuple(None if need is None else once(need) for need in needed))
            counts.append(counting.of(layer, sources, source_bytes, made[-1], needs[-1]))
            first.append(index)
        kind.append(number)
        owners[layer.name] = made[number]
    return FeatureShares(
        kind=np.array(kind, dtype=np.int64),
        first=np.array(first, dtype=np.int64),
        kinds=KindShares(*(np.array(column) for column in zip(*counts, strict=True))),
        ratios=ratios,
        owners=owners,
        needed=[needs[number] for number in kind],
    )


def _check_features(profile: ModelProfile) -> None:
    sizes = [(f"input {spec.name!r}", spec.features) for spec in profile.inputs]
    for layer in profile.layers:  # what it reads is an input or what another layer makes
        sizes.append((f"layer {layer.name!r}", layer.out_features))
    for name, features in sizes:
        if features > MOST_FEATURES:
            raise BadInputError(
                f"{name}: has {features:,} features; no more than {MOST_FEATURES:,} of one tensor "
                "can be shared out"
            )


_Counts = tuple[NDArray[np.int64], int, NDArray[np.int64], NDArray[np.int64], bool]


class _Counting:
    """Counts of who holds and who needs what in a group.

    Layers share their owners, array for array (`feature_shares` keeps each once, and so alive):
    what was counted of an array is known by its identity.
    """

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._owned: dict[int, tuple[NDArray[np.int64], int]] = {}
        self._moved: dict[tuple[int, int], NDArray[np.int64]] = {}

    def of(
        self,
        layer: LayerProfile,
        sources: list[Owners],
        source_bytes: list[int],
        output: Owners,
        needed: tuple[Owners | None, ...],
    ) -> _Counts:
        """A layer's fields of `KindShares`."""
        nodes = self._nodes
        moved_bytes = np.zeros((nodes, nodes), dtype=np.int64)
        for size, current, need in zip(source_bytes, sources, needed, strict=True):
            if need is not None:
                moved_bytes += self._moves(current, need) * (size // len(current))
        alone, by_all = self._held(output)
        outputs = alone + by_all
        holds, whole = self._held(sources[0])
        if layer.statistics_bytes:
            told = np.outer(holds > 0, outputs > 0) & ~np.eye(nodes, dtype=np.bool_)
            moved_bytes += told * layer.statistics_bytes
        mixes = layer.flow.mixes
        return holds * mixes, whole * mixes, outputs, moved_bytes, mixes

    def _held(self, owners: Owners) -> tuple[NDArray[np.int64], int]:
        """Features that each node alone holds, and how many all nodes hold."""
        key = id(owners)
        if key not in self._owned:
            alone = count_owned(owners, self._nodes)
            self._owned[key] = alone, len(owners) - int(alone.sum())
        return self._owned[key]

    def _moves(self, current: Owners, needed: Owners) -> NDArray[np.int64]:
        key = id(current), id(needed)
        if key not in self._moved:
            self._moved[key] = count_moves(current, needed, self._nodes)
        return self._moved[key]

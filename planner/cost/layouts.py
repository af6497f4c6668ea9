"""Bytes of tensors in every layout on a group, and what conversions send (docs/model.md, eq. 32).

Everything is a whole number of bytes from sender to receiver; `planner.cost.exchange` says how
long that takes on the links of the group.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from planner.cost.experts import whole_experts
from planner.cost.ownership import FeatureShares
from planner.domain.layer_profile import Routing
from planner.domain.layouts import WHOLE, Holding, Layout
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import REPLICATED, count_owned, shares_by_speed
from planner.domain.positions import Geometry, Mask, shares_of_positions
from planner.structure import last_uses, tensor_bytes

T = TypeVar("T")
Bytes = NDArray[np.int64]
Axis = Layout
"""``positions`` or ``samples``."""


Box = dict[Layout, Mask]
"""A part of a tensor for each of n nodes: features, positions or samples, shape (n, count) each;
all of it or nothing under ``whole``, shape (n, 1). What is not named is there in full."""


def crossing_bytes(size: int, has: Box, needs: Box) -> Bytes:
    """Bytes of a tensor that one of s nodes has and one of r needs, shape (s, r) (eq. 37).

    Parameters
    ----------
    size : int
        Of the whole tensor.
    has, needs : Box
        Of s and of r nodes.
    """
    crossing: Bytes = np.ones((len(next(iter(has.values()))), 1), dtype=np.int64)
    crossing = crossing * np.ones(len(next(iter(needs.values()))), dtype=np.int64)
    parts = 1
    for axis in {**has, **needs}:
        mine, theirs = (box.get(axis) for box in (has, needs))
        count = (mine if mine is not None else theirs).shape[1]  # type: ignore[union-attr]
        full = np.ones((1, count), dtype=np.bool_)
        left, right = (full if side is None else side for side in (mine, theirs))
        crossing = crossing * (left.astype(np.int64) @ right.T.astype(np.int64))
        parts *= count
    return crossing * (size // parts)


@dataclass(frozen=True)
class Messages:
    """What the nodes of a group send each other, shape (n, n), sender to receiver.

    Attributes
    ----------
    selected : int array
        Bytes that are the same for all receivers of a sender: a broadcast medium carries them once.
    moved : int array
        Bytes that go to one receiver each.
    added : int array
        Bytes of parts of sums, to the node that ends with the sum.
    """

    selected: Bytes
    moved: Bytes
    added: Bytes

    def __add__(self, other: Messages) -> Messages:
        """One exchange of both."""
        return Messages(
            self.selected + other.selected, self.moved + other.moved, self.added + other.added
        )

    @property
    def pairs(self) -> Bytes:
        """Bytes of every ordered pair, whatever the casting."""
        return self.selected + self.moved + self.added

    @classmethod
    def none(cls, nodes: int) -> Messages:
        """No message."""
        nothing = np.zeros((nodes, nodes), dtype=np.int64)
        return cls(nothing, nothing, nothing)


def sum_of(messages: Iterable[Messages], nodes: int) -> Messages:
    """One exchange of several."""
    total = Messages.none(nodes)
    for item in messages:
        total += item
    return total


class GroupLayouts:
    """How the tensors of a model can lie on a group of nodes.

    What is worked out of them is kept (`once`): it hangs on no link and on no speed but their
    ratio, so that other clusters of like nodes find it again.

    Parameters
    ----------
    profile : ModelProfile
    shares : FeatureShares
        Ownership of features on the group; positions are cut by the same speeds.
    """

    def __init__(self, profile: ModelProfile, shares: FeatureShares) -> None:
        self.profile = profile
        self.shares = shares
        self.nodes = shares.nodes
        self._bytes = tensor_bytes(profile)
        self._counts = {
            "positions": {spec.name: spec.positions for spec in profile.inputs},
            "samples": {spec.name: spec.samples for spec in profile.inputs},
        }
        for layer in profile.layers:
            for axis, found in self._counts.items():
                geometry: Geometry | None = getattr(layer, axis)
                found[layer.name] = geometry.count if geometry else 0
        self._masks: dict[int, Mask] = {}
        self._known: dict[Hashable, object] = {}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was worked out under a key, or what ``make`` works out now."""
        if key not in self._known:
            self._known[key] = make()
        return cast(T, self._known[key])

    @cached_property
    def last(self) -> dict[str, int]:
        """The last layer that reads each tensor."""
        return last_uses(self.profile)

    @cached_property
    def _apart(self) -> NDArray[np.bool_]:
        return ~np.eye(self.nodes, dtype=np.bool_)

    def count(self, name: str, axis: Axis) -> int:
        """Positions or samples of a tensor that it can be parted by; 0 without."""
        count, features = self._counts[axis][name], len(self.shares.owners[name])
        return count if count > 1 and self._bytes[name] % (count * features) == 0 else 0

    def mask(self, count: int) -> Mask:
        """Which of so many positions each node holds, shape (n, P)."""
        if count not in self._masks:
            shares = shares_by_speed(count, self.shares.ratios.whole)
            self._masks[count] = shares_of_positions(shares)
        return self._masks[count]

    def parts(self, count: int) -> Bytes:
        """How many of so many positions each node holds, shape (n,)."""
        counted: Bytes = self.mask(count).sum(axis=1)
        return counted

    def can_lie(self, name: str, layout: Layout) -> bool:
        """Whether a tensor can be parted so."""
        if layout == "experts":
            return name in self._routed
        return layout not in ("positions", "samples") or self.count(name, layout) > 0

    @cached_property
    def _routed(self) -> dict[str, Routing]:
        """The tensors that chosen experts make."""
        layers = self.profile.layers
        return {layer.name: layer.routing for layer in layers if layer.routing is not None}

    def experts(self, name: str) -> Bytes:
        """Whole experts of every node, of those that make a tensor, shape (n,)."""
        own, _ = self._owned(name)
        return whole_experts(self._routed[name].experts, own)

    def features_part(self, name: str) -> NDArray[np.float64]:
        """Part of a tensor's features that every node makes, shape (n,)."""
        own, everywhere = self._owned(name)
        part: NDArray[np.float64] = (own + everywhere) / len(self.shares.owners[name])
        return part

    def of_experts(self, name: str) -> Bytes:
        """Bytes of a tensor that a node's experts make, whatever is chosen, shape (n,)."""
        routing = self._routed[name]
        most = np.minimum(self.experts(name), routing.taken) * routing.vectors
        own, everywhere = self._owned(name)
        features = len(self.shares.owners[name])
        shared = -(-routing.vectors * routing.shared * (own + everywhere) // features)
        held: Bytes = (most + shared) * (self._bytes[name] // routing.pairs)
        return held

    def size(self, name: str) -> int:
        """Bytes of a whole tensor."""
        return self._bytes[name]

    def writes_in_place(self, row: int, holding: Holding, layout: Layout) -> bool:
        """Whether a layer's output takes the place of its first input, which lies so.

        As `planner.cost.memory.activation_bytes` has it for features: it has no MACs, nothing
        reads the input again, and that is as large and lies alike.
        """
        layer = self.profile.layers[row]
        first = layer.inputs[0]
        if layer.macs or self.last[first] != row or self.size(first) < layer.output_bytes:
            return False
        if holding == WHOLE and layout == "features":
            return bool(np.all(self.shares.owners[layer.name] == REPLICATED))
        return holding == {layout}

    def adding_bytes(self, name: str, target: Layout) -> Bytes:
        """What each node holds until a tensor's parts are added up: its own and what it gets."""
        found = self.conversion(name, "sums", target)
        assert found is not None
        held: Bytes = self.held_bytes(name, "sums") + found.pairs.sum(axis=0)
        return held

    def bytes_of(self, name: str, axis: Axis, positions: Mask) -> Bytes:
        """Bytes of some positions of a tensor for each node, shape (n,)."""
        held: Bytes = positions.sum(axis=1) * (self.size(name) // self.count(name, axis))
        return held

    def held_bytes(self, name: str, layout: Layout) -> Bytes:
        """Bytes that each node holds of a tensor in a layout, shape (n,)."""
        size = self._bytes[name]
        if layout in ("whole", "sums"):
            return np.full(self.nodes, size, dtype=np.int64)
        if layout == "experts":
            return self.of_experts(name)
        if layout == "one-node":
            first: Bytes = size * self._is_first
            return first
        if layout == "features":
            own, everywhere = self._owned(name)
            held: Bytes = (own + everywhere) * self._feature_bytes(name)
            return held
        count = self.count(name, layout)
        return self.parts(count) * (size // count)

    def conversion(self, name: str, source: Layout, target: Layout) -> Messages | None:
        """What brings a tensor from one layout to another; None where nothing does directly.

        A whole tensor needs no conversion, and parts of a sum are not made of anything.
        """
        key = "conversion", name, source, target
        return self.once(key, lambda: self._conversion(name, source, target))

    def _conversion(self, name: str, source: Layout, target: Layout) -> Messages | None:
        impossible = target == "sums" or source in ("whole", target)
        impossible |= (source, target) == ("sums", "whole") or "experts" in (source, target)
        if impossible or not (self.can_lie(name, source) and self.can_lie(name, target)):
            return None
        if source == "sums":
            return self._added_up(name, target)
        if target == "whole":
            return self._to_all(self._first_holds(name, source))
        if target == "one-node":
            return self._to_each(np.outer(self._first_holds(name, source), self._is_first))
        if source == "one-node":
            return self._handed_out(name, target)
        if "features" in (source, target):
            return self._turned(name, source, target)
        both = self.count(name, source) * self.count(name, target)
        if self._bytes[name] % both:
            return None
        sizes = np.outer(self.parts(self.count(name, source)), self.parts(self.count(name, target)))
        return self._to_each(sizes * (self._bytes[name] // both))

    def has(self, name: str, layout: Layout, first: int = 0) -> Box:
        """Which part of a tensor each node supplies: what all hold comes from one of them."""
        if layout == "features":
            owners = self.shares.owners[name]
            mine = owners == np.arange(self.nodes)[:, None]
            mine[first] |= owners == REPLICATED
            return {layout: mine}
        if layout in ("positions", "samples"):
            return {layout: self.mask(self.count(name, layout))}
        return {"whole": (np.arange(self.nodes) == first)[:, None]}

    def needs(self, name: str, layout: Layout) -> Box:
        """Which part of a tensor each node holds in a layout."""
        if layout == "features":
            owners = self.shares.owners[name]
            return {layout: (owners == np.arange(self.nodes)[:, None]) | (owners == REPLICATED)}
        if layout == "whole":
            return {layout: np.ones((self.nodes, 1), dtype=np.bool_)}
        return self.has(name, layout)

    def needed(self, geometry: Geometry, source: int, name: str, wanted: Mask, axis: Axis) -> Mask:
        """Positions of an input that nodes need for some of the output's, shape (n, P).

        Parameters
        ----------
        geometry : Geometry
            Of the layer, along ``axis``.
        source : int
            Which of its inputs.
        name : str
            That input.
        wanted : bool array, shape (n, positions of the output)
        """
        window = geometry.reads[source]
        assert window is not None
        return window.reads(wanted, self.count(name, axis))

    def halo(self, name: str, axis: Axis, needed: Mask) -> Messages:
        """What nodes get of a tensor that lies by positions, besides their own.

        Parameters
        ----------
        needed : bool array, shape (n, P)
        """
        count = self.count(name, axis)
        held = self.mask(count)
        overlap = held.astype(np.int64) @ needed.T.astype(np.int64)
        return self._to_each(overlap * (self._bytes[name] // count))

    def told(self, size: int, tells: NDArray[np.bool_]) -> Messages:
        """So many bytes from each of some nodes to all others of them."""
        selected = np.outer(tells, tells) & self._apart
        nothing = np.zeros(selected.shape, dtype=np.int64)
        return Messages(selected * size, nothing, nothing)

    @cached_property
    def _is_first(self) -> NDArray[np.int64]:
        first: NDArray[np.int64] = np.zeros(self.nodes, dtype=np.int64)
        first[0] = 1
        return first

    def _owned(self, name: str) -> tuple[Bytes, int]:
        """Features that each node alone holds, and those that all do."""
        owners = self.shares.owners[name]

        def count() -> tuple[Bytes, int]:
            return count_owned(owners, self.nodes), int(np.count_nonzero(owners == REPLICATED))

        return self.once(("owned", id(owners)), count)  # equal owners are one array

    def _feature_bytes(self, name: str) -> int:
        return self._bytes[name] // len(self.shares.owners[name])

    def _first_holds(self, name: str, source: Layout) -> Bytes:
        """What each node holds that no node before it does, shape (n,)."""
        if source == "features":  # what all hold comes from the node itself
            own, _ = self._owned(name)
            mine: Bytes = own * self._feature_bytes(name)
            return mine
        return self.held_bytes(name, source)

    def _to_all(self, sizes: Bytes) -> Messages:
        selected = np.where(self._apart, sizes[:, None], 0)
        nothing = np.zeros_like(selected)
        return Messages(selected, nothing, nothing)

    def _to_each(self, sizes: Bytes) -> Messages:
        moved = np.where(self._apart, sizes, 0)
        nothing = np.zeros_like(moved)
        return Messages(nothing, moved, nothing)

    def _to_add(self, sizes: Bytes) -> Messages:
        """To each node its part of the sum from every other one, shape (n,)."""
        added = np.where(self._apart, sizes[None, :], 0)
        nothing = np.zeros_like(added)
        return Messages(nothing, nothing, added)

    def _handed_out(self, name: str, target: Layout) -> Messages:
        """From the first node to all others, each its part; what all need is sent to all."""
        first = self._is_first[:, None]
        if target != "features":
            return self._to_each(first * self.held_bytes(name, target))
        own, everywhere = self._owned(name)
        size = self._feature_bytes(name)
        return self._to_each(first * own * size) + self._to_all(
            self._is_first * (everywhere * size)
        )

    def _turned(self, name: str, source: Layout, target: Layout) -> Messages:
        """Between features and positions: every pair exchanges where its parts cross."""
        axis = source if target == "features" else target
        count = self.count(name, axis)
        own, everywhere = self._owned(name)
        size = self._feature_bytes(name) // count
        parts = self.parts(count)
        if target == "features":
            crossing = self._to_each(np.outer(parts, own) * size)
            return crossing + self._to_all(parts * (everywhere * size))
        return self._to_each(np.outer(own, parts) * size)

    def _added_up(self, name: str, target: Layout) -> Messages:
        """Every node sends every other one its part of what that one adds up."""
        if target == "features":  # what all will hold each of them adds up: the same part to all
            own, everywhere = self._owned(name)
            size = self._feature_bytes(name)
            everyone = np.ones(self.nodes, dtype=np.int64)
            return self._to_add(own * size) + self._to_all(everyone * (everywhere * size))
        return self._to_add(self.held_bytes(name, target))

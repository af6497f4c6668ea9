"""The nodes that run a network and the links between them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Sequence
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from planner.domain.arrays import Frozen
from planner.errors import BadInputError
from planner.units import LEAST, MOST

Medium = Literal["full_duplex", "half_duplex", "shared"]
Casting = Literal["unicast", "broadcast"]
Collective = Literal["direct", "in-series", "ring", "tree", "star", "best"]
OperatorKind = Literal["conv-1x1", "conv", "depthwise", "linear", "attention", "element-wise"]
"""What a device may run at a rate of its own."""
Origin = Literal["measured", "derived", "assumed"]


def _not_tiny(value: float) -> float:
    if value < LEAST:
        raise PydanticCustomError(
            "tiny", "Input should be {least} or more", {"least": f"{LEAST:g}"}
        )
    return value


PositiveFloat = Annotated[float, Field(gt=0, lt=MOST), AfterValidator(_not_tiny)]
NonNegativeFloat = Annotated[float, Field(ge=0, lt=MOST)]
Name = Annotated[str, Field(min_length=1, max_length=256)]


class Host(Frozen):
    """What a card sits in: a language model's experts may lie there; its processor runs them."""

    memory_bytes: Annotated[int, Field(gt=0, lt=2**62)] = Field(
        description="beside the card's own memory"
    )
    memory_bytes_per_s: PositiveFloat = Field(description="bandwidth of that memory")
    macs_per_s: PositiveFloat = Field(description="C of the processor")
    link_bytes_per_s: PositiveFloat | None = Field(
        default=None,
        exclude_if=lambda rate: rate is None,
        description="bytes that pass between card and host in a second; null: at no cost",
    )


class Node(Frozen):
    """One device."""

    name: Name
    macs_per_s: PositiveFloat = Field(description="C: multiply-accumulates per second")
    macs_per_s_by_kind: dict[OperatorKind, PositiveFloat] = Field(
        default_factory=dict, description="C of some kinds of operators; macs_per_s for the others"
    )
    memory_bytes: Annotated[int, Field(gt=0, lt=2**62)] | None = Field(
        default=None, description="null: no limit known"
    )
    memory_bytes_per_s: PositiveFloat | None = Field(
        default=None, description="memory bandwidth, for the roofline; null: not counted"
    )
    memory_bytes_per_s_by_kind: dict[OperatorKind, PositiveFloat] = Field(
        default_factory=dict,
        description="bytes that some kinds of operators get through in a second, such as "
        "convolutions that re-order their weights; memory_bytes_per_s for the others",
    )
    layer_overhead_s: NonNegativeFloat = Field(
        default=0.0, description="of every layer with MACs, beside its MACs and bytes"
    )
    layer_overhead_s_by_kind: dict[OperatorKind, NonNegativeFloat] = Field(
        default_factory=dict,
        description="of some kinds of operators, element-wise ones among them; else "
        "layer_overhead_s, and nothing of layers without MACs",
    )
    interface_bytes_per_s: PositiveFloat | None = Field(
        default=None, description="B of its own interface; null: that of its fastest link"
    )
    message_send_s: NonNegativeFloat = Field(
        default=0.0, description="software time of a message that it sends; occupies the node"
    )
    message_receive_s: NonNegativeFloat = Field(
        default=0.0, description="software time of a message that it receives"
    )
    message_bytes_per_s: PositiveFloat | None = Field(
        default=None, description="bytes that its software packs or unpacks; null: at no cost"
    )
    host: Host | None = Field(
        default=None, exclude_if=lambda host: host is None, description="null: not used"
    )
    device_type: Name = "generic"
    seconds_per_param: PositiveFloat | None = Field(
        default=None, description="measured γ of AR-MDI; null: derived from macs_per_s"
    )

    def __hash__(self) -> int:
        """Of all fields; a mapping has no hash of its own."""
        return hash(self.model_dump_json())

    @property
    def unnamed(self) -> Node:
        """The same node without its own name: that of nodes that are alike is equal."""
        return self.model_copy(update={"name": "-"})

    @property
    def as_host(self) -> Node:
        """The same node with the memory and the rates of its host; itself without one."""
        if self.host is None:
            return self
        return self.model_copy(
            update={
                "macs_per_s": self.host.macs_per_s,
                "macs_per_s_by_kind": {},
                "memory_bytes": self.host.memory_bytes,
                "memory_bytes_per_s": self.host.memory_bytes_per_s,
                "memory_bytes_per_s_by_kind": {},
                "device_type": f"host of {self.device_type}"[:256],
            }
        )

    @property
    def has_one_rate(self) -> bool:
        """Whether every operator's time is its MACs over one C, beside what does not shrink."""
        has_memory = self.memory_bytes_per_s is not None or self.memory_bytes_per_s_by_kind
        return not (has_memory or self.macs_per_s_by_kind)

    @property
    def rates(self) -> tuple[object, ...]:
        """All that says how fast an operator computes, to compare nodes by."""
        return (
            self.macs_per_s,
            self.memory_bytes_per_s,
            str(self.macs_per_s_by_kind),
            str(self.memory_bytes_per_s_by_kind),
        )

    def rate(self, kind: OperatorKind) -> float:
        """C of a kind of operators, in MACs per second."""
        return self.macs_per_s_by_kind.get(kind, self.macs_per_s)

    def memory_rate(self, kind: OperatorKind) -> float | None:
        """Bytes per second of a kind of operators; None where they cost nothing."""
        return self.memory_bytes_per_s_by_kind.get(kind, self.memory_bytes_per_s)

    def overhead_s(self, kind: OperatorKind) -> float:
        """Seconds of an operator of a kind that do not shrink with its share."""
        common = 0.0 if kind == "element-wise" else self.layer_overhead_s
        return self.layer_overhead_s_by_kind.get(kind, common)

    def with_figure(self, field: str, value: float) -> Node:
        """The same node with another figure; those of kinds of operators change in proportion."""
        before = getattr(self, field)
        changed = self.scaled(field, value / before) if before else self
        return changed.model_copy(update={field: value})

    def scaled(self, field: str, factor: float) -> Node:
        """The same node with so many times of a figure, where it has one, for every kind."""
        update: dict[str, object] = {}
        value = getattr(self, field)
        if value is not None:
            update[field] = round(value * factor) if isinstance(value, int) else value * factor
        by_kind = next((name for name, common in BY_KIND.items() if common == field), None)
        if by_kind is not None:
            update[by_kind] = {
                kind: min(max(figure * factor, LEAST), math.nextafter(MOST, 0)) if figure else 0.0
                for kind, figure in getattr(self, by_kind).items()
            }
        return self.model_copy(update=update)


class Link(Frozen):
    """B of an interface, each direction, and the delay of one message."""

    bandwidth_bytes_per_s: PositiveFloat
    latency_s: NonNegativeFloat = 0.0


class PairLink(Link):
    """A link between two nodes that differs from the default."""

    between: tuple[Name, Name]


BY_KIND = {
    "macs_per_s_by_kind": "macs_per_s",
    "memory_bytes_per_s_by_kind": "memory_bytes_per_s",
    "layer_overhead_s_by_kind": "layer_overhead_s",
}
"""Fields of a node by kind of operator, and the one that holds for all other kinds."""


class Figure(Frozen):
    """Where a number of the cluster comes from."""

    key: Name
    origin: Origin
    source: Name
    low: NonNegativeFloat | None = Field(default=None, description="least that it may be")
    high: NonNegativeFloat | None = Field(default=None, description="most that it may be")
    peak: bool = Field(default=False, description="a data sheet's: real work reaches a part of it")
    measured_at: Name | None = Field(default=None, description="when, as an ISO 8601 date or time")

    @property
    def named(self) -> tuple[str, str, str]:
        """Whose figure, which field, and of which kind of operators: ``laptop.macs_per_s``.

        The owner, a node or a kind of node, is empty where the figure is all nodes'.
        """
        for by_kind in BY_KIND:
            head, found, kind = self.key.rpartition(f"{by_kind}.")
            if found:
                return head.rstrip("."), by_kind, kind
        owner, _, field = self.key.rpartition(".")
        return owner, field, ""

    def is_of(self, fields: Collection[str]) -> bool:
        """Whether it is one of some fields; those of kinds of operators follow the common one."""
        _, field, _ = self.named
        return field in fields or BY_KIND.get(field) in fields


class Cluster(Frozen):
    """Nodes in ring order, the source first unless ``source_node`` says otherwise."""

    schema_version: Literal[1] = 1
    name: Name
    description: str = ""
    nodes: tuple[Node, ...] = Field(min_length=1, max_length=256)
    link: Link
    pair_links: tuple[PairLink, ...] = ()
    medium: Medium = "full_duplex"
    casting: Casting = "unicast"
    collective: Collective = Field(
        default="direct", description="how a group exchanges what all its nodes get or add up"
    )
    switch_bytes_per_s: PositiveFloat | None = Field(
        default=None, description="what a switch or shared port carries together; null: no limit"
    )
    source_node: Name | None = None
    figures: tuple[Figure, ...] = ()

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        names = [node.name for node in self.nodes]
        if len(set(names)) != len(names):
            raise ValueError("nodes: two nodes have the same name")
        for pair in self.pair_links:
            for end in pair.between:
                if end not in names:
                    raise ValueError(f"pair_links: {end!r} is no node; nodes are {names}")
            if pair.between[0] == pair.between[1]:
                raise ValueError(f"pair_links: {pair.between[0]!r} is linked to itself")
        if len({frozenset(pair.between) for pair in self.pair_links}) != len(self.pair_links):
            raise ValueError("pair_links: two links join the same two nodes")
        if self.source_node is not None and self.source_node not in names:
            raise ValueError(f"source_node: {self.source_node!r} is no node; nodes are {names}")
        return self

    def first(self, count: int) -> Cluster:
        """The sub-cluster of ``count`` nodes in ring order from the source.

        Raises
        ------
        BadInputError
            The cluster has fewer.
        """
        if not 1 <= count <= len(self.nodes):
            raise BadInputError(f"{count} nodes: cluster {self.name} has 1 to {len(self.nodes)}")
        start = self.source_index
        names = [self.nodes[(start + k) % len(self.nodes)].name for k in range(count)]
        return self.only(names)

    def only(self, names: Sequence[str]) -> Cluster:
        """The sub-cluster of these nodes in this order; the source stays it where it is among them.

        Raises
        ------
        BadInputError
            One of them is no node.
        """
        nodes = {node.name: node for node in self.nodes}
        for name in names:
            if name not in nodes:
                raise BadInputError(f"{name!r} is no node of {self.name}; nodes are {[*nodes]}")
        source = self.nodes[self.source_index].name
        pairs = tuple(pair for pair in self.pair_links if set(pair.between) <= set(names))
        return self.model_copy(
            update={
                "nodes": tuple(nodes[name] for name in names),
                "pair_links": pairs,
                "source_node": source if source in names else names[0],
            }
        )

    @property
    def source_index(self) -> int:
        """Position of the node that holds the input."""
        return [node.name for node in self.nodes].index(self.source_node or self.nodes[0].name)

    def pair_bandwidth_bytes_per_s(self) -> NDArray[np.float64]:
        """B of every ordered pair, shape (nodes, nodes)."""
        return self._pairs(self.link.bandwidth_bytes_per_s, "bandwidth_bytes_per_s")

    def pair_latency_s(self) -> NDArray[np.float64]:
        """Delay of one message of every ordered pair, shape (nodes, nodes)."""
        return self._pairs(self.link.latency_s, "latency_s")

    def _pairs(self, default: float, field: str) -> NDArray[np.float64]:
        index = {node.name: position for position, node in enumerate(self.nodes)}
        matrix = np.full((len(self.nodes), len(self.nodes)), default)
        for pair in self.pair_links:
            a, b = (index[end] for end in pair.between)
            matrix[a, b] = matrix[b, a] = getattr(pair, field)
        return matrix


def tuned_cluster(
    cluster: Cluster,
    *,
    bandwidth_bytes_per_s: float | None = None,
    latency_s: float | None = None,
    macs_per_s: float | None = None,
    memory_bytes: int | None = None,
    memory_bytes_per_s: float | None = None,
    nodes: int | None = None,
) -> Cluster:
    """The cluster with some figures replaced: of every link, of every node, or their number.

    Parameters
    ----------
    cluster : Cluster
    bandwidth_bytes_per_s, latency_s : float, optional
        Of every link, those between two nodes included.
    macs_per_s : float, optional
    memory_bytes : int, optional
    memory_bytes_per_s : float, optional
    nodes : int, optional
        The first ones of the ring; beyond those that the cluster has, copies of its last one.

    Raises
    ------
    BadInputError
        Fewer than one node.
    pydantic.ValidationError
        A figure that no cluster may have, such as zero bytes per second.
    """
    given = {
        "macs_per_s": macs_per_s,
        "memory_bytes_per_s": memory_bytes_per_s,
        "bandwidth_bytes_per_s": bandwidth_bytes_per_s,
        "latency_s": latency_s,
        "memory_bytes": memory_bytes,
    }
    changed = cluster if nodes is None else _of_size(cluster, nodes)
    for field, value in given.items():
        if value is not None:
            changed = set_figure(changed, field, value=value)
    unlike = tuple(pair for pair in changed.pair_links if not _is_like(pair, changed.link))
    # validated again: a user may type zero or infinity
    return Cluster.model_validate(changed.model_copy(update={"pair_links": unlike}).model_dump())


def set_figure(
    cluster: Cluster,
    field: str,
    factor: float | None = None,
    value: float | None = None,
    node: str = "",
) -> Cluster:
    """`with_figures`, and what says where they come from: from then on they are the user's."""
    key = f"{node}.{field}" if node else field
    known = [x for x in cluster.figures if not _is_replaced(x, field, node)]
    typed = Figure(key=key, origin="assumed", source="set by the user")
    changed = with_figures(cluster, field, factor, value, node)
    return changed.model_copy(update={"figures": (*known, typed)})


def _is_replaced(figure: Figure, field: str, node: str) -> bool:
    """Whether a figure says nothing more; that of all nodes is no longer one node's alone."""
    owner, _, _ = figure.named
    return figure.is_of((field,)) and (not node or owner in ("", node))


def largest_figure(cluster: Cluster, field: str) -> float:
    """The largest that a node, a link or the cluster itself has; 0 where none has any."""
    holders = (*cluster.nodes, cluster.link, *cluster.pair_links, cluster)
    return max(float(getattr(holder, field, None) or 0.0) for holder in holders)


Holder = TypeVar("Holder", Node, Link, PairLink, Cluster)


def with_figures(
    cluster: Cluster,
    field: str,
    factor: float | None = None,
    value: float | None = None,
    node: str = "",
) -> Cluster:
    """The cluster with another figure of all its nodes or links, or of one node.

    Parameters
    ----------
    cluster : Cluster
    field : str
        Of `Node`, `Link` or `Cluster`; who has no such figure stays without, unless a value is
        given.
    factor : float, optional
        The figures of kinds of operators change alike.
    value : float, optional
        In SI, in place of a factor.
    node : str
        The one node that changes; all do where it is empty.
    """

    def changed(holder: Holder) -> Holder:
        if field not in type(holder).model_fields:
            return holder
        if isinstance(holder, Node):
            if node not in ("", holder.name):
                return holder
            if factor is not None:
                return holder.scaled(field, factor)  # type: ignore[return-value]
            assert value is not None
            return holder.with_figure(field, value)  # type: ignore[return-value]
        before = getattr(holder, field)
        after = value if factor is None else before and before * factor
        return holder.model_copy(update={field: after})

    return changed(cluster).model_copy(
        update={
            "link": changed(cluster.link),
            "pair_links": tuple(map(changed, cluster.pair_links)),
            "nodes": tuple(map(changed, cluster.nodes)),
        }
    )


def _is_like(pair: PairLink, link: Link) -> bool:
    return pair.model_dump(exclude={"between"}) == link.model_dump()


def _of_size(cluster: Cluster, count: int) -> Cluster:
    """The first nodes of the ring, with copies of the last one where there are too few."""
    if count < 1:
        raise BadInputError(f"nodes: found {count}; at least 1 is needed")
    whole = cluster
    while len(whole.nodes) < count:
        whole = with_copy(whole, whole.nodes[-1].name)
    return whole.first(count).model_copy(update={"source_node": cluster.source_node})


def with_copy(cluster: Cluster, name: str) -> Cluster:
    """The cluster with one more node at its end, like the one of that name.

    It is called as its kind's nodes are, by the next number that is free.
    """
    like = next(node for node in cluster.nodes if node.name == name)
    taken = {node.name for node in cluster.nodes}
    stem, number = f"{name[:_LONGEST_STEM]}-", 1
    if name != like.device_type and (found := _NUMBERED.fullmatch(name)):
        stem, number = found[1][:_LONGEST_STEM], int(found[2])
    fresh = next(new for k in itertools.count(number + 1) if (new := f"{stem}{k}") not in taken)
    added = like.model_copy(update={"name": fresh})
    return cluster.model_copy(update={"nodes": (*cluster.nodes, added)})


_NUMBERED = re.compile(r"(.*-|[^0-9-]+)([0-9]{1,9})", re.DOTALL)
"""A name that ends in a number of its own: ``node-1``, ``node0``, not ``mac-mini-m4``."""
_LONGEST_STEM = 200

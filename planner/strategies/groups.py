"""Which groups of nodes a stage may run on, and which may follow which."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.domain.cluster import Node
from planner.domain.settings import Parallelism

MAX_GROUPS = 128
"""Kinds of groups that are searched whole; seven unlike nodes make 127."""

_MAX_STATES = 20_000  # nodes used × group: what a dynamic program passes through
_PREFIX = 7  # unlike nodes of which every group is searched, whatever their number
_WHOLE_RUNS = 16  # first nodes of the ring of which every run is searched
_SIZES = (1, 4, 16, 64, 256)  # of the runs further on


@dataclass(frozen=True)
class Groups:
    """The groups that a plan may choose from.

    Nodes that are alike in everything but their name are of one type and are told apart only when
    a plan is written down.

    Attributes
    ----------
    uses : int array, shape (G, Y)
        Nodes of each type that a group takes.
    available : int array, shape (Y,)
    follows : bool array, shape (G, G)
        Whether the second group may run the stage behind the first one's.
    ring : int array, shape (N,)
        Type of every node in ring order, from the source.
    types : tuple of tuples of str
        Names of each type's nodes, in ring order; empty where groups are named in `runs`.
    runs : tuple of tuples of str
        Names of each group's nodes, where a group stands for itself alone.
    scope : str
        What the groups are, in words.
    """

    uses: NDArray[np.int64]
    available: NDArray[np.int64]
    follows: NDArray[np.bool_]
    ring: NDArray[np.int64]
    types: tuple[tuple[str, ...], ...]
    runs: tuple[tuple[str, ...], ...]
    scope: str

    def members(self, groups: Sequence[int]) -> list[tuple[str, ...]]:
        """Names of the nodes of consecutive stages, none of them twice."""
        if self.runs:
            return [self.runs[group] for group in groups]
        taken = [0] * len(self.types)
        stages = []
        for group in groups:
            names: list[str] = []
            for kind, count in enumerate(self.uses[group]):
                names += self.types[kind][taken[kind] : taken[kind] + count]
                taken[kind] += int(count)
            stages.append(tuple(names))
        return stages

    def may_follow(self) -> NDArray[np.bool_]:
        """Whether the nodes for two stages exist and their order is allowed, shape (G, G)."""
        both = self.uses[:, None] + self.uses[None]
        may: NDArray[np.bool_] = self.follows & (both <= self.available).all(axis=2)
        return may

    def without_handovers(self, largest: int = 0) -> Groups:
        """The same groups, of which only those of so many nodes at most may follow each other."""
        small = self.uses.sum(axis=1) <= largest
        return replace(self, follows=self.follows & small[:, None] & small)

    def keep(self, chosen: Sequence[int]) -> Groups:
        """Some of the groups, in the order given."""
        return replace(
            self,
            uses=self.uses[list(chosen)],
            follows=self.follows[np.ix_(chosen, chosen)],
            runs=tuple(self.runs[group] for group in chosen) if self.runs else (),
            scope=f"{len(chosen)} of {len(self.uses)} kinds of groups of {self.scope}",
        )


def all_groups(case: Case, parallelism: Parallelism) -> tuple[Groups, ...]:
    """Every group of the cluster's nodes, or where these are too many two families of them.

    The two are all groups of the ring's first nodes, and neighbours in the ring. Both only grow
    when a node joins the end of the ring, so that one node more never makes the best plan worse.
    """
    names = case.names(len(case.cluster.nodes))
    largest = 1 if parallelism == "pipeline" else len(names)
    every = _by_type(case, names, largest, "any nodes, stages in any order")
    if every is not None:
        return (every,)
    neighbours = _neighbours(names, largest)
    first = names[:_PREFIX]
    prefix = _by_type(
        case, first, min(largest, _PREFIX), f"any of the first {_PREFIX} nodes, stages in any order"
    )
    return (neighbours,) if prefix is None else (prefix, neighbours)


def first_nodes(case: Case, nodes: int) -> Groups:
    """The first nodes of the ring as one group."""
    names = case.names(nodes)
    return _named((names,), f"the first {nodes} nodes")


def ring_order(case: Case, nodes: int) -> Groups:
    """The first nodes of the ring as groups of one, each behind those before it."""
    names = case.names(nodes)
    return _named(tuple((name,) for name in names), f"the first {nodes} nodes in ring order")


def _types(case: Case, names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Names of nodes that can stand for one another, by type, in ring order."""
    cluster = case.cluster
    linked = {name for pair in cluster.pair_links for name in pair.between}
    if case.settings.count_input or case.settings.count_output:
        linked.add(cluster.nodes[cluster.source_index].name)
    found: dict[Node, list[str]] = {}
    for node in cluster.only(names).nodes:
        kind = node if node.name in linked else node.unnamed
        found.setdefault(kind, []).append(node.name)
    return tuple(tuple(names) for names in found.values())


def _by_type(case: Case, names: tuple[str, ...], largest: int, scope: str) -> Groups | None:
    """Every combination of some nodes by type, so many at most; None where they are too many."""
    types = _types(case, names)
    counts = [len(alike) for alike in types]
    kind_of = {name: kind for kind, alike in enumerate(types) for name in alike}
    used_states = prod(count + 1 for count in counts)
    if used_states > _MAX_STATES:
        return None
    combinations = [
        row
        for row in itertools.product(*(range(min(count, largest) + 1) for count in counts))
        if 0 < sum(row) <= largest
    ]
    if len(combinations) > MAX_GROUPS or used_states * len(combinations) > _MAX_STATES:
        return None
    ordered = sorted(combinations, key=lambda row: (sum(row), [-n for n in row]))
    return Groups(
        uses=np.array(ordered, dtype=np.int64),
        available=np.array(counts, dtype=np.int64),
        follows=np.ones((len(ordered), len(ordered)), dtype=np.bool_),
        ring=np.array([kind_of[name] for name in names], dtype=np.int64),
        types=types,
        runs=(),
        scope=scope,
    )


def _neighbours(names: tuple[str, ...], largest: int) -> Groups:
    """Neighbours in the ring, from the source on; a later stage runs on later nodes.

    All runs of the ring's first nodes, and of the others the runs from the source and those of
    1, 4, 16, ... nodes: what there is for N nodes is also there for N + 1.
    """
    runs = tuple(
        names[start : start + size]
        for size in range(1, largest + 1)
        for start in range(len(names) - size + 1)
        if start + size <= _WHOLE_RUNS or start == 0 or size in _SIZES
    )
    if largest == 1:
        scope = "single nodes in ring order"
    elif len(names) <= _WHOLE_RUNS:
        scope = "any number of neighbours in ring order"
    else:
        scope = (
            f"neighbours in ring order: any of the first {_WHOLE_RUNS} nodes, else as many as "
            "there are from the source on, or 1, 4, 16, ..."
        )
    return _named(runs, scope)


def _named(runs: tuple[tuple[str, ...], ...], scope: str) -> Groups:
    """Groups that stand for themselves: runs of the ring, each behind those that end before it."""
    ring = tuple(dict.fromkeys(name for run in runs for name in run))
    place = {name: index for index, name in enumerate(ring)}
    begins, ends = (np.array([place[run[at]] for run in runs]) for at in (0, -1))
    return Groups(
        uses=np.array([[len(run)] for run in runs], dtype=np.int64),
        available=np.array([len(ring)], dtype=np.int64),
        follows=begins[None, :] > ends[:, None],
        ring=np.zeros(len(ring), dtype=np.int64),
        types=(),
        runs=runs,
        scope=scope,
    )


def describe(names: tuple[str, ...], devices: dict[str, str]) -> str:
    """A group in words: its node, or how many nodes of which device type."""
    if len(names) == 1:
        return names[0]
    kinds = Counter(devices[name] for name in names)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())

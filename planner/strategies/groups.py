"""Which groups of nodes a stage may run on, and which may follow which."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.domain.settings import Parallelism

MAX_GROUPS = 64
"""Beyond so many kinds of groups only neighbours in the ring are grouped."""

_MAX_STATES = 6000  # nodes used × group: what a dynamic program passes through


@dataclass(frozen=True)
class Groups:
    """The groups that a plan may choose from.

    Nodes that are alike in everything but their name are of one type and are told apart only when
    a plan is written down.

    Attributes
    ----------
    uses : int array, shape (G, Y)
    available : int array, shape (Y,)
    follows : bool array, shape (G, G)
    types : tuple of tuples of str
        Names of each type's nodes, in ring order; empty for neighbours in the ring.
    runs : tuple of tuples of str
        Names of each group's nodes, where only neighbours are grouped.
    scope : str
        What the groups are, in words.
    """

    uses: NDArray[np.int64]
    available: NDArray[np.int64]
    follows: NDArray[np.bool_]
    types: tuple[tuple[str, ...], ...]
    runs: tuple[tuple[str, ...], ...]
    scope: str

    def members(self, groups: tuple[int, ...]) -> list[tuple[str, ...]]:
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

    def may_follow(self, group: int, following: int) -> bool:
        """Whether the nodes for both exist and their order is allowed."""
        both = self.uses[group] + self.uses[following]
        return bool(self.follows[group, following] and np.all(both <= self.available))


def candidate_groups(case: Case, parallelism: Parallelism, max_nodes: int) -> Groups:
    """Every group of nodes, by type, or runs of neighbours where those are too many.

    Parameters
    ----------
    case : Case
    parallelism : Parallelism
        A pipeline's groups have one node.
    max_nodes : int
        No group has more.
    """
    types = _types(case)
    largest = 1 if parallelism == "pipeline" else max_nodes
    counts = [len(names) for names in types]
    if prod(count + 1 for count in counts) <= _MAX_STATES:
        combinations = [
            row
            for row in itertools.product(*(range(min(count, largest) + 1) for count in counts))
            if 0 < sum(row) <= largest
        ]
        states = prod(count + 1 for count in counts) * len(combinations)
        if len(combinations) <= MAX_GROUPS and states <= _MAX_STATES * 4:
            ordered = sorted(combinations, key=lambda row: (sum(row), [-n for n in row]))
            return Groups(
                uses=np.array(ordered, dtype=np.int64),
                available=np.array(counts, dtype=np.int64),
                follows=np.ones((len(ordered), len(ordered)), dtype=np.bool_),
                types=types,
                runs=(),
                scope="any nodes in any order",
            )
    return _runs(case, largest)


def _types(case: Case) -> tuple[tuple[str, ...], ...]:
    """Names of nodes that can stand for one another, by type, in ring order."""
    cluster = case.cluster
    linked = {name for pair in cluster.pair_links for name in pair.between}
    settings = case.settings
    if settings.count_input or settings.count_output:
        linked.add(cluster.nodes[cluster.source_index].name)
    found: dict[str, list[str]] = {}
    for node in cluster.first(len(cluster.nodes)).nodes:
        own = node.name if node.name in linked else "-"
        kind = node.model_copy(update={"name": own}).model_dump_json()
        found.setdefault(kind, []).append(node.name)
    return tuple(tuple(names) for names in found.values())


def _runs(case: Case, largest: int) -> Groups:
    """Neighbours in the ring, from the source on; a later stage runs on later nodes."""
    names = case.names(len(case.cluster.nodes))
    sizes = list(range(1, largest + 1))
    if sum(len(names) - size + 1 for size in sizes) > 2 * MAX_GROUPS:
        doubled = [1 << power for power in range(largest.bit_length())]
        sizes = sorted({*doubled, largest})
    runs = [(start, size) for size in sizes for start in range(len(names) - size + 1)]
    follows = [[start > before + size - 1 for start, _ in runs] for before, size in runs]
    words = "any number of" if len(sizes) == largest else f"{', '.join(map(str, sizes))}"
    return Groups(
        uses=np.array([[size] for _, size in runs], dtype=np.int64),
        available=np.array([len(names)], dtype=np.int64),
        follows=np.array(follows, dtype=np.bool_),
        types=(),
        runs=tuple(names[start : start + size] for start, size in runs),
        scope=("single nodes" if largest == 1 else f"{words} neighbours") + " in ring order",
    )


def described(names: tuple[str, ...], devices: dict[str, str]) -> str:
    """A group in words: its node, or how many nodes of which device type."""
    if len(names) == 1:
        return names[0]
    kinds = Counter(devices[name] for name in names)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())

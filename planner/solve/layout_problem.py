"""Layers whose options lead from one state of the live tensors to the next, as bare arrays.

Beside `planner.solve.problem.Problem` the costs of a layer hang on what the layers before it
chose: an option is an *arc* from a state to a state, and a plan is a way through a layered graph.
Layers that are alike share their arcs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from planner.solve.problem import NO_LIMIT, Choice, Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALONE = 0
"""The state of a group of one node, between any two layers."""
START = 1
"""The state of a larger group before the first layer."""


@dataclass(frozen=True, eq=False)
class LayerArcs:
    """The options of one kind of layer: A arcs and O options over G groups and P positions.

    Attributes
    ----------
    before, after : int array, shape (A,)
        States; ``before`` rises.
    option : int array, shape (A,)
        What an arc costs: several lead from state to state alike.
    rest : int array, shape (A,)
        Which of ``rest_bytes`` lie beside it.
    latency_s, medium_s, loss : float array, shape (G, O)
    busy_s : float array, shape (R, G, O)
        What each resource of a stage does.
    allowed : bool array, shape (G, O)
    weight_bytes, live_bytes : int array, shape (G, O, P)
        P is 0 where no limit on memory can bind.
    rest_bytes : int array, shape (G, ..., P)
        Live bytes of what the layer does not touch.
    """

    before: Ints
    after: Ints
    option: Ints
    rest: Ints
    latency_s: Floats
    busy_s: Floats
    medium_s: Floats
    loss: Floats
    allowed: NDArray[np.bool_]
    weight_bytes: Ints
    live_bytes: Ints
    rest_bytes: Ints

    def held_bytes(self, group: Ints | int, arc: Ints | int) -> Ints:
        """Live bytes of arcs on groups, shape (..., P)."""
        held: Ints = (
            self.live_bytes[group, self.option[arc]] + self.rest_bytes[group, self.rest[arc]]
        )
        return held

    @cached_property
    def begins(self) -> tuple[Ints, Ints]:
        """States that any arc leaves, and the first arc of each."""
        states, first = np.unique(self.before, return_index=True)
        return states, first.astype(np.int64)

    @cached_property
    def stops(self) -> Ints:
        """One behind the last arc of each state in `begins`."""
        return np.append(self.begins[1][1:], len(self.before))


@dataclass(frozen=True, eq=False)
class CutCosts:
    """What a change of group between two layers costs, for M ways in which tensors can lie.

    Attributes
    ----------
    main : int array, shape (S,)
        How the tensors of each state lie when they are handed over, from 0; below 0: not at all.
    arrival : int array, shape (M,)
        The state of a larger group in which they arrive like that; below 0: there is none.
    seconds, busy_s, medium_s : float array, shape (G, G, M)
        Until all is there, and for which a sender, receiver or link and a shared medium are
        occupied. Between larger groups tensors arrive as they lay; a node alone holds everything.
    send_s, receive_s : float array, shape (G, G, M)
        For which the software of messages occupies the nodes of the stage before and behind.
    """

    main: Ints
    arrival: Ints
    seconds: Floats
    busy_s: Floats
    medium_s: Floats
    send_s: Floats
    receive_s: Floats


@dataclass(frozen=True, eq=False)
class LayoutProblem:
    """Cut a chain of L layers into stages, give each a group of nodes and each layer an arc.

    Groups, nodes and limits are those of `planner.solve.problem.Problem`, whose fields have the
    same names.

    Attributes
    ----------
    arcs : tuple of LayerArcs
        Of every kind of layer.
    kind : int array, shape (L,)
    states : int array, shape (L + 1,)
        How many there are before every layer and behind the last one, `ALONE` included.
    cut_costs : tuple of CutCosts
    cut_kind : int array, shape (L - 1,)
        Which of them a change of group behind a layer costs; below 0 where none is allowed.
    input_s, input_busy_s, input_medium_s : float array, shape (G,)
    output_s, output_busy_s, output_medium_s : float array, shape (G, S)
        By the state behind the last layer; infinite where a plan must not end.
    """

    objective: Literal["latency", "bottleneck"]
    group_names: tuple[str, ...]
    arcs: tuple[LayerArcs, ...]
    kind: Ints
    states: Ints
    cut_costs: tuple[CutCosts, ...]
    cut_kind: Ints
    memory_limit_bytes: Ints
    input_s: Floats
    output_s: Floats
    input_busy_s: Floats
    output_busy_s: Floats
    input_medium_s: Floats
    output_medium_s: Floats
    uses: Ints
    available: Ints
    follows: NDArray[np.bool_]
    max_nodes: int
    all_nodes: bool = False
    single_stage: bool = False
    max_loss: float | None = None
    loss_name: str = "accuracy drop"
    loss_unit: str = "points"
    loss_exponent: int = 1
    max_latency_s: float | None = None
    max_bottleneck_s: float | None = None
    node_kinds: tuple[tuple[str, ...], ...] = ()

    @property
    def cuttable(self) -> NDArray[np.bool_]:
        """Places where a stage may end, shape (L - 1,)."""
        cuttable: NDArray[np.bool_] = self.cut_kind >= 0
        return cuttable

    @property
    def nodes(self) -> Ints:
        """Nodes that each group uses, shape (G,)."""
        total: Ints = self.uses.sum(axis=1)
        return total

    @property
    def layers(self) -> int:
        """Number of layers, L."""
        return len(self.kind)

    @property
    def units(self) -> int:
        """Places where a stage may begin."""
        return 1 + int(self.cuttable.sum())

    @property
    def most_bytes(self) -> int:
        """No node of any plan needs more."""
        stored = sum(int(self.arc(n).weight_bytes.max(initial=0)) for n in range(self.layers))
        live = max(int(a.live_bytes.max(initial=0)) for a in self.arcs)
        return stored + live + max(int(a.rest_bytes.max(initial=0)) for a in self.arcs)

    def but(self, **changes: object) -> Self:
        """The same problem with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def without_times(self) -> Self:
        """The question of whether anything fits, with the loss in place of the times."""

        def free(arcs: LayerArcs) -> LayerArcs:
            least = arcs.loss if self.max_loss is not None else np.zeros_like(arcs.loss)
            nothing = np.zeros_like(arcs.medium_s)
            return replace(arcs, latency_s=least, busy_s=least[None], medium_s=nothing)

        def still(costs: CutCosts) -> CutCosts:
            seconds = np.where(np.isfinite(costs.seconds), 0.0, np.inf)
            nothing = np.zeros_like(costs.medium_s)
            return replace(
                costs,
                seconds=seconds,
                busy_s=seconds,
                medium_s=nothing,
                send_s=nothing,
                receive_s=nothing,
            )

        return self.but(
            objective="latency",
            arcs=tuple(map(free, self.arcs)),
            cut_costs=tuple(map(still, self.cut_costs)),
            input_s=np.zeros_like(self.input_s),
            input_busy_s=np.zeros_like(self.input_s),
            output_s=np.where(np.isfinite(self.output_s), 0.0, np.inf),
            output_busy_s=np.where(np.isfinite(self.output_s), 0.0, np.inf),
            input_medium_s=np.zeros_like(self.input_s),
            output_medium_s=np.zeros_like(self.output_s),
            max_loss=None,
            max_latency_s=self.max_loss,
        )

    def arc(self, layer: int) -> LayerArcs:
        """The arcs of a layer."""
        return self.arcs[int(self.kind[layer])]

    def option(self, choice: Choice, layer: int) -> int:
        """What the arc that was chosen for a layer costs."""
        return int(self.arc(layer).option[choice.options[layer]])

    def arrival(self, group: int, costs: CutCosts, main: int) -> int:
        """The state in which a group begins behind a cut."""
        return ALONE if self.nodes[group] == 1 else int(costs.arrival[main])


AnyProblem = Problem | LayoutProblem
"""What has groups, nodes and limits, whatever its options are."""


def has_no_room(problem: LayoutProblem) -> bool:
    """Whether the weights alone are more than all nodes together hold.

    Each layer is stored somewhere, at least as small as it gets on any group in any way. A node
    has no more room than the most of any group's position.
    """
    positions = problem.arcs[0].weight_bytes.shape[2]
    mine = np.arange(problem.memory_limit_bytes.shape[1]) < problem.nodes[:, None]
    limits = problem.memory_limit_bytes[mine]
    if not positions or (limits >= NO_LIMIT).any():
        return False
    least = []
    for arcs in problem.arcs:
        used = np.unique(arcs.option)  # options that no arc has are no choice
        stored_bytes = (arcs.weight_bytes[:, used] * mine[:, None, :positions]).sum(axis=2)
        least.append(int(np.where(arcs.allowed[:, used], stored_bytes, NO_LIMIT).min()))
    stored = sum(least[int(kind)] for kind in problem.kind)
    nodes = min(int(problem.available.sum()), problem.max_nodes)
    return stored > nodes * int(limits.max())


def drop_idle_positions(problem: LayoutProblem) -> LayoutProblem:
    """The problem without positions whose memory binds only where another's of the group does.

    Those that have no limit, and those that never need more than another one that has no more: of
    equal nodes the one with the largest share is left.
    """
    limits = problem.memory_limit_bytes
    parts = [
        np.concatenate([a.weight_bytes, a.live_bytes, a.rest_bytes], axis=1) for a in problem.arcs
    ]
    if not parts[0].shape[2]:
        return problem
    kept: list[list[int]] = []
    for group, row in enumerate(limits):
        needs = np.concatenate([part[group] for part in parts])
        left = [int(p) for p in np.lexsort((-needs.sum(axis=0), row)) if row[p] < NO_LIMIT]
        mine: list[int] = []
        while left:
            first = left.pop(0)
            mine.append(first)
            left = [p for p in left if row[p] < row[first] or (needs[:, p] > needs[:, first]).any()]
        kept.append(sorted(mine))
    width = max(map(len, kept))
    at = np.array([[*mine, *[0] * (width - len(mine))] for mine in kept], dtype=np.int64)
    unused = np.array([[p >= len(mine) for p in range(width)] for mine in kept], dtype=np.bool_)
    at = at.reshape(len(limits), width)
    unused = unused.reshape(len(limits), width)

    def narrowed(values: Ints) -> Ints:
        taken = np.take_along_axis(values, at[:, None, :], axis=2)
        return np.where(unused[:, None, :], 0, taken)

    return problem.but(
        arcs=tuple(
            replace(
                arcs,
                weight_bytes=narrowed(arcs.weight_bytes),
                live_bytes=narrowed(arcs.live_bytes),
                rest_bytes=narrowed(arcs.rest_bytes),
            )
            for arcs in problem.arcs
        ),
        memory_limit_bytes=np.where(unused, NO_LIMIT, np.take_along_axis(limits, at, axis=1)),
    )

"""Stages of one node each in ring order, as the arrays that the dynamic programs pass over.

A problem holds such a chain where its groups of one node allow one option per unit each. Where
these are all its groups, and the order of the ring is the only one, or the nodes are all alike,
so that any order is the ring's, the chain is the problem; else its best plan is one of many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.solve.check import Times, times_of
from planner.solve.problem import Choice, Problem
from planner.solve.ring.contiguous import memory_starts

Workers = NDArray[np.int64]
"""The worker of every unit, shape (U,), never falling."""


@dataclass(frozen=True)
class Ring:
    """A chain of U units over N workers of one node each.

    Attributes
    ----------
    problem : Problem
    groups : int array, shape (N,)
        Group of every worker in ring order.
    options : int array, shape (G, U)
        The one option that each group has.
    work_s, medium_s : float array, shape (N, U)
        What each unit takes on each worker, and occupies of a shared medium.
    transfer_s, transfer_busy_s, transfer_medium_s : float array, shape (N, N, U - 1)
        From worker to worker behind each unit.
    cuttable : bool array, shape (U - 1,)
    input_s, output_s : float array, shape (N,)
    input_busy_s, output_busy_s, input_medium_s, output_medium_s : float array, shape (N,)
    fits : int array, shape (N, U + 1)
        First start of the longest stage that fits the memory, for every end.
    every : bool
        No worker may stay empty.
    whole : bool
        The problem has no other plans.
    """

    problem: Problem
    groups: NDArray[np.int64]
    options: NDArray[np.int64]
    work_s: NDArray[np.float64]
    medium_s: NDArray[np.float64]
    transfer_s: NDArray[np.float64]
    transfer_busy_s: NDArray[np.float64]
    transfer_medium_s: NDArray[np.float64]
    cuttable: NDArray[np.bool_]
    input_s: NDArray[np.float64]
    output_s: NDArray[np.float64]
    input_busy_s: NDArray[np.float64]
    output_busy_s: NDArray[np.float64]
    input_medium_s: NDArray[np.float64]
    output_medium_s: NDArray[np.float64]
    fits: NDArray[np.int64]
    every: bool
    whole: bool

    @property
    def is_shared(self) -> bool:
        """Whether the medium's occupation counts beside the transfers."""
        inside = self.medium_s, self.transfer_medium_s
        return any(sent.any() for sent in (*inside, self.input_medium_s, self.output_medium_s))

    def choice(self, workers: Workers) -> Choice:
        """The plan of given workers."""
        starts = np.flatnonzero(np.diff(workers, prepend=-1))
        groups = self.groups[workers]
        return Choice(
            starts=tuple(starts.tolist()),
            groups=tuple(groups[starts].tolist()),
            options=self.options[groups, np.arange(len(workers))],
        )

    def times(self, workers: Workers) -> Times:
        """Seconds of the plan of given workers, from the problem's own numbers."""
        return times_of(self.problem, self.choice(workers))


def ring_of(problem: Problem) -> Ring | None:
    """The chain over the groups of one node, where one option and one sum tell all of them.

    None where a stage's time is not the sum of its units', or a loss is limited as well.
    """
    single = np.flatnonzero(problem.nodes == 1)
    if problem.single_stage or problem.second is not None or not len(single):
        return None
    bounded = problem.objective == "bottleneck" or problem.max_bottleneck_s is not None
    if problem.has_software and bounded:  # a stage's time is not its units' alone
        return None
    if (problem.allowed[single].sum(axis=2) > 1).any():
        return None
    options = problem.allowed.argmax(axis=2)
    at = single[:, None], np.arange(options.shape[1]), options[single]
    busy = problem.busy_s[:, *at]
    work_s = problem.latency_s[at]
    if (busy > work_s).any() or not (busy == work_s).all(axis=(1, 2)).any():
        return None
    if problem.max_loss is not None and (
        problem.loss[at].any() or problem.max_loss < 0 or problem.transfer_loss is not None
    ):
        return None
    order, only = _order(problem, single)
    nodes = min(len(order), problem.max_nodes)
    if not nodes:
        return None
    order = order[:nodes]
    if problem.all_nodes and nodes < problem.max_nodes:
        return None
    row = np.searchsorted(single, order)
    groups = np.ix_(order, order)
    weights, live = problem.weight_bytes[at][row], problem.live_bytes[at][row]
    limits = problem.memory_limit_bytes[order]
    tight = np.flatnonzero((weights.sum(axis=1) + live.max(axis=1, initial=0) > limits).any(axis=0))
    fits = np.zeros((nodes, options.shape[1] + 1), dtype=np.int64)
    for position in tight:
        mine = weights[..., position], live[..., position]
        np.maximum(fits, memory_starts(*mine, limits[:, position]), out=fits)
    return Ring(
        problem=problem,
        groups=order,
        options=options,
        work_s=work_s[row],
        medium_s=problem.medium_s[at][row],
        transfer_s=problem.transfer_s[groups],
        transfer_busy_s=problem.transfer_busy_s[groups],
        transfer_medium_s=problem.transfer_medium_s[groups],
        cuttable=problem.cuttable,
        input_s=problem.input_s[order],
        output_s=problem.output_s[order],
        input_busy_s=problem.input_busy_s[order],
        output_busy_s=problem.output_busy_s[order],
        input_medium_s=problem.input_medium_s[order],
        output_medium_s=problem.output_medium_s[order],
        fits=fits,
        every=problem.all_nodes,
        whole=only and len(single) == len(problem.uses),
    )


def _order(problem: Problem, single: NDArray[np.int64]) -> tuple[NDArray[np.int64], bool]:
    """The group of every worker in ring order, and whether workers can come in no other order.

    Empty where neither who may follow whom nor the nodes' types tell an order.
    """
    follows = problem.follows[np.ix_(single, single)]
    rank = np.argsort(-follows.sum(axis=1), kind="stable")
    if np.array_equal(follows[np.ix_(rank, rank)], np.triu(np.ones_like(follows), 1)):
        order = single[rank]
        enough = bool((problem.uses[order].sum(axis=0) <= problem.available).all())
        return (order, len(order) <= problem.max_nodes) if enough else (order[:0], False)
    types = problem.uses[single].argmax(axis=1)
    if not follows.all() or len(np.unique(types)) < len(types):
        return single[:0], False
    group_of = dict(zip(types.tolist(), single.tolist(), strict=True))
    workers = [group_of[t] for t in problem.types_in_ring.tolist() if t in group_of]
    return np.array(workers, dtype=np.int64), len(single) == 1

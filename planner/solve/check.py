"""A choice held against the raw numbers of its problem, without any solver."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import FEASIBILITY_TOLERANCE
from planner.errors import InconsistentResultError
from planner.solve.layout_problem import AnyProblem
from planner.solve.problem import Choice, Problem

Floats = NDArray[np.float64]

PROVEN_GAP = 1e-9
"""Relative distance to the bound at which a plan counts as optimal: the one of all searches."""

_SEEN = 1e-5  # of a program's longest time: shorter plans are near its tolerances
_OBJECTIVE_TOLERANCE = 1e-6  # relative: HiGHS sums in another order and in other units


@dataclass(frozen=True)
class Times:
    """Seconds of a choice.

    Attributes
    ----------
    latency_s : float
        The sum of all units, transfers and ends.
    busiest_s : float
        The busiest resource of a stage, or the slowest transfer or end.
    medium_s : float
        What a shared medium is occupied for one input, 0 of any other medium.
    """

    latency_s: float
    busiest_s: float
    medium_s: float

    @property
    def bottleneck_s(self) -> float:
        """What bounds the throughput."""
        return max(self.busiest_s, self.medium_s)


@dataclass(frozen=True)
class Evaluation:
    """Objective of a choice, and every limit that it breaks in words."""

    objective_s: float
    violations: tuple[str, ...]


def exceeds(value: float, limit: float | None) -> bool:
    """Whether a sum of floats is above its limit, if there is one, by more than the tolerance."""
    return limit is not None and value > cap(limit)


def cap(limit: float) -> float:
    """The most that a sum of floats with a limit may be."""
    return limit + FEASIBILITY_TOLERANCE * abs(limit)


@singledispatch
def times_of(problem: AnyProblem, choice: Choice) -> Times:
    """Latency, busiest resource and medium of a choice (docs/model.md, eq. 22 and 23)."""
    raise TypeError(type(problem))


@times_of.register
def _(problem: Problem, choice: Choice) -> Times:
    return Times(*(float(seconds) for seconds in sum_times(problem, choice)))


def sum_times(problem: Problem, choice: Choice) -> tuple[Floats, Floats, Floats]:
    """Seconds as in `Times`, where options of shape (..., U) are many choices of one structure."""
    options, runs = choice.options, choice.runs()
    latency, busiest, medium = (np.zeros(options.shape[:-1]) for _ in range(3))
    for (start, last, group), software in zip(runs, problem.software_s(runs), strict=True):
        units = np.arange(start, last + 1)
        mine = group, units, options[..., units]
        latency += problem.latency_s[mine].sum(axis=-1)
        *others, nodes = (busy[mine].sum(axis=-1) for busy in problem.busy_s)
        for resource in (*others, nodes + software):
            busiest = np.maximum(busiest, resource)
        medium += problem.medium_s[mine].sum(axis=-1)
    for (_, last, group), (_, _, following) in itertools.pairwise(runs):
        latency += problem.transfer_s[group, following, last]
        busiest = np.maximum(busiest, problem.transfer_busy_s[group, following, last])
        medium += problem.transfer_medium_s[group, following, last]
    first, last_group = choice.groups[0], choice.groups[-1]
    latency += problem.input_s[first] + problem.output_s[last_group]
    for end in (problem.input_busy_s[first], problem.output_busy_s[last_group]):
        busiest = np.maximum(busiest, end)
    medium += problem.input_medium_s[first] + problem.output_medium_s[last_group]
    return latency, busiest, medium


@singledispatch
def loss_of(problem: AnyProblem, choice: Choice) -> float:
    """The limited loss, summed over the units."""
    raise TypeError(type(problem))


@loss_of.register
def _(problem: Problem, choice: Choice) -> float:
    return float(sum_losses(problem, choice))


def sum_losses(problem: Problem, choice: Choice) -> Floats:
    """The same where options of shape (..., U) are many choices of one structure."""
    groups = np.repeat(choice.groups, np.diff([*choice.starts, choice.options.shape[-1]]))
    losses: Floats = problem.loss[groups, np.arange(len(groups)), choice.options].sum(axis=-1)
    return losses + problem.lost_at(choice.starts, choice.groups)


def sum_second(problem: Problem, choice: Choice) -> Floats:
    """The sum that is limited beside the loss, of options as in `sum_losses`; 0 without one."""
    second, options = problem.second, choice.options
    if second is None:
        return np.zeros(options.shape[:-1])
    groups = np.repeat(choice.groups, np.diff([*choice.starts, options.shape[-1]]))
    total: Floats = second.of_units[groups, np.arange(len(groups)), options].sum(axis=-1)
    return total + second_between(problem, choice.starts, choice.groups)


def second_between(problem: Problem, starts: Sequence[int], groups: Sequence[int]) -> float:
    """What of that sum the changes of group of some stages take."""
    if problem.second is None or len(starts) < 2:
        return 0.0
    cuts = np.array(starts[1:], dtype=np.int64) - 1
    return float(problem.second.of_transfers[list(groups[:-1]), list(groups[1:]), cuts].sum())


@singledispatch
def needed_bytes(problem: AnyProblem, choice: Choice) -> list[tuple[int, NDArray[np.int64]]]:
    """Group and memory of every stage: stored weights and the largest live bytes, shape (P,).

    Shape (..., P) where options of shape (..., U) are many choices of one structure.
    """
    raise TypeError(type(problem))


@needed_bytes.register
def _(problem: Problem, choice: Choice) -> list[tuple[int, NDArray[np.int64]]]:
    needed = []
    for start, last, group in choice.runs():
        units = np.arange(start, last + 1)
        mine = group, units, choice.options[..., units]
        stored = problem.weight_bytes[mine].sum(axis=-2)
        needed.append((group, stored + problem.live_bytes[mine].max(axis=-2)))
    return needed


def evaluate(problem: AnyProblem, choice: Choice) -> Evaluation:
    """Objective of a choice, and every limit that it breaks in words."""
    violations = find_faults(problem, choice)
    for group, needed in needed_bytes(problem, choice):
        limits = problem.memory_limit_bytes[group, : len(needed)]
        for position in np.flatnonzero(needed > limits):
            violations.append(
                f"memory of {problem.group_names[group]}: {needed[position]:,} > "
                f"{limits[position]:,} bytes"
            )
    loss = loss_of(problem, choice)
    if exceeds(loss, problem.max_loss):
        violations.append(f"{problem.loss_name}: {loss:.9g} > {problem.max_loss:.9g}")
    if isinstance(problem, Problem) and (second := problem.second):
        value = float(sum_second(problem, choice))
        if exceeds(value, second.most):
            violations.append(f"{second.name}: {value:.9g} > {second.most:.9g} {second.unit}")
    times = times_of(problem, choice)
    for name, value, most in (
        ("latency", times.latency_s, problem.max_latency_s),
        ("bottleneck", times.bottleneck_s, problem.max_bottleneck_s),
    ):
        if exceeds(value, most):
            violations.append(f"{name}: {value:.9g} > {most:.9g} s")
    objective = times.latency_s if problem.objective == "latency" else times.bottleneck_s
    return Evaluation(objective, tuple(violations))


def find_stage_faults(problem: AnyProblem, choice: Choice) -> list[str]:
    """What is wrong with the cuts and the groups, whatever runs in them."""
    found = []
    groups = np.array(choice.groups)
    if choice.starts[0] != 0 or any(
        after <= before for before, after in itertools.pairwise(choice.starts)
    ):
        found.append("stages are out of order")
    if problem.single_stage and len(groups) > 1:
        found.append("more than one stage")
    if not problem.cuttable[np.array(choice.starts[1:], dtype=np.int64) - 1].all():
        found.append("a cut between units that stay together")
    if not problem.follows[groups[:-1], groups[1:]].all():
        found.append("a group behind one that it may not follow")
    if np.any(problem.uses[groups].sum(axis=0) > problem.available):
        found.append("a node in two stages")
    nodes = int(problem.nodes[groups].sum())
    if nodes > problem.max_nodes or (problem.all_nodes and nodes < problem.max_nodes):
        found.append(f"{nodes} nodes of {problem.max_nodes}")
    return found


@singledispatch
def find_faults(problem: AnyProblem, choice: Choice) -> list[str]:
    """What is wrong with the cuts, the groups or the options, whatever they cost."""
    raise TypeError(type(problem))


@find_faults.register
def _(problem: Problem, choice: Choice) -> list[str]:
    found = find_stage_faults(problem, choice)
    groups = np.array(choice.groups)
    rows = np.repeat(groups, np.diff([*choice.starts, len(choice.options)]))
    if not problem.allowed[rows, np.arange(len(rows)), choice.options].all():
        found.append("an option that is not allowed")
    return found


def is_lost(evaluation: Evaluation, longest_s: float) -> bool:
    """Whether a plan is so short that a program in units of the longest one does not see it."""
    return not evaluation.violations and 0 < evaluation.objective_s < _SEEN * longest_s


def check_claim(evaluation: Evaluation, claimed_s: float) -> None:
    """Raise if a solver's choice breaks a limit or its objective is not what it said.

    Raises
    ------
    InconsistentResultError
    """
    if evaluation.violations:
        raise InconsistentResultError(f"the solver's plan breaks {evaluation.violations[0]}")
    if abs(evaluation.objective_s - claimed_s) > _OBJECTIVE_TOLERANCE * max(abs(claimed_s), 1e-9):
        raise InconsistentResultError(
            f"the solver says {claimed_s:.9g} s, the numbers say {evaluation.objective_s:.9g} s"
        )

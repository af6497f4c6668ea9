"""A choice held against the raw numbers of a problem in layouts, without any search."""

from __future__ import annotations

import itertools

import numpy as np

from planner.solve.check import (
    Times,
    cap,
    find_faults,
    find_stage_faults,
    loss_of,
    needed_bytes,
    times_of,
)
from planner.solve.layout_problem import ALONE, START, Floats, Ints, LayoutProblem
from planner.solve.problem import Choice


@find_faults.register
def _(problem: LayoutProblem, choice: Choice) -> list[str]:
    found = find_stage_faults(problem, choice)
    for start, last, group in choice.runs():
        behind = -1
        for layer in range(start, last + 1):
            arcs, arc = problem.arc(layer), int(choice.options[layer])
            if not arcs.allowed[group, arcs.option[arc]]:
                found.append("an option that is not allowed")
            if layer > start and arcs.before[arc] != behind:
                found.append("an option that does not begin where the one before ends")
            behind = int(arcs.after[arc])
    if not np.isfinite(times_of(problem, choice).latency_s):
        found.append("stages that do not join")
    return found


def begins_in(problem: LayoutProblem, choice: Choice) -> list[int]:
    """The state in which every stage begins."""
    return [int(problem.arc(start).before[choice.options[start]]) for start in choice.starts]


@times_of.register
def _(problem: LayoutProblem, choice: Choice) -> Times:
    """Infinite where stages do not join."""
    latency = busiest = medium = 0.0
    first = choice.groups[0]
    begun = begins_in(problem, choice)
    if begun[0] != (ALONE if problem.nodes[first] == 1 else START):
        return Times(np.inf, np.inf, np.inf)
    busy_of: list[Floats] = []
    for start, last, group in choice.runs():
        busy = np.zeros(len(problem.arcs[0].busy_s))
        for layer in range(start, last + 1):
            arcs, arc = problem.arc(layer), int(choice.options[layer])
            option = int(arcs.option[arc])
            latency += arcs.latency_s[group, option]
            medium += arcs.medium_s[group, option]
            busy += arcs.busy_s[:, group, option]
        busy_of.append(busy)
    pairs = itertools.pairwise(choice.runs())
    for at, ((_, last, group), (start, _, following)) in enumerate(pairs):
        costs = problem.cut_costs[problem.cut_kind[last]]
        lies = int(costs.main[problem.arc(last).after[choice.options[last]]])
        state = begun[choice.starts.index(start)]
        if problem.nodes[group] == 1:  # a node alone holds everything, however it arrives
            fits = np.flatnonzero(costs.arrival == state)
            lies = 0 if problem.nodes[following] == 1 else int(fits[0]) if len(fits) else -1
        if lies < 0 or state != problem.arrival(following, costs, lies):
            return Times(np.inf, np.inf, np.inf)
        latency += costs.seconds[group, following, lies]
        busiest = max(busiest, float(costs.busy_s[group, following, lies]))
        medium += costs.medium_s[group, following, lies]
        busy_of[at][-1] += costs.send_s[group, following, lies]
        busy_of[at + 1][-1] += costs.receive_s[group, following, lies]
    busiest = max(busiest, *(float(busy.max()) for busy in busy_of))
    end = int(problem.arc(problem.layers - 1).after[choice.options[-1]])
    last_group = choice.groups[-1]
    latency += problem.input_s[first] + problem.output_s[last_group, end]
    for busy_s in (problem.input_busy_s[first], problem.output_busy_s[last_group, end]):
        busiest = max(busiest, float(busy_s))
    medium += problem.input_medium_s[first] + problem.output_medium_s[last_group, end]
    return Times(float(latency), busiest, float(medium))


@loss_of.register
def _(problem: LayoutProblem, choice: Choice) -> float:
    return float(
        sum(
            problem.arc(layer).loss[group, problem.option(choice, layer)]
            for start, last, group in choice.runs()
            for layer in range(start, last + 1)
        )
    )


@needed_bytes.register
def _(problem: LayoutProblem, choice: Choice) -> list[tuple[int, Ints]]:
    needed = []
    for start, last, group in choice.runs():
        layers = range(start, last + 1)
        stored = [problem.arc(n).weight_bytes[group, problem.option(choice, n)] for n in layers]
        live = [problem.arc(n).held_bytes(group, int(choice.options[n])) for n in layers]
        needed.append((group, np.sum(stored, axis=0) + np.max(live, axis=0)))
    return needed


def most(limit: float | None) -> float:
    """The most that a limited sum may be; infinite without a limit."""
    return np.inf if limit is None else cap(limit)

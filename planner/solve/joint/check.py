"""A joint plan held against the raw numbers of its problem, without any solver."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.solve.problem import JointProblem, Stages
from planner.solve.check import Evaluation, exceeds


@dataclass(frozen=True)
class JointTimes:
    """Seconds of a plan: the sum of everything, and the busiest resource."""

    latency_s: float
    bottleneck_s: float


def joint_times(problem: JointProblem, stages: Stages) -> JointTimes:
    """Latency and bottleneck of a plan (docs/model.md, eq. 27 and 28)."""
    latency, busiest, medium = 0.0, 0.0, 0.0
    for start, last, group in stages.runs():
        units = np.arange(start, last + 1)
        options = stages.options[units]
        latency += float(problem.latency_s[group, units, options].sum())
        busiest = max(busiest, float(problem.busy_s[:, group, units, options].sum(axis=1).max()))
        medium += float(problem.medium_s[group, units, options].sum())
    runs = stages.runs()
    for (_, last, group), (_, _, following) in itertools.pairwise(runs):
        transfer = float(problem.transfer_s[group, following, last])
        latency += transfer
        busiest = max(busiest, transfer)
        medium += float(problem.transfer_medium_s[group, following, last])
    ends = float(problem.input_s[stages.groups[0]]), float(problem.output_s[stages.groups[-1]])
    medium += sum(ends) if problem.shared_medium else 0.0
    return JointTimes(latency + sum(ends), max(busiest, medium, *ends))


def joint_loss(problem: JointProblem, stages: Stages) -> float:
    """The limited loss, summed over the units."""
    return sum(
        float(
            problem.loss[group, np.arange(start, last + 1), stages.options[start : last + 1]].sum()
        )
        for start, last, group in stages.runs()
    )


def evaluate_joint(problem: JointProblem, stages: Stages) -> Evaluation:
    """Objective of a plan, and every limit that it breaks in words."""
    violations = [*structure_violations(problem, stages), *_memory(problem, stages)]
    loss = joint_loss(problem, stages)
    if problem.max_loss is not None and exceeds(loss, problem.max_loss):
        violations.append(f"{problem.loss_name}: {loss:.9g} > {problem.max_loss:.9g}")
    times = joint_times(problem, stages)
    for name, value, most in (
        ("latency", times.latency_s, problem.max_latency_s),
        ("bottleneck", times.bottleneck_s, problem.max_bottleneck_s),
    ):
        if most is not None and exceeds(value, most):
            violations.append(f"{name}: {value:.9g} > {most:.9g} s")
    objective = times.latency_s if problem.objective == "latency" else times.bottleneck_s
    return Evaluation(objective, tuple(violations))


def structure_violations(problem: JointProblem, stages: Stages) -> list[str]:
    """What is wrong with the cuts, the groups or the options, whatever they cost."""
    found = []
    groups = np.array(stages.groups)
    if stages.starts[0] != 0 or any(
        after <= before for before, after in zip(stages.starts, stages.starts[1:], strict=False)
    ):
        found.append("stages are out of order")
    if problem.single_stage and len(groups) > 1:
        found.append("more than one stage")
    if not problem.cuttable[np.array(stages.starts[1:], dtype=np.int64) - 1].all():
        found.append("a cut between units that stay together")
    if not problem.follows[groups[:-1], groups[1:]].all():
        found.append("a group behind one that it may not follow")
    if np.any(problem.uses[groups].sum(axis=0) > problem.available):
        found.append("a node in two stages")
    nodes = int(problem.nodes[groups].sum())
    if nodes > problem.max_nodes or (problem.all_nodes and nodes < problem.max_nodes):
        found.append(f"{nodes} nodes of {problem.max_nodes}")
    for start, last, group in stages.runs():
        units = np.arange(start, last + 1)
        if not problem.allowed[group, units, stages.options[units]].all():
            found.append("an option that is not allowed")
    return found


def needed_bytes(problem: JointProblem, stages: Stages) -> list[tuple[int, NDArray[np.int64]]]:
    """Group and memory of every stage: stored weights and the largest live bytes, shape (P,)."""
    needed = []
    for start, last, group in stages.runs():
        units = np.arange(start, last + 1)
        options = stages.options[units]
        stored = problem.weight_bytes[group, units, options].sum(axis=0)
        needed.append((group, stored + problem.live_bytes[group, units, options].max(axis=0)))
    return needed


def _memory(problem: JointProblem, stages: Stages) -> list[str]:
    found = []
    for group, needed in needed_bytes(problem, stages):
        for position in np.flatnonzero(needed > problem.memory_limit_bytes[group]):
            found.append(
                f"memory of {problem.group_names[group]}: {needed[position]} > "
                f"{problem.memory_limit_bytes[group, position]} bytes"
            )
    return found

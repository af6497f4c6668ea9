"""Why a joint problem has no plan: the limit that binds, and the least relaxation of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from planner.domain.joint import NO_LIMIT, JointProblem, JointResult
from planner.solve.joint.check import joint_loss
from planner.solve.verify import limit_binds, memory_binds

Solve = Callable[[JointProblem], JointResult]

_CLOSE = 1e-7  # relative width at which the search for the least relaxation ends


def explain(problem: JointProblem, solve: Solve) -> str:
    """Which limit binds, and the least relaxation of it alone that makes a plan fit.

    Parameters
    ----------
    problem : JointProblem
        Without a plan.
    solve : callable
        Solves a joint problem to proof.
    """
    units = problem.latency_s.shape[1]
    if problem.all_nodes and int(problem.nodes.max()) * units < problem.max_nodes:
        return f"{problem.max_nodes} nodes cannot each have one of {units} layers"
    for relaxation in (_memory, _loss, _latency, _bottleneck):
        found = relaxation(problem, solve)
        if found:
            return found
    return "several limits exclude each other: relaxing one of them alone is not enough"


def _memory(problem: JointProblem, solve: Solve) -> str:
    limits = problem.memory_limit_bytes
    if not (limits < NO_LIMIT).any():
        return ""

    def with_more(extra: int) -> bool:
        raised = np.where(limits < NO_LIMIT, limits + extra, NO_LIMIT)
        return solve(_with(problem, memory_limit_bytes=raised)).stages is not None

    most = int(problem.weight_bytes.max(axis=2).sum(axis=1).max() + problem.live_bytes.max())
    if not with_more(most):
        return ""
    low, high = 0, most
    while high - low > max(1, int(high * 1e-4)):
        middle = (low + high) // 2
        low, high = (low, middle) if with_more(middle) else (middle, high)
    group, position = np.unravel_index(limits.argmin(), limits.shape)
    return memory_binds(problem.group_names[group], int(limits[group, position]), high)


def _loss(problem: JointProblem, solve: Solve) -> str:
    if problem.max_loss is None:
        return ""
    free = solve(_with(problem, max_loss=None))
    if free.stages is None:
        return ""
    low, high = problem.max_loss, joint_loss(problem, free.stages)
    while high - low > _CLOSE * high:
        found = solve(_with(problem, max_loss=(low + high) / 2))
        if found.stages is None:
            low = (low + high) / 2
        else:
            high = joint_loss(problem, found.stages)
    return limit_binds(
        problem.loss_name, problem.max_loss, high, problem.loss_unit, problem.loss_exponent
    )


def _latency(problem: JointProblem, solve: Solve) -> str:
    if problem.max_latency_s is None:
        return ""
    least = solve(_with(problem, max_latency_s=None, objective="latency")).objective_s
    return "" if least is None else limit_binds("latency", problem.max_latency_s, least, "s")


def _bottleneck(problem: JointProblem, solve: Solve) -> str:
    if problem.max_bottleneck_s is None:
        return ""
    least = solve(_with(problem, max_bottleneck_s=None, objective="bottleneck")).objective_s
    if least is None:
        return ""
    return limit_binds("throughput", problem.max_bottleneck_s, least, "s per input")


def _with(problem: JointProblem, **changes: object) -> JointProblem:
    return problem.model_copy(update=changes)

"""Why a joint problem has no plan: the limit that binds, and the least relaxation of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from planner.solve.problem import NO_LIMIT, JointProblem, JointResult
from planner.solve.joint.check import joint_loss, needed_bytes
from planner.solve.check import limit_binds, memory_binds

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
    limited = limits < NO_LIMIT
    if not limited.any():
        return ""
    bare = _without_times(problem)

    def with_more(extra: int) -> JointResult:
        raised = np.where(limited, limits + extra, NO_LIMIT)
        return solve(_with(bare, memory_limit_bytes=raised))

    def lacking(result: JointResult) -> int:
        """Bytes that a plan needs beyond the limits."""
        assert result.stages is not None
        needs = needed_bytes(problem, result.stages)
        return max(
            int((need - limits[group])[limited[group]].max(initial=0)) for group, need in needs
        )

    found = with_more(
        int(problem.weight_bytes.max(axis=2).sum(axis=1).max() + problem.live_bytes.max())
    )
    if found.stages is None:
        return ""
    low, high, sure = 0, lacking(found), True
    while high - low > 1:
        middle = (low + high) // 2
        found = with_more(middle)
        if found.stages is not None:
            high = min(middle, lacking(found))
        else:
            low = middle
            sure &= found.certificate.status == "infeasible"
    group, position = np.unravel_index(limits.argmin(), limits.shape)
    return memory_binds(problem.group_names[group], int(limits[group, position]), high, sure)


def _without_times(problem: JointProblem) -> JointProblem:
    """The same question of whether anything fits, without times where none is limited."""
    if problem.max_latency_s is not None or problem.max_bottleneck_s is not None:
        return problem
    return _with(
        problem,
        objective="latency",
        latency_s=problem.loss if problem.max_loss is not None else np.zeros_like(problem.loss),
        transfer_s=np.zeros_like(problem.transfer_s),
        input_s=np.zeros_like(problem.input_s),
        output_s=np.zeros_like(problem.output_s),
        max_loss=None,
        max_latency_s=problem.max_loss,
    )


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

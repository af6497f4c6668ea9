"""The door to layer allocation: dynamic programming where it applies, else the ILP."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import AllocationProblem, Certificate, Result
from planner.errors import BadInputError
from planner.solve.allocation.dp import Answer, dp_allocation
from planner.solve.allocation.explain import explain
from planner.solve.allocation.ilp import ilp_allocation
from planner.solve.allocation.passes import is_covered
from planner.solve.deadline import Deadline
from planner.solve.check import allocation_times, check_claim, evaluate_allocation

DP_NAME = "dynamic programming"


def solve_allocation(
    problem: AllocationProblem, time_limit_s: float | None = None, solver: str = "auto"
) -> Result:
    """Cut the chain of units over the workers, to gap 0.

    Among cuts of equal bottleneck the one of least latency is taken, and of equal stages in
    ring order those on the first workers.

    Parameters
    ----------
    problem : AllocationProblem
        Workers may stay empty unless it says otherwise.
    time_limit_s : float, optional
        Wall time after which the best plan so far is returned as ``feasible``.
    solver : {"auto", "ilp"}
        ``auto`` is dynamic programming, and the ILP where that does not decide: in any order
        with more than about fourteen kinds of workers, and where limits on a shared medium and
        on the latency leave too many plans to weigh. The certificate names which.

    Raises
    ------
    BadInputError
        No such solver.
    InconsistentResultError
        The plan does not cost what the solver said, or breaks a limit.
    """
    if solver not in ("auto", "ilp"):
        raise BadInputError(f"solver of an allocation: {solver!r}; allowed: auto, ilp")
    deadline = Deadline(time_limit_s)
    if solver == "auto" and is_covered(problem):
        answer = dp_allocation(problem, time_limit_s)
        if answer.status != "undecided":
            return _of_answer(problem, answer, deadline)
    result = ilp_allocation(problem, deadline.left_s)
    if result.choice is None:
        return result
    workers = result.choice
    if problem.objective == "bottleneck" and result.certificate.status == "optimal":
        workers = _fastest(problem, workers, deadline.left_s)
    workers = _towards_source(problem, workers)
    evaluation = evaluate_allocation(problem, workers)
    check_claim(evaluation, evaluation.objective_s, "allocation")
    return Result(
        choice=workers, objective_s=evaluation.objective_s, certificate=result.certificate
    )


def _of_answer(problem: AllocationProblem, answer: Answer, deadline: Deadline) -> Result:
    assert answer.status != "undecided"
    workers = answer.workers
    if workers is None or answer.bound_s is None:
        certificate = Certificate(
            status=answer.status, solver=DP_NAME, runtime_s=deadline.elapsed_s
        )
        binding = explain(problem) if answer.status == "infeasible" else ""
        return Result(choice=None, objective_s=None, certificate=certificate, binding=binding)
    workers = _towards_source(problem, workers)
    evaluation = evaluate_allocation(problem, workers)
    objective_s = evaluation.objective_s
    proven = answer.status == "optimal"
    check_claim(evaluation, answer.bound_s if proven else objective_s, "allocation")
    bound_s = min(answer.bound_s, objective_s)
    certificate = Certificate(
        status=answer.status,
        bound=bound_s,
        gap=(objective_s - bound_s) / max(objective_s, 1e-12),
        solver=DP_NAME,
        runtime_s=deadline.elapsed_s,
    )
    return Result(choice=workers, objective_s=objective_s, certificate=certificate)


def _fastest(
    problem: AllocationProblem, workers: NDArray[np.int64], time_limit_s: float | None
) -> NDArray[np.int64]:
    """The plan of least latency that is no worse, by the ILP; the given one if none is found."""
    bottleneck_s = allocation_times(problem, workers)[1]
    second = problem.model_copy(update={"objective": "latency", "max_bottleneck_s": bottleneck_s})
    found = ilp_allocation(second, time_limit_s).choice
    return workers if found is None else found


def _towards_source(problem: AllocationProblem, workers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same stages on the first workers of the ring, where that is no worse."""
    if problem.any_order:
        return workers
    packed = np.concatenate([[0], np.cumsum(np.diff(workers) != 0)])
    if np.array_equal(packed, workers):
        return workers
    now, then = allocation_times(problem, workers), allocation_times(problem, packed)
    same = then[0] <= now[0] and then[1] <= now[1]
    return packed if same and not evaluate_allocation(problem, packed).violations else workers

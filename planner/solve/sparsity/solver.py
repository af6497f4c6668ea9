"""The door to the sparsity choice: Lagrangian dual and search, else the ILP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from planner.domain.problem import Certificate, Result, SparsityProblem, Status
from planner.errors import BadInputError, InconsistentResultError
from planner.solve.deadline import Deadline
from planner.solve.milp import SOLVER_NAME
from planner.solve.options.multiple_choice import Pick
from planner.solve.sparsity.explain import explain
from planner.solve.sparsity.ilp import ilp_explain, ilp_sparsity
from planner.solve.sparsity.search import search_sparsity
from planner.solve.verify import check_claim, evaluate_sparsity

DUAL_NAME = "Lagrangian dual + search"

_SHARE = 0.5  # of a time limit, for the search before the ILP's turn


def solve_sparsity(
    problem: SparsityProblem, time_limit_s: float | None = None, solver: str = "auto"
) -> Result:
    """Choose one option per layer, to gap 0.

    Parameters
    ----------
    problem : SparsityProblem
    time_limit_s : float, optional
        Wall time after which the best plan so far is returned as ``feasible``.
    solver : {"auto", "ilp"}
        ``auto`` is Lagrangian dual, fixing by reduced cost and exact search; where that proof does
        not close, the ILP starts from its plan. The certificate names which.

    Raises
    ------
    BadInputError
        No such solver.
    InconsistentResultError
        The plan does not cost what the solver said, or breaks a limit.
    """
    if solver not in ("auto", "ilp"):
        raise BadInputError(f"solver of a sparsity choice: {solver!r}; allowed: auto, ilp")
    if solver == "ilp":
        return _explained(problem, ilp_sparsity(problem, time_limit_s))
    return _solve(problem, time_limit_s, None)[0]


def sweep_sparsity(
    problems: Iterable[SparsityProblem], time_limit_s: float | None = None
) -> Iterator[Result]:
    """Solve similar problems in a row, such as one at many bandwidths, each from its neighbour's.

    Parameters
    ----------
    problems : iterable of SparsityProblem
        All of the same shape and with the same limits in the same order.
    time_limit_s : float, optional
        Of each.

    Yields
    ------
    Result
        As of `solve_sparsity`.
    """
    last: Pick | None = None
    for problem in problems:
        result, last = _solve(problem, time_limit_s, last)
        yield result


def _solve(
    problem: SparsityProblem, time_limit_s: float | None, like: Pick | None
) -> tuple[Result, Pick]:
    deadline = Deadline(time_limit_s)
    own = Deadline(None if time_limit_s is None else _SHARE * time_limit_s)
    if like is None:
        found = search_sparsity(problem, deadline=own)
    else:
        found = search_sparsity(problem, deadline=own, near=like.multipliers, known=like.choice)
    if found.closed or deadline.passed:
        return _of_search(problem, found, deadline), found
    return _by_ilp(problem, found, deadline), found


def _of_search(problem: SparsityProblem, found: Pick, deadline: Deadline) -> Result:
    if found.choice is None:
        certificate = Certificate(
            status="infeasible" if found.closed else "timeout",
            bound=None if found.closed else _finite(found.bound),
            solver=DUAL_NAME,
            runtime_s=deadline.elapsed_s,
        )
        binding = explain(problem) if found.closed else ""
        return Result(choice=None, objective_s=None, certificate=certificate, binding=binding)
    status: Status = "optimal" if found.closed else "feasible"
    return _plan(problem, found.choice, found.objective, found.bound, status, DUAL_NAME, deadline)


def _by_ilp(problem: SparsityProblem, found: Pick, deadline: Deadline) -> Result:
    """The integer program from the search's plan; its bound is the better of the two."""
    result = ilp_sparsity(problem, deadline.left_s, found.choice)
    solver = f"{SOLVER_NAME} after {DUAL_NAME}"
    certificate = result.certificate
    bound = max(found.bound, -np.inf if certificate.bound is None else certificate.bound)
    if result.choice is None and found.choice is None:
        update = {"solver": solver, "runtime_s": deadline.elapsed_s}
        if certificate.status == "timeout":
            update["bound"] = _finite(bound)
        unsolved = result.model_copy(update={"certificate": certificate.model_copy(update=update)})
        return _explained(problem, unsolved)
    choice, objective_s, status = result.choice, result.objective_s, certificate.status
    if objective_s is None or (found.choice is not None and found.objective < objective_s):
        if status == "infeasible":
            raise InconsistentResultError("sparsity: the program excludes a plan that fits")
        choice, objective_s = found.choice, found.objective
        status = "optimal" if status == "optimal" else "feasible"
    assert choice is not None
    return _plan(problem, choice, objective_s, bound, status, solver, deadline)


def _plan(
    problem: SparsityProblem,
    choice: NDArray[np.int64],
    claimed_s: float,
    bound_s: float,
    status: Status,
    solver: str,
    deadline: Deadline,
) -> Result:
    evaluation = evaluate_sparsity(problem, choice)
    check_claim(evaluation, claimed_s, "sparsity")
    objective_s = evaluation.objective_s
    bound = _finite(min(bound_s, objective_s))
    certificate = Certificate(
        status=status,
        bound=bound,
        gap=None if bound is None else (objective_s - bound) / max(abs(objective_s), 1e-12),
        solver=solver,
        runtime_s=deadline.elapsed_s,
    )
    return Result(choice=choice, objective_s=objective_s, certificate=certificate)


def _explained(problem: SparsityProblem, result: Result) -> Result:
    if result.certificate.status != "infeasible":
        return result
    return result.model_copy(update={"binding": ilp_explain(problem)})


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None

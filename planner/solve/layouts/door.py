"""Which search answers a problem in layouts, and what its answer is worth."""

from __future__ import annotations

import contextlib

from planner.domain.certificate import Certificate, Status
from planner.solve.check import PROVEN_GAP, check_claim, evaluate, find_faults, is_lost
from planner.solve.deadline import Deadline, OutOfTimeError
from planner.solve.layout_problem import LayoutProblem, drop_idle_positions, has_no_room
from planner.solve.layouts.exhaustive import minimise_exhaustively
from planner.solve.layouts.program import LayoutProgram, is_too_long
from planner.solve.layouts.search import Found, minimise, take_fastest_of_equals
from planner.solve.milp import SOLVER_NAME, WRITING_SHARE
from planner.solve.problem import Choice, Result
from planner.solve.stages.stage_graph import TooManyStatesError

LAYOUTS = "dynamic programming over layouts + labels"

_SHARE = 0.7  # of the time that is left, before the integer program's turn
_SECOND_SHARE = 0.3  # for the fastest of plans with one bottleneck


def minimise_in_layouts(
    problem: LayoutProblem, solver: str, deadline: Deadline, known: tuple[Choice, ...] = ()
) -> Result:
    """Minimise the latency or the bottleneck of a problem in layouts, to gap 0.

    Parameters
    ----------
    problem : LayoutProblem
    solver : {"auto", "ilp", "exhaustive"}
    deadline : Deadline
    known : tuple of Choice
        Plans of the same problem under other limits.
    """
    if solver == "exhaustive":
        choice = minimise_exhaustively(problem)
        found = Found(problem, deadline)
        if choice is not None:
            found.offer(choice)
        found.close()
        return _answer(found, deadline, "exhaustive search")
    if has_no_room(problem):
        found = Found(problem, deadline)
        found.close()
        return _answer(found, deadline, "by inspection")
    problem = drop_idle_positions(problem)
    found = Found(problem, deadline.share(_SHARE))
    for choice in known:
        if len(choice.options) == problem.layers and not find_faults(problem, choice):
            found.offer(choice)
    if solver == "auto":
        with contextlib.suppress(TooManyStatesError):  # the program's turn then
            minimise(problem, found)
        if found.closed:
            if problem.objective == "bottleneck":
                take_fastest_of_equals(problem, found, deadline.share(_SECOND_SHARE))
            return _answer(found, deadline, LAYOUTS)
    if solver == "auto" and is_too_long(problem, deadline):
        return _answer(found, deadline, LAYOUTS)
    _ask_program(problem, found, deadline)
    after = "" if solver == "ilp" else f" after {LAYOUTS}"
    return _answer(found, deadline, f"{SOLVER_NAME}{after}")


def _ask_program(problem: LayoutProblem, found: Found, deadline: Deadline) -> None:
    at_most_s = None
    while True:
        try:
            program = LayoutProgram(problem, at_most_s, deadline.share(WRITING_SHARE))
            outcome, choice = program.solve(deadline.left_s)
        except OutOfTimeError:
            return
        value = None if choice is None else evaluate(problem, choice)
        if value is None or not is_lost(value, program.longest_s):
            break
        assert choice is not None
        found.offer(choice)
        if deadline.passed:
            return
        at_most_s = value.objective_s * (1 + PROVEN_GAP)
    if value is not None and choice is not None and outcome.objective is not None:
        check_claim(value, outcome.objective / program.units)
        found.offer(choice)
    if outcome.status in ("optimal", "infeasible"):
        found.close()
    elif outcome.bound is not None:
        found.bound_s = min(max(found.bound_s, outcome.bound / program.units), found.objective_s)


def _answer(found: Found, deadline: Deadline, solver: str) -> Result:
    """The plan, held against the raw numbers, with its certificate."""
    runtime_s = deadline.elapsed_s
    if found.choice is None:
        status: Status = "infeasible" if found.closed else "timeout"
        bound = found.bound_s if status == "timeout" and found.bound_s > 0 else None
        certificate = Certificate(status=status, bound=bound, solver=solver, runtime_s=runtime_s)
        return Result(choice=None, objective_s=None, certificate=certificate)
    value = evaluate(found.problem, found.choice)
    check_claim(value, found.objective_s)
    objective_s = value.objective_s
    bound_s = objective_s if found.closed else min(found.bound_s, objective_s)
    return Result(
        choice=found.choice,
        objective_s=objective_s,
        certificate=Certificate(
            status="optimal" if found.closed else "feasible",
            bound=bound_s,
            gap=(objective_s - bound_s) / objective_s if objective_s else 0.0,
            solver=solver,
            runtime_s=runtime_s,
        ),
    )

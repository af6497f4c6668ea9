"""The one door to all solvers: which engine answers a problem, and what its answer is worth.

*Ring* first, where the problem holds stages of one node in ring order; *stages* with what that
found; and the integer *program* where their proof does not close. Where layers may run in several
ways, *layouts* answers.
"""

from __future__ import annotations

import contextlib
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import Certificate, Status
from planner.domain.settings import Solver
from planner.errors import BadInputError
from planner.solve.check import (
    PROVEN_GAP,
    check_claim,
    evaluate,
    exceeds,
    find_faults,
    is_lost,
    times_of,
)
from planner.solve.deadline import Deadline, OutOfTimeError
from planner.solve.exhaustive import minimise_exhaustively
from planner.solve.explain import explain
from planner.solve.layout_problem import AnyProblem, LayoutProblem
from planner.solve.layouts.door import minimise_in_layouts
from planner.solve.milp import SOLVER_NAME, WRITING_SHARE
from planner.solve.problem import NO_LIMIT, Choice, Problem, Result
from planner.solve.program import Program, is_too_long
from planner.solve.ring.chain import Ring, ring_of
from planner.solve.ring.search import minimise_ring
from planner.solve.stages.bottleneck import minimise_bottleneck
from planner.solve.stages.latency import minimise_latency
from planner.solve.stages.search import Search
from planner.solve.stages.stage_graph import TooManyStatesError

RING = "dynamic programming"
STAGES = "Lagrangian dual + dynamic programming"


_SHARE = 0.5  # of the time that is left, for the searches before the integer program's turn
_EXPLAINING_SHARE = 0.3  # of the time that is left, to say what nothing fits for
_EQUAL = 1e-12  # relative: bottlenecks that differ by rounding


def solve(
    problem: AnyProblem,
    solver: str = "auto",
    deadline: Deadline | None = None,
    known: tuple[Choice, ...] = (),
    *,
    explained: bool = True,
) -> Result:
    """Minimise the latency or the bottleneck of a problem, to gap 0.

    Parameters
    ----------
    problem : Problem
    solver : {"auto", "ilp", "exhaustive"}
        ``auto`` takes dynamic programming and the search over structures, and the integer program
        with their plan where the proof does not close. The certificate names which.
    deadline : Deadline, optional
        Of the whole call, the explanation of what does not fit included. When it ends the search,
        the best plan so far is returned as ``feasible``.
    known : tuple of Choice
        Plans of similar problems, whose structures are completed first.
    explained : bool
        Whether to look for what binds where nothing fits, which takes longer than to know it.

    Raises
    ------
    BadInputError
        No such solver, or too many combinations to try.
    InconsistentResultError
        A plan does not cost what its solver said, or breaks a limit.
    """
    if solver not in get_args(Solver):
        raise BadInputError(f"solver: {solver!r}; allowed: {', '.join(get_args(Solver))}")
    deadline = deadline or Deadline()
    result = _minimise(problem, solver, deadline, known)
    if result.certificate.status != "infeasible" or solver == "exhaustive" or not explained:
        return result

    def solve_relaxed(relaxed: AnyProblem, part: Deadline) -> Result:
        return _minimise(relaxed, solver, part)

    part = deadline.share(_EXPLAINING_SHARE)
    return result.model_copy(update={"binding": explain(problem, solve_relaxed, part)})


def _minimise(
    problem: AnyProblem,
    solver: str,
    deadline: Deadline,
    known: tuple[Choice, ...] = (),
) -> Result:
    if isinstance(problem, LayoutProblem):
        return minimise_in_layouts(problem, solver, deadline, known)
    if solver == "exhaustive":
        return minimise_exhaustively(problem)
    call = _Call(_drop_idle_positions(problem), deadline)
    if solver == "ilp":
        return call.ask_program(SOLVER_NAME)
    call.look_at_single_stages()
    ring = ring_of(problem)
    if ring is not None and (answer := call.ask_ring(ring)):
        return answer
    if ring is not None and ring.whole:
        return call.ask_program(f"{SOLVER_NAME} after {RING}")
    return call.search_structures(known)


class _Call:
    """One problem, and the best plan that its engines know so far."""

    def __init__(self, problem: Problem, deadline: Deadline) -> None:
        self._problem = problem
        self._deadline = deadline
        # where no time would be left to write the program down, the searches have all of it
        self._search = Search(
            deadline if is_too_long(problem, deadline) else deadline.share(_SHARE)
        )

    def offer(self, choice: Choice) -> None:
        """Take a plan that keeps all limits, if it is the best."""
        found = evaluate(self._problem, choice)
        if not found.violations and found.objective_s < self._search.objective_s:
            self._search.choice, self._search.objective_s = choice, found.objective_s

    def look_at_single_stages(self) -> None:
        """All units on one group, each at its fastest, least lossy or smallest option.

        So that no time limit ends without a plan where one is as simple as that.
        """
        problem = self._problem
        fits = (problem.uses <= problem.available).all(axis=1)
        fits &= problem.nodes <= problem.max_nodes
        if problem.all_nodes:
            fits &= problem.nodes == problem.max_nodes
        size = (problem.weight_bytes + problem.live_bytes).max(axis=3).astype(np.float64)
        tried: list[NDArray[np.int64]] = []
        for cost in (problem.latency_s, problem.loss, size):
            options = np.where(problem.allowed, cost, np.inf).argmin(axis=2)
            if any(np.array_equal(options, other) for other in tried):
                continue
            tried.append(options)
            for group in np.flatnonzero(fits):
                self.offer(Choice(starts=(0,), groups=(int(group),), options=options[group]))

    def ask_ring(self, ring: Ring) -> Result | None:
        """The ring's answer where the ring is the problem; else its plan becomes known."""
        answer = minimise_ring(ring, self._search.deadline if not ring.whole else self._deadline)
        if answer.workers is not None:
            self.offer(ring.choice(answer.workers))
        if not ring.whole or answer.status == "undecided":
            return None
        if answer.status == "infeasible":
            return self._answer("infeasible", RING)
        if answer.status == "optimal":
            assert answer.workers is not None and answer.bound_s is not None
            choice = ring.choice(answer.workers)
            check_claim(evaluate(self._problem, choice), answer.bound_s)
            self._search.choice, self._search.objective_s = choice, answer.bound_s
        self._search.bound_s = answer.bound_s or 0.0
        status: Status = "optimal" if answer.status == "optimal" else "feasible"
        return self._answer(status if self._search.choice else "timeout", RING)

    def search_structures(self, known: tuple[Choice, ...]) -> Result:
        """Cuts and groups by bound, and the integer program where their proof stays open."""
        problem, search = self._problem, self._search
        structures = tuple(
            (choice.starts, choice.groups) for choice in known if not find_faults(problem, choice)
        )
        for choice in known:
            if not find_faults(problem, choice):
                self.offer(choice)
        minimise = minimise_latency if problem.objective == "latency" else minimise_bottleneck
        with contextlib.suppress(TooManyStatesError):  # the program's turn then, from what is known
            minimise(problem, search, structures)
        if not search.closed:
            return self.ask_program(f"{SOLVER_NAME} after {STAGES}")
        solver = f"{STAGES}, {SOLVER_NAME}" if search.by_program else STAGES
        late = problem.objective == "latency" and exceeds(search.objective_s, problem.max_latency_s)
        if search.choice is None or late:
            return self._answer("infeasible", solver)
        if (
            problem.objective == "bottleneck"
            and problem.allowed.sum() == problem.allowed[..., 0].size
        ):
            self._take_fastest_of_equals()
        return self._answer("optimal", solver)

    def _take_fastest_of_equals(self) -> None:
        """Among plans of the best bottleneck the one of least latency, with one option per unit."""
        best_s = self._search.objective_s
        second = self._problem.but(objective="latency", max_bottleneck_s=best_s)
        search = Search(self._deadline.share(_SHARE), self._search.choice)
        assert search.choice is not None
        search.objective_s = times_of(second, search.choice).latency_s
        minimise_latency(second, search)
        if times_of(second, search.choice).bottleneck_s <= best_s * (1 + _EQUAL):
            self._search.choice = search.choice

    def ask_program(self, solver: str) -> Result:
        """The integer program, from the best plan that is known."""
        problem, search = self._problem, self._search
        known = search.choice is not None and not evaluate(problem, search.choice).violations
        if solver != SOLVER_NAME and is_too_long(problem, self._deadline):
            return self._answer("feasible" if known else "timeout", solver.split(" after ")[-1])
        at_most_s = search.objective_s * (1 + PROVEN_GAP) if known else None
        while True:
            try:
                writing = self._deadline.share(WRITING_SHARE)
                program = Program(problem, at_most_s=at_most_s, deadline=writing)
                outcome, choice = program.solve(self._deadline.left_s)
            except OutOfTimeError:
                self.look_at_single_stages()
                return self._answer("feasible" if search.choice else "timeout", solver)
            found = None if choice is None else evaluate(problem, choice)
            if found is None or not is_lost(found, program.longest_s) or self._deadline.passed:
                break
            at_most_s = found.objective_s * (1 + PROVEN_GAP)
        if outcome.bound is not None:
            search.bound_s = max(search.bound_s, outcome.bound / program.units)
        if choice is not None and found is not None and outcome.objective is not None:
            claimed_s = outcome.objective / program.units
            if is_lost(found, program.longest_s):  # there was no time for a program of its scale
                claimed_s = found.objective_s
            check_claim(found, claimed_s)
            if not known or claimed_s < search.objective_s:
                search.choice, search.objective_s = choice, claimed_s
                return self._answer(outcome.status, solver)
        if known:
            # an infeasible cutoff: nothing is better than the plan that is known
            proven = outcome.status in ("optimal", "infeasible")
            if proven:
                search.bound_s = max(search.bound_s, search.objective_s * (1 - PROVEN_GAP))
            return self._answer("optimal" if proven else "feasible", solver)
        return self._answer(outcome.status, solver)

    def _answer(self, status: Status, solver: str) -> Result:
        """The plan, held against the raw numbers, with its certificate."""
        search, runtime_s = self._search, self._deadline.elapsed_s
        if status in ("infeasible", "timeout") or search.choice is None:
            bound = search.bound_s if status == "timeout" and search.bound_s > 0 else None
            certificate = Certificate(
                status=status, bound=bound, solver=solver, runtime_s=runtime_s
            )
            return Result(choice=None, objective_s=None, certificate=certificate)
        found = evaluate(self._problem, search.choice)
        check_claim(found, search.objective_s)
        objective_s = found.objective_s
        bound = min(search.bound_s, objective_s)
        return Result(
            choice=search.choice,
            objective_s=objective_s,
            certificate=Certificate(
                status=status,
                bound=bound,
                gap=(objective_s - bound) / objective_s if objective_s else 0.0,
                solver=solver,
                runtime_s=runtime_s,
            ),
        )


def _drop_idle_positions(problem: Problem) -> Problem:
    """The problem without the positions of nodes whose memory binds only where another's does.

    Those that have no limit, and those that never need more than another of the same group that
    has no more: of equal nodes the one with the largest share is left.
    """
    limits = problem.memory_limit_bytes
    tight: list[list[int]] = []
    for group, row in enumerate(limits):
        weights, live = problem.weight_bytes[group], problem.live_bytes[group]
        most = weights.max(axis=1).sum(axis=0) + live.max(axis=(0, 1))
        left = [int(p) for p in np.argsort(row - most, kind="stable") if row[p] < NO_LIMIT]
        mine: list[int] = []
        while left:
            first = left.pop(0)
            mine.append(first)
            left = [
                p
                for p in left
                if row[p] < row[first]
                or (weights[..., p] > weights[..., first]).any()
                or (live[..., p] > live[..., first]).any()
            ]
        tight.append(sorted(mine))
    width = max(max(len(mine) for mine in tight), 1)
    if width == limits.shape[1]:
        return problem
    groups = np.arange(len(limits))[:, None]
    at = np.array([[*mine, *[0] * (width - len(mine))] for mine in tight])
    unused = np.array([[p >= len(mine) for p in range(width)] for mine in tight])
    weights = np.take_along_axis(problem.weight_bytes, at[:, None, None, :], axis=3)
    live = np.take_along_axis(problem.live_bytes, at[:, None, None, :], axis=3)
    return problem.but(
        weight_bytes=np.where(unused[:, None, None], 0, weights),
        live_bytes=np.where(unused[:, None, None], 0, live),
        memory_limit_bytes=np.where(unused, NO_LIMIT, limits[groups, at]),
    )

"""The door to the joint problem: the exact fast path, and the integer program where it ends."""

from __future__ import annotations

from planner.solve.problem import JointProblem, JointResult, Stages
from planner.domain.certificate import Certificate, Status
from planner.solve.deadline import Deadline
from planner.solve.joint.bottleneck import least_bottleneck
from planner.solve.joint.check import evaluate_joint, structure_violations
from planner.solve.joint.exhaustive import exhaustive_joint
from planner.solve.joint.explain import explain
from planner.solve.joint.ilp import JointProgram
from planner.solve.joint.latency import least_latency
from planner.solve.joint.search import PROVEN_GAP, Search
from planner.solve.milp import SOLVER_NAME
from planner.solve.check import check_claim, exceeds

FAST_PATH = "Lagrangian dual + dynamic programming"
_MAX_STRUCTURES = 3000
_SECONDS_PER_VARIABLE = 1e-4  # to write an integer program down and hand it to HiGHS
_FAST_SHARE = 0.5  # of a time limit; the rest is the integer program's


def solve_joint(
    problem: JointProblem,
    solver: str = "auto",
    time_limit_s: float | None = None,
    known: tuple[Stages, ...] = (),
) -> JointResult:
    """Minimise the latency or the bottleneck of a joint problem.

    Parameters
    ----------
    problem : JointProblem
    solver : {"auto", "ilp", "exhaustive"}
        ``auto`` takes the fast path, and the integer program with its plan where the proof does
        not close.
    time_limit_s : float, optional
        Wall time after which the best plan so far is returned as ``feasible``.
    known : tuple of Stages
        Plans of similar problems, whose structures the fast path completes first.
    """
    result = _solve(problem, solver, time_limit_s, known)
    if result.certificate.status != "infeasible":
        return result
    binding = explain(problem, lambda relaxed: _solve(relaxed, solver, time_limit_s))
    return result.model_copy(update={"binding": binding})


def _solve(
    problem: JointProblem,
    solver: str,
    time_limit_s: float | None,
    known: tuple[Stages, ...] = (),
) -> JointResult:
    if solver == "exhaustive":
        return exhaustive_joint(problem)
    deadline = Deadline(time_limit_s)
    if solver == "ilp":
        return _by_program(problem, Search(), deadline)
    share = None if time_limit_s is None else time_limit_s * _FAST_SHARE
    minimise = least_latency if problem.objective == "latency" else least_bottleneck
    structures = tuple(
        (stages.starts, stages.groups)
        for stages in known
        if not structure_violations(problem, stages)
    )
    search = minimise(problem, Deadline(share), _MAX_STRUCTURES, structures)
    if not search.closed and _fits(problem, search.stages) and _too_long(problem, deadline):
        assert search.stages is not None
        found = search.stages, search.objective_s, search.bound_s
        return _result(problem, *found, FAST_PATH, deadline, "feasible")
    if search.closed:
        solver = f"{FAST_PATH}, {SOLVER_NAME}" if search.by_program else FAST_PATH
        return _checked(problem, search, solver, deadline)
    return _by_program(problem, search, deadline)


def _fits(problem: JointProblem, stages: Stages | None) -> bool:
    """Whether a plan is known and keeps all limits, the latency's included."""
    return stages is not None and not evaluate_joint(problem, stages).violations


def _too_long(problem: JointProblem, deadline: Deadline) -> bool:
    """Whether time would be up before the integer program is even written down."""
    variables = int(problem.allowed.sum()) + problem.transfer_s.size
    return deadline.left_s is not None and variables * _SECONDS_PER_VARIABLE > deadline.left_s


def _checked(problem: JointProblem, search: Search, solver: str, deadline: Deadline) -> JointResult:
    """A proven answer, held against the raw numbers."""
    late = (
        problem.objective == "latency"
        and problem.max_latency_s is not None
        and exceeds(search.objective_s, problem.max_latency_s)
    )
    if search.stages is None or late:
        certificate = Certificate(status="infeasible", solver=solver, runtime_s=deadline.elapsed_s)
        return JointResult(stages=None, objective_s=None, certificate=certificate)
    return _result(problem, search.stages, search.objective_s, search.bound_s, solver, deadline)


def _by_program(problem: JointProblem, search: Search, deadline: Deadline) -> JointResult:
    """The integer program, from the best plan that is known."""
    known = _fits(problem, search.stages)
    at_most_s = search.objective_s * (1 + PROVEN_GAP) if known else None
    program = JointProgram(problem, at_most_s=at_most_s)
    outcome, stages = program.solve(deadline.left_s)
    certificate = outcome.certificate(program.units)
    solver = f"{SOLVER_NAME} after {FAST_PATH}" if search.tried else SOLVER_NAME
    bound = max(certificate.bound or 0.0, search.bound_s)
    if stages is not None and outcome.objective is not None:
        claimed = outcome.objective / program.units
        if not known or claimed < search.objective_s:
            return _result(problem, stages, claimed, bound, solver, deadline, outcome.status)
    if known and search.stages is not None:
        # an infeasible cutoff: nothing is better than the plan that is known
        proven = outcome.status in ("optimal", "infeasible")
        if proven:
            bound = max(bound, search.objective_s * (1 - PROVEN_GAP))
        status: Status = "optimal" if proven else "feasible"
        return _result(problem, search.stages, search.objective_s, bound, solver, deadline, status)
    return JointResult(
        stages=None,
        objective_s=None,
        certificate=certificate.model_copy(
            update={"solver": solver, "runtime_s": deadline.elapsed_s, "gap": None}
        ),
    )


def _result(
    problem: JointProblem,
    stages: Stages,
    claimed_s: float,
    bound_s: float,
    solver: str,
    deadline: Deadline,
    status: Status = "optimal",
) -> JointResult:
    evaluation = evaluate_joint(problem, stages)
    check_claim(evaluation, claimed_s, "joint")
    objective = evaluation.objective_s
    bound = min(bound_s, objective)
    return JointResult(
        stages=stages,
        objective_s=objective,
        certificate=Certificate(
            status=status,
            bound=bound,
            gap=(objective - bound) / objective if objective else 0.0,
            solver=solver,
            runtime_s=deadline.elapsed_s,
        ),
    )

"""The only door to PuLP: mixed-integer linear programs as arrays, solved by HiGHS.

HiGHS runs inside this process (highspy), so that no child process or file can be left behind.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from planner.domain.certificate import Certificate, Status
from planner.errors import InconsistentResultError
from planner.solve.deadline import Deadline

if TYPE_CHECKING:  # most plans need no integer program
    import pulp

MEGA = 1e6  # bytes are given to the solver in megabytes: raw SI units gave wrong optima
WRITING_SHARE = 0.4
"""Of the time that is left, to write a program down: HiGHS takes as long again to read it."""
_CHECKED = 256  # variables or rows between two looks at the clock
_LARGEST = 2.0**13  # solver units: tolerances are absolute, so times must not be tiny or huge

SOLVER_NAME = "PuLP + HiGHS"
_TOLERANCE = 1e-9  # HiGHS's own 1e-6 would let limits slip by more than our checks allow


def units_per_second(longest_s: float) -> float:
    """Solver units in a second, a power of two, for times that add up to at most ``longest_s``."""
    return 2.0 ** math.floor(math.log2(_LARGEST / longest_s)) if longest_s > 0 else 1.0


@dataclass(frozen=True)
class MilpOutcome:
    """What the solver said, in its own units; ``values`` only with a feasible point."""

    status: Status
    values: np.ndarray | None
    objective: float | None
    bound: float | None
    runtime_s: float

    def certificate(self, units_per_second: float) -> Certificate:
        """Status, bound and gap of an objective that is a time, in seconds."""
        gap = None
        if self.objective is not None and self.bound is not None:
            gap = max(self.objective - self.bound, 0.0) / max(abs(self.objective), 1e-12)
        return Certificate(
            status=self.status,
            bound=None if self.bound is None else self.bound / units_per_second,
            gap=gap,
            solver=SOLVER_NAME,
            runtime_s=self.runtime_s,
        )


@dataclass
class Milp:
    """A minimisation program that grows row by row.

    Coefficients should be near one: see `units_per_second` and ``MEGA``. Where its deadline passes
    while it is written down, `OutOfTimeError` is raised.
    """

    deadline: Deadline = field(default_factory=Deadline)
    costs: list[float] = field(default_factory=list)
    _variables: list[pulp.LpVariable] = field(default_factory=list)
    _rows: list[pulp.LpConstraint] = field(default_factory=list)

    def add_variable(
        self, *, cost: float = 0.0, upper: float | None = None, integer: bool = False
    ) -> int:
        """Add a variable from 0 to ``upper`` and return its index."""
        import pulp

        index = len(self._variables)
        if not index % _CHECKED:
            self.deadline.check()
        category = pulp.LpInteger if integer else pulp.LpContinuous
        # names are indices: layer names may collide or hold any character
        self._variables.append(pulp.LpVariable(f"v{index}", 0, upper, category))
        self.costs.append(cost)
        return index

    def add_row(self, terms: list[tuple[int, float]], sense: str, right: float) -> None:
        """Add ``sum of coefficient * variable  sense  right``; sense: ``<=``, ``>=``, ``==``.

        A variable may come several times; its coefficients add up.
        """
        import pulp

        if not len(self._rows) % _CHECKED:
            self.deadline.check()
        code = {
            "<=": pulp.LpConstraintLE,
            ">=": pulp.LpConstraintGE,
            "==": pulp.LpConstraintEQ,
        }[sense]
        total: dict[int, float] = {}
        for index, coefficient in terms:  # PuLP would keep the last of two terms of one variable
            total[index] = total.get(index, 0.0) + coefficient
        expression = pulp.LpAffineExpression((self._variables[i], c) for i, c in total.items())
        self._rows.append(pulp.LpConstraint(expression, code, rhs=right))

    def solve(self, time_limit_s: float | None = None) -> MilpOutcome:
        """Minimise to gap 0 and read HiGHS's own status, bound and point.

        Raises
        ------
        InconsistentResultError
            HiGHS gave up for another reason than its time limit.
        OutOfTimeError
            The deadline passed before HiGHS had the program.
        """
        import pulp

        problem = pulp.LpProblem("planner", pulp.LpMinimize)
        problem += pulp.LpAffineExpression(
            (v, c) for v, c in zip(self._variables, self.costs, strict=True)
        )
        for index, row in enumerate(self._rows):
            if not index % _CHECKED:
                self.deadline.check()
            problem.addConstraint(row, f"r{index}")
        # a variable in no row must still reach the solver
        problem.addVariables(self._variables)
        solver = pulp.HiGHS(
            msg=False,
            gapRel=0.0,
            gapAbs=0.0,
            threads=1,
            timeLimit=time_limit_s,
            mip_feasibility_tolerance=_TOLERANCE,
            primal_feasibility_tolerance=_TOLERANCE,
            dual_feasibility_tolerance=_TOLERANCE,
        )
        began = time.perf_counter()
        problem.solve(solver)
        runtime_s = time.perf_counter() - began
        return self._outcome(problem, runtime_s)

    def _outcome(self, problem: pulp.LpProblem, runtime_s: float) -> MilpOutcome:
        import pulp

        highs = problem.solverModel
        termination = highs.modelStatusToString(highs.getModelStatus())
        info = highs.getInfo()
        has_point = info.primal_solution_status == 2  # kSolutionStatusFeasible
        integer = any(v.cat == pulp.LpInteger for v in self._variables)
        if termination == "Infeasible":
            return MilpOutcome("infeasible", None, None, None, runtime_s)
        bound = float(info.mip_dual_bound) if integer else None
        if not has_point:
            if termination != "Time limit reached":
                raise InconsistentResultError(f"HiGHS ended without an answer: {termination}")
            return MilpOutcome("timeout", None, None, _finite(bound), runtime_s)
        values = np.array([v.varValue or 0.0 for v in self._variables])
        objective = float(np.dot(values, self.costs))
        if termination == "Optimal":
            # gap 0: without integers the optimum is its own bound
            proven = objective if bound is None else min(bound, objective)
            return MilpOutcome("optimal", values, objective, proven, runtime_s)
        return MilpOutcome("feasible", values, objective, _finite(bound), runtime_s)


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None

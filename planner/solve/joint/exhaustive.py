"""Exhaustive search over structures and options: the oracle of the joint problem."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import comb

import numpy as np

from planner.solve.problem import JointProblem, JointResult, Stages
from planner.domain.certificate import Certificate
from planner.errors import BadInputError
from planner.solve.deadline import Deadline
from planner.solve.exhaustive import MAX_CASES
from planner.solve.joint.check import evaluate_joint


def exhaustive_joint(problem: JointProblem) -> JointResult:
    """Try every structure with every combination of allowed options.

    Raises
    ------
    BadInputError
        More than two million combinations.
    """
    clock = Deadline()
    cases = number_of_plans(problem)
    if cases > MAX_CASES:
        raise BadInputError(
            f"--solver exhaustive: {cases:.3g} combinations; at most {MAX_CASES:,} are tried"
        )
    best: tuple[float, Stages] | None = None
    for stages in _plans(problem):
        evaluation = evaluate_joint(problem, stages)
        if not evaluation.violations and (best is None or evaluation.objective_s < best[0]):
            best = evaluation.objective_s, stages
    return JointResult(
        stages=best[1] if best else None,
        objective_s=best[0] if best else None,
        certificate=Certificate(
            status="optimal" if best else "infeasible",
            bound=best[0] if best else None,
            gap=0.0 if best else None,
            solver="exhaustive search",
            runtime_s=clock.elapsed_s,
        ),
    )


def number_of_plans(problem: JointProblem) -> int:
    """No fewer than the combinations of structure and options that there are."""
    groups, units, _ = problem.latency_s.shape
    most = 1 if problem.single_stage else min(units, problem.max_nodes)
    structures = sum(comb(units - 1, n - 1) * int(groups) ** n for n in range(1, most + 1))
    options = 1
    for unit in range(units):
        options *= int(problem.allowed[:, unit].sum(axis=1).max())
    return int(structures * options)


def _plans(problem: JointProblem) -> Iterator[Stages]:
    groups, units, _ = problem.latency_s.shape
    most = 1 if problem.single_stage else min(units, problem.max_nodes)
    for count in range(1, most + 1):
        for cuts in itertools.combinations(range(1, units), count - 1):
            starts = (0, *cuts)
            for chosen in itertools.product(range(groups), repeat=count):
                rows = np.repeat(chosen, np.diff([*starts, units]))
                options = [np.flatnonzero(problem.allowed[g, u]) for u, g in enumerate(rows)]
                for picked in itertools.product(*options):
                    yield Stages(starts=starts, groups=chosen, options=np.array(picked))

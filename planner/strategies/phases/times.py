"""Where the time of a prompt and of a step goes, node by node."""

from __future__ import annotations

from itertools import product

import numpy as np

from planner.domain.answer import AnswerPlan
from planner.errors import InconsistentResultError
from planner.strategies.limits import SLACK
from planner.strategies.phases.costs import PHASES, LanguageCase, bases_of
from planner.strategies.timeline import NodeTime, node_times


def times_of_phases(case: LanguageCase, plan: AnswerPlan) -> dict[str, tuple[NodeTime, ...]]:
    """What every node does in each phase of one request; it adds up to the phase's latency.

    A plan does not say in which ratio a group of unlike nodes shares out: it is the one that makes
    what the plan says of both phases.

    Parameters
    ----------
    case : LanguageCase
        That the plan was found for.
    plan : AnswerPlan

    Raises
    ------
    InconsistentResultError
        The plan says what this case makes in none of the ratios.
    """
    names = [stage.nodes for stage in plan.phases["step"].stages]
    ways = [bases_of(case, group) if len(group) > 1 else ("equal",) for group in names]
    alike = sorted(product(*ways), key=lambda bases: len(set(bases)))  # most plans have one ratio
    for bases in alike:
        cases = case.cases_of(tuple(zip(names, bases, strict=True)), 1)
        found: dict[str, tuple[NodeTime, ...]] = {
            name: node_times(cases[name], phase) for name, phase in plan.phases.items()
        }
        if all(
            np.isclose(found[name][0].total_s, phase.predicted.latency_s, rtol=SLACK)
            for name, phase in plan.phases.items()
        ):
            return {name: found[name] for name in PHASES}
    raise InconsistentResultError("the plan of the phases does not say what the cost model says")

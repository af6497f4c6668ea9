"""Where the time of a prompt and of a step goes, node by node."""

from __future__ import annotations

from dataclasses import replace

from planner.domain.answer import AnswerPlan
from planner.strategies.phases.costs import LanguageCase
from planner.strategies.timeline import NodeTime, node_times


def times_of_phases(case: LanguageCase, plan: AnswerPlan) -> dict[str, tuple[NodeTime, ...]]:
    """What every node does in each phase of one request; it adds up to the phase's latency.

    Of a prompt in chunks that is the last one's.

    Parameters
    ----------
    case : LanguageCase
        That the plan was found for.
    plan : AnswerPlan
    """
    placed = tuple((stage.nodes, stage.shares_by or "equal") for stage in plan.stages)
    if plan.workload != case.workload:  # the best chunk was asked for, and is a number now
        case = replace(case, workload=plan.workload)
    cases = case.cases_of(placed, 1)
    return {phase: node_times(cases[phase], layers) for phase, layers in plan.phases.items()}

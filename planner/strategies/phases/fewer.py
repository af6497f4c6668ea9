"""What one node makes of the same question, and two where one is the best: why so many work."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.domain.answer import AnswerPlan
from planner.domain.request import Request
from planner.domain.workload import Workload
from planner.errors import InfeasibleError, SolverStoppedError
from planner.strategies.phases.costs import LanguageCase
from planner.strategies.phases.optimise import optimise_answer


@dataclass(frozen=True)
class Fewer:
    """Plans beside the best one.

    Attributes
    ----------
    alone : AnswerPlan, optional
        The best on one node; the best itself where that has one.
    why_not : str
        What keeps one node from it.
    two : AnswerPlan, optional
        The best on exactly two, where one node is the best although more might work.
    """

    alone: AnswerPlan | None = None
    why_not: str = ""
    two: AnswerPlan | None = None


def with_fewer(case: LanguageCase, request: Request, best: AnswerPlan) -> Fewer:
    """What stands beside the best plan of a question.

    Parameters
    ----------
    case : LanguageCase
        Its costs are known from the search for the best.
    request : Request
        Its time limit holds for this and the search for the best together.
    best : AnswerPlan
    """
    if request.time_limit_s is not None and best.certificate is not None:
        left_s = max(request.time_limit_s - best.certificate.runtime_s, 0.0)
        request = replace(request, time_limit_s=left_s)
    if best.node_count > 1:
        try:
            one = optimise_answer(case, replace(request, max_nodes=1, exactly=False))
        except InfeasibleError as error:
            return Fewer(why_not=str(error))
        except SolverStoppedError:  # nothing is known of it
            return Fewer()
        return Fewer(alone=one)
    if request.max_nodes == 1 or len(case.cluster.nodes) == 1:
        return Fewer(alone=best)
    try:
        two = optimise_answer(case, replace(request, max_nodes=2, exactly=True))
    except (InfeasibleError, SolverStoppedError):
        return Fewer(alone=best)
    return Fewer(alone=best, two=two)


def parts_of(workload: Workload, plan: AnswerPlan) -> tuple[float, float]:
    """Seconds of computation and of communication in what the goal counts of one request.

    Parameters
    ----------
    workload : Workload
        Of all requests' tokens those of one, prompt and answer.
    plan : AnswerPlan
    """
    prompt, step = (plan.phases[phase].predicted for phase in ("prompt", "step"))
    prompts, steps = {"first-token": (1, 0), "token": (0, 1)}.get(
        workload.goal, (1, workload.steps)
    )
    compute_s = prompts * prompt.compute_s + steps * step.compute_s
    return compute_s, prompts * prompt.comm_s + steps * step.comm_s

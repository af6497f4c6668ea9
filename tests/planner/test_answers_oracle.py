"""The best placement of random small language models against every placement that there is."""

from __future__ import annotations

import pytest

from planner.domain.request import Request
from planner.domain.workload import Goal, Workload
from planner.errors import InfeasibleError
from planner.strategies.phases.costed import busiest_s, seconds_of
from planner.strategies.phases.costs import LanguageCase
from planner.strategies.phases.optimise import optimise_answer
from tests.planner.language_cases import Structure, costed, fits, language_case, placements


def value_s(case: LanguageCase, structure: Structure, batch: int) -> float:
    """What the goal counts, written down anew; infinite where it does not fit."""
    workload, found = case.workload, costed(case, structure, batch)
    if not fits(case, found):
        return float("inf")
    prompt, step = found["prompt"].latency_s, found["step"].latency_s
    if workload.goal == "first-token":
        return prompt
    if workload.goal == "token":
        return step
    whole = prompt + (workload.answer - 1) * step
    if workload.goal == "answer":
        return whole
    under_way = workload.requests // batch
    return max(whole / under_way, busiest_s(workload, found)) / (batch * workload.answer)


GOALS: tuple[Goal, ...] = ("answer", "first-token", "token", "tokens-per-second")


@pytest.mark.parametrize("seed", range(24))
def test_no_placement_is_better(seed: int) -> None:
    goal = GOALS[seed % 4]
    requests = 2 if goal == "tokens-per-second" else 1
    workload = Workload(prompt=24, answer=6, context=48, goal=goal, requests=requests)
    nodes, blocks = (3, 1) if seed % 12 == 4 else (2, 3)
    case = language_case(seed, nodes, blocks, workload)
    batches = [n for n in (1, 2) if requests % n == 0]
    best = min(
        (
            value_s(case, structure, batch)
            for structure in placements(case, nodes)
            for batch in batches
        ),
        default=float("inf"),
    )
    try:
        plan = optimise_answer(case, Request(max_nodes=nodes))
    except InfeasibleError:
        assert best == float("inf")
        return
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    assert seconds_of(workload, plan) == pytest.approx(best, rel=1e-9)

"""The best placement of random small language models against every placement that there is."""

from __future__ import annotations

import random
from dataclasses import replace

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
    first, token = workload.max_first_token_s, workload.max_token_s
    if (first is not None and prompt > first) or (token is not None and step > token):
        return float("inf")
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


@pytest.mark.parametrize("seed", range(16))
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


@pytest.mark.parametrize("seed", range(30, 38))
def test_no_placement_within_a_limit_is_better(seed: int) -> None:
    """The best first token within a time per token, and the other way round."""
    workload = Workload(prompt=24, answer=6, context=48, goal="first-token")
    case = language_case(seed, 2, 3, workload)
    structures = list(placements(case, 2))
    times = []
    for structure in structures:
        found = costed(case, structure)
        if fits(case, found):
            times.append((found["prompt"].latency_s, found["step"].latency_s))
    if not times:
        pytest.skip("nothing fits")
    at = seed % 2  # which of the two is limited: to the middle of what there is
    limits = sorted(row[at] for row in times)
    limit = limits[len(limits) // 3] * (1 + 1e-7)
    name = "max_first_token_s" if at == 0 else "max_token_s"
    goal = "token" if at == 0 else "first-token"
    asked = Workload(prompt=24, answer=6, context=48, goal=goal, **{name: limit})
    best = min(row[1 - at] for row in times if row[at] <= limit)
    plan = optimise_answer(replace(case, workload=asked), Request(max_nodes=2))
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    assert seconds_of(asked, plan) == pytest.approx(best, rel=1e-9)


def test_a_limit_that_nothing_keeps_is_named() -> None:
    workload = Workload(prompt=24, answer=6, max_first_token_s=1e-9)
    with pytest.raises(InfeasibleError, match="time to the first token binds"):
        optimise_answer(language_case(1, 2, 3, workload), Request(max_nodes=2))


@pytest.mark.parametrize("seed", range(40, 52))
def test_no_placement_within_two_limits_is_better(seed: int) -> None:
    """Limits on the first token and the time per token that exclude each other's best plans."""
    goal = GOALS[seed % 4]
    workload = Workload(prompt=24, answer=6, context=48, goal=goal)
    case = language_case(seed, 2, 3, workload)
    rows = []
    for structure in placements(case, 2):
        found = costed(case, structure)
        if fits(case, found):
            prompt, step = found["prompt"].latency_s, found["step"].latency_s
            whole = prompt + 5 * step
            seconds = {"first-token": prompt, "token": step, "answer": whole}
            busy = max(whole, busiest_s(workload, found)) / 6
            rows.append((prompt, step, seconds.get(goal, busy)))
    if not rows:
        pytest.skip("nothing fits")
    chance = random.Random(seed)
    first, token = (
        sorted(row[at] for row in rows)[int(len(rows) * chance.uniform(0.02, 0.5))] * (1 + 1e-7)
        for at in (0, 1)
    )
    limits = {"max_first_token_s": first, "max_token_s": token}
    asked = Workload(prompt=24, answer=6, context=48, goal=goal, **limits)
    within = [row[2] for row in rows if row[0] <= first and row[1] <= token]
    case = replace(case, workload=asked)
    if not within:
        with pytest.raises(InfeasibleError, match=r"binds|exclude each other"):
            optimise_answer(case, Request(max_nodes=2))
        return
    plan = optimise_answer(case, Request(max_nodes=2))
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    assert seconds_of(asked, plan) == pytest.approx(min(within), rel=1e-9)
    if goal == "answer":
        program = optimise_answer(case, Request(max_nodes=2, solver="ilp"))
        assert seconds_of(asked, program) == pytest.approx(min(within), rel=1e-7)


@pytest.mark.parametrize("seed", [1, 4, 6])
@pytest.mark.parametrize("solver", ["ilp", "exhaustive"])
def test_all_solvers_agree(seed: int, solver: str) -> None:
    workload = Workload(prompt=24, answer=6, context=48, max_token_s=1.0)
    case = language_case(seed, 2, 2, workload)
    plan = optimise_answer(case, Request(max_nodes=2))
    other = optimise_answer(case, Request(max_nodes=2, solver=solver))
    assert seconds_of(workload, other) == pytest.approx(seconds_of(workload, plan), rel=1e-7)

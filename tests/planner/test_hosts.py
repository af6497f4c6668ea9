"""Experts in the memory of a card's host: what that costs, by hand and against every placement."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from planner.domain.cluster import Cluster, Host, Link, Node
from planner.domain.language_model import LanguageModel
from planner.domain.plan import StagePlan
from planner.domain.request import Request
from planner.domain.workload import Goal, Workload
from planner.errors import BadInputError, InfeasibleError
from planner.solve.deadline import Deadline
from planner.strategies.costed import CostedStages, cost_stages
from planner.strategies.phases.costed import busiest_s, seconds_of
from planner.strategies.phases.costs import PHASES, LanguageCase
from planner.strategies.phases.optimise import optimise_answer, plan_of, search_answer
from planner.strategies.phases.peers import compare_answers, placed
from planner.strategies.phases.ways import (
    TENSOR_PARALLEL,
    WHOLE_EXPERTS,
    experts_of,
    rows_of_units,
    stage_of,
)
from profiles.catalog import load_language
from tests.planner.language_cases import (
    Structure,
    fits,
    language_case,
    language_model,
    placements,
)

HOST = {"memory_bytes": 64 * 10**9, "memory_bytes_per_s": 5e10, "macs_per_s": 1e12}


def card(memory: int | None, **host: float) -> Cluster:
    node = Node.model_validate(
        {"name": "card", "macs_per_s": 4e13, "memory_bytes_per_s": 1e12, "memory_bytes": memory}
        | ({"host": host} if host else {})
    )
    return Cluster(name="card", nodes=(node,), link=Link(bandwidth_bytes_per_s=1e9))


def test_a_host_reads_the_experts_that_are_taken() -> None:
    model = load_language("qwen3-30b-a3b")
    workload = Workload(prompt=64, answer=8)
    own = LanguageCase(model, card(None), workload)
    away = LanguageCase(model, card(None, **HOST, link_bytes_per_s=2e10), workload)
    here = placed(own, [(("card",), 48)], "own").phases["step"].predicted
    plan = placed(away, [(("card",), 48)], "away", on_host=True)
    there = plan.phases["step"].predicted
    # eight experts of three matrices, and what they read and make, at 50 in place of 1000 GB/s
    weights = 8 * 3 * 2048 * 768 * 2
    matrices = 2 * (2 * (2048 + 8 * 768) + 8 * 768 + 2048)
    act = 2 * (2 * 8 * 768 + 128 + 8 * 768)
    crossing = 2 * (2048 + 128 + 2048)  # to the host: a hidden state, the router's word; and back
    slower = (weights + matrices + act) * (1 / 5e10 - 1 / 1e12) + crossing / 2e10
    assert there.latency_s - here.latency_s == pytest.approx(48 * slower, rel=1e-6)
    assert plan.predicted.host_bytes == {"card": 48 * 128 * 3 * 2048 * 768 * 2}
    assert (
        plan.predicted.weight_bytes["card"] + plan.predicted.host_bytes["card"]
        == (placed(own, [(("card",), 48)], "own").predicted.weight_bytes["card"])
    )
    assert plan.phases["step"].predicted.memory_bytes["card"] < 4 * 10**9


def test_as_many_experts_stay_as_there_is_room_for() -> None:
    model = load_language("qwen3-30b-a3b")
    case = LanguageCase(model, card(24 * 10**9, **HOST), Workload(goal="token"))
    plan = optimise_answer(case, Request(max_nodes=1))
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    each = 128 * 3 * 2048 * 768 * 2
    left = 24 * 10**9 - plan.predicted.memory_bytes["card"]
    assert (
        0 <= left < each and plan.stages[0].host_blocks == plan.predicted.host_bytes["card"] // each
    )
    rows = {row.strategy: row for row in compare_answers(case, Request(max_nodes=1)).rows}
    assert not rows["single-node"].fits and rows["experts-on-host"].fits
    slow, best = rows["experts-on-host"].token_s, rows["optimal"].token_s
    assert slow is not None and best is not None and slow > best


def test_a_host_like_its_card_is_more_memory() -> None:
    """With the card's own rates and no link to pass, where experts lie takes no time."""
    model = load_language("qwen3-30b-a3b")
    like = {"memory_bytes": 10**12, "memory_bytes_per_s": 1e12, "macs_per_s": 4e13}
    tight = LanguageCase(model, card(24 * 10**9, **like), Workload())
    free = LanguageCase(model, card(None), Workload())
    plans = [optimise_answer(case, Request(max_nodes=1)) for case in (tight, free)]
    assert plans[0].predicted.host_bytes
    assert plans[0].predicted.answer_s == pytest.approx(plans[1].predicted.answer_s, rel=1e-12)


def test_the_hosts_memory_is_a_limit_too() -> None:
    small = {**HOST, "memory_bytes": 8 * 10**9}
    case = LanguageCase(load_language("qwen3-30b-a3b"), card(24 * 10**9, **small), Workload())
    with pytest.raises(InfeasibleError, match=r"memory of (card|the host of generic) binds"):
        optimise_answer(case, Request(max_nodes=1))


def test_half_a_host_is_refused() -> None:
    with pytest.raises(ValueError, match=r"host\.macs_per_s\n *Field required"):
        card(None, memory_bytes=10**9, memory_bytes_per_s=1e9)
    with pytest.raises(ValueError, match=r"host\.memory_bytes\n *Field required"):
        card(None, link_bytes_per_s=1e9)


def test_experts_on_no_host_are_refused() -> None:
    case = LanguageCase(load_language("qwen3-30b-a3b"), card(None), Workload())
    with pytest.raises(BadInputError, match="'card' has no host"):
        placed(case, [(("card",), 48)], "away", on_host=True)


def with_hosts(seed: int, workload: Workload) -> LanguageCase:
    """Two unlike nodes, of which one or both have a host; memory that binds."""
    chance = random.Random(seed)
    case = language_case(seed, 2, 2, workload)
    model: LanguageModel = case.model
    while not model.has_experts:
        model = language_model(chance, 2)
    free = LanguageCase(model, case.cluster, workload)
    size = free.cases_of((), 1)["step"].profile.totals.param_bytes

    def node(one: Node, has_host: bool) -> Node:
        host = Host(
            memory_bytes=int(size * chance.uniform(0.1, 0.8)),
            memory_bytes_per_s=chance.choice([5e6, 5e7]),
            macs_per_s=chance.choice([3e7, 2e9]),
            link_bytes_per_s=chance.choice([None, 1e7]),
        )
        memory = int(size * chance.uniform(0.35, 0.8))
        return one.model_copy(update={"memory_bytes": memory, "host": host if has_host else None})

    first, second = case.cluster.nodes
    nodes = node(first, True), node(second, chance.random() < 0.6)
    if chance.random() < 0.3:
        nodes = nodes[0], nodes[0].model_copy(update={"name": second.name})
    cluster = case.cluster.model_copy(update={"nodes": nodes})
    return LanguageCase(model, cluster, workload, case.settings)


def hosted(case: LanguageCase, structure: Structure) -> Iterator[dict[str, CostedStages]]:
    """Both phases of a placement with the experts of any blocks on hosts."""
    groups, options, starts = structure
    cases = case.cases_of(tuple(zip(groups, (o.basis for o in options), strict=True)), 1)
    rows = rows_of_units(cases["step"].profile)
    ends = [*starts[1:], len(rows)]
    having = {node.name for node in case.cluster.nodes if node.host}
    free = [
        unit
        for group, start, end in zip(groups, starts, ends, strict=True)
        for unit in range(start, end)
        if having.issuperset(group) and experts_of(cases["step"].profile, rows[unit])
    ]
    for count in range(len(free) + 1):
        for away in itertools.combinations(free, count):
            found = {}
            for phase in PHASES:
                profile = cases[phase].profile
                moved = [row for unit in away for row in experts_of(profile, rows[unit])]
                stages: list[StagePlan] = []
                for group, option, start, end in zip(groups, options, starts, ends, strict=True):
                    layers = range(rows[start].start, rows[end - 1].stop)
                    manner = getattr(option.variant, phase)
                    stages.append(stage_of(profile, group, manner, layers, moved))
                found[phase] = cost_stages(cases[phase], tuple(stages))
            yield found


WAYS = TENSOR_PARALLEL, WHOLE_EXPERTS
GOALS: tuple[Goal, ...] = ("answer", "token", "tokens-per-second")


@pytest.mark.parametrize("seed", range(9))
def test_no_placement_with_hosts_is_better(seed: int) -> None:
    workload = Workload(prompt=12, answer=4, context=24, goal=GOALS[seed % 3])
    case = with_hosts(seed, workload)
    best = float("inf")
    for structure in placements(case, 2):
        if any(option.variant not in WAYS for option in structure[1]):
            continue
        for found in hosted(case, structure):
            if not fits(case, found):
                continue
            prompt, step = found["prompt"].latency_s, found["step"].latency_s
            whole = prompt + 3 * step
            counted = {
                "answer": whole,
                "token": step,
                "tokens-per-second": max(whole, busiest_s(workload, found)) / 4,
            }
            best = min(best, counted[workload.goal])
    try:
        choice = search_answer(case, Request(max_nodes=2), Deadline(), WAYS)
    except InfeasibleError:
        assert best == float("inf")
        return
    assert choice.certificate.status == "optimal"
    assert seconds_of(workload, plan_of(case, choice)) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("seed", [1, 4])
def test_all_solvers_agree_on_hosts(seed: int) -> None:
    workload = Workload(prompt=12, answer=4, context=24, max_token_s=10.0)
    case = with_hosts(seed, workload)
    plans = [
        optimise_answer(replace(case), Request(max_nodes=2, solver=solver))
        for solver in ("auto", "ilp")
    ]
    assert seconds_of(workload, plans[1]) == pytest.approx(seconds_of(workload, plans[0]), rel=1e-7)

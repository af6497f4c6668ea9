"""The head back on the first stage: by hand, and against every placement with and without it."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from planner.domain.answer import AnswerPlan
from planner.domain.cluster import Cluster, Link, Node, PairLink
from planner.domain.request import Request
from planner.domain.workload import Goal, Workload
from planner.errors import BadInputError, InfeasibleError
from planner.strategies.costed import CostedStages, cost_stages
from planner.strategies.phases.costed import busiest_s, seconds_of
from planner.strategies.phases.costs import LanguageCase
from planner.strategies.phases.optimise import optimise_answer
from planner.strategies.phases.peers import compare_answers
from planner.strategies.phases.rings import Bounded, Rings
from planner.strategies.phases.times import times_of_phases
from profiles.catalog import load_language
from tests.planner.language_cases import (
    Structure,
    busy_of_a_chunk,
    costed,
    fits,
    language_case,
    placements,
)

HIDDEN, VOCABULARY, BLOCKS = 2048, 128_256, 16
TABLE = 2 * HIDDEN * VOCABULARY  # bytes, of the embedding that is the head as well
WEIGHTS = 2 * HIDDEN * 2048 + 2 * HIDDEN * 512 + 3 * HIDDEN * 8192  # of a block
BLOCK = 2 * (WEIGHTS + 2 * HIDDEN)
SENT = 2 * HIDDEN / 1e9  # seconds of a vector from node to node


def two_nodes(first: int, second: int) -> LanguageCase:
    """Arithmetic alone, on nodes with room for so many bytes; the first is ten times as fast."""
    nodes = (
        Node(name="fast", macs_per_s=1e13, memory_bytes=first),
        Node(name="slow", macs_per_s=1e12, memory_bytes=second),
    )
    cluster = Cluster(name="two", nodes=nodes, link=Link(bandwidth_bytes_per_s=1e9))
    workload = Workload(prompt=8, answer=4, context=16, fill=9, goal="token")
    return LanguageCase(load_language("llama-3.2-1b"), cluster, workload)


def ring_on(case: LanguageCase, **asked: object) -> AnswerPlan:
    request = replace(Request(2, parallelism="pipeline"), **asked)  # type: ignore[arg-type]
    return optimise_answer(case, request)


ROOM = 20 * 10**6  # bytes beside weights: keys, values, activations


def test_a_tied_embedding_is_stored_once() -> None:
    """Twice it would not fit: nine blocks and it on the fast node, seven blocks on the slow one."""
    case = two_nodes(TABLE + 9 * BLOCK + ROOM, 7 * BLOCK + ROOM)
    plan = ring_on(case)
    assert plan.is_ring and plan.certificate is not None and plan.certificate.status == "optimal"
    assert "in a ring" in plan.certificate.scope
    assert [(s.nodes, s.blocks, s.head) for s in plan.stages] == [
        (("fast",), 9, True),
        (("slow",), 7, False),
    ]
    last_norm = 2 * HIDDEN
    assert plan.predicted.weight_bytes == {
        "fast": TABLE + 9 * BLOCK,
        "slow": 7 * BLOCK + last_norm,
    }
    assert plan.predicted.cache_bytes == {"fast": 9 * 16 * 2048, "slow": 7 * 16 * 2048}
    each = [found.predicted.memory_bytes for found in plan.phases.values()]
    for name, needed in plan.predicted.memory_bytes.items():
        stored = plan.predicted.weight_bytes[name] + plan.predicted.cache_bytes[name]
        assert stored < needed == max(memory[name] for memory in each)
    less = two_nodes(TABLE + 9 * BLOCK + ROOM, 7 * BLOCK - 1)
    with pytest.raises(InfeasibleError):
        ring_on(less)


def test_a_step_of_a_ring_by_hand() -> None:
    """The head on the fast node, a vector there and one back; what a step occupies of each."""
    case = two_nodes(TABLE + 9 * BLOCK + ROOM, 7 * BLOCK + ROOM)
    plan = ring_on(case)
    block = WEIGHTS + 32 * 2 * 64 * 10  # MACs, with ten keys in sight
    fast = (9 * block + HIDDEN * VOCABULARY) / 1e13
    slow = 7 * block / 1e12
    assert plan.predicted.token_s == pytest.approx(fast + slow + 2 * SENT, rel=1e-9)
    step = plan.phases["step"]
    assert [stage.nodes for stage in step.stages] == [("fast",), ("slow",), ("fast",)]
    assert [layer.name for layer in step.stages[-1].layers] == ["lm_head"]
    found = cost_stages(case.cases_of((), 1)["step"], step.stages)
    assert found.bottleneck_s == pytest.approx(slow, rel=1e-9)
    assert found.occupied_s[0] == pytest.approx(fast, rel=1e-9), "blocks and head are one node's"
    for phase, times in times_of_phases(case, plan).items():
        latency = plan.phases[phase].predicted.latency_s
        assert [time.stage for time in times] == [1, 2]
        assert [time.total_s for time in times] == pytest.approx([latency] * 2, rel=1e-9)
    assert times_of_phases(case, plan)["step"][0].computing_s == pytest.approx(fast, rel=1e-9)


def test_a_large_vocabulary_goes_to_a_fast_first_node() -> None:
    """Without a ring the fast node could hold it for the embedding or for the head alone."""
    case = two_nodes(TABLE + 9 * BLOCK + ROOM, TABLE + 4 * BLOCK + ROOM)
    third = Node(name="snail", macs_per_s=1e11, memory_bytes=4 * 10**9)
    cluster = case.cluster.model_copy(update={"nodes": (*case.cluster.nodes, third)})
    plan = optimise_answer(replace(case, cluster=cluster), Request(3, parallelism="pipeline"))
    assert plan.is_ring and plan.running_nodes == ("fast", "slow")
    rules = compare_answers(replace(case, cluster=cluster), Request(3, parallelism="pipeline")).rows
    assert rules[-1].note == "is optimal-pipeline"
    fitting = [row.token_s for row in rules[:-1] if row.fits]
    assert fitting and all(seconds is not None for seconds in fitting)
    assert min(seconds for seconds in fitting if seconds) > 4 * plan.predicted.token_s


def test_a_plan_of_layers_alone_is_no_ring() -> None:
    """Only a language model's head may come back; elsewhere a node has one stage."""
    case = two_nodes(TABLE + 9 * BLOCK + ROOM, 7 * BLOCK + ROOM)
    step = ring_on(case).phases["step"]
    plain = replace(case.cases_of((), 1)["step"], rings=False)
    with pytest.raises(BadInputError, match="'fast' comes more than once"):
        cost_stages(plain, step.stages)


def unlike_links(seed: int, goal: Goal, chunk: int | None = None) -> LanguageCase:
    """Three single nodes; every link is another, software sends and receives, memory binds."""
    chance = random.Random(seed)
    workload = Workload.model_validate(
        {
            "prompt": 12,
            "answer": 6,
            "context": 24,
            "goal": goal,
            "chunk": chunk,
            "requests": 2 if goal == "tokens-per-second" else 1,
        }
    )
    case = language_case(seed, 3, 3, workload)
    size = case.cases_of((), 1)["step"].profile.totals.param_bytes
    nodes = tuple(
        node.model_copy(
            update={
                "memory_bytes": int(size * chance.uniform(0.35, 0.75)),
                "message_receive_s": chance.choice([0.0, 1e-4]),
            }
        )
        for node in case.cluster.nodes
    )
    pairs = [("n0", "n1"), ("n1", "n2"), ("n0", "n2")]
    links = tuple(
        PairLink(
            between=pair,
            bandwidth_bytes_per_s=chance.choice([1e5, 1e6, 1e8]),
            latency_s=chance.choice([0.0, 1e-3]),
        )
        for pair in pairs
    )
    cluster = case.cluster.model_copy(
        update={"nodes": nodes, "pair_links": links, "medium": "full_duplex"}
    )
    return replace(case, cluster=cluster)


def best_of(case: LanguageCase, in_ring: bool) -> float:
    """What the goal counts of the best pipeline that keeps all limits, by trying all."""
    workload, best = case.workload, float("inf")
    batches = (1, 2) if workload.goal == "tokens-per-second" else (1,)
    for structure in placements(case, 3):
        if max(map(len, structure[0])) > 1 or is_ring(structure) != in_ring:
            continue
        for batch in batches:
            found = costed(case, structure, batch)
            if fits(case, found):
                best = min(best, counted(workload, found, batch))
    return best


def is_ring(structure: Structure) -> bool:
    groups = structure[0]
    return len(groups) > 1 and groups[0] == groups[-1]


def counted(workload: Workload, found: dict[str, CostedStages], batch: int = 1) -> float:
    prompt, step = found["prompt"].latency_s, found["step"].latency_s
    if prompt > (workload.max_first_token_s or prompt) or step > (workload.max_token_s or step):
        return float("inf")
    if "chunk" in found:
        prompt += (workload.chunks - 1) * busy_of_a_chunk(found["chunk"])
    whole = prompt + 5 * step
    if workload.goal == "tokens-per-second":
        return max(whole * batch / 2, busiest_s(workload, found)) / (batch * 6)
    return {"first-token": prompt, "token": step, "answer": whole}[workload.goal]


RING_IS_BEST: tuple[tuple[int, Goal, int | None], ...] = (
    (0, "token", None),
    (5, "answer", None),
    (9, "answer", None),
    (31, "tokens-per-second", None),
    (29, "tokens-per-second", None),
    (12, "first-token", 5),
    (32, "first-token", 5),
)
OTHER_IS_BEST: tuple[tuple[int, Goal, int | None], ...] = (
    (1, "answer", None),
    (2, "first-token", None),
    (3, "tokens-per-second", None),
    (14, "first-token", 5),
)


@pytest.mark.parametrize(("seed", "goal", "chunk"), [*RING_IS_BEST, *OTHER_IS_BEST])
def test_no_ring_and_no_other_pipeline_is_better(seed: int, goal: Goal, chunk: int | None) -> None:
    case = unlike_links(seed, goal, chunk)
    ring, other = (best_of(case, in_ring) for in_ring in (True, False))
    plan = optimise_answer(case, Request(3, parallelism="pipeline"))
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    assert seconds_of(case.workload, plan) == pytest.approx(min(ring, other), rel=1e-9)
    assert plan.is_ring == (ring < other * (1 - 1e-8)) == ((seed, goal, chunk) in RING_IS_BEST)


@pytest.mark.parametrize("seed", [6, 23])
def test_no_ring_of_groups_is_better(seed: int) -> None:
    """The head divided between the two nodes of a first stage; memory that nothing else keeps."""
    chance = random.Random(seed)
    free = language_case(seed, 3, 2, Workload(prompt=12, answer=6, context=24, goal="token"))
    size = free.cases_of((), 1)["step"].profile.totals.param_bytes
    nodes = tuple(
        node.model_copy(update={"memory_bytes": int(size * chance.uniform(0.25, 0.5))})
        for node in free.cluster.nodes
    )
    case = replace(free, cluster=free.cluster.model_copy(update={"nodes": nodes}))
    best = min(
        found["step"].latency_s
        for structure in placements(case, 3)
        if all(
            option.basis != "prompt" and option.variant.prompt == option.variant.step
            for option in structure[1]
        )  # where the step alone counts, as the scope says
        and fits(case, found := costed(case, structure))
    )
    plan = optimise_answer(case, Request(3))
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    assert plan.is_ring and len(plan.stages[0].nodes) == 2
    assert plan.predicted.token_s == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 5, 9, 24, 32])
def test_no_ring_within_two_limits_is_better(seed: int) -> None:
    """Limits that some rings and some others keep; what the way back takes counts in both."""
    free = unlike_links(seed, "answer")
    times = []
    for structure in placements(free, 3):
        if max(map(len, structure[0])) == 1 and fits(free, found := costed(free, structure)):
            times.append((found["prompt"].latency_s, found["step"].latency_s))
    first, token = (sorted(column)[len(times) // 3] * 1.0001 for column in zip(*times, strict=True))
    limits = {"max_first_token_s": first, "max_token_s": token}
    case = replace(free, workload=free.workload.model_copy(update=limits))
    best = min(best_of(case, in_ring) for in_ring in (True, False))
    request = Request(3, parallelism="pipeline")
    if best == float("inf"):
        with pytest.raises(InfeasibleError, match=r"binds|exclude each other"):
            optimise_answer(case, request)
        return
    plan = optimise_answer(case, request)
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    assert seconds_of(case.workload, plan) == pytest.approx(best, rel=1e-9)
    program = optimise_answer(case, replace(request, solver="ilp"))
    assert seconds_of(case.workload, program) == pytest.approx(best, rel=1e-7)


def test_where_the_way_back_is_no_sum_starts_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A first search finds a ring that takes longer than its bound says; the last does not."""
    asked: list[bool] = []
    bounded = Rings.bounded

    def noted(self: Rings, starts: NDArray[np.bool_]) -> Bounded:
        asked.append(bool(starts.all()))
        return bounded(self, starts)

    monkeypatch.setattr(Rings, "bounded", noted)
    plan = optimise_answer(unlike_links(32, "first-token", 5), Request(3, parallelism="pipeline"))
    assert plan.is_ring and not all(asked)
    assert plan.certificate is not None and plan.certificate.status == "optimal"

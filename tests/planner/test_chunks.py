"""A prompt in chunks that pass the stages one behind the other: by hand and against every plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.domain.cluster import Cluster, Link, Node
from planner.domain.request import Request
from planner.domain.workload import Workload
from planner.errors import InfeasibleError
from planner.language import Phase, phase_profile
from planner.strategies.phases.costed import seconds_of
from planner.strategies.phases.costs import LanguageCase
from planner.strategies.phases.optimise import optimise_answer
from planner.strategies.phases.peers import placed
from profiles.catalog import load_language
from tests.planner.language_cases import (
    busy_of_a_chunk,
    costed,
    fits,
    language_case,
    placements,
)

FAST = Link(bandwidth_bytes_per_s=1e12)


def cluster(nodes: int) -> Cluster:
    figures = {"macs_per_s": 1e12, "memory_bytes_per_s": 1e11}
    return Cluster(
        name="alike", nodes=tuple(Node(name=f"n{k}", **figures) for k in range(nodes)), link=FAST
    )


def test_chunks_of_a_prompt_by_hand() -> None:
    """Two equal stages, arithmetic alone: the last chunk through both, three in the busier one."""
    model = load_language("llama-3.2-1b")
    whole = Workload(prompt=64, answer=4, context=128)
    cut = whole.model_copy(update={"chunk": 16})
    assert (cut.chunks, cut.last_chunk) == (4, 16)
    arithmetic = Cluster(
        name="arithmetic",
        nodes=tuple(Node(name=f"n{k}", macs_per_s=1e12) for k in range(2)),
        link=FAST,
    )
    plans = [
        placed(LanguageCase(model, arithmetic, w), [(("n0",), 8), (("n1",), 8)], "two")
        for w in (whole, cut)
    ]
    rows, hidden = 16, 2048
    block = 2 * hidden * 2048 + 2 * hidden * 512 + 3 * hidden * 8192  # weights
    attention = 32 * 2 * 64  # of a query and a key that it sees

    def stage(past: int) -> float:
        return 8 * rows * (block + attention * (past + rows)) / 1e12

    head = hidden * 128_256 / 1e12
    sent = rows * hidden * 2 / 1e12
    last = 2 * stage(48) + head + sent
    assert plans[1].predicted.first_token_s == pytest.approx(last + 3 * stage(16), rel=1e-9)
    assert plans[1].predicted.first_token_s < plans[0].predicted.first_token_s
    assert plans[1].predicted.token_s == plans[0].predicted.token_s
    assert plans[1].predicted.cache_bytes == plans[0].predicted.cache_bytes


def test_a_chunk_as_long_as_the_prompt_is_the_prompt() -> None:
    model = load_language("llama-3.2-1b")
    plans = [
        optimise_answer(
            LanguageCase(model, cluster(2), Workload(prompt=48, answer=4, chunk=chunk)),
            Request(max_nodes=2),
        )
        for chunk in (None, 48, 64)
    ]
    assert len({plan.predicted.first_token_s for plan in plans}) == 1


def test_the_last_chunk_has_what_is_left() -> None:
    workload = Workload(prompt=100, answer=4, chunk=32)
    assert (workload.chunks, workload.last_chunk) == (4, 4)


def test_chunks_read_the_keys_and_values_before_them() -> None:
    """All chunks multiply what the prompt does, less what they do not see of later ones."""
    model = load_language("llama-3.2-1b")
    parts = [phase_profile(model, Phase(16, 16 * k, room=64)) for k in range(4)]
    whole = phase_profile(model, Phase(64, 0, room=64))

    def macs(profile: object, part: str) -> int:
        layers = profile.layers  # type: ignore[attr-defined]
        return sum(x.macs for x in layers if (x.op == "attention") == (part == "attention"))

    head = whole.layers[-1].macs
    assert sum(macs(p, "others") - head for p in parts) == macs(whole, "others") - head
    seen = sum(16 * 16 * (k + 1) for k in range(4))
    assert sum(macs(p, "attention") for p in parts) * 64 * 64 == macs(whole, "attention") * seen


@pytest.mark.parametrize("seed", range(60, 70))
def test_no_placement_of_chunks_is_better(seed: int) -> None:
    goal = ("first-token", "answer")[seed % 2]
    workload = Workload.model_validate(
        {"prompt": 24, "answer": 6, "context": 48, "chunk": (4, 7)[seed % 3 == 0], "goal": goal}
    )
    case = language_case(seed, 2, 3, workload)
    best = np.inf
    for structure in placements(case, 2):
        found = costed(case, structure)
        if fits(case, found):
            wait = (workload.chunks - 1) * busy_of_a_chunk(found["chunk"])
            first = found["prompt"].latency_s + wait
            whole = first + 5 * found["step"].latency_s
            best = min(best, first if goal == "first-token" else whole)
    try:
        plan = optimise_answer(case, Request(max_nodes=2))
    except InfeasibleError:
        assert best == np.inf
        return
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    assert seconds_of(workload, plan) == pytest.approx(best, rel=1e-9)


def test_the_best_chunk_is_the_best_of_all() -> None:
    model = load_language("llama-3.2-1b")
    slow = cluster(2).model_copy(update={"link": Link(bandwidth_bytes_per_s=1e8)})
    workload = Workload(prompt=140, answer=4, chunk="best", goal="first-token")
    case = LanguageCase(model, slow, workload)
    best = optimise_answer(case, Request(max_nodes=2))
    each = [
        optimise_answer(
            replace(case, workload=workload.model_copy(update={"chunk": size})),
            Request(max_nodes=2),
        )
        for size in (None, 32, 64, 128)
    ]
    seconds = [plan.predicted.first_token_s for plan in each]
    assert best.predicted.first_token_s == min(seconds)
    assert best.certificate is not None and best.certificate.status == "optimal"
    assert "the prompt whole or in chunks of 32, 64, 128 tokens" in best.certificate.scope


def test_a_prompt_that_fits_in_chunks_alone_has_a_plan() -> None:
    """What is alive of a chunk is less than of all tokens."""
    workload = Workload(prompt=512, answer=4)
    whole = LanguageCase(load_language("llama-3.2-1b"), cluster(1), workload)
    chunked = replace(whole, workload=workload.model_copy(update={"chunk": 64}))
    most, least = (
        max(optimise_answer(case, Request(max_nodes=1)).predicted.memory_bytes.values())
        for case in (whole, chunked)
    )
    assert least < most
    (node,) = whole.cluster.nodes
    tight = node.model_copy(update={"memory_bytes": (least + most) // 2})
    case = replace(
        whole,
        cluster=whole.cluster.model_copy(update={"nodes": (tight,)}),
        workload=workload.model_copy(update={"chunk": "best"}),
    )
    best = optimise_answer(case, Request(max_nodes=1))
    assert best.workload.chunks > 1
    assert best.certificate is not None and best.certificate.status == "optimal"


@pytest.mark.parametrize(
    ("given", "said"),
    [({"goal": "tokens-per-second"}, "tokens-per-second"), ({"max_first_token_s": 1.0}, "one of")],
)
def test_chunks_that_nothing_counts_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Workload.model_validate({"chunk": 8, **given})

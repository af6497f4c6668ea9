"""Whole experts by node: what the busiest does, what is stored and sent, by hand and by trial."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from planner.cost.experts import busiest, whole_experts
from planner.domain.answer import AnswerPlan
from planner.domain.cluster import Cluster, Link, Node
from planner.domain.language_model import Experts, LanguageModel, Matrix
from planner.domain.layer_profile import Routing
from planner.domain.request import Request
from planner.domain.workload import Workload
from planner.strategies.phases.costs import LanguageCase
from planner.strategies.phases.peers import compare_answers, placed
from planner.strategies.phases.ways import EXPERT_VARIANTS, TENSOR_PARALLEL, WHOLE_EXPERTS, Variant
from profiles.catalog import load_language
from tests.planner.language_cases import mlp

LINK = Link(bandwidth_bytes_per_s=1e9, latency_s=1e-5)
REPLICATED = Variant("replicated-attention", "replicated-attention")


def cluster(nodes: int, **figures: float) -> Cluster:
    return Cluster(
        name="alike",
        nodes=tuple(
            Node(name=f"n{k}", macs_per_s=1e12, memory_bytes_per_s=1e11, **figures)
            for k in range(nodes)
        ),
        link=LINK,
    )


def costed(case: LanguageCase, variant: Variant) -> AnswerPlan:
    names = tuple(node.name for node in case.cluster.nodes)
    return placed(case, [(names, len(case.model.order))], "whole", variant)


@pytest.mark.parametrize("held", [(3, 3), (3, 2, 1), (4, 0, 2), (1, 1, 1, 1, 1, 1)])
@pytest.mark.parametrize(("taken", "vectors"), [(1, 1), (2, 1), (2, 2), (1, 4), (5, 2)])
def test_the_busiest_of_all_outcomes(held: tuple[int, ...], taken: int, vectors: int) -> None:
    """Against every choice of every vector, each as likely."""
    routing = Routing(experts=6, taken=taken, vectors=vectors, place="first")
    home = np.repeat(np.arange(len(held)), held)
    counts = np.array(held, dtype=float)
    met, pairs, tried = 0.0, 0.0, 0
    choices = list(itertools.combinations(range(6), taken))
    for outcome in itertools.product(choices, repeat=vectors):
        chosen = [expert for one in outcome for expert in one]
        for experts, add in ((sorted(set(chosen)), "met"), (chosen, "pairs")):
            mine = np.bincount(home[experts], minlength=len(held))
            largest = float((mine[counts > 0] / counts[counts > 0]).max())
            met, pairs = (met + largest, pairs) if add == "met" else (met, pairs + largest)
        tried += 1
    assert tried == comb(6, taken) ** vectors
    found = busiest(routing, np.array(held))
    assert found.met == pytest.approx(met / tried, rel=1e-9)
    true = pairs / tried / (vectors * taken / 6)
    assert found.pairs >= true * (1 - 1e-9), "a bound from above"
    if vectors == 1:
        assert found.pairs == pytest.approx(true, rel=1e-9)


def test_many_vectors_take_all_experts_alike() -> None:
    held = np.full(4, 32)
    few, many = (
        busiest(Routing(experts=128, taken=8, vectors=n, place="first"), held)
        for n in (512, 512_000)
    )
    assert few.met == pytest.approx(1.0) and many.met == 1.0
    assert 1.02 < few.pairs < 1.06 and 1.0 < many.pairs < 1.002


def test_experts_are_whole_on_every_node() -> None:
    assert whole_experts(128, np.array([154, 154, 154, 153, 153])).tolist() == [26, 26, 26, 25, 25]
    assert whole_experts(2, np.array([3, 1, 2])).tolist() == [1, 0, 1]


def test_what_a_node_stores_and_reads() -> None:
    """128 experts on four nodes: 32 whole ones each, of which a token takes eight of 128."""
    model = load_language("qwen3-30b-a3b")
    case = LanguageCase(model, cluster(4), Workload(prompt=64, answer=8))
    sliced, whole = (costed(case, variant) for variant in (TENSOR_PARALLEL, WHOLE_EXPERTS))
    each = 3 * 2048 * 768 * 2
    assert sliced.predicted.memory_bytes != {} and sum(
        whole.predicted.weight_bytes.values()
    ) == sum(sliced.predicted.weight_bytes.values())
    step, of_slices = (plan.phases["step"].predicted for plan in (whole, sliced))
    assert step.comm_s == of_slices.comm_s, "the same two all-reduces"
    # of the step's eight, the busiest node has more than its mean of two
    most = sum(
        max(outcome)
        * Fraction(comb(32, outcome[0]) * comb(32, outcome[1]), 1)
        * comb(32, outcome[2])
        * comb(32, outcome[3])
        for outcome in itertools.product(range(9), repeat=4)
        if sum(outcome) == 8
    ) / comb(128, 8)
    assert 3 < most < 4
    longer = 48 * float(most - 2) * each / 1e11
    activations = 48 * float(most - 2) * 2 * (2 * 768 + 2 * 768 + 768) / 1e11
    assert step.compute_s - of_slices.compute_s == pytest.approx(longer + activations, rel=0.02)


def test_replicated_attention_sends_half() -> None:
    model = load_language("qwen3-30b-a3b")
    case = LanguageCase(model, cluster(2), Workload(prompt=64, answer=8))
    whole, replicated = (costed(case, variant) for variant in (WHOLE_EXPERTS, REPLICATED))
    exchange = 2048 / 1e9 + 1e-5  # half of a hidden state of 16 bits
    assert whole.phases["step"].predicted.comm_s == pytest.approx((48 * 4 + 1) * exchange)
    assert replicated.phases["step"].predicted.comm_s == pytest.approx((48 * 2 + 1) * exchange)
    kept = whole.predicted.cache_bytes["n0"]
    assert replicated.predicted.cache_bytes == {"n0": 2 * kept, "n1": 2 * kept}


def test_tokens_are_gathered_and_experts_stay_whole() -> None:
    """A prompt read so needs far less room than all weights, and sends half of what slices do."""
    model = load_language("qwen3-30b-a3b")
    case = LanguageCase(model, cluster(4), Workload(prompt=1024, answer=8, goal="first-token"))
    dispatched = costed(case, EXPERT_VARIANTS[2])
    sliced, all_weights = (
        costed(case, variant) for variant in (TENSOR_PARALLEL, Variant("tokens", "tensor-parallel"))
    )
    size = {
        p.strategy + str(i): max(p.predicted.memory_bytes.values())
        for i, p in enumerate((dispatched, sliced, all_weights))
    }
    least, little, most = size["whole1"], size["whole0"], size["whole2"]
    assert least < little < 1.25 * least < 0.5 * most
    comm = [p.phases["prompt"].predicted.comm_s for p in (dispatched, sliced)]
    assert 0.5 < comm[0] / comm[1] < 0.75, "a dispatch, a combine, keys and values"


def test_whole_and_sliced_agree_where_every_token_takes_all() -> None:
    model = load_language("qwen3-30b-a3b")
    block = model.kinds[0]
    experts = Experts(
        count=4,
        active=4,
        router=Matrix(inputs=2048, outputs=4, bytes=2 * 8192),
        each=mlp(2048, 64, gated=True),
    )
    small = LanguageModel.model_validate(
        {
            **model.model_dump(),
            "kinds": [block.model_copy(update={"mlp": experts})],
            "order": [0, 0],
        }
    )
    case = LanguageCase(small, cluster(4), Workload(prompt=32, answer=8))
    sliced, whole = (costed(case, variant) for variant in (TENSOR_PARALLEL, WHOLE_EXPERTS))
    for phase in ("prompt", "step"):
        one, other = (plan.phases[phase].predicted for plan in (sliced, whole))
        assert other.comm_s == one.comm_s
        # whole experts read all of a router's word, slices a part of it
        assert other.compute_s == pytest.approx(one.compute_s, rel=0.01)
    assert sliced.predicted.weight_bytes == whole.predicted.weight_bytes


def test_rules_name_expert_parallelism() -> None:
    case = LanguageCase(load_language("qwen3-30b-a3b"), cluster(4), Workload(goal="token"))
    rows = compare_answers(case, Request(max_nodes=4)).rows
    found = [(row.nodes, row.token_s) for row in rows if row.strategy == "expert-parallel"]
    assert [nodes for nodes, _ in found] == [2, 4]
    best = rows[-1]
    assert best.status == "optimal" and best.token_s is not None
    assert all(seconds is not None and seconds >= best.token_s for _, seconds in found)

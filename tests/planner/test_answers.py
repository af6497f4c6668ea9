"""A prompt and its answer: what is stored, read and sent, by hand; rules; large models."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest

from planner.domain.cluster import Cluster, Link, Node
from planner.domain.request import Request
from planner.domain.workload import Workload
from planner.language import phases_of
from planner.strategies.phases.costs import LanguageCase, Option
from planner.strategies.phases.fitting import MOST, what_fits
from planner.strategies.phases.optimise import optimise_answer
from planner.strategies.phases.peers import compare_answers, in_proportion, placed
from planner.strategies.phases.ways import TENSOR_PARALLEL, rows_of_units
from profiles.catalog import load_language

LINK = Link(bandwidth_bytes_per_s=1e9, latency_s=1e-5)


def cluster(nodes: int, memory: int | None = None, **figures: float) -> Cluster:
    figures = {"macs_per_s": 1e12, "memory_bytes_per_s": 1e11, **figures}
    return Cluster(
        name="alike",
        nodes=tuple(Node(name=f"n{k}", memory_bytes=memory, **figures) for k in range(nodes)),
        link=LINK,
    )


@pytest.mark.parametrize(("nodes", "heads"), [(2, 4), (4, 2), (8, 1)])
def test_keys_and_values_are_divided_by_heads(nodes: int, heads: int) -> None:
    """Llama's eight heads of keys and values: each node keeps and reads its own."""
    model = load_language("llama-3.1-8b")
    case = LanguageCase(model, cluster(nodes), Workload(context=2048))
    names = tuple(node.name for node in case.cluster.nodes)
    plan = placed(case, [(names, 32)], "tensor-parallel")
    kept = 32 * heads * 2 * 128 * 2 * 2048
    assert plan.predicted.cache_bytes == dict.fromkeys(names, kept)
    weights = plan.predicted.weight_bytes.values()
    whole = 2 * 8_030_261_248
    norms = 2 * 65 * 4096
    assert sum(weights) == whole + (nodes - 1) * norms, "only norms are on every node"


def test_a_latent_vector_is_kept_by_every_node() -> None:
    model = load_language("deepseek-v3")
    case = LanguageCase(model, cluster(4), Workload(prompt=64, answer=8, context=1000))
    names = tuple(node.name for node in case.cluster.nodes)
    plan = placed(case, [(names, 61)], "tensor-parallel")
    assert plan.predicted.cache_bytes == dict.fromkeys(names, 61 * 2 * 576 * 1000)


def test_two_all_reduces_a_block_are_sent() -> None:
    """In a step each node tells the other its halves of two hidden states, twice a block."""
    model = load_language("llama-3.1-8b")
    case = LanguageCase(model, cluster(2), Workload(prompt=64, answer=8))
    plan = placed(case, [(("n0", "n1"), 32)], "tensor-parallel")
    step = plan.phases["step"].predicted
    # reduce-scatter and all-gather of 8,192 bytes: half of it goes each way, each time; and the
    # embedding's halves are put together
    exchanges = 32 * 2 * 2 + 1
    assert step.comm_s == pytest.approx(exchanges * (4096 / 1e9 + 1e-5), rel=1e-6)


def test_a_step_reads_the_experts_that_are_taken() -> None:
    model = load_language("qwen3-30b-a3b")
    one = phases_of(model, Workload(prompt=8, answer=8), batch=1).step
    eight = phases_of(model, Workload(prompt=8, answer=8, requests=8), batch=8).step
    read = [
        sum(x.read_bytes or 0 for x in profile.layers if ".experts." in x.name)
        for profile in (one, eight)
    ]
    assert read[1] / read[0] == pytest.approx(128 * (1 - (120 / 128) ** 8) / 8, rel=1e-4)
    stored = [sum(x.param_bytes for x in p.layers if ".experts." in x.name) for p in (one, eight)]
    assert stored[0] == stored[1]


def test_one_node_is_named_where_messages_cost_more() -> None:
    slow = Cluster(
        name="slow-link",
        nodes=cluster(2).nodes,
        link=Link(bandwidth_bytes_per_s=1e5, latency_s=0.1),
    )
    case = LanguageCase(load_language("llama-3.2-1b"), slow, Workload(prompt=32, answer=8))
    plan = optimise_answer(case, Request(max_nodes=2))
    assert plan.strategy == "single-node" and plan.node_count == 1


def test_a_long_prompt_is_read_by_tokens() -> None:
    """Keys and values of eight heads are less than all-reduces of hidden states."""
    workload = Workload(prompt=2048, answer=8, goal="first-token")
    link = Link(bandwidth_bytes_per_s=1e8)
    two = cluster(2).model_copy(update={"link": link})
    case = LanguageCase(load_language("llama-3.1-8b"), two, workload)
    plan = optimise_answer(case, Request(max_nodes=2))
    assert [stage.prompt for stage in plan.stages] == ["tokens"]
    rival = placed(case, [(("n0", "n1"), 32)], "tensor-parallel")
    assert plan.predicted.first_token_s < 0.9 * rival.predicted.first_token_s
    tight = case.cluster.model_copy(
        update={"nodes": tuple(n.model_copy(update={"memory_bytes": 10**10}) for n in two.nodes)}
    )
    narrow = optimise_answer(LanguageCase(case.model, tight, workload), Request(max_nodes=2))
    assert [stage.prompt for stage in narrow.stages] != ["tokens"], "there is no room for that"


def test_blocks_in_proportion() -> None:
    assert in_proportion(32, [8.0, 8.0, 16.0]).tolist() == [8, 8, 16]
    assert in_proportion(3, [1.0, 1.0]).tolist() == [2, 1]
    counts = in_proportion(80, [3.0, 5.0, 7.0, 0.1])
    assert counts.sum() == 80 and (counts >= 0).all()


def test_rules_are_costed_as_plans_are() -> None:
    case = LanguageCase(
        load_language("llama-3.2-1b"), cluster(4, 2 * 10**9), Workload(prompt=32, answer=8)
    )
    found = compare_answers(case, Request(max_nodes=4))
    rows = [(row.strategy, row.nodes) for row in found.rows]
    assert rows == [
        ("single-node", 1),
        ("memory-pipeline", 4),
        ("speed-pipeline", 4),
        ("equal-pipeline", 4),
        ("tensor-parallel", 2),
        ("tensor-parallel", 4),
        ("optimal", found.rows[-1].nodes),
    ]
    best = found.rows[-1]
    assert best.answer_s is not None
    for row in found.rows[:-1]:
        assert row.answer_s is not None
        assert not row.fits or row.answer_s >= best.answer_s * (1 - 1e-9)


def test_more_memory_fits_a_longer_context() -> None:
    model = load_language("llama-3.2-1b")
    widths = (("Q8_0", Fraction(17, 2)), ("Q4_K", Fraction(9, 2)))
    found = []
    for memory in (1_600_000_000, 2_000_000_000):
        case = LanguageCase(model, cluster(1, memory), Workload(prompt=32, answer=8))
        found.append(what_fits(case, Request(max_nodes=1), widths))
    for small, large in zip(*(fits.rows for fits in found), strict=True):
        assert small.context is not None and large.context is not None
        gained = large.context - small.context
        assert gained == pytest.approx(4e8 / (16 * 2 * 2 * 8 * 64), rel=0.03)
    assert found[0].widest == "Q8_0"


@pytest.mark.parametrize(
    ("trained", "context", "at_most", "note"),
    [
        (None, MOST, False, "what the model was trained for is unknown"),
        (1000, 768, True, "all that the model was trained for"),
        (700, 768, True, "all that the model was trained for"),
        (500, 768, False, "more than the 500 tokens that the model was trained for"),
    ],
)
def test_a_context_ends_where_the_model_was_trained_or_that_is_unknown(
    trained: int | None, context: int, at_most: bool, note: str
) -> None:
    model = load_language("llama-3.2-1b").model_copy(update={"context": trained})
    prompt = 32 if trained is None else 600
    case = LanguageCase(model, cluster(1, 10**12), Workload(prompt=prompt, answer=8))
    (row,) = what_fits(case, Request(max_nodes=1), (("Q4_K", Fraction(9, 2)),)).rows
    assert (row.context, row.at_most) == (context, at_most)
    assert note in row.note


def test_units_cover_the_layers_in_order() -> None:
    profile = phases_of(load_language("gemma-2-9b"), Workload()).step
    rows = rows_of_units(profile)
    assert [row for unit in rows for row in unit] == list(range(len(profile.layers)))
    assert len(rows) == 42 + 3


def test_unlike_nodes_share_out_alike_in_both_phases() -> None:
    """What a node stores for a step is what it stores for a prompt, whatever the basis."""
    nodes = (
        Node(name="a", macs_per_s=4e12, memory_bytes_per_s=1e11, memory_bytes=8 * 10**9),
        Node(name="b", macs_per_s=1e12, memory_bytes_per_s=2e11, memory_bytes=24 * 10**9),
    )
    case = LanguageCase(
        load_language("llama-3.1-8b"), Cluster(name="x", nodes=nodes, link=LINK), Workload()
    )
    shares = {}
    for basis in ("step", "prompt", "memory", "equal"):
        cases = case.cases_of(((("a", "b"), basis),), 1)
        outputs = [c.shares(("a", "b")).outputs for c in cases.values()]
        assert np.array_equal(*outputs)
        shares[basis] = int(outputs[0].sum(axis=0)[0])
    assert len(set(shares.values())) == 4
    assert shares["prompt"] > shares["equal"] > shares["memory"] or shares["step"] < shares["equal"]
    assert Option(0, TENSOR_PARALLEL, "step").alone is False


@pytest.mark.slow
@pytest.mark.parametrize(("goal", "most_s"), [("token", 10.0), ("answer", 16.0)])
def test_405b_on_sixteen_unlike_nodes_takes_seconds(goal: str, most_s: float) -> None:
    def node(k: int) -> Node:
        return Node(
            name=f"n{k}",
            macs_per_s=(5 + k) * 1e12,
            memory_bytes=(16 + k % 5 * 8) * 10**9,
            memory_bytes_per_s=(200 + 20 * k) * 1e9,
        )

    sixteen = Cluster(
        name="sixteen",
        nodes=tuple(map(node, range(16))),
        link=Link(bandwidth_bytes_per_s=1.1e9, latency_s=5e-5),
    )
    model = load_language("llama-3.1-405b").with_bits(Fraction("4.5"))
    workload = Workload.model_validate({"context": 32768, "goal": goal})
    began = time.process_time()
    plan = optimise_answer(LanguageCase(model, sixteen, workload), Request(max_nodes=16))
    took = time.process_time() - began
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    assert took < most_s  # of processor time; rings of a whole answer are searched as well
    found = compare_answers(LanguageCase(model, sixteen, workload), Request(max_nodes=16))
    assert all(not row.fits for row in found.rows[:1]), "no node has room for it alone"
    assert [row.status for row in found.rows if row.strategy == "optimal"] == ["optimal"]

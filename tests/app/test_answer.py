"""planner answer and planner fits: a language model's prompt and answer from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import planner as face
from planner.domain.answer import AnswerPlan
from planner.domain.language_model import LanguageModel
from planner.errors import BadInputError
from planner.strategies.phases.fitting import Fits
from planner.strategies.phases.peers import AnswerComparison
from planner.units import format_seconds
from profiles.presets import PRESETS
from tests.app.command import planner


@pytest.fixture
def cluster(tmp_path: Path) -> Any:
    """A cluster file of so many like nodes of so much memory."""

    def write(nodes: int = 2, memory: int = 8_000_000_000) -> str:
        node = {"macs_per_s": 30e9, "memory_bytes": memory, "memory_bytes_per_s": 12e9}
        document = {
            "name": "pis",
            "nodes": [{"name": f"pi{at}", **node} for at in range(nodes)],
            "link": {"bandwidth_bytes_per_s": 117e6, "latency_s": 1e-4},
        }
        path = tmp_path / f"pis-{nodes}-{memory}.json"
        path.write_text(json.dumps(document))
        return str(path)

    return write


def test_a_plan_as_a_document_and_in_words(cluster: Any) -> None:
    words = ("llama-3.2-1b", "-c", cluster(), "--weight-bits", "4.5", "--context", "4096")
    done = planner("answer", *words, "--format", "json")
    assert done.code == 0
    plan = AnswerPlan.model_validate_json(done.out)
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    assert plan.params == 1_235_814_400
    assert plan.cache_token_bytes == 16 * 2 * 2 * 8 * 64
    assert sum(plan.predicted.cache_bytes.values()) == plan.cache_token_bytes * 4096
    predicted = plan.predicted
    steps = plan.workload.steps
    assert predicted.answer_s == pytest.approx(predicted.first_token_s + steps * predicted.token_s)
    assert {plan.phases["prompt"].running_nodes, plan.phases["step"].running_nodes} == {
        plan.running_nodes
    }
    told = planner("answer", *words)
    assert "tokens/s" in told.out and "Optimal, proven" in told.out
    assert "note: assumed: the time per token" in told.err


def test_a_ring_says_where_the_head_is(cluster: Any) -> None:
    """The tied embedding, 0.53 GB, has room once on nodes that hold half the blocks and it."""
    asked = ("llama-3.2-1b", "-c", cluster(2, 1_450_000_000), "--parallelism", "pipeline")
    done = planner("answer", *asked, "--format", "json")
    plan = AnswerPlan.model_validate_json(done.out)
    assert plan.is_ring and [stage.head for stage in plan.stages] == [True, False]
    assert plan.phases["step"].stages[-1].nodes == plan.stages[0].nodes
    told = planner("answer", *asked).out
    assert "A pipeline of 2 stages in a ring, the head back on pi0: first token" in told
    assert "in a ring with the first stage" in " ".join(told.split())
    rows = [line for line in told.splitlines() if line.startswith((" pi0", " pi1"))]
    assert ["head" in row for row in rows] == [True, False]


def test_one_token_reads_all_weights_and_what_is_kept(cluster: Any) -> None:
    """On one node whose memory binds a step takes bytes over bandwidth, by hand."""
    done = planner(
        "answer", "llama-3.1-8b", "-c", cluster(1, 40 * 10**9), "--fill", "1000", "--goal", "token",
        "--context", "8192", "--format", "json",
    )  # fmt: skip
    plan = AnswerPlan.model_validate_json(done.out)
    weights = 2 * (8_030_261_248 - 128256 * 4096)  # all but the embedding
    kept = 1000 * 32 * 2 * 2 * 8 * 128
    assert plan.predicted.token_s == pytest.approx((weights + kept) / 12e9, rel=2e-3)


def test_rules_of_others_stand_beside_the_optimum(cluster: Any) -> None:
    done = planner(
        "answer", "qwen3-30b-a3b", "-c", cluster(4), "--weight-bits", "4.5", "--goal", "token",
        "--compare", "--format", "json",
    )  # fmt: skip
    found = AnswerComparison.model_validate_json(done.out)
    rows = {(row.strategy, row.nodes): row for row in found.rows}
    best = next(row for row in found.rows if row.strategy == "optimal")
    assert best.fits and best.token_s is not None
    assert not rows["single-node", 1].fits and "pi0 needs" in rows["single-node", 1].note
    names = {row.strategy for row in found.rows}
    assert names >= {"memory-pipeline", "speed-pipeline", "equal-pipeline", "tensor-parallel"}
    for row in found.rows:
        if row.fits and row.token_s is not None:
            assert row.token_s >= best.token_s * (1 - 1e-9)


def test_what_fits(cluster: Any) -> None:
    done = planner(
        "fits", "llama-3.1-8b", "-c", cluster(1), "--context", "16384", "--format", "json",
        "--time-limit", "10000",
    )  # fmt: skip
    found = Fits.model_validate_json(done.out)
    rows = {row.width: row for row in found.rows}
    assert rows["F16"].context is None and "memory" in rows["F16"].note
    four = rows["Q4_K"]
    assert four.context is not None and four.context % 256 == 0
    # by hand: what weights of 4.5 bits leave, over what a token takes, less activations
    left = 8e9 - 8_030_261_248 * 4.5 / 8
    assert 0.9 * left < four.context * 32 * 2 * 2 * 8 * 128 < left
    assert found.widest == "Q5_K"


def test_what_fits_within_no_limit_ends_as_an_answer_does(cluster: Any) -> None:
    words = ("llama-3.2-1b", "-c", cluster(1), "--max-first-token", "1e-9")
    done, same = planner("fits", *words), planner("answer", *words)
    assert done.code == same.code == 3
    assert done.err.count("\n") == 1 and not done.out
    assert "time to the first token binds: the limit is 1e-09 s" in done.err
    rows = Fits.model_validate_json(planner("fits", *words, "--format", "json").out).rows
    assert all("time to the first token binds" in row.note for row in rows)


def test_one_node_is_compared_with_and_says_why_it_is_faster_than_two(cluster: Any) -> None:
    words = ("llama-3.2-1b", "--weight-bits", "4.5", "--goal", "token", "-c", cluster(2))

    def token_s(*more: str) -> float:
        done = planner("answer", *words, *more, "--format", "json")
        return AnswerPlan.model_validate_json(done.out).predicted.token_s

    both, alone = token_s(), token_s("--nodes", "1")
    assert (
        f"{alone / both:.3g} times as fast as one node: pi0 alone" in planner("answer", *words).out
    )
    assert (
        "because two compute no faster: two take"
        in planner("answer", *words, "--bandwidth", "1MB/s").out
    )  # a pipeline
    slow = ("--bandwidth", "1MB/s", "--parallelism", "within-layer")
    one, two = token_s(*slow), token_s(*slow, "--nodes", "2")
    told = planner("answer", *words, *slow).out
    assert one < two
    assert "One node is faster than two here because of the messages: two take" in told
    assert f"{format_seconds(two, 3)} for a token, not {format_seconds(one, 3)}" in told


def test_a_node_that_has_no_room_alone_is_said(cluster: Any) -> None:
    told = planner("answer", "llama-3.2-3b", "-c", cluster(2, 4_000_000_000)).out
    assert "One node alone does not do it: memory of pi0 binds" in told


def test_a_config_and_the_python_face(tmp_path: Path, cluster: Any) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(PRESETS["llama-3.2-1b"]))
    model = face.language_model(path, weight_bits=4.5)
    assert isinstance(model, LanguageModel)
    plan = face.answer(model, cluster(), prompt=64, answer=16, requests=4, goal="tokens-per-second")
    assert plan.predicted.batch in (1, 2, 4)
    assert str(plan).startswith(f"{model.name} on pis: first token after")
    alone = face.answer(model, cluster(), prompt=64, answer=16, nodes=1)
    assert plan.predicted.all_tokens_per_s > alone.predicted.all_tokens_per_s


@pytest.mark.parametrize(
    ("words", "code", "needle"),
    [
        (["nosuch"], 2, "no such language model"),
        (["llama-3.2-1b", "--context", "8"], 2, "context: found 8"),
        (["llama-3.2-1b", "--fill", "999999"], 2, "fill"),
        (["llama-3.2-1b", "--goal", "speed"], 2, "--goal"),
        (["llama-3.2-1b", "--weight-bits", "0"], 2, "weight bits"),
        (["llama-3.2-1b", "--cache-bits", "0"], 2, "cache_bits"),
        (["llama-3.1-405b"], 3, "memory"),
        (["llama-3.2-1b", "--max-first-token", "1us"], 3, "first token"),
    ],
)
def test_bad_words_cost_one_line(words: list[str], code: int, needle: str, cluster: Any) -> None:
    done = planner("answer", *words, "-c", cluster())
    assert done.code == code
    assert needle in done.err and done.err.count("\n") == 1
    assert not done.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"prompt": 1000, "context": 100}, "workload: context: found 100"),
        ({"promt": 3}, "workload: promt: no such field"),
        ({"nodes": 0}, "0 nodes: cluster small-nodes has 1 to 8"),
        ({"max_nodes": 0}, "0 nodes: cluster small-nodes has 1 to 8"),
    ],
)
def test_bad_words_in_python_cost_one_line(given: dict[str, int], said: str) -> None:
    with pytest.raises(BadInputError, match=said) as error:
        face.answer("llama-3.2-1b", **given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", [{"nodes": 0}, {"max_nodes": 0}])
def test_no_nodes_are_not_all_of_them(given: dict[str, int]) -> None:
    with pytest.raises(BadInputError, match="0 nodes: cluster small-nodes has 1 to 8"):
        face.plan("bert-base", **given)


def test_memory_that_is_missing_is_told_in_gigabytes(cluster: Any) -> None:
    done = planner("answer", "llama-3.2-3b", "-c", cluster(2, 1_000_000_000))
    assert done.code == 3
    assert "memory of pi0 binds: its limit is 1 GB, the smallest that works is 3.6583" in done.err

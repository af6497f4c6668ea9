"""What a plan is said to be: no more than is known of it."""

from __future__ import annotations

import pytest

from app.drawing.cluster import cluster_picture
from app.drawing.shapes import Words
from app.words import (
    alone_sentence,
    answer_sentence,
    better_words,
    fewer_nodes_sentence,
    running_words,
    split_words,
)
from planner.case import Case
from planner.domain.certificate import Certificate
from planner.domain.plan import Alternative, Plan
from planner.domain.request import Request
from planner.strategies.optimise import LATE, optimise
from planner.strategies.timeline import node_times
from tests.planner.builders import chain, cluster


@pytest.fixture(scope="module")
def alone() -> Plan:
    """One node of two, since every message takes a second."""
    case = Case(chain(16, 32, 16), cluster([1e6, 2e6], latency_s=1.0))
    plan = optimise(case, Request(2))
    assert plan.node_count == 1 and plan.certificate is not None
    return plan


def ended(plan: Plan) -> Certificate:
    """The certificate of a search that time ended."""
    assert plan.certificate is not None
    update = {"status": "feasible", "bound": None, "gap": None}
    return plan.certificate.model_copy(update=update)


def test_one_node_is_best_only_with_a_proof(alone: Plan) -> None:
    proven = fewer_nodes_sentence(alone)
    assert proven.startswith("One node is best: optimal-") and " on 2 is 1 s slower" in proven
    assert alone_sentence(alone) == "Distributing does not pay here."
    late = Alternative(nodes=2, strategy="optimal-allocation", reason=LATE)
    update = {"certificate": ended(alone), "alternatives": (late,)}
    open_ = alone.model_copy(update=update)
    assert fewer_nodes_sentence(open_) == (
        "One node is the best that was found in the time; plans on more nodes were not "
        "finished. So far optimal-allocation on 2 was not found in the time there was."
    )
    assert alone_sentence(open_) == "Whether distributing pays here is not known yet."


def test_a_plan_that_time_did_not_find_is_not_said_not_to_fit() -> None:
    case = Case(chain(16, 32, 16), cluster([1e6, 1e6], bandwidth_bytes_per_s=1e9))
    plan = optimise(case, Request(2))
    assert plan.node_count == 2
    for reason, words in (
        (LATE, "No plan with fewer nodes was found: single-node on 1 was not found in the time"),
        ("does not fit: memory", "No plan with fewer nodes fits: single-node on 1 does not fit"),
    ):
        other = Alternative(nodes=1, strategy="single-node", reason=reason)
        told = fewer_nodes_sentence(plan.model_copy(update={"alternatives": (other,)}))
        assert told.startswith(words)


@pytest.mark.parametrize(
    ("ratio", "by_rate", "words"),
    [
        (68.0, False, "68× faster"),
        (1.06, False, "1.1× faster"),
        (1.01, False, "1.0% faster"),
        (1.01, True, "1.0% more"),
        (1.0001, False, "no faster"),
        (1.0, True, "no more"),
        (0.99, False, "1.0% slower"),
        (0.5, False, "2× slower"),
        (0.5, True, "2× fewer"),
    ],
)
def test_a_ratio_in_words(ratio: float, by_rate: bool, words: str) -> None:
    assert better_words(ratio, by_rate=by_rate) == words


@pytest.fixture(scope="module")
def mostly_whole() -> tuple[Case, Plan]:
    """Each of two nodes does every layer but the last."""
    case = Case(chain(16, 32, 32, 32, 16), cluster([1e6, 1e6], bandwidth_bytes_per_s=3e5))
    plan = optimise(case, Request(2, exactly=True, ways=("whole",)))
    (stage,) = plan.stages
    last = stage.layers[-1].model_copy(update={"way": "outputs"})
    layers = (*(x.model_copy(update={"way": "whole"}) for x in stage.layers[:-1]), last)
    stages = (stage.model_copy(update={"layers": layers}),)
    return case, plan.model_copy(update={"stages": stages})


def test_layers_that_each_node_does_are_not_called_split(mostly_whole: tuple[Case, Plan]) -> None:
    case, plan = mostly_whole
    words = "most of the work whole on each of them, the rest split by features"
    assert split_words(plan) == split_words(plan, case.profile) == words
    assert answer_sentence(plan).startswith(f"2 nodes, {words}, no training: ")
    last = plan.stages[0].layers[-1].name
    layers = tuple(
        layer.model_copy(update={"macs": 1}) if layer.name != last else layer
        for layer in case.profile.layers
    )
    little = case.profile.model_copy(update={"layers": layers})
    assert split_words(plan, little) == "split by features"


def test_what_each_node_does_is_all_of_the_work_of_each() -> None:
    case = Case(chain(16, 32, 16), cluster([1e6, 1e6], bandwidth_bytes_per_s=3e5))
    plan = optimise(case, Request(2, exactly=True, ways=("whole",), parallelism="within-layer"))
    assert {layer.way for stage in plan.stages for layer in stage.layers} == {"whole"}
    picture = cluster_picture(plan, node_times(case, plan))
    words = [shape.text for shape in picture.shapes if isinstance(shape, Words)]
    assert words.count("100% of the work") == 2


def test_what_is_not_run_is_not_said_to_be() -> None:
    assert running_words(is_own=False) == "which `planner slice` cuts and `planner run` runs"
    own = running_words(is_own=True)
    assert ".onnx and .pt2 files can be profiled and planned, not run" in own
    assert "--model" in own and "config.json" in own


def test_one_node_of_unlike_ones_is_named(alone: Plan) -> None:
    (name,) = alone.running_nodes
    assert answer_sentence(alone).startswith(f"One node, {name}, no training: ")
    first = alone.cluster.nodes[0]
    nodes = tuple(first.model_copy(update={"name": x.name}) for x in alone.cluster.nodes)
    like = alone.model_copy(update={"cluster": alone.cluster.model_copy(update={"nodes": nodes})})
    assert answer_sentence(like).startswith("One node, no training: ")

"""Next steps as one takes them: as options that are typed, and as a question that has them done."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from app.commands import planning
from app.next_steps import (
    catalogue_links,
    cluster_of,
    label,
    none_sentence,
    option,
    sentence,
    untried_sentence,
)
from app.question import ask
from planner.case import Case
from planner.domain.cluster import with_copy
from planner.domain.plan import NextStep, NextSteps, Plan
from planner.domain.request import Request
from planner.strategies.optimise import objective_s, optimise
from planner.strategies.what_if.next_steps import next_steps
from profiles.accuracy import Accuracy
from tests.app.command import one_line, planner
from tests.planner.builders import chain, cluster, linear_loss

PROFILE = chain(16, 32, 32, 16)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small model as a file, beside a cluster of three unlike nodes."""
    folder = tmp_path_factory.mktemp("steps")
    group = cluster([1e5, 2e5, 1.5e5], bandwidth_bytes_per_s=3e5)
    link = group.link.model_copy(update={"latency_s": 1e-4})
    text = group.model_copy(update={"link": link}).model_dump_json()
    (folder / "three.json").write_text(text, encoding="utf-8")
    (folder / "net.json").write_text(PROFILE.model_dump_json(), encoding="utf-8")
    return str(folder / "net.json")


def planned(net: str, *words: str) -> Plan:
    three = str(Path(net).with_name("three.json"))
    done = planner("plan", net, "--cluster", three, *words, "--format", "json")
    assert done.code == 0, done.err
    return Plan.model_validate_json(done.out)


def test_what_is_typed_for_a_step_gives_what_it_promised(net: str) -> None:
    narrow = ("--ways", "features,positions")
    plan = planned(net, *narrow, "--next-steps")
    assert plan.next_steps is not None
    assert {step.kind for step in plan.next_steps.steps} >= {"compute", "node", "bandwidth"}
    for step in plan.next_steps.steps:
        if "without" in option(step):
            assert option(step) == "without --ways"
            done = planned(net)
        else:
            done = planned(net, *narrow, *shlex.split(option(step)))
        gain = objective_s(plan) - objective_s(done)
        assert gain == pytest.approx(step.gain_s, rel=1e-6), step.kind


def test_a_question_with_the_step_done_is_the_one_that_was_tried() -> None:
    group = cluster([1e5, 1e5, 1e5], bandwidth_bytes_per_s=3e5)
    given = {"max_nodes": 2, "exactly": True, "macs_per_s": 2e5}
    question = ask(group, **given)
    accuracy = Accuracy(model=linear_loss(PROFILE))
    case = question.case(PROFILE, accuracy)
    found = next_steps(case, question.request, links=catalogue_links())
    before = objective_s(optimise(case, question.request))
    assert {step.kind for step in found.steps} >= {"loss", "max-nodes", "compute", "link"}
    for step in found.steps:
        after = ask(group, **given | step.settings, changes=step.changes)
        other = after.case(PROFILE, accuracy)
        plan = optimise(other, after.request)
        assert before - objective_s(plan) == pytest.approx(step.gain_s, rel=1e-6), step.kind
        again = cluster_of(case, question.request, step).model_dump(exclude={"figures"})
        assert again == other.cluster.model_dump(exclude={"figures"})


STEP = NextStep(
    kind="bandwidth",
    settings={"bandwidth_bytes_per_s": 7.5e7},
    value_before=3.75e7,
    value=7.5e7,
    gain_s=0.0331,
    latency_s=0.14,
    throughput_per_s=8.0,
    nodes=4,
    strategy="optimal-lossless",
    status="optimal",
)


@pytest.mark.parametrize(
    ("update", "words", "typed"),
    [
        ({}, "Twice the bandwidth (75 MB/s): 140 ms, 33.1 ms less", "--bandwidth 75MB/s"),
        (
            {
                "kind": "compute",
                "of": "a b",
                "settings": {},
                "changes": ("a b:compute=2x",),
                "value": 4e9,
                "status": "feasible",
            },
            "a b twice as fast (4 GMAC/s): 140 ms, 33.1 ms less at least",
            "--change 'a b:compute=2x'",
        ),
        (
            {
                "kind": "node",
                "of": "n1",
                "settings": {"max_nodes": 5, "exactly": True},
                "changes": ("node=+n1",),
                "value": 5,
            },
            "One more node like n1 (5 nodes): 140 ms, 33.1 ms less",
            "--change node=+n1 --nodes 5",
        ),
        (
            {"kind": "latency-limit", "settings": {"max_latency_s": None}, "value": None},
            "No limit on the latency: 140 ms, 33.1 ms less",
            "without --max-latency",
        ),
        (
            {"kind": "parallelism", "settings": {"parallelism": "hybrid"}, "value": None},
            "Stages of one node or of several: 140 ms, 33.1 ms less",
            "without --parallelism",
        ),
        (
            {"kind": "loss", "settings": {"max_energy_loss": 0.1}, "value": 0.1},
            "Training that prunes 10% of the weights' energy: 140 ms, 33.1 ms less",
            "--max-energy-loss 0.1",
        ),
        (
            {"kind": "delay", "settings": {}, "changes": ("link-latency=0.5x",), "value": 5e-4},
            "Half the delay of every message (500 µs): 140 ms, 33.1 ms less",
            "--change link-latency=0.5x",
        ),
        (
            {"kind": "memory", "settings": {"memory_bytes": 2_000_000_000}, "value": 2e9},
            "Twice the memory of every node (2 GB): 140 ms, 33.1 ms less",
            "--memory 2000MB",
        ),
    ],
)
def test_a_step_in_words(net: str, update: dict[str, object], words: str, typed: str) -> None:
    plan = planned(net, "--max-nodes", "1")
    step = STEP.model_copy(update=update)
    assert (sentence(step, plan), option(step)) == (words, typed)
    assert words.startswith(label(step))


def test_what_was_not_tried_and_what_gains_nothing_is_said() -> None:
    assert untried_sentence(NextSteps(steps=())) == none_sentence(NextSteps(steps=())) == ""
    found = NextSteps(steps=(), idle=("bandwidth", "memory"), untried=("node", "ways"))
    assert (
        none_sentence(found)
        == "Nothing that was tried gains anything: more bandwidth, more memory."
    )
    assert untried_sentence(found) == (
        "Without a result in the time there was: one more node, other ways of splitting."
    )


def test_the_document_has_next_steps_only_where_they_were_asked_for(net: str) -> None:
    plain = planner("plan", net, "--max-nodes", "2", "--format", "json")
    assert "next_steps" not in json.loads(plain.out)
    bare = planned(net, "--max-nodes", "2")
    told = planned(net, "--max-nodes", "2", "--next-steps")
    assert told.next_steps is not None and told.next_steps.steps
    assert (told.stages, told.digest) == (bare.stages, bare.digest)


def test_changes_are_made_one_after_the_other_and_count_for_the_nodes(net: str) -> None:
    faster = planned(net, "--change", "compute=2x", "--change", "bandwidth=75MB/s")
    assert [node.macs_per_s for node in faster.cluster.nodes] == [2e5, 4e5, 3e5]
    assert faster.cluster.link.bandwidth_bytes_per_s == 75e6
    like = faster.cluster.nodes[0].name
    more = planned(net, "--change", f"node=+{like}", "--nodes", "4")
    assert more.node_count == len(more.cluster.nodes) == 4


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("speed=2x", "--change 'speed=2x': give bandwidth=2x"),
        ("gone:compute=2x", "'gone' is no node of small-nodes"),
        ("compute=1e29x", "input should be less than"),
    ],
)
def test_a_change_that_cannot_be_is_refused_in_one_line(typed: str, words: str) -> None:
    done = planner("plan", "resnet50-eighth", "--change", typed)
    assert done.code == 2 and words in one_line(done)


@pytest.mark.parametrize(
    ("names", "like", "kind", "fresh"),
    [
        (["mac-mini-m4-1"], "mac-mini-m4-1", "mac-mini-m4", "mac-mini-m4-2"),
        (["pi-1", "pi-2", "mac-1"], "pi-1", "generic", "pi-3"),
        (["node0", "node1"], "node0", "generic", "node2"),
        (["mac-mini-m4"], "mac-mini-m4", "generic", "mac-mini-m4-2"),
        (["raspberry-pi-4"], "raspberry-pi-4", "raspberry-pi-4", "raspberry-pi-4-2"),
        (["laptop", "laptop-2"], "laptop", "generic", "laptop-3"),
    ],
)
def test_one_more_node_goes_on_with_its_kinds_numbers(
    names: list[str], like: str, kind: str, fresh: str
) -> None:
    group = cluster([1e5] * len(names))
    nodes = (
        node.model_copy(update={"name": name, "device_type": kind})
        for node, name in zip(group.nodes, names, strict=True)
    )
    more = with_copy(group.model_copy(update={"nodes": tuple(nodes)}), like)
    assert [node.name for node in more.nodes] == [*names, fresh]


@pytest.mark.parametrize(
    ("words", "most_s"),
    [(("--time-limit", "200"), 200.0), (("--time-limit", "2"), 2.0), ((), 10.0)],
)
def test_steps_have_the_time_that_was_given(
    words: tuple[str, ...], most_s: float, net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Request] = []

    def tried(_: Case, request: Request, **__: object) -> NextSteps:
        asked.append(request)
        return NextSteps(steps=())

    monkeypatch.setattr(planning, "find_next_steps", tried)
    planned(net, "--max-nodes", "1", "--next-steps", *words)
    assert [request.time_limit_s for request in asked] == [most_s]

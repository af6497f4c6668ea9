"""Clusters as rows that are edited, and the command line of what the page shows."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.page.answer import Answer
from app.page.command import other_commands, plan_command
from app.page.hardware import build_cluster, edited, link_rows, node_rows
from app.page.question import Question, ask, is_uniform
from planner.domain.cluster import Cluster, PairLink
from planner.errors import BadInputError
from profiles.catalog import cluster_names, load_cluster, load_model
from tests.app.command import planner
from tests.page.driving import go_to, good, opened, shown_headline, texts

UNITS = ("MB/s", "GMAC/s")


def unequal() -> Cluster:
    small = load_cluster("small-nodes").first(4)
    nodes = [
        node.model_copy(update={"macs_per_s": speed, "memory_bytes": memory})
        for node, speed, memory in zip(
            small.nodes, (1e9, 4e9, 2e9, 3e9), (None, 80_000_000, None, 90_000_000), strict=True
        )
    ]
    pair = PairLink(between=("node-1", "node-3"), bandwidth_bytes_per_s=5e6, latency_s=0.001)
    changes = {"nodes": tuple(nodes), "pair_links": (pair,), "name": "uneven"}
    return small.model_copy(update=changes)


@settings(max_examples=30)
@given(
    st.sampled_from([*map(load_cluster, cluster_names()), unequal()]),
    st.sampled_from([("MB/s", "GMAC/s"), ("Mbit/s", "GFLOP/s")]),
)
def test_rows_that_nobody_edited_are_the_cluster(cluster: Cluster, units: tuple[str, str]) -> None:
    nodes, links = node_rows(cluster, units[1]), link_rows(cluster, units[0])
    built = build_cluster(cluster, nodes, links, units)
    for ours, theirs in zip(built.nodes, cluster.nodes, strict=True):
        assert ours.macs_per_s == pytest.approx(theirs.macs_per_s, rel=1e-11)
        assert ours.memory_bytes == theirs.memory_bytes
        assert (ours.name, ours.device_type) == (theirs.name, theirs.device_type)
        assert ours.layer_overhead_s == pytest.approx(theirs.layer_overhead_s)
    assert (built.link, built.medium) == (cluster.link, cluster.medium)
    assert [pair.between for pair in built.pair_links] == [p.between for p in cluster.pair_links]


def test_edits_additions_and_deletions_reach_the_cluster() -> None:
    cluster = load_cluster("small-nodes").first(3)
    changes = {
        "edited_rows": {0: {"speed": 7.5}, "1": {"memory": 64, "name": "b"}},
        "added_rows": [{"name": "new"}, {}],
        "deleted_rows": [2],
    }
    rows = edited(node_rows(cluster, "GFLOP/s"), changes)
    built = build_cluster(cluster, rows, [], ("MB/s", "GFLOP/s"), (10.0, 2.0))
    assert [node.name for node in built.nodes] == ["node-1", "b", "new", "node-4"]
    assert built.nodes[0].macs_per_s == 3.75e9
    assert built.nodes[1].memory_bytes == 64_000_000
    assert built.nodes[2].macs_per_s == 3.75e9
    assert (built.link.bandwidth_bytes_per_s, built.link.latency_s) == (10e6, 0.002)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"edited_rows": {0: {"speed": 0}}}, "nodes, row 1: found 0 for Compute C"),
        ({"edited_rows": {0: {"speed": float("inf")}}}, "row 1: found inf"),
        ({"edited_rows": {1: {"name": "node-1"}}}, "two nodes have the same name"),
        ({"edited_rows": {0: {"overhead": -1}}}, "give 0 or more"),
        ({"edited_rows": {0: {"memory": -1}}}, "found -1 for Memory"),
        ({"deleted_rows": [0, 1]}, "0 rows; give 1 to 64"),
    ],
)
def test_what_no_cluster_can_be_is_one_line(changes: dict[str, object], words: str) -> None:
    cluster = load_cluster("head-mounted")
    with pytest.raises(BadInputError) as caught:
        build_cluster(cluster, edited(node_rows(cluster, "GMAC/s"), changes), [], UNITS)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_best_of_unequal_nodes_may_work_and_like_ones_are_cut() -> None:
    question = Question(unequal(), 2, accuracy_model="none")
    assert len(question.tuned_cluster.nodes) == 4
    plan = Answer(load_model("resnet50-eighth"), question).plan
    assert "node-2" in plan.predicted.memory_bytes
    assert len(Question("small-nodes", 2).tuned_cluster.nodes) == 2
    assert len(Question(unequal(), 6).tuned_cluster.nodes) == 6
    assert is_uniform(load_cluster("small-nodes")) and not is_uniform(unequal())


def test_an_edited_table_is_a_cluster_of_ones_own() -> None:
    page = opened("hardware", nodes="2")
    before = shown_headline(page)
    (field,) = [x for x in page.number_input if x.label.startswith("Latency of a message")]
    good(field.set_value(5.0).run())
    assert page.selectbox(key="cluster").value == "own"
    assert "small-nodes-edited" in texts(page) or "small\\-nodes\\-edited" in page.header[0].value
    assert shown_headline(page) != before
    found = json.loads(page.query_params["hardware"])
    assert found["link"]["latency_s"] == 0.005
    assert len(found["nodes"]) == 2
    again = opened("plan", **page.query_params)
    assert shown_headline(again) == shown_headline(page)
    good(page.button(key="undo").click().run())
    assert shown_headline(page) == before
    assert page.selectbox(key="cluster").value == "small-nodes"
    go_to(page, "latency")


CASES = {
    "preset": Question(
        "small-nodes", 3, accuracy_model="curve:resnet50-imagenet/equal", max_accuracy_drop=0.5
    ),
    "tuned": Question(
        "head-mounted",
        2,
        exactly=True,
        bandwidth_bytes_per_s=1.25e7,
        macs_per_s=3e9,
        memory_bytes=30_000_000,
        medium="half_duplex",
        casting="broadcast",
        overlap=True,
        share_inputs=True,
        count_input=True,
        count_output=True,
        objective="throughput",
        accuracy_model="none",
        max_latency_s=2.0,
    ),
    "more nodes": Question(
        "head-mounted",
        4,
        parallelism="within-layer",
        accuracy_model="none",
        min_throughput_per_s=0.5,
    ),
    "own": Question(unequal(), 3, accuracy_model="none"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_command_makes_the_very_plan(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Answer(load_model("resnet50-quarter"), CASES[case])
    for name in ("cluster.json", "profile.json"):
        (tmp_path / name).write_text(answer.files()[name]())
    monkeypatch.chdir(tmp_path)
    source = "resnet50-quarter" if case != "own" else None
    commands = [plan_command(answer, source), *other_commands(answer, source).values()]
    words = [shlex.split(line) for line in commands]
    assert [line[:2] for line in words] == [
        ["planner", "plan"],
        ["planner", "compare"],
        ["planner", "pareto"],
    ]
    done = planner(*words[0][1:], "--format", "json")
    assert done.code == 0, done.err
    plan = json.loads(done.out)
    ours = answer.plan.model_dump(mode="json")
    assert plan["stages"] == ours["stages"]
    assert plan["predicted"] == ours["predicted"]


def test_a_question_has_what_the_controls_say() -> None:
    from app.page.parameters import defaults

    values = defaults({"cluster": "esp32-s3"})
    assert ask(values) == Question(
        "esp32-s3",
        4,
        accuracy_model="curve:resnet50-imagenet/equal-squares",
        max_accuracy_drop=0.5,
    )
    values |= {"bandwidth": 1.0, "memory": 4.0, "medium": "full_duplex", "accuracy": "none"}
    asked = ask(values)
    assert (asked.bandwidth_bytes_per_s, asked.memory_bytes) == (1e6, 4_000_000)
    assert (asked.medium, asked.casting, asked.accuracy_model) == ("full_duplex", None, "none")

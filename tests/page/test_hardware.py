"""Clusters as rows that are edited, and the command line of what the page shows."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from app.page.answer import Answer
from app.page.asking import ask_on_page, question_of
from app.page.command import other_commands, plan_command
from app.page.hardware import EditedCluster, edit_cluster
from app.question import is_uniform
from planner.domain.cluster import Cluster, PairLink
from planner.errors import BadInputError
from profiles.catalog import load_cluster, load_model
from tests.app.command import planner
from tests.page.driving import go_to, good, opened, shown_headline, shown_title
from tests.processor_time import HANG_S

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


def test_edits_additions_and_deletions_reach_the_cluster() -> None:
    cluster = load_cluster("small-nodes").first(3)
    changes = {
        "edited_rows": {0: {"macs_per_s": "7.5"}, "1": {"memory_bytes": "64", "name": "b"}},
        "added_rows": [{"name": "new"}, {}],
        "deleted_rows": [2],
    }
    link = {"bandwidth_bytes_per_s": 10.0, "latency_s": 2.0}
    built = edit_cluster(cluster, ("MB/s", "GFLOP/s"), nodes=changes, link=link).cluster
    assert [node.name for node in built.nodes] == ["node-1", "b", "new", "node-4"]
    assert built.nodes[0].macs_per_s == 3.75e9
    assert built.nodes[1].memory_bytes == 64_000_000
    assert built.nodes[2].macs_per_s == 3.75e9
    assert (built.link.bandwidth_bytes_per_s, built.link.latency_s) == (10e6, 0.002)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"edited_rows": {0: {"macs_per_s": "0"}}}, "nodes, row 1: found 0 for Computing speed C"),
        ({"edited_rows": {0: {"macs_per_s": "inf"}}}, "row 1: found inf"),
        ({"edited_rows": {0: {"macs_per_s": "fast"}}}, "row 1: found fast for Computing speed C"),
        ({"edited_rows": {0: {"macs_per_s": None}}}, "row 1: found nothing for Computing speed C"),
        ({"edited_rows": {1: {"name": "node-1"}}}, "two nodes have the same name"),
        ({"edited_rows": {0: {"layer_overhead_s": "-1"}}}, "found -1 ms; give 0 or more"),
        ({"edited_rows": {0: {"memory_bytes": "-1"}}}, "found -1 for Memory"),
        ({"deleted_rows": [0, 1]}, "0 rows; give 1 to 64"),
    ],
)
def test_what_no_cluster_can_be_is_one_line(changes: dict[str, object], words: str) -> None:
    cluster = load_cluster("head-mounted")
    with pytest.raises(BadInputError) as caught:
        edit_cluster(cluster, UNITS, nodes=changes)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cell_keeps_its_sign_and_its_exponent() -> None:
    cluster = load_cluster("small-nodes").first(2)
    cells = {"edited_rows": {0: {"macs_per_s": "1e1", "layer_overhead_s": "2.5e-1"}}}
    node = edit_cluster(cluster, UNITS, nodes=cells).cluster.nodes[0]
    assert (node.macs_per_s, node.layer_overhead_s) == (1e10, 0.25e-3)
    with pytest.raises(BadInputError, match="links, row 1: found -5 for Bandwidth B"):
        row = {"between.0": "node-1", "between.1": "node-2", "bandwidth_bytes_per_s": "-5"}
        edit_cluster(cluster, UNITS, links={"added_rows": [row]})


def test_a_link_that_is_only_begun_stands_in_nobodys_way() -> None:
    cluster = load_cluster("small-nodes").first(2)
    clicked = edit_cluster(cluster, UNITS, links={"added_rows": [{}]})
    assert clicked == EditedCluster(cluster)
    row = {"between.0": "node-1", "bandwidth_bytes_per_s": "5"}
    begun = edit_cluster(cluster, UNITS, links={"added_rows": [{}, row]})
    assert begun == EditedCluster(cluster, (row,))
    faster = edit_cluster(
        cluster, UNITS, nodes={"edited_rows": {0: {"macs_per_s": "9"}}}, begun=begun.begun
    )
    assert faster.cluster.nodes[0].macs_per_s == 9e9
    assert faster.begun == (row,)
    ended = {"edited_rows": {0: {"between.1": "node-2"}}}
    done = edit_cluster(faster.cluster, UNITS, links=ended, begun=faster.begun)
    assert done.begun == ()
    (pair,) = done.cluster.pair_links
    assert (pair.between, pair.bandwidth_bytes_per_s) == (("node-1", "node-2"), 5e6)


def test_links_and_the_source_follow_a_nodes_new_name() -> None:
    cluster = unequal().model_copy(update={"source_node": "node-3"})
    new = edit_cluster(cluster, UNITS, nodes={"edited_rows": {2: {"name": "c"}}}).cluster
    assert new.source_node == "c"
    assert new.pair_links[0].between == ("node-1", "c")
    gone = edit_cluster(
        cluster.model_copy(update={"pair_links": ()}), UNITS, nodes={"deleted_rows": [2]}
    )
    assert gone.cluster.source_node is None


def test_two_best_of_unequal_nodes_may_work_and_like_ones_are_cut() -> None:
    question = ask_on_page(unequal(), 2, accuracy_model="none")
    assert len(question.tuned_cluster.nodes) == 4
    plan = Answer(load_model("resnet50-eighth"), question).plan
    assert "node-2" in plan.predicted.memory_bytes
    assert len(ask_on_page("small-nodes", 2).tuned_cluster.nodes) == 2
    assert len(ask_on_page(unequal(), 6).tuned_cluster.nodes) == 6
    assert is_uniform(load_cluster("small-nodes")) and not is_uniform(unequal())


def test_an_edited_table_is_a_cluster_of_ones_own() -> None:
    page = opened("hardware", nodes="2")
    before = shown_headline(page)
    (field,) = [x for x in page.number_input if x.label.startswith("Delay of a message")]
    good(field.set_value(5.0).run())
    assert page.selectbox(key="cluster").value == "own"
    assert shown_title(page) == "resnet50 on small-nodes-edited"
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
    "preset": ask_on_page(
        "small-nodes", 3, accuracy_model="curve:resnet50-imagenet/equal", max_accuracy_drop=0.5
    ),
    "tuned": ask_on_page(
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
    "more nodes": ask_on_page(
        "head-mounted",
        4,
        parallelism="within-layer",
        accuracy_model="none",
        min_throughput_per_s=0.5,
    ),
    "ways": ask_on_page(
        "small-nodes", 3, accuracy_model="none", ways=("features", "sums"), max_sparsity=0.9
    ),
    "own": ask_on_page(unequal(), 3, accuracy_model="none"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_command_makes_the_very_plan(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = CASES[case]
    question = replace(asked, request=replace(asked.request, time_limit_s=HANG_S))
    answer = Answer(load_model("resnet50-quarter"), question)
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
    done = planner(*words[0][1:], "--format", "json", "--time-limit", str(HANG_S))
    assert done.code == 0, done.err
    plan = json.loads(done.out)
    ours = answer.plan.model_dump(mode="json")
    assert plan["stages"] == ours["stages"]
    assert plan["predicted"] == ours["predicted"]


def test_a_question_has_what_the_controls_say() -> None:
    from app.page.address import defaults

    values = defaults({"cluster": "esp32-s3"})
    assert question_of(values) == ask_on_page(
        "esp32-s3",
        4,
        accuracy_model="curve:resnet50-imagenet/equal-squares",
    )
    limited = question_of(values | {"limit": 0.5, "sparsity": 0.9, "ways": "features,sums"})
    assert limited.request.limits.max_accuracy_drop == 0.5
    assert (limited.request.max_sparsity, limited.request.ways) == (0.9, ("features", "sums"))
    values |= {"bandwidth": 1.0, "memory": 4.0, "medium": "full_duplex", "accuracy": "none"}
    asked = question_of(values)
    assert [asked.value(x) for x in ("bandwidth_bytes_per_s", "memory_bytes")] == [1e6, 4_000_000]
    assert (asked.costs.medium, asked.costs.casting) == ("full_duplex", None)
    assert asked.accuracy_model == "none"

"""``planner pareto``: the frontier on a terminal, as data, in a file, and its refusals."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path

import pytest

from planner.domain.plan import Plan
from tests.app.command import one_line, planner

FRONTIER = ("pareto", "resnet50-eighth", "--accuracy-model", "curve:resnet50-imagenet")
SMALL = (*FRONTIER, "--max-nodes", "3", "--points", "4", "--time-limit", "500")
COLUMNS = {"latency (ms)", "throughput (1/s)", "nodes", "strategy", "S_comm (%)", "status", "gap"}


def test_a_frontier_on_the_terminal() -> None:
    done = planner("pareto", "resnet50", "--max-nodes", "2", "--points", "3")
    assert done.code == 0, done.err
    assert done.out.startswith("From ")
    assert "resnet50 on small-nodes: accuracy against latency" in done.out
    rows = [line.split() for line in done.out.splitlines() if "optimal-" in line]
    assert len(rows) >= 2
    drops = [float(row[2]) for row in rows]
    assert drops == sorted(drops, reverse=True) and drops[-1] == 0


def test_a_frontier_as_json_csv_and_file_is_one_and_the_same(tmp_path: Path) -> None:
    saved = tmp_path / "frontier.json"
    done = planner(*SMALL, "--format", "json", "-o", str(saved))
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document == json.loads(saved.read_text(encoding="utf-8"))
    assert document["schema_version"] == 1
    assert document["trade"] == "accuracy"
    assert document["accuracy_model"].startswith("curve:resnet50-imagenet/")
    points = document["points"]
    assert len(points) >= 2 and all("plan" not in point for point in points)
    for one, other in itertools.pairwise(points):
        assert one["latency_s"] < other["latency_s"]
        assert one["accuracy_drop"] > other["accuracy_drop"]
    assert {point["certificate"]["status"] for point in points} == {"optimal"}
    table = list(csv.DictReader(io.StringIO(planner(*SMALL, "--format", "csv").out)))
    assert set(table[0]) >= COLUMNS
    assert [float(row["latency (ms)"]) for row in table] == pytest.approx(
        [point["latency_s"] * 1e3 for point in points]
    )
    assert [row["strategy"] for row in table] == [point["strategy"] for point in points]


def test_a_point_is_what_plan_finds_at_its_accuracy_drop() -> None:
    points = json.loads(planner(*SMALL, "--format", "json").out)["points"]
    middle = points[len(points) // 2]
    drop = f"{middle['accuracy_drop'] * (1 + 1e-9):.17g}"
    words = ("plan", *SMALL[1:6], "--max-accuracy-drop", drop, "--format", "json")
    plan = Plan.model_validate_json(planner(*words).out)
    assert plan.predicted.latency_s == pytest.approx(middle["latency_s"])


def test_latency_against_throughput() -> None:
    words = ("pareto", "deit-s", "--max-nodes", "4", "--trade", "throughput", "--points", "3")
    words += ("--ways", "features", "--accuracy-model", "curve:deit-s-imagenet/equal")
    done = planner(*words, "--format", "json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["trade"] == "throughput"
    points = document["points"]
    assert [points[0]["strategy"], points[-1]["strategy"]] == ["optimal-sparsity", "optimal-hybrid"]
    for one, other in itertools.pairwise(points):
        assert one["latency_s"] < other["latency_s"]
        assert one["throughput_per_s"] < other["throughput_per_s"]
    assert all(point["accuracy_drop"] <= 0.5 + 1e-9 for point in points)


def test_one_node_has_one_point() -> None:
    done = planner("pareto", "resnet50", "--max-nodes", "1")
    assert done.code == 0
    assert done.out.startswith("One plan is best in both measures: 1.09 s per input.")


@pytest.mark.parametrize(
    ("words", "code", "needles"),
    [
        (["resnet50", "--points", "1"], 2, ["--points", "2"]),
        (["resnet50", "--points", "many"], 2, ["--points"]),
        (["resnet50", "--trade", "money"], 2, ["--trade 'money'", "accuracy, throughput"]),
        (["resnet50", "--parallelism", "none"], 2, ["--parallelism 'none'", "hybrid"]),
        (["resnet50", "--max-nodes", "9"], 2, ["--max-nodes 9", "1 to 8 nodes"]),
        (["mobilenetv2-224"], 2, ["no accuracy model", "--accuracy-model", "--trade throughput"]),
        (
            ["resnet50", "--max-latency", "1ms", "--max-nodes", "2", "--ways", "features"],
            3,
            ["no plan fits"],
        ),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(
    words: list[str], code: int, needles: list[str]
) -> None:
    done = planner("pareto", *words)
    assert done.code == code, done.err
    message = one_line(done)
    for needle in needles:
        assert needle in message

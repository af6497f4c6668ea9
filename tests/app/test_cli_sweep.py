"""``planner sweep`` and ``planner needs``: on a terminal, as data, in a file, and refused."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from planner.domain.plan import Plan
from tests.app.command import one_line, planner

CURVE = ("--accuracy-model", "curve:resnet50-imagenet")
MODEL = ("resnet50-eighth", *CURVE, "--ways", "features", "--max-accuracy-drop", "0.5")
SWEEP = ("sweep", *MODEL, "--over", "bandwidth")
NEEDS = ("needs", *MODEL, "--max-nodes", "3", "--latency")


def test_a_sweep_on_the_terminal() -> None:
    done = planner(*SWEEP, "--from", "100kB/s", "--to", "1GB/s", "--points", "4")
    assert done.code == 0, done.err
    assert done.out.startswith("Bandwidth: ")
    assert "at 100 kB/s, " in done.out and " at 1 GB/s." in done.out
    assert "Several nodes are best from somewhere between " in done.out
    rows = [line.split() for line in done.out.splitlines() if "optimal " in line]
    assert [row[0] for row in rows] == ["0.1", "2.154", "46.42", "1,000"]


def test_a_sweep_as_json_csv_and_file_is_one_and_the_same(tmp_path: Path) -> None:
    saved = tmp_path / "sweep.json"
    words = (*SWEEP, "--values", "20MB/s,37.5MB/s,1MB/s", "--max-nodes", "3")
    done = planner(*words, "--format", "json", "-o", str(saved))
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document == json.loads(saved.read_text(encoding="utf-8"))
    assert document["schema_version"] == 1
    assert (document["over"], document["unit"]) == ("bandwidth", "bytes/s")
    assert document["current"] == 37.5e6 and document["limits"]["max_accuracy_drop"] == 0.5
    points = document["points"]
    assert [point["value"] for point in points] == [1e6, 20e6, 37.5e6]
    best = [point["best"] for point in points]
    assert all("plan" not in found for found in best)
    assert {found["certificate"]["status"] for found in best} == {"optimal"}
    assert best[0]["origin"]["latency_s"] == "derived"
    assert best[0]["latency_s"] > best[1]["latency_s"] > best[2]["latency_s"]
    table = list(csv.DictReader(io.StringIO(planner(*words, "--format", "csv").out)))
    assert [row["bandwidth B (MB/s)"] for row in table] == ["1.0", "20.0", "37.5"]
    assert [float(row["latency (ms)"]) for row in table] == pytest.approx(
        [found["latency_s"] * 1e3 for found in best]
    )
    assert [row["note"] for row in table] == ["", "", "the present value"]
    plan = planner("plan", *MODEL, "--max-nodes", "3", "--bandwidth", "20MB/s", "--format", "json")
    predicted = Plan.model_validate_json(plan.out).predicted
    assert predicted.latency_s == pytest.approx(best[1]["latency_s"])


@pytest.mark.parametrize(
    ("words", "column", "values"),
    [
        (
            ["--over", "compute", "--points", "3"],
            "computing speed C (GMAC/s)",
            ["0.1171875", "3.75", "120.0"],
        ),
        (
            ["--over", "compute", "--from", "2GFLOP/s", "--to", "1e10", "--points", "2"],
            "computing speed C (GMAC/s)",
            ["1.0", "10.0"],
        ),
        (["--over", "nodes", "--to", "3"], "at most (nodes)", ["1", "2", "3"]),
        (["--over", "nodes", "--values", "2,10"], "at most (nodes)", ["2", "10"]),
        (
            ["--over", "link-latency", "--values", "10us,1ms"],
            "delay of a message (ms)",
            ["0.01", "1.0"],
        ),
        (["--over", "memory", "--values", "1MB,1GiB"], "memory limit (MB)", ["1.0", "1073.741824"]),
    ],
)
def test_every_quantity_can_be_swept(words: list[str], column: str, values: list[str]) -> None:
    done = planner("sweep", *MODEL, *words, "--format", "csv")
    assert done.code == 0, done.err
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row[column] for row in rows] == values
    assert all(row["status"] in ("optimal", "infeasible") for row in rows)


def test_values_without_a_plan_say_why() -> None:
    words = ("sweep", *MODEL, "--over", "memory", "--values", "1kB,100MB", "--max-nodes", "2")
    done = planner(*words)
    assert done.code == 0 and "No plan at 1 of 2 values." in done.out
    first, last = json.loads(planner(*words, "--format", "json").out)["points"]
    assert first["best"] is None and first["failure"] == "infeasible"
    assert "no plan fits: memory" in first["reason"]
    assert last["best"] and last["failure"] is None and last["reason"] == ""


def test_what_a_latency_needs() -> None:
    done = planner(*NEEDS, "12ms", "--tolerance", "0.1")
    assert done.code == 0, done.err
    met, enough, smallest = done.out.splitlines()[:3]
    assert met.startswith("12 ms is not met yet with 37.5 MB/s: the best plan takes ")
    assert " is enough: " in enough
    assert smallest.startswith("That is the smallest value to within 10 %: ")
    assert "is proven not to be" in smallest


def test_what_a_latency_needs_as_json_is_what_plan_confirms(tmp_path: Path) -> None:
    saved = tmp_path / "needed.json"
    done = planner(*NEEDS, "12ms", "--tolerance", "0.2", "--format", "json", "-o", str(saved))
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found == json.loads(saved.read_text(encoding="utf-8"))
    assert (found["schema_version"], found["outcome"], found["proven"]) == (1, "found", True)
    assert found["met"] is False and found["current"] == 37.5e6
    assert found["not_enough"] < found["enough"] <= found["not_enough"] * 1.2
    for key, meets in (("enough", True), ("not_enough", False)):
        words = (*MODEL, "--max-nodes", "3", "--bandwidth", f"{found[key]!r}", "--format", "json")
        predicted = Plan.model_validate_json(planner("plan", *words).out).predicted
        assert (predicted.latency_s <= 0.012 * (1 + 1e-9)) == meets


def test_a_number_of_nodes_and_any_bandwidth() -> None:
    done = planner("needs", *MODEL, "--latency", "15ms", "--of", "nodes")
    assert done.code == 0 and "That is the smallest number: " in done.out, done.err
    done = planner(*NEEDS, "1s")
    assert done.code == 0 and "1 s is met already" in done.out
    assert "Any bandwidth is enough: single-node on 1 node" in done.out


def test_an_unreachable_target_says_what_is_least() -> None:
    done = planner(*NEEDS, "1ms")
    assert done.code == 3
    message = one_line(done)
    assert "No bandwidth is enough for 1 ms: no plan takes less than " in message
    assert "as good as unlimited bandwidth" in message
    done = planner(*NEEDS, "1ms", "--format", "json")
    assert done.code == 3
    found = json.loads(done.out)
    assert (found["outcome"], found["proven"], found["enough"]) == ("unreachable", True, None)
    assert 0.001 < found["best"]["latency_s"] < found["current_best"]["latency_s"]
    done = planner("needs", *MODEL, "--latency", "1ms", "--of", "nodes", "--up-to", "9")
    assert done.code == 3 and "No number of nodes up to 9 is enough" in one_line(done)


@pytest.mark.parametrize(
    ("words", "code", "needles"),
    [
        (["sweep", "resnet50"], 2, ["--over"]),
        (["sweep", "resnet50", "--over", "money"], 2, ["--over 'money'", "link-latency, memory"]),
        (["sweep", *MODEL, "--over", "bandwidth", "--from", "9GMAC/s"], 2, ["--from", "37.5MB/s"]),
        (["sweep", *MODEL, "--over", "compute", "--to", "0"], 2, ["--to", "found '0'"]),
        (["sweep", *MODEL, "--over", "bandwidth", "--from", "1GB/s", "--to", "1MB/s"], 2, ["rise"]),
        (["sweep", *MODEL, "--over", "bandwidth", "--points", "1"], 2, ["--points", "2"]),
        (
            ["sweep", *MODEL, "--over", "bandwidth", "--values", "1MB/s,"],
            2,
            ["--values", "found ''"],
        ),
        (
            ["sweep", *MODEL, "--over", "bandwidth", "--values", "1MB/s", "--to", "2MB/s"],
            2,
            ["--values and --from or --to", "one of them"],
        ),
        (["sweep", *MODEL, "--over", "nodes", "--to", "2.5"], 2, ["--to", "whole number of nodes"]),
        (["sweep", *MODEL, "--over", "nodes", "--to", "300"], 2, ["nodes: found 300", "256"]),
        (["sweep", *MODEL, "--over", "nodes", "--from", "0"], 2, ["nodes: found 0", "1 or more"]),
        (["sweep", *MODEL, "--over", "nodes", "--max-nodes", "2"], 2, ["leave --max-nodes out"]),
        (["sweep", *MODEL, "--over", "memory"], 2, ["--from and --to", "give both"]),
        (["sweep", *MODEL, "--over", "link-latency", "--to", "1s"], 2, ["give both"]),
        (["sweep", *MODEL, "--over", "bandwidth", "--objective", "joy"], 2, ["--objective 'joy'"]),
        (
            ["sweep", *MODEL, "--over", "nodes", "--max-latency", "1us"],
            3,
            ["at none of 8 values of nodes", "no plan fits"],
        ),
        (["needs", *MODEL], 2, ["--latency"]),
        ([*NEEDS, "soon"], 2, ["--latency", "found 'soon'", "40ms"]),
        ([*NEEDS, "10MB"], 2, ["--latency", "found '10MB'"]),
        (
            [*NEEDS, "1ms", "--of", "luck"],
            2,
            ["--of 'luck'", "bandwidth, compute, memory-bandwidth, nodes"],
        ),
        ([*NEEDS, "1ms", "--tolerance", "0"], 2, ["tolerance: found 0", "1e-06 to 0.5"]),
        ([*NEEDS, "1ms", "--max-latency", "1s"], 2, ["leave --max-latency out"]),
        ([*NEEDS, "1ms", "--up-to", "9"], 2, ["--up-to: only with --of nodes"]),
        ([*NEEDS, "1ms", "--of", "nodes"], 2, ["give --up-to in place of --max-nodes"]),
        (
            ["needs", *MODEL, "--latency", "1ms", "--of", "nodes", "--up-to", "7"],
            2,
            ["most nodes: found 7", "give 8"],
        ),
        (
            ["needs", *MODEL, "--latency", "1ms", "--of", "nodes", "--up-to", "999"],
            2,
            ["most nodes: found 999", "256"],
        ),
        ([*NEEDS, "1ms", "--max-nodes", "9"], 2, ["--max-nodes 9", "1 to 8 nodes"]),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(
    words: list[str], code: int, needles: list[str]
) -> None:
    done = planner(*words)
    assert done.code == code, done.err
    message = one_line(done)
    for needle in needles:
        assert needle in message


def test_half_and_twice_of_each_quantity() -> None:
    done = planner("sweep", *MODEL, "--over", "all", "--max-nodes", "2", "--format", "json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert {swing["of"] for swing in found["swings"]} == {"bandwidth", "compute", "nodes"}
    shown = planner("sweep", *MODEL, "--over", "all", "--max-nodes", "2")
    assert shown.out.startswith("What changes most is the ")
    assert len(re.findall(" half  +[0-9]", shown.out)) == 3
    refused = planner(*SWEEP[:-1], "all", "--values", "1MB/s")
    assert refused.code == 2 and "leave the values out" in one_line(refused)

"""The command line as a user types it: output, messages and exit codes."""

from __future__ import annotations

import csv
import io
import json
from importlib.metadata import version
from pathlib import Path

import pytest

from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.strategies.compare import Comparison
from tests.app.command import one_line, planner, planner_process

STRATEGIES = {
    "single-node",
    "dense",
    "independent-branches",
    "disco-uniform",
    "random",
    "dense-then-split@1",
    "dense-then-split@2",
    "dense-then-split@3",
    "split-then-aggregate@1",
    "split-then-aggregate@2",
    "split-then-aggregate@3",
    "pipeline-equal",
    "ar-mdi",
    "ar-mdi-macs",
    "rows",
    "fused-rows",
    "tensor-parallel",
    "optimal-allocation",
    "optimal-sparsity",
    "optimal-lossless",
    "optimal",
}


COMMANDS = (
    "profile",
    "plan",
    "compare",
    "pareto",
    "sweep",
    "needs",
    "answer",
    "fits",
    "export",
    "slice",
    "run",
    "catalog",
    "cluster",
    "measure",
    "app",
)


def test_help_names_every_command_and_exit_code() -> None:
    done = planner_process("--help")
    assert done.code == 0
    for word in (*COMMANDS, "Exit codes"):
        assert word in done.out
    asked_nothing = planner()
    assert asked_nothing.code == 2
    assert "Exit codes" in asked_nothing.out and not asked_nothing.err
    assert "planner plan resnet50" in asked_nothing.out and "--help" in asked_nothing.out


def test_the_version_is_that_of_the_package() -> None:
    done = planner("--version")
    assert (done.code, done.out, done.err) == (0, f"planner {version('disco-planner')}\n", "")


def test_a_command_that_is_no_command_is_answered_with_the_nearest() -> None:
    done = planner("plam", "resnet50")
    assert done.code == 2 and "Did you mean" in one_line(done) and "'plan'" in one_line(done)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("profile", ["--input-shape", "--batch", "--view", "--depth", "--attach"]),
        ("plan", ["--nodes", "--max-nodes", "--parallelism", "--objective", "--solver"]),
        ("compare", ["--nodes", "--sparsity", "--split-points", "--objective"]),
        ("pareto", ["--trade", "--points", "--max-nodes", "--parallelism"]),
        ("sweep", ["--over", "--from", "--to", "--points", "--values", "--objective"]),
        ("needs", ["--latency", "--of", "--tolerance", "--up-to", "--max-nodes"]),
        ("export", ["PLAN", "--to"]),
        ("catalog", ["models, clusters, accuracy, devices, links or language"]),
        ("app", ["--port", "--headless"]),
    ],
)
def test_every_command_has_help(command: str, words: list[str]) -> None:
    done = planner(command, "--help")
    assert (done.code, done.err) == (0, "")
    shared = ["--cluster", "--memory", "--max-accuracy-drop", "--max-latency", "--format"]
    for word in words + shared * (command not in ("profile", "export", "catalog", "app")):
        assert word in done.out


def test_plan_json_is_alone_on_stdout_and_a_plan() -> None:
    words = ("--cluster", "small-nodes", "--nodes", "2", "--max-accuracy-drop", "0.5")
    done = planner_process("plan", "resnet50", *words, "--format", "json")
    assert done.code == 0
    plan = Plan.model_validate_json(done.out)
    assert plan.node_count == 2
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    assert plan.predicted.accuracy_drop is not None and plan.predicted.accuracy_drop <= 0.5
    assert "assumed" in done.err  # the note goes beside the data, not into it
    document = json.loads(done.out)
    assert {"stages", "predicted", "certificate", "schema_version"} <= document.keys()
    layer = next(x for x in document["stages"][0]["layers"] if x["kept_features"] is not None)
    assert layer.keys() >= {"name", "nodes", "way", "layout", "kept_features", "sparsity"}


def test_plan_export_round_trip(tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    assert (
        planner("plan", "resnet50", "--max-nodes", "2", "--no-next-steps", "-o", str(saved)).code
        == 0
    )
    folder = tmp_path / "deep" / "out"
    done = planner("export", str(saved), "--to", str(folder), "--format", "json")
    assert done.code == 0
    assert json.loads(done.out) == [str(folder / "plan.json"), str(folder / "layers.csv")]
    plan = Plan.model_validate_json(saved.read_text(encoding="utf-8"))
    assert Plan.model_validate_json((folder / "plan.json").read_text(encoding="utf-8")) == plan
    rows = list(csv.DictReader(io.StringIO((folder / "layers.csv").read_text(encoding="utf-8"))))
    assert [row["layer"] for row in rows] == [layer.name for layer in plan.stages[0].layers]
    assert list(rows[0]) == [
        *("layer", "nodes", "node count", "way", "layout", "conversions", "fused up to"),
        *("kept features", "sparsity"),
    ]
    pooled = next(layer for layer in plan.stages[0].layers if layer.conversions)
    (brought,) = pooled.conversions
    row = next(row for row in rows if row["layer"] == pooled.name)
    assert row["conversions"] == f"{brought.tensor}: {brought.source}→{brought.target}"
    assert {(row["kept features"], row["sparsity"]) for row in rows} == {("", "")}, "none dropped"


def test_compare_shows_every_strategy() -> None:
    done = planner("compare", "resnet50", "--nodes", "2", "--format", "json")
    assert done.code == 0
    comparison = Comparison.model_validate_json(done.out)
    assert {row.strategy for row in comparison.rows} == STRATEGIES
    uniform = [r for r in comparison.rows if r.strategy == "disco-uniform"]
    assert [(r.nominal_sparsity, r.accuracy, r.accuracy_origin) for r in uniform] == [
        (0.8, 76.84, "measured"),
        (0.9, 76.50, "measured"),
    ]


def test_profile_round_trip_through_a_file(tmp_path: Path) -> None:
    saved = tmp_path / "model.json"
    done = planner("profile", "mobilenetv2-224", "-o", str(saved), "--format", "csv")
    assert done.code == 0
    assert len(list(csv.reader(io.StringIO(done.out)))) > 100
    again = planner("profile", str(saved), "--format", "json")
    assert ModelProfile.model_validate_json(again.out).totals.macs == 300_774_272


def test_catalog_in_every_format() -> None:
    document = json.loads(planner("catalog", "--format", "json").out)
    assert document.keys() == {"models", "clusters", "accuracy", "devices", "links", "language"}
    assert "resnet50" in planner("catalog", "models").out
    assert "head-mounted" in planner("catalog", "clusters", "--format", "csv").out


def test_tuning_the_cluster_changes_the_plan() -> None:
    def latency(*words: str) -> float:
        done = planner("plan", "resnet50", "--nodes", "2", "--format", "json", *words)
        return Plan.model_validate_json(done.out).predicted.latency_s

    base = latency()
    assert latency("--bandwidth", "300Mbit/s") == pytest.approx(base)  # 37.5 MB/s
    assert latency("--compute", "7.5GFLOP/s") == pytest.approx(base)  # 3.75 GMAC/s
    assert latency("--bandwidth", "75MB/s") < base
    assert latency("--compute", "7.5GMAC/s") < base


def test_where_one_node_is_enough_the_planner_says_so() -> None:
    words = ("--bandwidth", "1MB/s", "--ways", "features")
    done = planner("plan", "resnet50", *words, "--max-accuracy-drop", "0.1", "--no-next-steps")
    assert done.code == 0
    assert "One node, no training: 1.09 s; with training: " in done.out
    assert "One node is best" in done.out


@pytest.mark.parametrize(
    ("words", "code", "needles"),
    [
        (["plan", "nosuch"], 2, ["nosuch", "catalogue model"]),
        (["plan", "gone.onnx"], 2, ["gone.onnx", "no such file"]),
        (["plan", "resnet50", "--cluster", "nosuch"], 2, ["nosuch", "small-nodes"]),
        (["plan", "resnet50", "--nodes", "9"], 2, ["--nodes 9", "1 to 8 nodes"]),
        (["plan", "resnet50", "--max-nodes", "9"], 2, ["--max-nodes 9", "1 to 8 nodes"]),
        (["plan", "resnet50", "--nodes", "2", "--max-nodes", "3"], 2, ["--max-nodes"]),
        (["plan", "resnet50", "--nodes", "0"], 2, ["--nodes", "1"]),
        (["plan", "resnet50", "--parallelism", "wide"], 2, ["wide", "pipeline, hybrid"]),
        (["plan", "resnet50", "--bogus"], 2, ["--bogus"]),
        (["plan"], 2, ["SOURCE"]),
        (["plans"], 2, ["plans"]),
        (["plan", "resnet50", "--bandwidth", "0"], 2, ["--bandwidth", "37.5MB/s"]),
        (["plan", "resnet50", "--compute", "nan"], 2, ["--compute", "GMAC/s"]),
        (["plan", "resnet50", "--bandwidth", "3GMAC/s"], 2, ["--bandwidth"]),
        (
            ["plan", "resnet50", "--compute", "1e31MAC/s"],
            2,
            ["--compute: found '1e31", "1e+30"],
        ),
        (["plan", "resnet50", "--memory", "0.1B"], 2, ["memory_bytes: found 0"]),
        (["plan", "resnet50", "--max-accuracy-drop", "inf"], 2, ["--max-accuracy-drop", "finite"]),
        (["plan", "resnet50", "--min-throughput", "inf"], 2, ["--min-throughput", "finite"]),
        (["app", "--time-limit", "inf", "--headless"], 2, ["--time-limit", "finite"]),
        (["plan", "resnet50", "--cluster", "a" * 5000], 2, ["unknown", "small-nodes"]),
        (["plan", "resnet50", "--objective", "speed"], 2, ["speed", "latency, throughput"]),
        (["plan", "resnet50", "--medium", "wifi"], 2, ["wifi", "shared"]),
        (["plan", "resnet50", "--accuracy-model", "curve:x"], 2, ["resnet50-imagenet"]),
        (["plan", "mobilenetv2-224", "--max-accuracy-drop", "1"], 2, ["no accuracy model"]),
        (
            ["plan", "resnet50", "--input-shape", "image=1,3,0,224"],
            2,
            ["input 'image': found the shape 1,3,0,224"],
        ),
        (["plan", "resnet50", "--input-shape", "image=1,4,96,96"], 2, ["fixed at 3"]),
        (["export", "gone.json", "--to", "x"], 2, ["gone.json"]),
        (["catalog", "cars"], 2, ["cars", "models, clusters, accuracy"]),
        (["profile", "nosuchmodule:build", "--input-shape", "x=1,3"], 2, ["nosuchmodule"]),
        (["profile", "os:getcwd"], 2, ["--input-shape"]),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(
    words: list[str], code: int, needles: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = planner(*words)
    assert done.code == code, done.err
    message = one_line(done)
    for needle in needles:
        assert needle in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value", "needles"),
    [
        ('"bandwidth_bytes_per_s": 1e6', '"bandwidth_bytes_per_s": 0', ["bandwidth", "greater"]),
        ('"bandwidth_bytes_per_s": 1e6', '"bandwidth_bytes_per_s": NaN', ["bandwidth"]),
        ('"macs_per_s": 1e9', '"macs_per_s": -1', ["macs_per_s", "greater"]),
        ('"macs_per_s": 1e9', '"macs_per_s": "fast"', ["macs_per_s"]),
        ('"medium": "shared"', '"medium": "air"', ["medium", "shared"]),
        ('"schema_version": 1', '"schema_version": 2', ["schema_version"]),
        ('"name": "mine"', '"nam": "mine"', ["nam"]),
    ],
)
def test_a_cluster_file_with_a_mistake(
    tmp_path: Path, field: str, value: str, needles: list[str]
) -> None:
    text = (
        '{"schema_version": 1, "name": "mine", "nodes": [{"name": "a", "macs_per_s": 1e9}], '
        '"link": {"bandwidth_bytes_per_s": 1e6}, "medium": "shared"}'
    )
    assert field in text
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(text, encoding="utf-8")
    bad.write_text(text.replace(field, value), encoding="utf-8")
    assert planner("plan", "resnet50", "--cluster", str(good), "--no-next-steps").code == 0
    done = planner("plan", "resnet50", "--cluster", str(bad))
    assert done.code == 2
    message = one_line(done)
    assert "bad.json" in message
    for needle in needles:
        assert needle in message


def test_a_spreadsheet_runs_no_layer_name() -> None:
    from app.tables import Table, to_csv

    text = to_csv(Table("t", ("layer", "n"), (("=cmd()", 1), ("+1", -2), ("@x", 3), ("ok", 4))))
    assert [row[0] for row in csv.reader(io.StringIO(text))] == [
        "layer",
        "'=cmd()",
        "'+1",
        "'@x",
        "ok",
    ]


def test_a_module_of_the_user_is_profiled(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def build():\n"
        "    return torch.nn.Sequential(\n"
        "        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1)\n"
        "    )\n",
        encoding="utf-8",
    )
    words = ("profile", "mine:build", "--input-shape", "image=1,3,10,10", "--format", "json")
    done = planner_process(*words, cwd=tmp_path)
    assert done.code == 0, done.err
    profile = ModelProfile.model_validate_json(done.out)
    assert profile.totals.macs == 100 * 8 * 3 * 9 + 100 * 4 * 8
    assert profile.coverage.witness is not None
    assert profile.coverage.witness.total_macs == profile.totals.macs
    alone = planner_process(*words, "--no-witness", cwd=tmp_path)
    assert ModelProfile.model_validate_json(alone.out).coverage.witness is None

"""`planner measure`: from times and parts to a cluster that plans are made for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.measure.parts import NodeMeasurement
from profiles.files import document_text, read_document
from tests.app.command import one_line, planner
from tests.measure.made import links_part, node_part


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(document_text(node_part(name)))
    (tmp_path / "links.json").write_text(document_text(links_part()))
    (tmp_path / "strangers.json").write_text(document_text(links_part(("a", "z"))))
    (tmp_path / "two.csv").write_text("model,seconds\nresnet50,0.335\nmobilenetv2-224,0.064\n")
    (tmp_path / "one.csv").write_text("model,seconds\nresnet50,0.335\n")
    return tmp_path


def test_help_names_the_steps() -> None:
    text = planner("measure", "--help").out
    assert all(word in text for word in ("node", "links", "fit", "join"))


def test_two_times_of_a_readme_become_a_cluster_and_a_plan(folder: Path) -> None:
    done = planner("measure", "fit", "two.csv", "--name", "pi", "-o", "pi.json", "--format", "json")
    assert done.code == 0, done.err
    part = read_document("pi.json", NodeMeasurement, what="part")
    assert json.loads(done.out) == part.model_dump(mode="json")
    assert [round(one.predicted_s or 0, 6) for one in part.models] == [0.335, 0.064]
    done = planner(
        "measure", "join", "pi.json", "a.json", "--link", "gigabit-ethernet", "-o", "c.json"
    )
    assert done.code == 0, done.err
    cluster = read_document("c.json", Cluster, what="cluster")
    assert [node.name for node in cluster.nodes] == ["pi", "a"]
    assert {"pi.macs_per_s", "a.macs_per_s", "latency_s"} <= {x.key for x in cluster.figures}
    done = planner(
        "plan", "mobilenetv2-224", "--cluster", "c.json", "--nodes", "1", "--no-next-steps"
    )
    assert done.code == 0, done.err


def test_measured_links_are_joined(folder: Path) -> None:
    done = planner("measure", "join", "a.json", "b.json", "--links", "links.json", "-o", "c.json")
    assert done.code == 0, done.err
    assert "a.message_send_s" in done.out
    cluster = read_document("c.json", Cluster, what="cluster")
    assert cluster.link.bandwidth_bytes_per_s == pytest.approx(1e7)


def test_one_node_needs_no_link_and_a_bandwidth_is_one(folder: Path) -> None:
    assert planner("measure", "join", "a.json").code == 0
    done = planner("measure", "join", "a.json", "b.json", "--link", "300Mbit/s", "-o", "c.json")
    assert done.code == 0, done.err
    assert read_document("c.json", Cluster, what="cluster").link.bandwidth_bytes_per_s == 37.5e6


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["fit", "one.csv"], "1 model: two unknowns"),
        (["fit", "none.csv"], "no such file"),
        (["join", "a.json", "b.json"], "2 nodes need a link"),
        (["join", "a.json", "b.json", "--links", "strangers.json"], "measured among a, z"),
        (["join", "a.json", "b.json", "--links", "links.json", "--link", "1MB/s"], "one of them"),
        (["join", "a.json", "a.json", "--link", "1MB/s"], "two measurements"),
        (["join", "links.json"], "links.json: "),
        (["join", "a.json", "b.json", "--link", "string"], "gigabit-ethernet"),
        (["join", "a.json", "--name", ""], "name: "),
        (["links"], "under torchrun"),
        (["node", "--engine", "abacus"], "torch, onnxruntime"),
        (["node", "--model", "resnet50"], "MODULE:CALLABLE"),
        (["node", "--model", "own:make", "--engine", "onnxruntime"], "models are run with torch"),
        (["node", "--input-shape", "x=1"], "--model, which is not given"),
        (["node", "--time-limit", "nan"], "--time-limit"),
        (["node", "--name", ""], "--name"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str], match: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    done = planner("measure", *words, "-o", "out.json")
    assert done.code == 2
    assert match in one_line(done)
    assert not Path("out.json").exists()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "the first line is ''; give model,seconds"),
        ("model,ms\nresnet50,3\n", "give model,seconds"),
        ("model,seconds\nresnet50\n", "line 2: 1 values"),
        ("model,seconds\nresnet50,-1\n", "line 2: found '-1'"),
        ("model,seconds\nresnet50,nan\n", "line 2: found 'nan'"),
        ("model,seconds\nresnet50,1_0\n", "line 2: found '1_0'"),
        ("model,seconds\nresnet50,1e-300\nmobilenetv2-224,1\n", "give seconds, 1e-09 to 1e+09"),
        ("model,seconds\nresnet50,2e9\n", "give seconds, 1e-09 to 1e+09"),
        ("model,seconds\nown:make,1\n", "line 2: found 'own:make'; give a catalogue model, or"),
        ("model,seconds\n,1\n", "line 2: found ''; give a catalogue model, or"),
        ("model,seconds\nresnet50,fast\n", "line 2: found 'fast'"),
        ("model,seconds\nresnet51,1\n", "resnet51"),
        ("model,seconds\n", "0 models: two unknowns"),
        (f"model,seconds\n{'x' * 200_000},1\n", "times.csv: is no CSV file: field larger"),
    ],
)
def test_tables_of_times_are_checked(text: str, match: str, folder: Path) -> None:
    Path("times.csv").write_text(text)
    done = planner("measure", "fit", "times.csv")
    assert done.code == 2
    assert match in one_line(done)


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "two.csv", "-o", "two.csv"],
        ["fit", "two.csv", "-o", "./two.csv"],
        ["join", "a.json", "b.json", "--links", "links.json", "-o", "b.json"],
        ["join", "a.json", "b.json", "--links", "links.json", "-o", "links.json"],
    ],
)
def test_what_is_read_is_not_written_over(words: list[str], folder: Path) -> None:
    before = Path(words[-1]).read_bytes()
    assert f"--output {Path(words[-1])}: is a file that the command reads" in one_line(
        planner("measure", *words)
    )
    assert Path(words[-1]).read_bytes() == before


def test_a_place_for_the_part_is_looked_for_before_anything_is_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    operators = pytest.importorskip("planner.measure.running.operators")
    monkeypatch.delattr(operators, "run_shapes")  # whoever imports it has begun
    done = planner("measure", "node", "-o", "missing/here.json")
    assert done.code == 2
    assert "missing/here.json: cannot be written" in one_line(done)
    monkeypatch.setenv("RANK", "1")  # of these processes the first one writes
    for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert "under torchrun" in one_line(planner("measure", "links", "-o", "missing/links.json"))


def test_the_rate_alone_can_be_had_of_one_time(folder: Path) -> None:
    done = planner("measure", "fit", "one.csv", "--only-rate", "--format", "csv")
    assert done.code == 0, done.err
    assert "layer_overhead_s" not in done.out


def test_a_part_that_was_cut_off_is_refused(folder: Path) -> None:
    text = Path("a.json").read_text()
    Path("cut.json").write_text(text[: len(text) // 2])
    assert "cut.json: line" in one_line(planner("measure", "join", "cut.json"))
    Path("cut.json").write_text(text.replace('"complete": true', '"complete": false'))
    assert "was cut off" in one_line(planner("measure", "join", "cut.json"))


@pytest.mark.slow
def test_this_machine_is_measured_with_a_model(folder: Path) -> None:
    Path("own.py").write_text(
        "from torch import nn\n"
        "def make(): return nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3))\n"
    )
    words = ["--model", "own:make", "--input-shape", "image=1,3,112,112", "--name", "here"]
    done = planner("measure", "node", *words, "--time-limit", "120", "-o", "here.json")
    assert done.code == 0, done.err
    part = read_document("here.json", NodeMeasurement, what="part")
    assert part.complete
    assert part.node.macs_per_s_by_kind.keys() >= {"conv", "conv-1x1", "depthwise", "linear"}
    (own,) = part.models
    assert own.predicted_s is not None
    timed = planner("profile", *words[1:4], "--attach", "here.json", "-o", "timed.json")
    assert timed.code == 0, timed.err
    profile = read_document("timed.json", ModelProfile, what="profile")
    works = {layer.name for layer in profile.layers if layer.macs}
    assert works <= {layer.name for layer in profile.layers if layer.measured_s}
    assert works <= {item.layer for item in own.layers}
    taken = sum(item.seconds for item in own.layers)
    assert own.measured_s / 4 < taken < 4 * own.measured_s  # two runs of it, one call by call
    assert sum(item.predicted_s for item in own.layers) == pytest.approx(own.predicted_s)


def test_times_at_the_ends_of_what_is_allowed_are_fitted(folder: Path) -> None:
    Path("ends.csv").write_text("model,seconds\nresnet50,1e9\nmobilenetv2-224,1e-9\n")
    assert planner("measure", "fit", "ends.csv").code in (0, 2)
    for seconds in ("1e9", "1e-9"):
        Path("end.csv").write_text(f"model,seconds\nresnet50,{seconds}\n")
        assert planner("measure", "fit", "end.csv", "--only-rate").code == 0

"""``planner sensitivity``: a file that resumes after Ctrl-C and that plans can be made with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from planner.training.tasks import loop
from profiles.sensitivities import read_sensitivities
from tests.app.command import one_line, planner
from tests.processor_time import HANG_S

FEW = ("--steps", "2", "--level", "1")
NETWORK = "planner.training.tasks.digits_cnn:ResidualNetwork"
LAYERS = 11  # of the network exchange features


def never(*args: object) -> None:
    raise AssertionError("minutes would be spent before the answer")


def rows(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.startswith(("blocks", "head"))]


def test_ctrl_c_leaves_a_file_that_the_same_command_goes_on_with(tmp_path: Path) -> None:
    path = tmp_path / "digits.csv"
    words = ["sensitivity", *FEW, "-o", str(path)]
    command = [sys.executable, "-c", "from app.cli import main; main()", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        ends = time.monotonic() + HANG_S
        while not (path.exists() and len(rows(path)) >= 2):
            assert process.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 130
    assert (out, err) == (b"", b"planner: interrupted\n")
    before = rows(path)
    assert 2 <= len(before) < LAYERS
    assert [file.name for file in tmp_path.iterdir()] == ["digits.csv"]

    done = planner(*words, "--format", "json")
    assert (done.code, done.err.replace("\n", "")) == (0, f"wrote {path}")
    assert rows(path)[: len(before)] == before
    assert len(rows(path)) == LAYERS
    found = json.loads(done.out)
    measured = read_sensitivities(path)
    assert found["metric"] == measured.metric == "accuracy (%), digits-cnn, validation"
    assert found["dense"] == measured.dense_value
    assert found["nodes"] == measured.nodes == 2
    assert len(found["rows"]) == LAYERS
    for row in found["rows"]:
        assert measured.points[row["layer"]][row["sparsity"]] == row["loss"]

    plan = ["plan", NETWORK, "--input-shape", "image=1,1,8,8", "--parallelism", "within-layer"]
    plan += ["--nodes", "2", "--accuracy-model", f"csv:{path}", "--format", "json"]
    planned = planner(*plan, "--max-accuracy-drop", "100")
    assert planned.code == 0, planned.err
    assert json.loads(planned.out)["accuracy_model"] == "csv:digits.csv"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "mnist"), "task 'mnist': give one of digits-cnn, digits-vit"),
        (("--nodes", "9"), "cluster small-nodes has 1 to 8"),
        (("--cluster", "nowhere"), "nowhere"),
        (("--level", "90"), "found level 90.0; give S_comm above 0 and at most 1"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(loop, "train_dense", never)
    done = planner("sensitivity", *words, "-o", str(tmp_path / "digits.csv"))
    assert done.code == 2
    assert said in one_line(done)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_missing_is_named_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loop, "train_dense", never)
    done = planner("sensitivity", "-o", str(tmp_path / "missing" / "digits.csv"))
    assert done.code == 2
    assert "missing/digits.csv: cannot be written: No such file or directory" in one_line(done)

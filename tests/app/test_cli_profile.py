"""``planner profile`` on a terminal and into files: the tree, the flat table, the data."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from profiles.catalog import load_model
from tests.processor_time import HANG_S


def profile(*words: str, columns: int = 100) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from app.cli import main; main()", "profile", *words]
    environment = {**os.environ, "COLUMNS": str(columns)}
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, env=environment)


def test_the_tree_is_what_a_terminal_shows() -> None:
    done = profile("resnet50")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "4,089,184,256 MACs" in lines[0] and "25,557,032 parameters" in lines[0]
    assert any(line.startswith("├ resnet ") and "173 layers" in line for line in lines)
    assert "MACs per byte" in done.stdout and "weights 102 MB" in done.stdout
    assert max(map(len, lines[3:-1])) <= 100
    folded = profile("resnet50", "--depth", "1").stdout.splitlines()
    assert len(folded) < 12 < len(lines)
    assert folded[0] == lines[0]


def test_the_flat_view_has_every_layer() -> None:
    done = profile("resnet50", "--view", "flat", columns=200)
    assert done.returncode == 0
    for layer in load_model("resnet50").layers:
        assert layer.name in done.stdout


def test_data_is_flat_whatever_the_view() -> None:
    rows = list(csv.reader(io.StringIO(profile("deit-s", "--format", "csv").stdout)))
    names = [layer.name for layer in load_model("deit-s").layers]
    assert [row[0] for row in rows[1:]] == [f"'{n}" if n[0] in "=+-@" else n for n in names]
    document = json.loads(profile("deit-s", "--format", "json", "--view", "flat").stdout)
    assert [layer["name"] for layer in document["layers"]] == names


@pytest.mark.parametrize(
    "words",
    [("--view", "flat"), ("--format", "json"), ("--format", "csv")],
)
def test_depth_is_of_the_tree_alone(words: tuple[str, ...]) -> None:
    done = profile("resnet50", "--depth", "2", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("planner: --depth: ") and done.stderr.count("\n") == 1

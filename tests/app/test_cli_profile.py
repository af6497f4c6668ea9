"""``planner profile`` on a terminal and into files: the tree, the flat table, the data."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from profiles.catalog import load_model
from tests.processor_time import HANG_S


def profile(*words: str, columns: int = 100, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from app.cli import main; main()", "profile", *words]
    environment = {**os.environ, **variables, "COLUMNS": str(columns)}
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


MODULES = """
import torch
from torch import nn


class AsksForValues(nn.Module):
    def __init__(self):
        super().__init__()
        rates = [rate.item() for rate in torch.linspace(0, 0.5, 3)]
        self.layers = nn.ModuleList(nn.Linear(4, 4) for rate in rates if rate > 0.1)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.rows = nn.Embedding(9, 4)

    def forward(self, x):
        return self.rows(x)
"""


def own_module(folder: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "own_models.py").write_text(MODULES)
    shape = ("--input-shape", "x=2,4")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return profile(f"own_models:{name}", *shape, *words, PYTHONPATH=path)


def test_a_module_that_asks_for_values_while_it_is_built_is_built_on_the_cpu(
    tmp_path: Path,
) -> None:
    done = own_module(tmp_path, "AsksForValues")
    assert done.returncode == 0, done.stderr
    assert "64 MACs, 40 parameters" in done.stdout


def test_types_of_inputs_are_given_by_an_option(tmp_path: Path) -> None:
    assert own_module(tmp_path, "Table").returncode == 2, "by its name it holds numbers"
    done = own_module(tmp_path, "Table", "--input-type", "x=int64")
    assert done.returncode == 0, done.stderr
    assert "36 parameters" in done.stdout
    for typed in ("x", "x=no type"):
        done = own_module(tmp_path, "Table", "--input-type", typed)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "give NAME=TYPE, such as x=int64" in done.stderr

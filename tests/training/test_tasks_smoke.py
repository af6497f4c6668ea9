"""The runs behind docs/training-results.md with a budget of a few steps, and what they leave."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from planner.training.tasks.catalogue import load_task
from planner.training.tasks.digits_cnn import ResidualNetwork
from planner.training.tasks.task import Task
from profiles.sensitivities import read_sensitivities

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module(name)


def narrow_task(name: str) -> Task:
    """The task with an eighth of the features: most of the time would go to testing."""
    return replace(load_task(name), network=lambda: ResidualNetwork((8, 8, 16, 16)))


def run(monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, Any]:
    words = ["train_tasks.py", "--task", "digits-cnn", "--seed", "4", "--smoke"]
    words += ["--results", str(folder / "results"), "--checkpoints", str(folder / "kept")]
    monkeypatch.setattr(sys, "argv", words)
    train_tasks = script(monkeypatch, "train_tasks")
    monkeypatch.setattr(train_tasks, "load_task", narrow_task)
    train_tasks.main()
    found: dict[str, Any] = json.loads((folder / "results" / "digits-cnn-seed4.json").read_text())
    return found


def test_a_run_writes_every_row_and_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(monkeypatch, tmp_path)
    rows = whole["rows"]
    assert list(rows) == [row.name for row in script(monkeypatch, "training_rows").training_rows()]
    assert len(rows) == 19
    assert rows["random@0.9"]["latency_s"] == rows["disco@0.9"]["latency_s"]
    assert rows["dense"]["mean_comm_sparsity"] == 0
    for sparsity in ("0.9", "0.95", "0.99"):
        chosen, uniform = rows[f"per-layer@{sparsity}"], rows[f"disco@{sparsity}"]
        assert chosen["latency_s"] <= uniform["latency_s"]
        assert chosen["predicted_drop"] <= uniform["predicted_drop"]
        assert chosen["status"] == "optimal"
    measured = read_sensitivities(tmp_path / "results" / "digits-cnn-seed4.csv")
    assert len(measured.points) == 11

    capsys.readouterr()
    file = tmp_path / "results" / "digits-cnn-seed4.json"
    lost = {name: rows[name] for name in rows if name not in ("random@0.8", "per-layer@0.99")}
    file.write_text(json.dumps(whole | {"rows": lost}))
    again = run(monkeypatch, tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[4] for line in said] == ["random@0.8:", "per-layer@0.99:"]
    assert again["rows"].keys() == rows.keys()
    shutil.rmtree(tmp_path / "kept")
    assert run(monkeypatch, tmp_path) == again  # nothing is left to do, not even the dense network
    assert capsys.readouterr().out == ""
    for name in rows:
        assert again["rows"][name]["quality"] == rows[name]["quality"], name


def test_results_of_another_budget_are_not_mixed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    other = {"task": "digits-cnn", "seed": 4, "budget": {"dense_steps": 5}}
    (tmp_path / "results" / "digits-cnn-seed4.json").write_text(json.dumps(other))
    with pytest.raises(SystemExit, match="made with another budget"):
        run(monkeypatch, tmp_path)

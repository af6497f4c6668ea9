"""``--accuracy-model`` and its limits as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from planner.case import sparsifiable_layers
from planner.domain.plan import Plan
from planner.strategies.compare import Comparison
from profiles.files import document_text
from tests.planner.builders import chain
from tests.processor_time import HANG_S

PROFILE = chain(16, 32, 16)


def planner(*words: object, code: int = 0) -> tuple[str, str]:
    command = [sys.executable, "-c", "from app.cli import main; main()", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile, its weights, and measurements of its layers."""
    path = tmp_path_factory.mktemp("accuracy")
    (path / "net.json").write_text(document_text(PROFILE))
    weights, rows = {}, ["# metric: %", "# dense: 80", "layer,sparsity,loss"]
    rng = np.random.default_rng(0)
    for layer, needed in zip(PROFILE.layers, sparsifiable_layers(PROFILE), strict=True):
        shape = (layer.out_features, layer.in_features, 1, 1)
        weights[f"{layer.name}.weight"] = rng.standard_normal(shape).astype(np.float32)
        if needed:
            rows += [f"{layer.name},0.5,0.1", f"{layer.name},0.9,0.3"]
    save_file(weights, path / "net.safetensors")
    (path / "net.csv").write_text("\n".join(rows))
    return path


def plan(folder: Path, *words: object) -> dict[str, Any]:
    out, _ = planner("plan", folder / "net.json", "--nodes", 2, "--format", "json", *words)
    Plan.model_validate_json(out)
    found: dict[str, Any] = json.loads(out)
    return found


def sparsities(found: dict[str, Any]) -> list[float]:
    layers = (layer for stage in found["stages"] for layer in stage["layers"])
    return [layer["sparsity"] for layer in layers if layer["sparsity"] is not None]


WITHIN = ("--parallelism", "within-layer", "--ways", "features")


def test_measured_sensitivities(folder: Path) -> None:
    csv = f"csv:{folder / 'net.csv'}"
    found = plan(folder, *WITHIN, "--accuracy-model", csv, "--max-accuracy-drop", "0.45")
    assert found["accuracy_model"] == "csv:net.csv"  # no folders of this machine
    drop = found["predicted"]["accuracy_drop"]
    assert 0 < drop <= 0.45
    assert found["predicted"]["accuracy"] == pytest.approx(80 - drop)
    assert found["predicted"]["origin"]["accuracy_drop"] == "assumed"
    assert found["predicted"]["energy_loss"] is None
    generous = plan(folder, *WITHIN, "--accuracy-model", csv, "--max-accuracy-drop", "9")
    assert max(sparsities(generous)) < 1.0  # nobody measured what no exchange costs
    unlimited = plan(folder, *WITHIN, "--accuracy-model", csv)
    assert unlimited["limits"]["max_accuracy_drop"] is None
    assert not any(sparsities(unlimited)) and unlimited["predicted"]["accuracy_drop"] == 0
    (beside,) = (x for x in unlimited["alternatives"] if x["strategy"] == "optimal-trained")
    assert 0 < beside["accuracy_drop"] <= 0.5


def test_the_energy_of_the_weights(folder: Path) -> None:
    model = f"energy:{folder / 'net.safetensors'}"
    found = plan(folder, *WITHIN, "--accuracy-model", model, "--max-energy-loss", "0.3")
    predicted = found["predicted"]
    assert found["accuracy_model"] == "energy:net.safetensors"
    assert 0 < predicted["energy_loss"] <= 0.3
    assert predicted["accuracy"] is None and predicted["accuracy_drop"] is None
    assert predicted["origin"]["energy_loss"] == "derived"
    assert found["limits"]["max_energy_loss"] == 0.3
    tighter = plan(folder, *WITHIN, "--accuracy-model", model, "--max-energy-loss", "0.1")
    assert tighter["predicted"]["latency_s"] >= predicted["latency_s"]
    unlimited = plan(folder, *WITHIN, "--accuracy-model", model)
    assert unlimited["limits"]["max_energy_loss"] is None
    assert unlimited["predicted"]["energy_loss"] == 0
    assert unlimited["predicted"]["latency_s"] >= tighter["predicted"]["latency_s"]


def test_the_words_of_an_energy_plan(folder: Path) -> None:
    model = f"energy:{folder / 'net.safetensors'}"
    out, err = planner(
        *("plan", folder / "net.json", "--nodes", 2, "--accuracy-model", model, *WITHIN),
        *("--max-energy-loss", "0.1"),
    )
    assert "of the weights' energy pruned" in out
    assert "it says nothing in points of accuracy" in err
    assert "a published curve" not in err


def test_compare_shows_the_energy_of_every_row(folder: Path) -> None:
    model = f"energy:{folder / 'net.safetensors'}"
    out, _ = planner("compare", folder / "net.json", "--accuracy-model", model, "--format", "json")
    rows = Comparison.model_validate_json(out).rows
    by_name = {row.strategy: row for row in rows}
    assert by_name["dense"].energy_loss == 0
    assert by_name["independent-branches"].energy_loss == pytest.approx(1)
    assert by_name["independent-branches"].note == "over the energy limit"
    assert by_name["random"].energy_loss is None
    optimum = by_name["optimal"].energy_loss
    assert optimum is not None and optimum <= 0.1
    assert all(row.accuracy is None and row.accuracy_drop is None for row in rows)


def test_compare_has_no_number_beyond_the_measurements(folder: Path) -> None:
    csv = f"csv:{folder / 'net.csv'}"
    out, _ = planner("compare", folder / "net.json", "--accuracy-model", csv, "--format", "json")
    by_name = {row.strategy: row for row in Comparison.model_validate_json(out).rows}
    assert by_name["independent-branches"].accuracy_drop is None
    assert by_name["disco-uniform"].accuracy_drop is not None
    assert by_name["dense"].accuracy_drop == 0


@pytest.mark.parametrize(
    "words, message",
    [
        (["--accuracy-model", "csv:"], "give none, csv:FILE, energy:FILE, curve:NAME or"),
        (["--accuracy-model", "energy"], "give none, csv:FILE, energy:FILE, curve:NAME or"),
        (["--accuracy-model", "csv:nowhere.csv"], "sensitivities nowhere.csv: no such file"),
        (["--accuracy-model", "energy:nowhere.onnx"], "weights nowhere.onnx: no such file"),
        (
            ["--accuracy-model", "energy:weights.bin"],
            "weights weights.bin: give a file .safetensors, .onnx, .pt or .pth",
        ),
        (
            ["--accuracy-model", "csv:{}/net.csv", "--max-energy-loss", "0.1"],
            "max energy loss 0.1: the accuracy model csv:net.csv does not count in it",
        ),
        (
            ["--accuracy-model", "energy:{}/net.safetensors", "--max-accuracy-drop", "0.5"],
            "max accuracy drop 0.5: the accuracy model energy:net.safetensors does not count in it",
        ),
        (["--max-energy-loss", "0.1"], "max energy loss 0.1: net has no accuracy model"),
    ],
)
def test_one_line_for_what_does_not_fit(folder: Path, words: list[str], message: str) -> None:
    filled = [word.replace("{}", str(folder)) for word in words]
    out, err = planner("plan", folder / "net.json", *filled, code=2)
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]


def test_help_names_the_three_kinds() -> None:
    out, _ = planner("plan", "--help")
    text = " ".join(out.split())
    for word in ("csv:FILE", "energy:FILE", "--max-energy-loss"):
        assert word in text

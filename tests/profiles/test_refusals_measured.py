"""Refusals of measured times and losses that no other test brings about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from profiles.accuracy import find_accuracy
from profiles.catalog import curve_names, load_model
from profiles.measured import read_times
from profiles.sensitivity_file import _known
from tests.messages import message_of

SPREAD = {"median_s": 1.0, "low_s": 1.0, "high_s": 1.0}


def run(**changed: Any) -> dict[str, Any]:
    """A run without any row."""
    texts = dict.fromkeys(("cluster", "plan_digest", "measured_at", "engine"), "x")
    counts = dict.fromkeys(("threads", "window", "runs", "warmup"), 1)
    seconds = {"predicted_latency_s": 1.0, "predicted_throughput_per_s": 1.0}
    rows: dict[str, Any] = {
        name: [] for name in ("groups", "segments", "layers", "messages", "payload", "clocks")
    }
    spreads = {"latency": SPREAD, "end_to_end": SPREAD, "throughput_per_s": None}
    return {"model": "resnet50", **texts, **counts, **seconds, **rows, **spreads, **changed}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "other"}, "run.json: the run is of other, the profile of resnet50"),
        ({}, "run.json: the run has no times of layers; measure it again (planner run)"),
        ({"macs": 7}, "run.json: resnet50 has 7 MACs there and "),
    ],
)
def test_runs(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(run(**changed)))
    assert message_of(lambda: read_times(path, load_model("resnet50"))).startswith(message)


@pytest.mark.parametrize("found", ["# metric: top-5\n", ""])
def test_losses_that_were_measured_otherwise(tmp_path: Path, found: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(f"{found}layer,sparsity,loss\n")
    written = "top-5" if found else "nothing"
    assert message_of(lambda: _known(path, {"metric": "top-1"})) == (
        f"s.csv: metric '{written}' is written there, this run has 'top-1'; name another file, or "
        "delete this one to begin anew"
    )
    path.write_text("# metric: top-1\nlayer,sparsity,loss\n")
    assert _known(path, {"metric": "top-1"}) == {}


@pytest.mark.parametrize("text", ["csv:", "energy", "curve:", "curve:resnet50/no-rule", "other:x"])
def test_accuracy_models_that_are_none(text: str) -> None:
    said = message_of(lambda: find_accuracy(text, load_model("resnet50")))
    assert said.startswith(
        f"--accuracy-model {text!r}: give none, csv:FILE, energy:FILE, curve:NAME or "
    )


def test_every_curve_is_one() -> None:
    for name in curve_names():
        assert find_accuracy(f"curve:{name}", load_model("resnet50")).model is not None

"""What is not counted is said where a result is, not only in the profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.command import planner
from tests.profiles.onnx_models import file, node, weight

COMMANDS = {
    "plan": ("--nodes", "1"),
    "compare": (),
    "needs": ("--latency", "100ms"),
    "sweep": ("--over", "bandwidth", "--points", "2"),
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    nodes = [
        node("MatMul", "x w", "a"),
        node("Own", "a", "b", domain="own"),
        node("Relu", "b", "y"),
    ]
    path = tmp_path / "model.onnx"
    path.write_bytes(file(nodes, {"x": (4, 16)}, "y", [weight("w", 16, 16)], domains=["own"]))
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_the_headline_says_what_is_not_counted(command: str, model: Path) -> None:
    done = planner(command, str(model), "--cluster", "small-nodes", *COMMANDS[command])
    assert done.code == 0, done.err
    first = " ".join(" ".join(done.out.splitlines()[:4]).split())
    assert "without the work of 2 operators that is not known (own.Own" in first


def test_an_optimum_is_one_of_what_is_counted(model: Path) -> None:
    done = planner("plan", str(model), "--nodes", "1", "--no-next-steps")
    assert "Optimal for what is counted, proven" in done.out
    known = planner("plan", "resnet50", "--nodes", "1", "--no-next-steps")
    assert "not known" not in known.out and "Optimal, proven" in known.out

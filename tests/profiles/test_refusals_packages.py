"""One line where a package that a source needs is not installed."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from planner.errors import install_advice
from profiles.built import built_model
from profiles.catalog import load_model
from profiles.from_onnx.frontend import profile_onnx
from profiles.from_torch.hygiene import import_torch
from profiles.weights import read_weights
from tests.messages import message_of

Without = Callable[[str], None]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Without:
    """Take a package away."""
    found = importlib.util.find_spec

    def take(name: str) -> None:
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda other: None if other == name else found(other)
        )

    return take


PIP = install_advice("").partition(" ")[0]
"""Of this environment, as messages name it."""


def test_torch(without: Without, tmp_path: Path) -> None:
    without("torch")
    assert message_of(import_torch).startswith(
        f"torch is not installed; a PyTorch model needs it: {PIP}"
    )
    path = tmp_path / "m.pt"
    path.write_bytes(b"x")
    profile = load_model("resnet50")
    wanted = np.array([layer.weight_params > 0 for layer in profile.layers])
    assert message_of(lambda: read_weights(path, profile, wanted)).startswith(
        f"weights m.pt: torch is not installed, and files of torch.save need it: {PIP}"
    )


def test_onnx(without: Without) -> None:
    without("onnx")
    assert message_of(lambda: profile_onnx(b"", name="x", source="x.onnx")) == (
        "onnx is not installed; an ONNX file needs it: pip install onnx"
    )


def test_transformers(without: Without, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "vit"}))
    without("transformers")
    assert f"transformers is not installed, and it is built with it: {PIP}" in message_of(
        lambda: built_model(str(path))
    )

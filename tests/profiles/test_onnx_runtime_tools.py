"""Files that ONNX Runtime's tools wrote have the work of the file that they came from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from planner.domain.model_profile import ModelProfile
from profiles.from_onnx import child
from tests.profiles.runtime_tools import LEVELS, MODELS, optimised, quantised

pytest.importorskip("onnxruntime")

KINDS = ("dynamic", "QDQ", "QOperator", "4 bits", "4 bits QDQ")
NO_MATRICES = {("convolutions", "4 bits"), ("convolutions", "4 bits QDQ")}


def profiled(path: Path) -> ModelProfile:
    request = {"name": "small", "input_shapes": {}, "batch": None}
    return ModelProfile.model_validate(child.main(request, path.read_bytes()))


@pytest.fixture(scope="module", params=MODELS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / f"{request.param}.onnx"
    path.write_bytes(MODELS[request.param]().SerializeToString())
    return path


def assert_same(written: Path, source: Path) -> ModelProfile:
    found, original = profiled(written), profiled(source)
    assert found.totals.macs == original.totals.macs
    assert found.totals.params == original.totals.params
    assert found.coverage.uncounted == {}
    return found


@pytest.mark.parametrize("level", LEVELS)
def test_the_optimiser_changes_no_total(source: Path, level: str, tmp_path: Path) -> None:
    found = assert_same(optimised(source, level, tmp_path / "optimised.onnx"), source)
    assert found.totals.param_bytes == profiled(source).totals.param_bytes


@pytest.mark.parametrize("kind", KINDS)
def test_quantisers_change_bytes_alone(source: Path, kind: str, tmp_path: Path) -> None:
    if (source.stem, kind) in NO_MATRICES:
        pytest.skip("has no matrix products to quantise")
    path = quantised(source, kind, tmp_path / "quantised.onnx")
    found = assert_same(path, source)
    most = profiled(source).totals.param_bytes
    assert found.totals.param_bytes < most
    for level in LEVELS[1:]:
        optimised(path, level, tmp_path / f"{level}.onnx")
        assert_same(tmp_path / f"{level}.onnx", source)


def test_nothing_is_left_beside_the_files(source: Path) -> None:
    assert os.listdir(source.parent) == [source.name]

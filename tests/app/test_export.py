"""Masks that an export writes: of every kind of layer, model and file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from safetensors.numpy import load_file

from profiles.catalog import load_model
from profiles.sources import load_source
from tests.app.exports import (
    GATHERING,
    check,
    exported,
    keep,
    planned,
    profiled,
    small_plan,
    tiny_gpt,
    weights_of,
)
from tests.profiles.onnx_models import file, node

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    from safetensors.torch import save_model

    torch.manual_seed(0)
    module = transformers.ResNetForImageClassification(transformers.ResNetConfig(num_labels=1000))
    path = tmp_path_factory.mktemp("resnet50") / "resnet50.safetensors"
    save_model(module, str(path))
    return module, path


@pytest.mark.parametrize("nodes", ["2", "4"])
def test_resnet50_of_the_catalogue(tmp_path: Path, resnet50: tuple[Any, Path], nodes: str) -> None:
    module, weights = resnet50
    plan = planned("resnet50", tmp_path, "--nodes", nodes, "--max-accuracy-drop", "0.5")
    folder = exported(plan, tmp_path, "--weights", weights)
    masks = check(folder, load_model("resnet50"), module)
    assert len(masks) > 40
    name, mask = next((name, mask) for name, mask in masks.items() if mask.shape[2:] == (3, 3))
    weight = np.abs(module.get_parameter(name).detach().numpy())
    share = weight[~mask].sum() / weight.sum()
    assert 0 < share < (~mask).mean()  # the smaller ones went


def test_heads_over_nodes_in_a_vision_transformer(tmp_path: Path) -> None:
    module = transformers.ViTForImageClassification(
        transformers.ViTConfig(
            num_labels=8,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            image_size=32,
            patch_size=8,
        )
    )
    source = profiled(module, tmp_path, "vit", pixel_values=(1, 3, 32, 32))
    plan = planned(source, tmp_path, "--nodes", "4", *GATHERING)
    keep(plan, 3)
    folder = exported(plan, tmp_path, "--model", source, "--weights", weights_of(source))
    masks = check(folder, load_source(str(source)), module)
    query = masks[next(name for name in masks if "q_proj" in name)]
    heads = query.reshape(4, 8, 32)
    assert (heads == heads[:, :1]).all() and (heads.sum(axis=2) == 8 + 3 * 3).all()


def test_heads_of_a_fused_weight_that_is_stored_the_other_way_round(tmp_path: Path) -> None:
    module = transformers.GPT2Model(tiny_gpt())
    source = profiled(module, tmp_path, "gpt", input_ids=(1, 8))
    plan = planned(source, tmp_path, "--nodes", "2", *GATHERING)
    keep(plan, 2)
    folder = exported(plan, tmp_path, "--model", source, "--weights", weights_of(source))
    masks = check(folder, load_source(str(source)), module)
    fused = masks["h.0.attn.c_attn.weight"]
    assert fused.shape == (16, 48)
    parts = fused.reshape(16, 3, 2, 8)  # inputs; q, k and v; nodes; two heads of 4
    assert (parts == parts[:, :1, :, :1]).all()
    assert parts[:8, 0, 0].all() and parts[8:, 0, 1].all()
    assert parts[8:, 0, 0, 0].sum() == parts[:8, 0, 1, 0].sum() == 2


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Path]:
    """A module, its profile, and a plan of it on three nodes."""
    return small_plan(tmp_path_factory.mktemp("small"))


def test_kernels_biases_and_transposed_convolutions(
    tmp_path: Path, small: tuple[Any, Path, Path]
) -> None:
    module, source, plan = small
    folder = exported(plan, tmp_path, "--model", source, "--weights", weights_of(source))
    masks = check(folder, load_source(str(source)), module)
    assert set(masks) == {"body.0.weight", "up.weight", "head.weight"}
    assert masks["up.weight"].shape == (6, 7, 2, 2)
    found = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    targets = found["training_stage"]["pruning_modifiers"]["ConstantPruningModifier"]["targets"]
    patterns = [target.removeprefix("re:") for target in targets]
    named = [name for name, _ in module.named_modules() if any(re.match(p, name) for p in patterns)]
    assert named == ["body.0", "up", "head"]


def test_an_onnx_file_names_its_own_tensors(tmp_path: Path, small: tuple[Any, Path, Path]) -> None:
    module, path = small[0], tmp_path / "small.onnx"
    torch.onnx.export(module, (torch.randn(1, 3, 8, 8),), path, dynamo=False, verbose=False)
    plan = planned(path, tmp_path, "--nodes", "2", *GATHERING)
    keep(plan, 2)
    folder = exported(plan, tmp_path, "--model", path, "--weights", path)
    masks = load_file(folder / "masks.safetensors")
    shapes = {name: tuple(module.get_parameter(name).shape) for name in masks}
    assert {name: mask.shape for name, mask in masks.items()} == shapes
    assert set(masks) == {"body.0.weight", "up.weight", "head.weight"}
    from_torch = profiled(module, tmp_path, "again", image=(1, 3, 8, 8))
    same = planned(from_torch, tmp_path, "--nodes", "2", *GATHERING)
    keep(same, 2)
    again = exported(same, tmp_path, "--model", from_torch, "--weights", weights_of(from_torch))
    expected = load_file(again / "masks.safetensors")
    assert all(np.array_equal(mask, expected[name]) for name, mask in masks.items())


def test_weights_that_an_onnx_file_reads_by_way_of_other_nodes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"first": (3, 8), "turned.weight": (8, 6), "straight": (5, 6), "gemm": (4, 5)}
    nodes = [
        node("MatMul", "x first", "a"),
        node("MatMul", "a turned.weight", "b"),
        node("Transpose", "straight", "t"),
        node("Identity", "t", "same"),
        node("MatMul", "b same", "c"),
        node("Gemm", "c gemm", "d", transB=1),
    ]
    weights = [
        onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(file(nodes, {"x": [1, 3]}, "d", weights))
    plan = planned(path, tmp_path, "--nodes", "2", *GATHERING)
    keep(plan, 1)
    folder = exported(plan, tmp_path, "--model", path, "--weights", path)
    masks = check(folder, load_source(str(path)))
    assert {name: mask.shape for name, mask in masks.items()} == {
        name: shape for name, shape in shapes.items() if name != "first"
    }

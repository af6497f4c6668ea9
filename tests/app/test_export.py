"""What an export with weights writes: masks that fit the model, in a folder that stands alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.strategies.study import Study
from profiles.catalog import load_model
from profiles.files import document_text
from profiles.from_torch.frontend import profile_module
from profiles.sources import load_source
from tests.app.command import one_line, planner
from tests.profiles.onnx_models import file, node

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
TURNED = tuple(f"{name}.weight" for name in ("c_attn", "c_proj", "c_fc", "up", "turned"))
"""Of weights that are stored as (I, O, ...)."""
WRITTEN = [
    "plan.json",
    "layers.csv",
    "masks.safetensors",
    "kept_features.json",
    "recipe.yaml",
    "README.md",
]


class Small(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Weights that are stored as (O, I, ...) and, of the transposed convolution, as (I, O, ...)."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 6, (3, 5), bias=False), nn.ReLU())
        self.up = nn.ConvTranspose2d(6, 7, 2)
        self.head = nn.Linear(7, 10)

    def forward(self, x: Any) -> Any:
        return self.head(torch.relu(self.up(self.body(self.stem(x).relu()))).mean((2, 3)))


class Tower(torch.nn.Module):  # type: ignore[misc, name-defined]
    """One linear layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = torch.nn.Linear(3, 8), torch.nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return self.again(torch.relu(self.again(torch.relu(self.first(x)))))


def profiled(module: Any, folder: Path, name: str, **shapes: tuple[int, ...]) -> Path:
    """The module's profile and its weights, side by side."""
    from safetensors.torch import save_model

    path = folder / f"{name}.json"
    found = profile_module(module.eval(), shapes, name=name, source="test", witness=False)
    path.write_text(document_text(found), encoding="utf-8")
    save_model(module, str(weights_of(path)))
    return path


def planned(source: str | Path, folder: Path, *words: str) -> Path:
    path = folder / "planned.json"
    done = planner("plan", str(source), *words, "-o", str(path), "--format", "json")
    assert done.code == 0, done.err
    return path


def weights_of(profile: Path) -> Path:
    return profile.with_suffix(".safetensors")


def keep(plan: Path, count: int) -> None:
    """Let every layer of the plan that exchanges features send so many."""
    document = json.loads(plan.read_text(encoding="utf-8"))
    for stage in document["stages"]:
        for layer in stage["layers"]:
            if layer["kept_features"] is not None:
                layer.update(kept_features=count, sparsity=0.5)
    plan.write_text(json.dumps(document), encoding="utf-8")


def exported(plan: Path, folder: Path, *words: str | Path) -> Path:
    to = folder / "out"
    done = planner("export", str(plan), "--to", str(to), *map(str, words), "--format", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == [str(to / name) for name in WRITTEN]
    assert sorted(path.name for path in to.iterdir()) == sorted(WRITTEN)
    return to


def check(folder: Path, profile: ModelProfile, module: Any = None) -> dict[str, Any]:
    """Every mask against the plan's counts, the lists of features and the cost model's MACs."""
    plan = Plan.model_validate_json((folder / "plan.json").read_text(encoding="utf-8"))
    listed = json.loads((folder / "kept_features.json").read_text(encoding="utf-8"))
    masks = load_file(folder / "masks.safetensors")
    study = Study(profile, plan.cluster, plan.settings)
    layers = {layer["layer"]: layer for layer in listed["layers"]}
    used = set()
    for stage in plan.stages:
        for layer in stage.layers:
            if layer.kept_features is None:
                assert layer.name not in layers
                continue
            found = layers.pop(layer.name)
            assert found["nodes"] == list(stage.nodes)
            matrix = np.zeros((layer.nodes, layer.nodes), dtype=int)
            for sent in found["sends"]:
                i, j = (stage.nodes.index(sent[end]) for end in ("from", "to"))
                matrix[i, j] = len(sent["features"])
                assert set(sent["features"]) <= members(found["holds"][sent["from"]])
            counts = np.where(np.eye(layer.nodes, dtype=bool), 0, layer.kept_features)
            assert np.array_equal(matrix, counts)
            if found["parameter"] is None:
                assert layer.sparsity == 0
                continue
            used.add(found["parameter"])
            _check_mask(masks[found["parameter"]], found, study, stage.nodes, counts)
            if module is not None:
                assert masks[found["parameter"]].shape == tuple(
                    module.get_parameter(found["parameter"]).shape
                )
    assert not layers and used == set(masks)
    return masks


def _check_mask(
    mask: np.ndarray[Any, Any],
    found: dict[str, Any],
    study: Study,
    nodes: tuple[str, ...],
    counts: np.ndarray[Any, Any],
) -> None:
    assert mask.dtype == np.bool_
    row = [layer.name for layer in study.profile.layers].index(found["layer"])
    layer = study.profile.layers[row]
    kept = np.zeros((len(study.profile.layers), len(nodes), len(nodes)), dtype=np.int64)
    kept[row] = counts
    table = study.table_of(nodes, kept)
    by_output = mask.swapaxes(0, 1) if found["parameter"].endswith(TURNED) else mask
    assert by_output.shape[:2] == (layer.out_features, layer.in_features)
    for index, name in enumerate(nodes):
        rows = by_output[sorted(members(found["computes"][name]))]
        assert int(rows.sum()) * (layer.macs // mask.size) == table.macs[row, 0, index]
        reads = members(found["holds"][name]) | members(found["all_hold"])
        for sent in found["sends"]:
            reads |= set(sent["features"]) if sent["to"] == name else set()
        expected = np.isin(np.arange(layer.in_features), sorted(reads))
        flat = rows.reshape(*rows.shape[:2], -1)
        assert (flat == expected[None, :, None]).all()


def members(runs: list[list[int]]) -> set[int]:
    return {feature for first, end in runs for feature in range(first, end)}


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
    plan = planned("resnet50", tmp_path, "--nodes", nodes)
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
    plan = planned(source, tmp_path, "--nodes", "4", "--parallelism", "within-layer")
    keep(plan, 3)
    folder = exported(plan, tmp_path, "--model", source, "--weights", weights_of(source))
    masks = check(folder, load_source(str(source)), module)
    query = masks[next(name for name in masks if "q_proj" in name)]
    heads = query.reshape(4, 8, 32)
    assert (heads == heads[:, :1]).all() and (heads.sum(axis=2) == 8 + 3 * 3).all()


def tiny_gpt() -> Any:
    sizes = {"n_layer": 1, "n_embd": 16, "n_head": 4, "n_positions": 8, "vocab_size": 20}
    return transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, use_cache=False)


def test_heads_of_a_fused_weight_that_is_stored_the_other_way_round(tmp_path: Path) -> None:
    module = transformers.GPT2Model(tiny_gpt())
    source = profiled(module, tmp_path, "gpt", input_ids=(1, 8))
    plan = planned(source, tmp_path, "--nodes", "2", "--parallelism", "within-layer")
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
    torch.manual_seed(1)
    folder, module = tmp_path_factory.mktemp("small"), Small()
    source = profiled(module, folder, "small", image=(1, 3, 8, 8))
    plan = planned(source, folder, "--nodes", "3", "--parallelism", "within-layer")
    keep(plan, 1)
    return module, source, plan


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
    plan = planned(path, tmp_path, "--nodes", "2", "--parallelism", "within-layer")
    keep(plan, 2)
    folder = exported(plan, tmp_path, "--model", path, "--weights", path)
    masks = load_file(folder / "masks.safetensors")
    shapes = {name: tuple(module.get_parameter(name).shape) for name in masks}
    assert {name: mask.shape for name, mask in masks.items()} == shapes
    assert set(masks) == {"body.0.weight", "up.weight", "head.weight"}
    from_torch = profiled(module, tmp_path, "again", image=(1, 3, 8, 8))
    same = planned(from_torch, tmp_path, "--nodes", "2", "--parallelism", "within-layer")
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
    plan = planned(path, tmp_path, "--nodes", "2", "--parallelism", "within-layer")
    keep(plan, 1)
    folder = exported(plan, tmp_path, "--model", path, "--weights", path)
    masks = check(folder, load_source(str(path)))
    assert {name: mask.shape for name, mask in masks.items()} == {
        name: shape for name, shape in shapes.items() if name != "first"
    }


def blocks(folder: Path) -> list[str]:
    """The pieces of Python in the folder's README."""
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)


def test_the_readme_trains_with_the_masks(
    tmp_path: Path, small: tuple[Any, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, source, plan = small
    folder = exported(plan, tmp_path, "--model", source, "--weights", weights_of(source))
    masks = load_file(folder / "masks.safetensors")
    model = Small()
    model.load_state_dict(module.state_dict())
    monkeypatch.chdir(folder)
    exec(blocks(folder)[0], {"model": model})
    steps = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(3):
        model(torch.randn(2, 3, 8, 8)).square().sum().backward()
        steps.step()
        steps.zero_grad()
    model(torch.randn(2, 3, 8, 8))
    for name, mask in masks.items():
        owner, _, parameter = name.rpartition(".")
        weight = getattr(model.get_submodule(owner), parameter).detach().numpy()
        assert not weight[~mask].any() and weight[mask].all()
        assert not np.array_equal(weight[mask], module.get_parameter(name).detach().numpy()[mask])
        torch.nn.utils.prune.remove(model.get_submodule(owner), parameter)
    assert set(model.state_dict()) == set(module.state_dict())


def test_the_folder_needs_torch_alone(tmp_path: Path, small: tuple[Any, Path, Path]) -> None:
    module, source, plan = small
    folder = exported(plan, tmp_path, "--model", source, "--weights", weights_of(source))
    code = blocks(folder)[1]
    assert len([line for line in code.splitlines() if line]) <= 10
    torch.save(module.state_dict(), folder / "state.pt")
    script = f"""
import sys
for name in ("planner", "profiles", "app", "safetensors", "numpy"):
    sys.modules[name] = None  # whoever imports it fails
import torch
nn = torch.nn
model = nn.ModuleDict({{
    "stem": nn.Conv2d(3, 8, 3), "body": nn.Sequential(nn.Conv2d(8, 6, (3, 5), bias=False)),
    "up": nn.ConvTranspose2d(6, 7, 2), "head": nn.Linear(7, 10)}})
model.load_state_dict(torch.load("state.pt", weights_only=True))
{code}
torch.save(model.state_dict(), "pruned.pt")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    pruned = torch.load(folder / "pruned.pt", weights_only=True)
    masks = load_file(folder / "masks.safetensors")
    for name, weight in module.state_dict().items():
        expected = weight.numpy() * masks[name] if name in masks else weight.numpy()
        assert np.array_equal(pruned[name].numpy(), expected)


def test_layers_that_share_one_weight(tmp_path: Path) -> None:
    source = profiled(Tower(), tmp_path, "tower", x=(1, 3))
    plan = planned(source, tmp_path, "--nodes", "2", "--parallelism", "within-layer")
    keep(plan, 2)
    words = ("--model", source, "--weights", weights_of(source))
    masks = check(exported(plan, tmp_path, *words), load_source(str(source)))
    assert set(masks) == {"again.weight"}
    document = json.loads(plan.read_text(encoding="utf-8"))
    last = [x for x in document["stages"][0]["layers"] if x["kept_features"] is not None][-1]
    last["kept_features"] = 1
    plan.write_text(json.dumps(document), encoding="utf-8")
    said = refusal(tmp_path, plan, *words)
    assert "'again.weight' is the weight of several layers" in said
    last["kept_features"] = 4
    plan.write_text(json.dumps(document), encoding="utf-8")
    said = refusal(tmp_path, plan, *words)
    assert "'again.weight' of the layer 'again' is also read by a layer that" in said


def test_a_head_that_shares_the_embeddings_weight(tmp_path: Path) -> None:
    module = transformers.GPT2LMHeadModel(tiny_gpt())
    source = profiled(module, tmp_path, "lm", input_ids=(1, 8))
    plan = planned(source, tmp_path, "--nodes", "2", "--parallelism", "within-layer")
    keep(plan, 2)
    said = refusal(tmp_path, plan, "--model", source, "--weights", weights_of(source))
    assert "of the layer 'lm_head' is also read by a layer that the plan leaves whole" in said
    weight = module.transformer.wte.weight.detach().clone()
    module.lm_head.weight = torch.nn.Parameter(weight)
    source = profiled(module, tmp_path, "apart", input_ids=(1, 8))
    plan = planned(source, tmp_path, "--nodes", "2", "--parallelism", "within-layer")
    keep(plan, 2)
    words = ("--model", source, "--weights", weights_of(source))
    masks = check(exported(plan, tmp_path, *words), load_source(str(source)), module)
    assert "lm_head.weight" in masks and "transformer.wte.weight" not in masks


@pytest.mark.parametrize("nodes", ["1", "2"])
def test_a_plan_that_prunes_nothing(
    tmp_path: Path, small: tuple[Any, Path, Path], nodes: str
) -> None:
    _, source, _ = small
    plan = planned(source, tmp_path, "--nodes", nodes, "--parallelism", "pipeline")
    folder = exported(plan, tmp_path, "--model", source, "--weights", weights_of(source))
    assert load_file(folder / "masks.safetensors") == {}
    assert json.loads((folder / "kept_features.json").read_text("utf-8"))["layers"] == []


def refusal(folder: Path, plan: Path, *words: str | Path) -> str:
    done = planner("export", str(plan), "--to", str(folder / "refused"), *map(str, words))
    assert done.code == 2 and not (folder / "refused").exists()
    return one_line(done)


def test_what_is_refused_and_leaves_nothing(tmp_path: Path, small: tuple[Any, Path, Path]) -> None:
    _, source, plan = small
    weights = weights_of(source)
    assert "--weights FILE" in refusal(tmp_path, plan, "--model", source)
    said = refusal(tmp_path, plan, "--weights", weights)
    assert "'small', which is no catalogue model" in said
    said = refusal(tmp_path, plan, "--weights", weights, "--model", "resnet50")
    assert "the plan has 'stem' where resnet50 has" in said
    other = tmp_path / "other.json"
    profile = load_source(str(source))
    other.write_text(document_text(profile.model_copy(update={"name": "x"})), encoding="utf-8")
    said = refusal(tmp_path, plan, "--weights", weights, "--model", other)
    assert "the profile of x has the SHA-256" in said
    stored = load_file(weights)
    without = tmp_path / "without.safetensors"
    save_file({name: a for name, a in stored.items() if name != "up.weight"}, without)
    said = refusal(tmp_path, plan, "--weights", without, "--model", source)
    assert "no tensor 'up.weight' for the layer 'up'" in said
    broken = tmp_path / "broken.safetensors"
    save_file(stored | {"head.weight": stored["head.weight"] * np.float32("nan")}, broken)
    said = refusal(tmp_path, plan, "--weights", broken, "--model", source)
    assert "the weight of layer 'head' holds NaN" in said
    assert "no such file" in refusal(tmp_path, plan, "--weights", "gone.onnx", "--model", source)
    pickled = tmp_path / "m.pt"
    pickled.write_bytes(b"")
    said = refusal(tmp_path, plan, "--weights", pickled, "--model", source)
    assert "give a file .safetensors or .onnx" in said

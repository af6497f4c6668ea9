"""The folder that an export writes: it stands alone, and nothing half-done is in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from profiles.files import document_text
from profiles.sources import load_source
from tests.app.command import planner
from tests.app.exports import (
    GATHERING,
    Small,
    Tower,
    check,
    exported,
    keep,
    planned,
    profiled,
    refusal,
    small_plan,
    tiny_gpt,
    weights_of,
)
from tests.processor_time import HANG_S

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Path]:
    """A module, its profile, and a plan of it on three nodes."""
    return small_plan(tmp_path_factory.mktemp("small"))


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
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=HANG_S
    )
    assert done.returncode == 0, done.stderr
    pruned = torch.load(folder / "pruned.pt", weights_only=True)
    masks = load_file(folder / "masks.safetensors")
    for name, weight in module.state_dict().items():
        expected = weight.numpy() * masks[name] if name in masks else weight.numpy()
        assert np.array_equal(pruned[name].numpy(), expected)


def test_layers_that_share_one_weight(tmp_path: Path) -> None:
    source = profiled(Tower(), tmp_path, "tower", x=(1, 3))
    plan = planned(source, tmp_path, "--nodes", "2", *GATHERING)
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


@pytest.mark.parametrize("kept", ["head", "embedding", "both"])
def test_a_head_that_shares_the_embeddings_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    names = {"head": "lm_head.weight", "embedding": "transformer.wte.weight"}
    module = transformers.GPT2LMHeadModel(tiny_gpt()).eval()
    source = profiled(module, tmp_path, "lm", input_ids=(1, 8))
    state = {name: values.clone() for name, values in module.state_dict().items()}
    for name in names.values():
        if kept != "both" and name != names[kept]:
            del state[name]
    weights = tmp_path / "state.pt"
    torch.save(state, weights)
    plan = planned(source, tmp_path, "--nodes", "2", *GATHERING)
    keep(plan, 2)
    words = ("--model", source, "--weights", weights)
    folder = exported(plan, tmp_path, *words)
    masks = check(folder, load_source(str(source)), module)
    assert "lm_head.weight" in masks and "transformer.wte.weight" not in masks

    monkeypatch.chdir(folder)
    before = module.transformer.wte.weight.detach().clone()
    masking, pruning, parting = blocks(folder)
    assert 'for name in ["lm_head.weight"]:' in parting
    exec(masking, {"model": module})
    assert module.lm_head.weight_orig is module.transformer.wte.weight, "still one"
    assert torch.equal(module.lm_head.weight, before * torch.from_numpy(masks["lm_head.weight"]))
    module(torch.zeros(1, 8, dtype=torch.long)).logits.sum().backward()
    assert torch.equal(module.transformer.wte.weight, before)

    twin = transformers.GPT2LMHeadModel(tiny_gpt()).eval()
    before = twin.transformer.wte.weight.detach().clone()
    exec(parting, {"model": twin, "torch": torch})
    exec(pruning, {"model": twin})
    assert torch.equal(twin.transformer.wte.weight, before)
    assert torch.equal(twin.lm_head.weight, before * torch.from_numpy(masks["lm_head.weight"]))


@pytest.mark.parametrize("with_weights", [True, False])
@pytest.mark.parametrize(
    "words",
    [
        ("--nodes", "1"),
        ("--nodes", "2", "--parallelism", "pipeline"),
        ("--nodes", "3"),
        ("--nodes", "3", *GATHERING),
    ],
)
def test_a_plan_that_drops_nothing_needs_no_training(
    tmp_path: Path, small: tuple[Any, Path, Path], words: tuple[str, ...], with_weights: bool
) -> None:
    _, source, _ = small
    plan = planned(source, tmp_path, *words)
    files = ("--model", source, "--weights", weights_of(source)) if with_weights else ()
    to = tmp_path / "out"
    done = planner("export", str(plan), "--to", str(to), *map(str, files))
    assert done.code == 0
    (line,) = done.err.splitlines()
    assert line == (
        "note: this plan drops nothing: the weights stay as they are, and no training is needed"
    )
    assert sorted(path.name for path in to.iterdir()) == ["layers.csv", "plan.json"]


def test_a_layer_that_runs_in_another_way_has_no_mask(
    tmp_path: Path, small: tuple[Any, Path, Path]
) -> None:
    _, source, _ = small
    words = ("--parallelism", "within-layer", "--ways", "features,positions")
    plan = planned(source, tmp_path, "--nodes", "3", *words)
    document = json.loads(plan.read_text(encoding="utf-8"))
    layers = document["stages"][0]["layers"]
    gathers = [layer["name"] for layer in layers if layer["kept_features"] is not None]
    others = [layer["name"] for layer in layers if layer["way"] != "features"]
    assert gathers == ["head"] and "body.0" in others, "the plan that this test is about"
    keep(plan, 1)
    folder = exported(plan, tmp_path, "--model", source, "--weights", weights_of(source))
    masks = check(folder, load_source(str(source)))
    assert set(masks) == {"head.weight"}


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
    assert "the profile of 'x' has the SHA-256" in said
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
    other = tmp_path / "weights.bin"
    other.write_bytes(b"")
    said = refusal(tmp_path, plan, "--weights", other, "--model", source)
    assert "give a file .safetensors, .onnx, .pt or .pth" in said


def test_weights_of_torch_save(tmp_path: Path, small: tuple[Any, Path, Path]) -> None:
    module, source, plan = small
    expected = exported(plan, tmp_path / "a", "--model", source, "--weights", weights_of(source))
    pickled = tmp_path / "m.pt"
    torch.save({"epoch": 3, "state_dict": module.state_dict()}, pickled)
    folder = exported(plan, tmp_path / "b", "--model", source, "--weights", pickled)
    for name in ("masks.safetensors", "kept_features.json"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()
    words = (
        "--nodes",
        "2",
        "--parallelism",
        "within-layer",
        "--ways",
        "features",
        "--max-energy-loss",
        "0.1",
    )
    found = planned(source, tmp_path, *words, "--accuracy-model", f"energy:{pickled}")
    document = json.loads(found.read_text("utf-8"))
    assert document["accuracy_model"] == "energy:m.pt"
    assert 0 < document["predicted"]["energy_loss"] <= 0.1


class Harm:
    """Pickles as a call that makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("was_run",)


def test_code_in_a_file_of_weights_is_not_run(
    tmp_path: Path, small: tuple[Any, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, source, plan = small
    monkeypatch.chdir(tmp_path)
    torch.save(module.state_dict() | {"extra": Harm()}, "m.pt")
    said = refusal(tmp_path, plan, "--model", source, "--weights", "m.pt")
    assert "m.pt: is no state dict of tensors alone, and code in a file is never run" in said
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]

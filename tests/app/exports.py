"""Small models with profiles, plans and exports of them, and what must hold in every export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from planner.case import Case
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from profiles.files import document_text
from profiles.from_torch.frontend import profile_module
from tests.app.command import one_line, planner

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
TURNED = tuple(f"{name}.weight" for name in ("c_attn", "c_proj", "c_fc", "up", "turned"))
"""Of weights that are stored as (I, O, ...)."""
GATHERING = ("--parallelism", "within-layer", "--ways", "features")
"""Of plans whose layers all gather features, as DISCO's."""
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
    case = Case(profile, plan.cluster, plan.settings)
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
            _check_mask(masks[found["parameter"]], found, case, stage.nodes, counts)
            if module is not None:
                assert masks[found["parameter"]].shape == tuple(
                    module.get_parameter(found["parameter"]).shape
                )
    assert not layers and used == set(masks)
    return masks


def _check_mask(
    mask: np.ndarray[Any, Any],
    found: dict[str, Any],
    case: Case,
    nodes: tuple[str, ...],
    counts: np.ndarray[Any, Any],
) -> None:
    assert mask.dtype == np.bool_
    row = [layer.name for layer in case.profile.layers].index(found["layer"])
    layer = case.profile.layers[row]
    kept = np.zeros((len(case.profile.layers), len(nodes), len(nodes)), dtype=np.int64)
    kept[row] = counts
    table = case.table_of(nodes, kept)
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


def tiny_gpt() -> Any:
    sizes = {"n_layer": 1, "n_embd": 16, "n_head": 4, "n_positions": 8, "vocab_size": 20}
    return transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, use_cache=False)


def small_plan(folder: Path) -> tuple[Any, Path, Path]:
    """A module, its profile, and a plan of it on three nodes."""
    torch.manual_seed(1)
    module = Small()
    source = profiled(module, folder, "small", image=(1, 3, 8, 8))
    plan = planned(source, folder, "--nodes", "3", *GATHERING)
    keep(plan, 1)
    return module, source, plan


def refusal(folder: Path, plan: Path, *words: str | Path) -> str:
    done = planner("export", str(plan), "--to", str(folder / "refused"), *map(str, words))
    assert done.code == 2 and not (folder / "refused").exists()
    return one_line(done)

"""Every piece of Python in docs/training.md, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from planner.training.pruner import Pruner
from tests.training import models
from tests.training.models import Groups, inputs, prepared

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a reader has at hand."""
    monkeypatch.chdir(tmp_path)
    found = prepared(Groups, 0.75)
    Path("plan.json").write_text(found.plan.model_dump_json(), encoding="utf-8")
    Path("profile.json").write_text(found.profile.model_dump_json(), encoding="utf-8")
    trained: list[float] = []

    def train(model: nn.Module) -> None:
        models.train(model, optimizer_of(model), 1)
        trained.append(float((model.head.weight == 0).float().mean()))  # type: ignore[union-attr,arg-type]

    return {
        "model": found.model,
        "plan": found.plan,
        "profile": found.profile,
        "train": train,
        "trained": trained,
        "make_optimizer": optimizer_of,
        "torch": torch,
        "Pruner": Pruner,
        "LightningModule": nn.Module,
    }


def pieces(heading: str) -> list[str]:
    section = re.split(r"^##+ ", PAGE.read_text("utf-8"), flags=re.M)
    text = next(part for part in section if part.startswith(heading + "\n"))
    return re.findall(r"```python\n(.*?)```", text, re.S)


def test_three_lines_in_a_loop(names: dict[str, Any]) -> None:
    (loop,) = pieces("In a training loop")
    exec(loop, names)
    pruned = names["trained"]
    assert len(pruned) == 8 and pruned == sorted(pruned)  # 75 % in steps of 10 %
    assert type(names["model"].head) is nn.Linear
    assert (names["model"].head.weight == 0).float().mean() == pruned[-1] == 0.375


def test_resume(names: dict[str, Any]) -> None:
    save, load = pieces("Resume")
    model = names["model"]
    pruner = Pruner(model, names["plan"], names["profile"])
    optimizer = optimizer_of(model)
    pruner.prune(0.5)
    models.train(model, optimizer, 2)
    exec(save, names | {"pruner": pruner, "optimizer": optimizer})
    again = dict(names, model=Groups())
    exec(load, again)
    assert len(names["trained"]) == 4  # the four of eight rounds that were left
    assert again["pruner"].progress == 1.0


def test_hooks(names: dict[str, Any]) -> None:
    (code,) = pieces("Loops with hooks")
    exec(code, names)
    module = names["Module"](names["model"])
    optimizer = module.configure_optimizers()
    for number in range(9):
        module.training_step(inputs(module.model, number), number).backward()
        optimizer.step()
        module.on_train_epoch_end()
    checkpoint: dict[str, Any] = {}
    module.on_save_checkpoint(checkpoint)
    assert checkpoint["pruner"]["progress"] == 1.0
    module.on_load_checkpoint(checkpoint)


def test_baselines(names: dict[str, Any]) -> None:
    (code,) = pieces("Baselines")
    exec(code, names)
    strategies = [names[name].strategy for name in ("branches", "split", "joined", "uniform")]
    assert strategies == [
        "independent-branches",
        "dense-then-split@1",
        "split-then-aggregate@1",
        "disco-uniform",
    ]
    names["pruner"].prune()


def test_no_piece_is_left_out() -> None:
    headings = ("In a training loop", "Resume", "Loops with hooks", "Baselines")
    whole = len(re.findall("```python", PAGE.read_text("utf-8")))
    assert whole == sum(len(pieces(heading)) for heading in headings)

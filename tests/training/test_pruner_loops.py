"""The pruner in other people's loops: resumed, hooked, compiled, copied, in two processes."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import Tensor, nn

from planner.training.pruner import Pruner
from tests.processor_time import HANG_S
from tests.training.models import Attention, Convolutions, Prepared, inputs, prepared, train

REPO = Path(__file__).parents[2]


def begun(kind: type[nn.Module], selection: Any = "largest") -> tuple[Any, Pruner, Any]:
    found = prepared(kind, 0.8)
    pruner = Pruner(found.model, found.plan, found.profile, selection=selection, seed=3)
    optimizer = torch.optim.AdamW(found.model.parameters(), lr=0.01, weight_decay=0.1)
    return found.model, pruner, optimizer


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("selection", ["largest", "random"])
@pytest.mark.parametrize("kind", [Convolutions, Attention])
def test_resumed_training_equals_uninterrupted(
    tmp_path: Path, kind: type[nn.Module], selection: Any
) -> None:
    model, pruner, optimizer = begun(kind, selection)
    train(model, optimizer, 2)
    sequence = []
    for number, progress in enumerate(pruner.rounds(0.2)):
        train(model, optimizer, 2, seed=10 * number)
        sequence.append(progress)
        if number == 1:
            parts = {"model": model, "optimizer": optimizer, "pruner": pruner}
            torch.save({k: v.state_dict() for k, v in parts.items()}, tmp_path / "last.pt")
    assert sequence == [0.25, 0.5, 0.75, 1.0]  # 80 % in steps of 20 %

    again, second, steps = begun(kind, selection)
    checkpoint = torch.load(tmp_path / "last.pt", weights_only=True)
    again.load_state_dict(checkpoint["model"])
    steps.load_state_dict(checkpoint["optimizer"])
    second.load_state_dict(checkpoint["pruner"])
    for number, progress in enumerate(second.rounds(0.2), start=2):
        assert progress == sequence[number]
        train(again, steps, 2, seed=10 * number)
    assert same(again.state_dict(), model.state_dict())
    pruner.finalize()
    second.finalize()
    assert same(again.state_dict(), model.state_dict())


class Lit(nn.Module):
    """As a LightningModule is written."""

    def __init__(self, found: Prepared) -> None:
        super().__init__()
        self.model = found.model
        self.pruner = Pruner(self.model, found.plan, found.profile)
        self.rounds = self.pruner.rounds(0.2)

    def training_step(self, batch: Tensor, number: int) -> Tensor:
        loss: Tensor = self.model(batch).square().mean()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)

    def on_train_epoch_end(self) -> None:
        next(self.rounds, None)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["pruner"] = self.pruner.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.pruner.load_state_dict(checkpoint["pruner"])


def fit(module: Lit, epochs: int) -> list[int]:
    """A trainer that calls the hooks; how many weights are left after each epoch."""
    optimizer, left = module.configure_optimizers(), []
    for epoch in range(epochs):
        for number in range(2):
            loss = module.training_step(inputs(module.model, 10 * epoch + number), number)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        module.on_train_epoch_end()
        left.append(sum(int(mask.sum()) for mask in module.pruner.masks.values()))
    return left


def test_hooks_of_a_lightning_module() -> None:
    found = prepared(Attention, 0.8)
    module = Lit(found)
    left = fit(module, 6)
    assert left == sorted(left, reverse=True) and left[0] > left[2] > left[3] == left[5]
    checkpoint: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    other = Lit(prepared(Attention, 0.8))
    other.load_state_dict(checkpoint["state_dict"])
    other.on_load_checkpoint(checkpoint)
    assert other.pruner.progress == 1.0 and fit(other, 1) == left[-1:]


def losses_of(kind: type[nn.Module], backend: str | None) -> list[float]:
    model, pruner, _ = begun(kind)
    run: Any = torch.compile(model, backend=backend, fullgraph=True) if backend else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    found = []
    for _ in pruner.rounds(0.4):
        for step in range(2):
            loss = run(inputs(model, step)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    return found


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("kind", [Convolutions, Attention])
def test_compiled_models_hear_new_masks_without_being_compiled_again(
    kind: type[nn.Module], backend: str
) -> None:
    torch._dynamo.reset()
    with torch._dynamo.config.patch(error_on_recompile=True):
        losses = [losses_of(kind, backend), losses_of(kind, None)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_model_may_be_compiled_first() -> None:
    torch._dynamo.reset()
    found = prepared(Attention)
    compiled: Any = torch.compile(found.model, backend="eager")
    compiled(inputs(found.model, 0))
    pruner = Pruner(compiled, found.plan, found.profile)
    pruner.prune()
    assert "_orig_mod.fused.in_proj_weight" in pruner.masks and len(pruner.masks) == 6
    assert torch.equal(compiled(inputs(found.model, 0)), found.model(inputs(found.model, 0)))


def test_a_copy_keeps_the_masks() -> None:
    model, pruner, optimizer = begun(Attention)
    train(model, optimizer, 1)
    pruner.prune()
    twin = copy.deepcopy(model).eval()
    model.eval()
    assert torch.equal(twin(inputs(model, 0)), model(inputs(model, 0)))
    assert (twin.query.weight == 0).equal(~pruner.masks["query.weight"])


def test_two_processes_agree(tmp_path: Path) -> None:
    found = prepared(Attention, 0.8)
    for name, document in (("plan", found.plan), ("profile", found.profile)):
        (tmp_path / f"{name}.json").write_text(document.model_dump_json(), encoding="utf-8")
    script = Path(__file__).with_name("two_processes.py")
    environment = os.environ | {"PYTHONPATH": str(REPO), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path)],
            env=environment | {"OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=HANG_S)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert same(one, other)
    masks = {name: mask for name, mask in one.items() if name.endswith("mask")}
    assert len(masks) == 6 and not any(mask.all() for mask in masks.values())

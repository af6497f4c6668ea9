"""The shipped tasks: their data, their metrics, and the training that all of them share."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from sklearn.datasets import load_digits
from torch import Tensor, nn

from planner.case import Case
from planner.errors import BadInputError
from planner.strategies.baselines import dense, split_boundaries, uniform
from planner.training.tasks import digits
from planner.training.tasks.catalogue import TASK_NAMES, load_task
from planner.training.tasks.digits import DRAWS, TRAINING, VALIDATION, Digits
from planner.training.tasks.loop import prune_and_tune, repeatable, train_dense
from planner.training.tasks.photographs import HELD_OUT, PATCH, Bicubic, Photographs
from planner.training.tasks.photographs import TRAINING as TRAINED_ON
from profiles.catalog import load_cluster
from profiles.from_torch.frontend import profile_module

TASK = load_task("digits-cnn")
FEW = replace(TASK.budget, dense_steps=3, tuning_steps=6, batch=8, rounds=3)


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", TASK_NAMES)
def test_every_network_can_be_planned_and_leaves_room_for_99_percent(name: str) -> None:
    task = load_task(name)
    network = task.network()
    profile = profile_module(network, {"image": task.input_shape}, name=name, witness=False)
    case = Case(profile, load_cluster("small-nodes"), split_points=task.split_points)
    table = case.table(case.names(2), (0.8, 0.9, 0.95, 0.99, 1.0))
    kept = table.kept_features[table.sparsifiable][:, :, 0, 1]
    assert np.all(np.diff(kept, axis=1) < 0)  # every level keeps fewer features in every layer
    assert split_boundaries(case, 2) == [1, 2, 3]
    inputs = table.sparsifiable.nonzero()[0]
    assert all(profile.layers[row].in_features >= 64 for row in inputs)


def test_the_digits_are_cut_in_three_parts_that_share_no_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(digits, "NOISE", 0.0)
    data = Digits(3)
    assert len(data._images) == TRAINING
    parts = [data._images]
    for images, wanted in data._parts.values():
        assert len(images) == len(wanted)
        drawn = images.reshape(-1, DRAWS, 64)
        assert torch.equal(drawn, drawn[:, :1].expand_as(drawn))  # the same image each time
        parts.append(drawn[:, 0])
    assert [len(part) for part in parts] == [TRAINING, VALIDATION, 1797 - TRAINING - VALIDATION]
    found = torch.cat([part.reshape(-1, 64) for part in parts]).numpy()
    everything = (load_digits(return_X_y=True)[0] / 16).astype(np.float32)
    assert Counter(map(bytes, found)) == Counter(map(bytes, everything))


def test_digits_of_one_seed_are_always_the_same_and_of_another_differ() -> None:
    first, again, other = Digits(0), Digits(0), Digits(1)
    assert torch.equal(first._parts["test"][0], again._parts["test"][0])
    assert not torch.equal(first._parts["test"][1], other._parts["test"][1])
    for one, two in zip(first.batch(5, stream(2)), again.batch(5, stream(2)), strict=True):
        assert torch.equal(one, two)


def test_accuracy_counts_what_is_told_rightly() -> None:
    class Always(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.eye(10)[torch.full((len(image),), 4)]

    data = Digits(0)
    wanted = data._parts["test"][1]
    share = 100 * float((wanted == 4).sum()) / len(wanted)
    assert data.quality(Always(), "test") == pytest.approx(share)
    assert 5 < share < 15


def test_no_photograph_is_both_trained_and_tested_on() -> None:
    held_out = [name for names in HELD_OUT.values() for name in names]
    assert len({*held_out, *TRAINED_ON}) == len(held_out) + len(TRAINED_ON)


def test_psnr_is_what_scikit_image_says() -> None:
    data = Photographs(0)
    found = []
    for small, large in data._parts["validation"]:
        assert tuple(large.shape) == (1, 2 * small.shape[1], 2 * small.shape[2])
        assert torch.allclose(small[0, 3, 5], large[0, 6:8, 10:12].mean())
        made = Bicubic()(small[None])[0].clamp(0, 1)
        found.append(peak_signal_noise_ratio(large.numpy(), made.numpy(), data_range=1))
    assert data.quality(Bicubic(), "validation") == pytest.approx(np.mean(found), abs=1e-4)


def test_patches_are_halves_of_what_is_wanted_however_they_are_turned() -> None:
    small, large = Photographs(0).batch(12, stream(0))
    assert small.shape == (12, 1, PATCH, PATCH)
    assert torch.allclose(nn.functional.avg_pool2d(large, 2), small, atol=1e-6)


def test_a_seed_gives_the_same_networks_again_and_every_row_the_same_batches() -> None:
    data = Digits(0)
    profile = profile_module(TASK.network(), {"image": TASK.input_shape}, name="cnn", witness=False)
    case = Case(profile, load_cluster("small-nodes"))
    before = torch.random.get_rng_state()
    with repeatable():
        first, again = (train_dense(TASK, data, 7, FEW) for _ in range(2))
        other = train_dense(TASK, data, 8, FEW)
        kept = {name: tensor.clone() for name, tensor in first.state_dict().items()}
        plan = uniform(case, 2, 0.9)
        tuned, twice = (prune_and_tune(first, plan, profile, data, 7, FEW) for _ in range(2))
        by_chance = prune_and_tune(first, plan, profile, data, 7, FEW, "random")
        whole = prune_and_tune(first, dense(case, 2), profile, data, 7, FEW)
    assert same(first, again)
    assert not same(first, other)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(tensor, kept[name]) for name, tensor in first.state_dict().items())
    assert same(tuned, twice)
    # the first layer is never pruned, but it is trained: what differs comes from the pruning
    assert not torch.equal(whole.get_parameter("stem.weight"), first.get_parameter("stem.weight"))
    for model, zeros in ((tuned, True), (by_chance, True), (whole, False)):
        weight = model.get_parameter("blocks.3.conv2.weight").detach()
        block = weight[:64, 64:].abs().sum(dim=(0, 2, 3))
        assert int((block > 0).sum()) == (6 if zeros else 64)
    chosen = [
        model.get_parameter("blocks.3.conv2.weight")[:64, 64:].abs().sum(dim=(0, 2, 3)) > 0
        for model in (tuned, by_chance)
    ]
    assert not torch.equal(*chosen)
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_unknown_task_and_a_missing_package_are_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(BadInputError, match="task 'mnist': give one of digits-cnn, digits-vit"):
        load_task("mnist")
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(
        BadInputError, match=r"skimage is not installed; .*pip install '\.\[training\]'"
    ):
        load_task("digits-cnn")

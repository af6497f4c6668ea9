"""Measured sensitivities: what is pruned, what the file holds, and how a run goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from planner.case import Case
from planner.domain.settings import CostSettings
from planner.errors import BadInputError
from planner.strategies.baselines import plan_of_options, uniform
from planner.training.sensitivity import (
    dense_quality,
    measure_sensitivities,
    sensitivity_points,
)
from profiles.accuracy import find_accuracy
from profiles.from_torch.frontend import profile_module
from profiles.sensitivities import read_sensitivities
from profiles.sensitivity_file import measure_to_file
from tests.planner.builders import cluster

LEVELS = (0.5, 0.9, 0.99, 1.0)


class Chain(nn.Module):
    """A layer that reads the input, two that exchange features, and a local one between."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.body = nn.Conv2d(8, 16, 3, padding=1)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.stem(x).relu())
        found: Tensor = self.head(self.body(x).relu().mean((2, 3)))
        return found


torch.manual_seed(5)
MODEL = Chain()
IMAGE = torch.randn(4, 1, 6, 6)
WANTED = MODEL(IMAGE).detach()
CASE = Case(profile_module(Chain(), {"x": (1, 1, 6, 6)}, name="chain"), cluster(2))


def closeness(model: nn.Module) -> float:
    """More is better; 0 for the dense model."""
    with torch.no_grad():
        return -float((model(IMAGE) - WANTED).abs().sum())


def keeps_halves(weight: Tensor, kept: int) -> Tensor:
    """A weight (O, I, ...) of which the off-diagonal halves keep their largest sub-rows."""
    weight = weight.clone()
    outputs, inputs = weight.shape[0] // 2, weight.shape[1] // 2
    for rows, columns in (
        (slice(0, outputs), slice(inputs, None)),
        (slice(outputs, None), slice(0, inputs)),
    ):
        block = weight[rows, columns]
        norms = block.abs().reshape(outputs, inputs, -1).sum(dim=(0, 2))
        block[:, norms.argsort(descending=True)[kept:]] = 0
    return weight


def test_each_loss_is_that_of_one_layer_pruned_by_hand() -> None:
    before = {name: tensor.clone() for name, tensor in MODEL.state_dict().items()}
    found = {
        (row.layer, row.sparsity): row.loss
        for row in measure_sensitivities(MODEL, CASE, 2, closeness, 0.0, levels=LEVELS)
    }
    for layer, held in (("body", 4), ("head", 8)):
        for level in LEVELS:
            kept = max(int(np.floor((1 - level) * held + 0.5)), int(level < 1))
            pruned = Chain()
            pruned.load_state_dict(MODEL.state_dict())
            weight = pruned.get_parameter(f"{layer}.weight")
            weight.data = keeps_halves(weight.data, kept)
            loss = found[layer, 1 - kept / held]
            assert loss == pytest.approx(-closeness(pruned), abs=1e-5)
            assert loss > 0
    assert {layer for layer, _ in found} == {"body", "head"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in MODEL.state_dict().items())


def test_levels_that_keep_the_same_whole_features_are_measured_once() -> None:
    points = sensitivity_points(CASE, 2, LEVELS)
    # of 4 features 90 % and 99 % keep one; of 8 they do as well
    assert points == (
        ("body", 0.5),
        ("body", 0.75),
        ("body", 1.0),
        ("head", 0.5),
        ("head", 0.875),
        ("head", 1.0),
    )


def test_the_evaluation_may_train_what_it_gets() -> None:
    def ruins(model: nn.Module) -> float:
        value = closeness(model)
        for parameter in model.parameters():
            parameter.data.zero_()
        return value

    rows = list(measure_sensitivities(MODEL, CASE, 2, ruins, 0.0, levels=LEVELS))
    assert rows == list(measure_sensitivities(MODEL, CASE, 2, closeness, 0.0, levels=LEVELS))
    assert dense_quality(MODEL, ruins) == closeness(MODEL) == 0


def measured(path: Path, evaluate=closeness, **changes) -> None:  # type: ignore[no-untyped-def]
    asked = {"metric": "closeness", "levels": LEVELS} | changes
    model, case, nodes = asked.pop("model", MODEL), asked.pop("case", CASE), 2
    measure_to_file(path, model, case, nodes, evaluate, **asked)


def test_the_accuracy_model_reads_the_file_and_predicts_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "chain.csv"
    measured(path)
    found = read_sensitivities(path)
    assert (found.metric, found.dense_value, found.nodes) == ("closeness", closeness(MODEL), 2)
    accuracy = find_accuracy(f"csv:{path}", CASE.profile)
    case = Case(CASE.profile, CASE.cluster, loss_model=accuracy.model)
    table = case.table(case.names(2), (0.0, 0.9))
    for layer in ("body", "head"):
        row = table.layer_names.index(layer)
        choice = np.zeros(len(table.layer_names), dtype=np.int64)
        choice[row] = 1
        predicted = plan_of_options(case, table, choice, "one-layer").predicted
        sparsity = float(table.comm_sparsity[row, 1])
        assert predicted.accuracy_drop == pytest.approx(found.points[layer][sparsity])
        assert predicted.origin["accuracy_drop"] == "measured"
    both = uniform(case, 2, 0.9).predicted
    assert both.accuracy_drop == pytest.approx(
        found.points["body"][0.75] + found.points["head"][0.875]
    )
    assert both.origin["accuracy_drop"] == "assumed"


def test_a_run_that_was_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, parted = tmp_path / "whole.csv", tmp_path / "parted.csv"
    seen: list[tuple[int, int]] = []
    measured(whole, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(7)]

    calls = 0

    def interrupted(model: nn.Module) -> float:
        nonlocal calls
        calls += 1
        if calls == 4:  # the dense model and two points are through
            raise KeyboardInterrupt
        return closeness(model)

    with pytest.raises(KeyboardInterrupt):
        measured(parted, interrupted)
    assert parted.read_text().splitlines() == whole.read_text().splitlines()[:-4]
    seen.clear()
    evaluated: list[float] = []

    def counted(model: nn.Module) -> float:
        evaluated.append(closeness(model))
        return evaluated[-1]

    measured(parted, counted, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(2, 7)]
    assert len(evaluated) == 1 + 4
    assert parted.read_bytes() == whole.read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"whole.csv", "parted.csv"}


def test_a_run_that_measured_nothing_yet_goes_on_too(tmp_path: Path) -> None:
    path = tmp_path / "chain.csv"

    def never(model: nn.Module) -> float:
        if any(bool((weight == 0).any()) for weight in model.parameters()):
            raise KeyboardInterrupt
        return closeness(model)

    with pytest.raises(KeyboardInterrupt):
        measured(path, never)
    assert path.read_text().endswith("layer,sparsity,loss\n")
    measured(path)
    assert len(read_sensitivities(path).points) == 2


def test_weights_that_numpy_has_no_type_for_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "half.csv"
    half = Chain().to(torch.bfloat16)

    def size(model: nn.Module) -> float:
        return sum(float(weight.detach().float().abs().sum()) for weight in model.parameters())

    measured(path, size, model=half, levels=(1.0,))
    measured(path, size, model=half, levels=(1.0,))
    half.head.weight.data[0, 0] = -half.head.weight.data[0, 0]  # of the same size
    with pytest.raises(BadInputError, match="measured on"):
        measured(path, size, model=half, levels=(1.0,))


def test_more_levels_later_keep_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "chain.csv"
    measured(path, levels=(1.0,))
    measured(path)
    assert set(read_sensitivities(path).points["body"]) == {0.5, 0.75, 1.0}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metric": "other"}, "metric 'closeness' is written there, this run has 'other'"),
        ({"model": Chain()}, "measured on"),
        ({"case": Case(CASE.profile, cluster((1.0, 3.0)))}, "measured on"),
        ({"evaluate": lambda model: closeness(model) + 1}, "dense '-?0.0' .* this run has '1.0'"),
    ],
)
def test_a_file_that_was_measured_otherwise_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    path = tmp_path / "chain.csv"
    measured(path, levels=(1.0,))
    before = path.read_bytes()
    with pytest.raises(BadInputError, match=said) as refused:
        measured(path, **({"levels": LEVELS} | changes))
    assert str(refused.value).startswith("chain.csv: ")
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


def test_what_is_no_such_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text("my notes\n")
    with pytest.raises(BadInputError, match=r"notes\.csv: metric 'nothing' is written there"):
        measured(path)
    assert path.read_text() == "my notes\n"
    with pytest.raises(BadInputError, match="cannot be written"):
        measured(tmp_path / "missing" / "chain.csv")


@pytest.mark.parametrize(
    ("nodes", "levels", "said"),
    [
        (1, LEVELS, "give 2 or more"),
        (3, LEVELS, "cluster cluster has 1 to 2"),
        (2, (), "found level none"),
        (2, (0.0, 0.9), "found level 0.0"),
        (2, (90.0,), "found level 90.0"),
        (2, (float("nan"),), "found level nan"),
    ],
)
def test_bad_questions_are_refused(nodes: int, levels: tuple[float, ...], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        list(measure_sensitivities(MODEL, CASE, nodes, closeness, 0.0, levels=levels))


def test_shared_transmissions_and_worthless_values_are_refused(tmp_path: Path) -> None:
    shared = Case(CASE.profile, CASE.cluster, CostSettings(share_inputs=True))
    with pytest.raises(BadInputError, match="cannot be sparse alone"):
        sensitivity_points(shared, 2, LEVELS)
    with pytest.raises(BadInputError, match=r"with layer 'body' at S_comm 0\.5 gave nan; a finite"):
        list(measure_sensitivities(MODEL, CASE, 2, lambda model: float("nan"), 0.0))
    path = tmp_path / "chain.csv"
    with pytest.raises(BadInputError, match="the evaluation of the dense model gave inf"):
        measured(path, lambda model: float("inf"))
    assert not path.exists()

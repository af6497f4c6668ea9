"""Plans, models and states that do not belong together: one line that names what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from planner.errors import BadInputError
from planner.training.pruner import Pruner
from tests.training.models import Attention, Convolutions, prepared

FOUND = prepared(Convolutions)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(BadInputError) as caught:
        call()
    text = str(caught.value)
    assert text.isprintable() and len(text) < 500
    return text


def on(model: nn.Module) -> str:
    names = set(model.state_dict())
    said = refusal(lambda: Pruner(model, FOUND.plan, FOUND.profile))
    assert set(model.state_dict()) == names  # a model that is refused is left as it was
    return said


def without_head(model: Any) -> None:
    model.body = nn.Sequential(nn.ReLU())


def other_head(model: Any) -> None:
    model.head = nn.Linear(7, 12)


def wider(model: Any) -> None:
    model.body[0] = nn.Conv2d(8, 12, (3, 5), bias=False)
    model.up = nn.ConvTranspose2d(12, 7, 2)


def other_kernel(model: Any) -> None:
    model.up = nn.ConvTranspose2d(6, 7, 3)


def other_first(model: Any) -> None:  # it is not pruned
    model.stem = nn.Conv2d(1, 8, 3)


def no_first(model: Any) -> None:
    del model.stem


def with_nan(model: Any) -> None:
    with torch.no_grad():
        model.head.weight[1, 2] = torch.nan


def with_infinity(model: Any) -> None:
    with torch.no_grad():
        model.body[0].weight[0, 0, 0, 0] = -torch.inf


def of_integers(model: Any) -> None:
    weight = torch.ones(10, 7, dtype=torch.int8)
    model.head.weight = nn.Parameter(weight, requires_grad=False)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            without_head,
            "no layer 'body.0'; the plan has it with 6 output and 8 input features and 720 weights",
        ),
        (
            other_head,
            "layer 'head' has the shape (12, 7); the plan has the layer with 10 output and 7 input",
        ),
        (wider, "layer 'body.0' has the shape (12, 8, 3, 5); the plan has the layer with 6 output"),
        (other_kernel, "layer 'up' has the shape (6, 7, 3, 3); the plan has the layer with 7 out"),
        (other_first, "layer 'stem' has the shape (8, 1, 3, 3); the plan has the layer with 8 out"),
        (no_first, "no layer 'stem'; the plan has it with 8 output and 3 input features"),
        (with_nan, "the weight of layer 'head' holds NaN or infinity"),
        (with_infinity, "the weight of layer 'body.0' holds NaN or infinity"),
        (of_integers, "the weight of layer 'head' has the element type torch.int8"),
    ],
)
def test_models_that_the_plan_does_not_fit(change: Callable[[Any], None], message: str) -> None:
    model = Convolutions()
    change(model)
    assert message in on(model)


def test_another_model_and_another_profile() -> None:
    assert "no layer 'stem'" in on(Attention())
    other = FOUND.profile.model_copy(update={"name": "other"})
    said = refusal(lambda: Pruner(Convolutions(), FOUND.plan, other))
    assert "the profile of 'other' has the SHA-256" in said
    attention = prepared(Attention)
    said = refusal(lambda: Pruner(Convolutions(), FOUND.plan, attention.profile))
    assert "the plan has 'stem' where model has 'first'" in said


def test_a_model_that_has_a_pruner() -> None:
    model = Convolutions()
    first = Pruner(model, FOUND.plan, FOUND.profile)
    assert "has a pruner already" in on(model)
    first.finalize()
    Pruner(model, FOUND.plan, FOUND.profile)


def test_weights_that_diverge_in_training() -> None:
    model: Any = Convolutions()
    pruner = Pruner(model, FOUND.plan, FOUND.profile)
    pruner.prune(0.5)
    masks = {name: mask.clone() for name, mask in pruner.masks.items()}
    with torch.no_grad():
        model.head.parametrizations.weight.original[masks["head.weight"]] = torch.nan
    assert "'head' holds NaN" in refusal(pruner.prune)
    assert all(mask.equal(masks[name]) for name, mask in pruner.masks.items())


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan"), float("inf")])
def test_progress_that_is_none(progress: float) -> None:
    pruner = Pruner(Convolutions(), FOUND.plan, FOUND.profile)
    assert "a number from 0 to 1" in refusal(lambda: pruner.prune(progress))


def test_nothing_comes_back() -> None:
    pruner = Pruner(Convolutions(), FOUND.plan, FOUND.profile)
    pruner.prune()
    said = refusal(lambda: pruner.prune(0.2))
    assert "layer 'body.0' keeps less already; what is pruned does not come back" in said


def test_a_pruner_that_is_finalized() -> None:
    pruner = Pruner(Convolutions(), FOUND.plan, FOUND.profile)
    pruner.finalize()
    assert "this pruner is finalized" in refusal(pruner.prune)


def test_a_model_without_values() -> None:
    with torch.device("meta"):
        model = Convolutions()
    assert "layer 'body.0' has no values" in on(model)


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.5, float("nan")])
def test_fractions_that_are_none(fraction: float) -> None:
    pruner = Pruner(Convolutions(), FOUND.plan, FOUND.profile)
    assert "above 0 and at most 1" in refusal(lambda: list(pruner.rounds(fraction)))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"seed": 1}, "seed '1', this pruner has '0'"),
        ({"selection": "random"}, "selection 'random', this pruner has 'largest'"),
        ({"plan": "0" * 64}, "plan '000000000000', this pruner has"),
        ({"progress": None}, "no number from 0 to 1"),
        ({"progress": 2.0}, "no number from 0 to 1"),
        ({"selection": ...}, "no 'selection'"),
    ],
)
def test_states_of_other_pruners(change: dict[str, Any], message: str) -> None:
    pruner = Pruner(Convolutions(), FOUND.plan, FOUND.profile)
    state = {k: v for k, v in (pruner.state_dict() | change).items() if v is not ...}
    assert message in refusal(lambda: pruner.load_state_dict(state))


def test_a_selection_that_is_none() -> None:
    kind: Any = "smallest"
    said = refusal(lambda: Pruner(Convolutions(), FOUND.plan, FOUND.profile, selection=kind))
    assert said == "selection 'smallest': 'largest' or 'random'"

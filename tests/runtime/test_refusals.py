"""What cannot be sliced is refused in one line that names the layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from planner.errors import BadInputError, InconsistentResultError
from planner.runtime import slice_model
from planner.runtime.reading.traced import TracedModel
from profiles.from_torch.runnable import traced_model
from tests.runtime.cases import example, masked, random_plan, traced
from tests.runtime.networks import Dense, Residual, Transformer


@pytest.fixture(scope="module")
def residual() -> TracedModel:
    return traced(Residual(), 1, 3, 16, 16)


def plan_of(model: TracedModel, sparsity: float = 0.9, **settings: Any) -> Any:
    return random_plan(model, [[1.0, 1.0]], np.random.default_rng(0), sparsity=sparsity, **settings)


def test_a_plan_of_another_model(residual: TracedModel) -> None:
    with pytest.raises(BadInputError, match=r"the plan is for 'Dense' with \d+ MACs"):
        slice_model(residual, plan_of(traced(Dense(), 1, 3, 8, 8)))


def test_a_plan_whose_layers_are_others(residual: TracedModel) -> None:
    plan = plan_of(residual)
    stage = plan.stages[0]
    layers = [layer.model_copy(update={"name": f"my.{layer.name}"}) for layer in stage.layers]
    other = plan.model_copy(
        update={"stages": (stage.model_copy(update={"layers": tuple(layers)}),)}
    )
    with pytest.raises(BadInputError, match=r"the plan has 'my\.stem' where Residual has 'stem'"):
        slice_model(residual, other)


def test_weights_that_the_plan_drops_but_are_not_zero(residual: TracedModel) -> None:
    plan = plan_of(residual)
    with pytest.raises(BadInputError, match=r"layer 'first': \d+ of the pairs .* other than zero"):
        slice_model(residual, plan)


def test_a_pruned_model_loses_nothing(residual: TracedModel) -> None:
    plan = plan_of(residual)
    pruned = masked(residual, slice_model(residual, plan, select=True).masks)
    again = traced_model(pruned, {"x": (1, 3, 16, 16)})
    inputs = example(residual)
    found = slice_model(again, plan)(*inputs)
    with torch.no_grad():
        torch.testing.assert_close(found, pruned(*inputs), rtol=1e-5, atol=1e-5)


def test_weights_are_read_when_the_model_is_sliced() -> None:
    model = traced(Residual(), 1, 3, 16, 16)
    plan, inputs = plan_of(model, sparsity=0.0), example(model)
    before = slice_model(model, plan)(*inputs)
    with torch.no_grad():
        model.module.get_parameter("head.bias").add_(1.0)
    torch.testing.assert_close(slice_model(model, plan)(*inputs), before + 1.0)
    model.module.register_module("first", nn.Identity())
    with pytest.raises(BadInputError, match=r"'first\.weight' is gone: trace the model"):
        slice_model(model, plan)


def test_weights_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = traced_model(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).eval(), {"x": (1, 4)})
    with pytest.raises(BadInputError, match=r"'0\.weight' has no values"):
        slice_model(model, plan_of(model, sparsity=0.0))


def test_a_weight_that_is_nan() -> None:
    model = traced(Residual(), 1, 3, 16, 16)
    with torch.no_grad():
        model.module.get_parameter("second.weight")[0, 0] = torch.nan
    with pytest.raises(BadInputError, match="layer 'second': its weight holds NaN"):
        slice_model(model, plan_of(model), select=True)


class Median(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(x).flatten(2).median(-1).values)


class Written(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x)
        y[:, :, :2] = 0.0
        return self.head(y)


class States(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.recurrent(x)[1][0]


@pytest.mark.parametrize(
    ("module", "shape", "line"),
    [
        (Median(), (1, 3, 4, 4), r"layer 'median' .* cannot run aten\.median\.dim in slices"),
        (Written(), (1, 3, 4, 4), r"layer 'write' .* writes into a part of a tensor"),
        (States(), (5, 1, 3), r"layer 'recurrent.*' .* cannot run aten\.lstm\.input"),
    ],
)
def test_an_operator_that_the_runtime_does_not_know(
    module: nn.Module, shape: tuple[int, ...], line: str
) -> None:
    model = traced(module, *shape)
    with pytest.raises(BadInputError, match=line):
        slice_model(model, plan_of(model), select=True)


def test_control_flow_that_depends_on_values() -> None:
    class Branch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1 if x.sum() > 0 else x - 1

    with pytest.raises(BadInputError, match=r"Branch: torch\.export cannot trace it"):
        traced_model(Branch(), {"x": (1, 4)})


@pytest.mark.parametrize(
    ("inputs", "line"),
    [
        ((torch.zeros(2, 3, 16, 16),), r"input 'x' has the shape \(2, 3, 16, 16\)"),
        ((torch.zeros(1, 3, 16, 16, dtype=torch.float64),), "the type float64; it was traced"),
        ((), "0 inputs are given; it has 1"),
    ],
)
def test_inputs_other_than_traced(
    residual: TracedModel, inputs: tuple[torch.Tensor, ...], line: str
) -> None:
    slices = slice_model(residual, plan_of(residual, sparsity=0.0))
    with pytest.raises(BadInputError, match=line):
        slices.run(*inputs)


def test_masks_of_another_plan(residual: TracedModel) -> None:
    plan = plan_of(residual)
    masks = slice_model(residual, plan, select=True).masks
    with pytest.raises(BadInputError, match="none for the layer 'first'"):
        slice_model(residual, plan, masks=masks[1:])
    with pytest.raises(BadInputError, match="layer 'first' is not of this plan"):
        slice_model(residual, plan_of(residual, 0.0), masks=masks, select=True)
    single = random_plan(residual, [[1.0]], np.random.default_rng(0))
    with pytest.raises(BadInputError, match="layer 'first' has one, but exchanges nothing"):
        slice_model(residual, single, masks=masks)


def test_masks_that_a_broadcast_cannot_serve() -> None:
    model = traced(Residual(), 1, 3, 16, 16)
    plan = random_plan(
        model, [[1.0] * 3], np.random.default_rng(0), sparsity=0.7, casting="broadcast"
    )
    masks = list(slice_model(model, plan, select=True).masks)
    first = masks[0]
    held = np.flatnonzero(first.input_owners == 0)
    sent = [list(row) for row in first.sent]
    assert len(held) > len(sent[0][1]) == len(sent[0][2]) == 1
    sent[0][1], sent[0][2] = held[:1], held[1:2]
    masks[0] = replace(first, sent=tuple(map(tuple, sent)))
    with pytest.raises(BadInputError, match="no parts of one another"):
        slice_model(model, plan, masks=masks, select=True)


def test_a_profile_that_is_not_the_graphs_is_noticed(residual: TracedModel) -> None:
    """Features that a cost model leaves elsewhere than the graph needs them are an error."""
    layers = list(residual.profile.layers)
    at = next(i for i, layer in enumerate(layers) if layer.op == "prelu")
    name = layers[at].name
    layers[at] = layers[at].model_copy(update={"feature_flow": "shuffle", "groups": 2})
    wrong = replace(residual, profile=residual.profile.model_copy(update={"layers": tuple(layers)}))
    with pytest.raises(InconsistentResultError, match=f"layer {name!r}"):
        slice_model(wrong, plan_of(wrong, sparsity=0.0))


def test_bytes_that_the_cost_model_miscounts_are_noticed() -> None:
    model = traced(Transformer(), 1, 3, 16, 16)
    layers = [
        layer.model_copy(update={"statistics_bytes": layer.statistics_bytes // 2})
        for layer in model.profile.layers
    ]
    wrong = replace(model, profile=model.profile.model_copy(update={"layers": tuple(layers)}))
    with pytest.raises(InconsistentResultError, match=r"'blocks\.0\.before'.* the slices send"):
        slice_model(wrong, plan_of(wrong, sparsity=0.0))


def test_macs_that_the_cost_model_miscounts_are_noticed(residual: TracedModel) -> None:
    layers = list(residual.profile.layers)
    at = next(i for i, layer in enumerate(layers) if layer.name == "second")
    layers[at] = layers[at].model_copy(update={"macs": 2 * layers[at].macs})
    wrong = replace(residual, profile=residual.profile.model_copy(update={"layers": tuple(layers)}))
    slices = slice_model(wrong, plan_of(wrong, sparsity=0.0))
    with pytest.raises(InconsistentResultError, match="layer 'second', n0: the cost model counts"):
        slices.run(*example(residual))

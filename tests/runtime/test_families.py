"""Sliced and dense-masked outputs agree, bytes and MACs are the cost model's, on any plan."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from planner.case import Case
from planner.domain.cluster import Collective
from planner.domain.settings import CostSettings
from planner.errors import BadInputError
from planner.runtime import slice_model
from planner.runtime.reading.traced import TracedModel
from planner.strategies.costed import cost_plan
from tests.examples import some
from tests.runtime import networks
from tests.runtime.cases import check, example, random_plan, traced

FAMILIES = {
    "residual": (networks.Residual, (2, 3, 16, 16)),
    "plain": (networks.Plain, (2, 3, 8, 8)),
    "depthwise": (networks.Depthwise, (2, 3, 16, 16)),
    "dense": (networks.Dense, (1, 3, 8, 8)),
    "mixed": (networks.Mixed, (1, 3, 8, 8)),
    "norms": (networks.Norms, (2, 3, 8, 8)),
    "reductions": (networks.Reductions, (2, 5, 6)),
    "transformer": (networks.Transformer, (2, 3, 16, 16)),
    "uneven heads": (lambda: networks.Transformer(5, 1), (1, 3, 16, 16)),
    "recurrent": (networks.Recurrent, (2, 5, 6)),
    "products": (networks.Products, (2, 5, 6)),
}

SPEEDS = st.sampled_from([1.0, 1.0, 2.0, 5.0, 30.0])
GROUPS = st.lists(st.lists(SPEEDS, min_size=1, max_size=4), min_size=1, max_size=3)


@cache
def model(family: str) -> TracedModel:
    make, shape = FAMILIES[family]
    return traced(make(), *shape)


def test_a_plan_of_narrow_messages_runs_with_elements_as_they_are_computed() -> None:
    subject = model("plain")
    plan = random_plan(subject, [[1.0, 1.0], [1.0]], np.random.default_rng(1))
    narrow = plan.model_copy(update={"settings": CostSettings(message_bits=8)})
    assert check(subject, narrow).predicted == check(subject, plan).predicted


@pytest.mark.parametrize("collective", ["in-series", "ring", "tree", "star", "best"])
def test_a_plan_whose_messages_are_passed_on_runs_with_direct_ones(collective: Collective) -> None:
    subject = model("plain")
    plan = random_plan(subject, [[1.0, 1.0, 1.0]], np.random.default_rng(1))
    passed_on = plan.model_copy(update={"settings": CostSettings(collective=collective)})
    found, direct = check(subject, passed_on).predicted, check(subject, plan).predicted
    assert (found.sent_bytes, found.macs) == (direct.sent_bytes, direct.macs)


@pytest.mark.parametrize("family", FAMILIES)
@some(0.2)
@given(
    groups=GROUPS,
    casting=st.sampled_from(["unicast", "broadcast"]),
    sharing=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_slices_agree_with_the_masked_model_and_the_cost_model(
    family: str, groups: list[list[float]], casting: str, sharing: bool, seed: int
) -> None:
    subject = model(family)
    plan = random_plan(
        subject, groups, np.random.default_rng(seed), casting=casting, share_inputs=sharing
    )
    check(subject, plan)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sparsity", [0.0, 0.9, 1.0])
def test_uniform_sparsity_on_four_nodes(family: str, sparsity: float) -> None:
    subject = model(family)
    plan = random_plan(subject, [[1.0] * 4], np.random.default_rng(0), sparsity=sparsity)
    slices = check(subject, plan)
    assert slices.predicted.sent_bytes or sparsity == 1.0


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_stands_for_one_call(family: str) -> None:
    subject = model(family)
    named = [name for call in subject.calls for name in call.layers]
    assert named == [layer.name for layer in subject.profile.layers]
    for call in subject.calls:
        assert set(call.outputs) <= set(call.layers)


def test_torchs_own_multi_head_attention() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 12)
            self.attention = nn.MultiheadAttention(12, 3, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return x + self.attention(x, x, x, need_weights=False)[0]

    subject = traced(Attention(), 2, 5, 6)
    plan = random_plan(subject, [[1.0, 2.0], [1.0]], np.random.default_rng(0), sparsity=0.0)
    inputs = example(subject)
    expected = subject.module(*inputs)
    torch.testing.assert_close(slice_model(subject, plan)(*inputs), expected, rtol=1e-5, atol=1e-5)


def test_half_precision_is_counted_in_its_own_bytes() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 4))
    single = traced(layers, 3, 6)
    plan = random_plan(single, [[1.0, 2.0]], np.random.default_rng(1))
    half = traced(layers.to(torch.bfloat16), 3, 6)
    plan_of_half = random_plan(half, [[1.0, 2.0]], np.random.default_rng(1))
    whole = slice_model(single, plan, select=True).predicted.sent_bytes
    slices = slice_model(half, plan_of_half, select=True)
    assert slices.predicted.sent_bytes == {
        layer: {pair: size // 2 for pair, size in pairs.items()} for layer, pairs in whole.items()
    }
    slices.run(*(item.to(torch.bfloat16) for item in example(half)))


@pytest.mark.parametrize(("groups", "numbers"), [(4, 0), (1, 2)])
def test_group_norms_exchange_no_more_than_they_must(groups: int, numbers: int) -> None:
    """Whole groups are on one node; of a single group every node tells two numbers per sample."""
    layers = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(groups, 8), nn.Conv2d(8, 4, 1))
    subject = traced(layers, 5, 3, 6, 6)
    plan = random_plan(subject, [[1.0, 2.0]], np.random.default_rng(0), sparsity=0.5)
    sent = check(subject, plan).predicted.sent_bytes.get("1", {})
    assert sum(sent.values()) == 2 * numbers * 5 * 4


def test_features_on_every_node_and_shared_out_are_not_normalised_together() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Linear(4, 4), nn.LayerNorm(8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(torch.cat([x, self.first(x)], -1))

    subject = traced(Both(), 3, 4)
    plan = random_plan(subject, [[1.0, 1.0]], np.random.default_rng(0))
    with pytest.raises(BadInputError, match=r"layer 'norm' .* are on every node"):
        slice_model(subject, plan)


def test_several_outputs_come_in_the_models_order() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 6, 3)
            self.left, self.right = nn.Conv2d(6, 4, 1), nn.Conv2d(6, 5, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y = self.stem(x)
            return self.right(y), self.left(y)

    subject = traced(Two(), 1, 3, 6, 6)
    plan = random_plan(subject, [[1.0, 1.0], [1.0]], np.random.default_rng(2), sparsity=0.0)
    inputs = example(subject)
    for found, expected in zip(
        slice_model(subject, plan)(*inputs), subject.module(*inputs), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


class ReadAgain(nn.Module):
    """The image is added behind the second convolution and once more behind the third."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 1)
        self.third = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.second(self.first(x)) + x)
        return self.third(y) + x


@pytest.mark.parametrize("counted", [False, True])
def test_a_later_group_has_the_input_or_is_sent_it(counted: bool) -> None:
    model = traced(ReadAgain(), 1, 3, 6, 6)
    drawn = random_plan(model, ([1.0, 2.0], [1.0], [1.0, 1.0]), np.random.default_rng(3))
    assert len(drawn.stages) == 3
    case = Case(model.profile, drawn.cluster, CostSettings(count_input=counted))
    slices = check(model, cost_plan(case, drawn.stages, "drawn"))
    sent_on = [stretch.name for stretch in slices.stretches if stretch.name.endswith(") x")]
    assert len(sent_on) == (2 if counted else 0)
    assert len(slices.input_nodes) == (2 if counted else 5)

"""Whatever the model, the nodes, the shares and the plan: counts, whole blocks, nesting, seeds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from planner.case import Case
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import REPLICATED
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.settings import CostSettings
from planner.strategies.baselines import uniform
from planner.strategies.costed import cost_plan
from planner.training.pruner import Pruner
from planner.weights.masks import round_counts
from tests.examples import some
from tests.planner.builders import Net, chain, cluster
from tests.planner.mask_cases import Weights, cases

Selection = Literal["largest", "random"]
progresses = st.floats(0, 1)
selections: st.SearchStrategy[Selection] = st.sampled_from(["largest", "random"])


def module_of(profile: ModelProfile, weights: Weights) -> nn.Module:
    """Modules of the layers' names and shapes; nothing runs them."""
    parts: dict[str, nn.Module] = {}
    for layer, weight in zip(profile.layers, weights, strict=True):
        if layer.feature_flow == "mixing" and layer.weight_params:
            side = round((layer.weight_params / layer.in_features / layer.out_features) ** 0.5)
            part = nn.Conv2d(layer.in_features, layer.out_features, side, bias=False)
            part.weight.data = torch.tensor(weight, dtype=torch.float32).reshape(part.weight.shape)
            parts[layer.name] = part
    return nn.ModuleDict(parts)


def shaken(model: nn.Module, seed: int) -> None:
    """Other weights, as training might leave them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


def pairs(pruner: Pruner) -> dict[str, NDArray[np.bool_]]:
    """What is kept of every layer, (O, I); a kernel stays or goes as a whole."""
    found = {}
    for name, mask in pruner.masks.items():
        assert (mask == mask[:, :, :1, :1]).all()
        found[name.removesuffix(".weight")] = mask[:, :, 0, 0].numpy().copy()
    return found


def check(case: Case, planned: tuple[StagePlan, ...], pruner: Pruner, progress: float) -> None:
    """Exactly the counts of the round, in sub-rows, and all that a node holds itself."""
    kept = pairs(pruner)
    for stage in planned:
        owners = case.owners(stage.nodes)
        nodes = range(len(stage.nodes))
        for layer in stage.layers:
            row = [x.name for x in case.profile.layers].index(layer.name)
            inputs, outputs = owners.inputs[row], owners.outputs[row]
            if layer.name not in kept:
                continue
            mask = kept[layer.name]
            assert mask[:, inputs == REPLICATED].all()
            for i in nodes:
                for j in nodes:
                    block = mask[outputs == j][:, inputs == i]
                    if not block.size:
                        continue
                    assert (block == block[0]).all()
                    if i == j:
                        assert block.all()
                        continue
                    held = np.array(block.shape[1])
                    counts: Any = layer.kept_features
                    planned_count = np.array(counts[i][j])
                    expected = round_counts(held, planned_count, progress)
                    assert block[0].sum() == expected
                    assert progress < 1 or expected == planned_count
                    assert progress > 0 or expected == held


@some(0.5)
@given(cases(), st.lists(progresses, max_size=3), selections, st.integers(0, 2**32))
def test_counts_blocks_and_nesting_over_rounds(
    drawn_case: tuple[Case, tuple[StagePlan, ...], Weights],
    on_the_way: list[float],
    selection: Selection,
    seed: int,
) -> None:
    case, planned, weights = drawn_case
    model = module_of(case.profile, weights)
    plan = cost_plan(case, planned, "drawn")
    pruner = Pruner(model, plan, case.profile, selection=selection, seed=seed)
    rounds = []
    for number, progress in enumerate([*sorted(on_the_way), 1.0]):
        pruner.prune(progress)
        check(case, planned, pruner, progress)
        rounds.append(pairs(pruner))
        shaken(model, number)
    for earlier, later in pairwise(rounds):
        assert all((later[name] <= mask).all() for name, mask in earlier.items())


@some(0.4)
@given(cases(), st.integers(0, 2**16))
def test_a_broadcast_serves_all_receivers_in_every_round(
    drawn_case: tuple[Case, tuple[StagePlan, ...], Weights], seed: int
) -> None:
    case, planned, weights = drawn_case
    case = Case(
        case.profile, case.cluster.model_copy(update={"casting": "broadcast"}), case.settings
    )
    model = module_of(case.profile, weights)
    pruner = Pruner(model, cost_plan(case, planned, "drawn"), case.profile)
    for progress in (0.3, 0.7, 1.0):
        pruner.prune(progress)
        shaken(model, seed)
        for name, mask in pairs(pruner).items():
            row = [layer.name for layer in case.profile.layers].index(name)
            stage = next(s for s in planned if name in [layer.name for layer in s.layers])
            owners = case.owners(stage.nodes)
            for i in range(len(stage.nodes)):
                sent = [
                    frozenset(np.flatnonzero(mask[owners.outputs[row] == j][0] & held))
                    for j in range(len(stage.nodes))
                    if j != i and (owners.outputs[row] == j).any()
                    for held in [owners.inputs[row] == i]
                ]
                assert all(a <= b for a, b in pairwise(sorted(sent, key=len)))


@some(0.4)
@given(cases(), progresses, st.integers(0, 2**32))
def test_a_seed_is_a_choice(
    drawn_case: tuple[Case, tuple[StagePlan, ...], Weights], progress: float, seed: int
) -> None:
    case, planned, weights = drawn_case
    plan = cost_plan(case, planned, "drawn")
    model = module_of(case.profile, weights)
    other = module_of(case.profile, [weight + 1 for weight in weights])
    chosen = []
    for part, way in ((model, [progress, 1.0]), (other, [1.0])):
        pruner = Pruner(part, plan, case.profile, selection="random", seed=seed)
        for step in way:
            pruner.prune(step)
        chosen.append(pairs(pruner))
    assert all(np.array_equal(mask, chosen[1][name]) for name, mask in chosen[0].items())


def test_every_sub_row_is_chosen_by_some_seed_about_as_often() -> None:
    case = Case(chain(12, 12), cluster(2))
    plan = uniform(case, 2, 0.5)
    kept = np.zeros((12, 12))
    for seed in range(400):
        model = module_of(case.profile, [np.ones((12, 3, 1), int), np.ones((12, 12, 1), int)])
        pruner = Pruner(model, plan, case.profile, selection="random", seed=seed)
        pruner.prune()
        kept += pairs(pruner)["conv_1"]
    away = np.concatenate([kept[0, 6:], kept[6, :6]])
    assert away.sum() == 400 * 6 and (np.abs(away - 200) < 50).all()  # five standard deviations


def test_what_went_stays_away_when_all_that_is_left_is_zero() -> None:
    case = Case(chain(8, 8), cluster(2))
    plan = uniform(case, 2, 0.75)
    weights = np.arange(1, 9)[None, :, None] * np.ones((8, 8, 1), int)
    model = module_of(case.profile, [np.ones((8, 3, 1), int), weights])
    pruner = Pruner(model, plan, case.profile)
    pruner.prune(1 / 3)  # the first of each node's four features went
    model.conv_1.parametrizations.weight.original.data.zero_()  # type: ignore[union-attr]
    pruner.prune()  # by order: the second stays, the third and the fourth go
    assert pairs(pruner)["conv_1"][0].tolist() == [True] * 4 + [False, True, False, False]


def test_layers_that_share_a_transmission_keep_parts_of_one_subset() -> None:
    """Though the norms change so that what one of them has lost would come first."""
    net = Net(3, 1)
    stem = net.conv("image", 12)
    net.add(net.conv(stem, 12), net.conv(stem, 12))
    profile = net.profile()
    case = Case(profile, cluster(2), CostSettings(share_inputs=True))
    counts = {"conv_1": 2, "conv_2": 3}
    layers = tuple(
        LayerPlan(name=layer.name, nodes=2, kept_features=counts.get(layer.name))
        for layer in profile.layers
    )
    plan = cost_plan(case, (StagePlan(nodes=("a", "b"), layers=layers),), "drawn")
    size = np.arange(1, 13)[None, :, None] * np.ones((12, 12, 1), int)
    model = module_of(profile, [np.ones((12, 3, 1), int), size, size, size])
    pruner = Pruner(model, plan, profile)
    pruner.prune(0.5)  # of six features, conv_1 keeps the last four, conv_2 the last five
    assert pairs(pruner)["conv_1"][0, 6:].tolist() == [False] * 2 + [True] * 4
    assert pairs(pruner)["conv_2"][0, 6:].tolist() == [False] + [True] * 5
    with torch.no_grad():
        model.conv_2.parametrizations.weight.original[:, [1, 7]] = 1000.0  # type: ignore[union-attr]
    pruner.prune(0.6)  # both keep four, by rounding
    assert pairs(pruner)["conv_1"][0, 6:].tolist() == [False] * 2 + [True] * 4
    assert pairs(pruner)["conv_2"][0, 6:].tolist() == [False] * 2 + [True] * 4
    pruner.prune()
    assert pairs(pruner)["conv_1"][0, 6:].tolist() == [False] * 4 + [True] * 2
    assert pairs(pruner)["conv_2"][0, 6:].tolist() == [False] * 3 + [True] * 3

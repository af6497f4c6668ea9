"""The pruner on real modules: what it keeps, in training and after, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from planner.accuracy.ranking import magnitudes
from planner.case import Case
from planner.domain.plan import Plan
from planner.errors import BadInputError
from planner.strategies.baselines import independent_branches, uniform
from planner.training.pruner import Pruner
from planner.weights.masks import plan_masks
from profiles.from_torch.frontend import profile_module
from tests.planner.builders import cluster
from tests.training.models import Attention, Convolutions, Prepared, inputs, prepared, train

OPTIMIZERS = {
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
}


def as_exported(found: Prepared) -> dict[str, np.ndarray[Any, Any]]:
    """The masks of all at once, from the weights themselves, as pairs of features by layer."""
    state = found.model.state_dict()
    sizes: list[Any] = [None] * len(found.profile.layers)
    stages = [found.case.stage(_table(found))]
    for row, layer in enumerate(found.profile.layers):
        if f"{layer.name}.weight" in state and state[f"{layer.name}.weight"].dim() > 1:
            weight = state[f"{layer.name}.weight"].numpy()
            sizes[row] = magnitudes(weight.swapaxes(0, 1) if layer.name == "up" else weight)
    return {found.profile.layers[x.row].name: x.mask() for x in plan_masks(stages, sizes)}


def _table(found: Prepared) -> Any:
    stage = found.plan.stages[0]
    nodes = len(stage.nodes)
    kept = np.zeros((len(stage.layers), nodes, nodes), dtype=np.int64)
    for row, layer in enumerate(stage.layers):
        kept[row] = np.array(layer.kept_features or 0) * ~np.eye(nodes, dtype=bool)
    return found.case.table_of(stage.nodes, kept)


@pytest.mark.parametrize("casting", ["unicast", "broadcast"])
@pytest.mark.parametrize("speeds", [(1.0, 1.0), (1.0, 2.0, 1.0)])
def test_all_at_once_is_what_the_export_keeps(speeds: tuple[float, ...], casting: str) -> None:
    found = prepared(Convolutions, 0.6, speeds, casting=casting)
    expected = as_exported(found)
    pruner = Pruner(found.model, found.plan, found.profile)
    assert all(mask.all() for mask in pruner.masks.values())
    pruner.prune()
    assert set(pruner.masks) == {"body.0.weight", "up.weight", "head.weight"}
    assert pruner.masks["up.weight"].shape == (6, 7, 2, 2)
    for name, mask in pruner.masks.items():
        pairs = mask.transpose(0, 1) if name == "up.weight" else mask
        flat = pairs.reshape(*pairs.shape[:2], -1)
        assert (flat == flat[:, :, :1]).all()  # kernels stay whole
        assert np.array_equal(flat[:, :, 0].numpy(), expected[name.removesuffix(".weight")])


def test_heads_over_nodes_in_one_weight_and_in_three() -> None:
    found = prepared(Attention, 0.5)
    pruner = Pruner(found.model, found.plan, found.profile)
    pruner.prune()
    assert {name for name in pruner.masks} == {
        "fused.in_proj_weight",
        "fused.out_proj.weight",
        "query.weight",
        "key.weight",
        "value.weight",
        "last.weight",
    }
    parts = pruner.masks["fused.in_proj_weight"].reshape(3, 2, 4, 8)  # q, k, v; nodes; outputs
    assert (parts == parts[:1, :, :1]).all()
    assert parts[0, 0, 0, :4].all() and parts[0, 1, 0, 4:].all()
    assert parts[0, 0, 0].sum() == parts[0, 1, 0].sum() == 6
    query = pruner.masks["query.weight"].reshape(2, 4, 8)
    assert (query == query[:, :1]).all() and (query[:, 0].sum(1) == 6).all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", [Convolutions, Attention])
def test_pruned_weights_stay_at_zero_and_the_others_train(
    kind: type[nn.Module], optimizer: str
) -> None:
    found = prepared(kind)
    model = found.model
    pruner = Pruner(model, found.plan, found.profile)
    steps = OPTIMIZERS[optimizer](model.parameters())
    train(model, steps, 3)  # dense, so that momentum is under way
    before = {name: tensor.clone() for name, tensor in weights(model, pruner).items()}
    pruner.prune(0.5)
    train(model, steps, 3)
    pruner.prune()
    losses = train(model, steps, 6)
    masks = {name: mask.clone() for name, mask in pruner.masks.items()}
    for name, weight in weights(model, pruner).items():
        assert not masks[name].all() and (weight == 0).equal(~masks[name])
        assert (weight != before[name])[masks[name]].all()
    assert losses[-1] < losses[0]


def weights(model: nn.Module, pruner: Pruner) -> dict[str, torch.Tensor]:
    found = {}
    for name in pruner.masks:
        path, _, leaf = name.rpartition(".")
        found[name] = getattr(model.get_submodule(path), leaf).detach()
    return found


@pytest.mark.parametrize("kind", [Convolutions, Attention])
def test_finalize_leaves_the_plain_model(kind: type[nn.Module]) -> None:
    found = prepared(kind)
    model, names = found.model, set(found.model.state_dict())
    pruner = Pruner(model, found.plan, found.profile)
    train(model, torch.optim.SGD(model.parameters(), lr=0.1), 2)
    pruner.prune()
    masks = {name: mask.clone() for name, mask in pruner.masks.items()}
    model.eval()
    expected = model(inputs(model, 1))
    pruner.finalize()
    assert set(model.state_dict()) == names
    assert "Parametrized" not in repr(model)
    assert torch.equal(model(inputs(model, 1)), expected)
    for name, mask in masks.items():
        assert (model.get_parameter(name) != 0).equal(mask)
    fresh = kind().eval()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(inputs(model, 1)), expected)


def test_a_head_that_is_tied_to_an_embedding_is_masked_and_the_embedding_is_not() -> None:
    config = transformers.GPT2Config(
        n_layer=1, n_embd=16, n_head=4, n_positions=8, vocab_size=20, use_cache=False
    )
    model: Any = transformers.GPT2LMHeadModel(config)
    profile = profile_module(model, {"input_ids": (1, 8)}, name="lm", witness=False)
    plan = uniform(Case(profile, cluster(2)), 2, 0.5)
    pruner = Pruner(model, plan, profile)
    embedding = model.transformer.wte.weight
    pruner.prune()
    mask = pruner.masks["lm_head.weight"].clone()
    assert not mask.all() and embedding.all() and (model.lm_head.weight != 0).equal(mask)
    tokens = torch.arange(8)[None]
    model(tokens).logits.square().sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert model.lm_head.parametrizations.weight.original is embedding  # they still train as one
    model.eval()
    expected = model(tokens).logits
    pruner.finalize()
    assert (model.lm_head.weight != 0).equal(mask) and embedding.all()
    assert model.transformer.wte.weight is embedding is not model.lm_head.weight
    assert torch.equal(model(tokens).logits, expected)


class Twice(nn.Module):
    """One weight that two layers read."""

    shape = (8,)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.again(self.again(self.first(x)).relu())
        return found


@pytest.mark.parametrize("selection", ["largest", "random"])
def test_one_weight_that_several_layers_read(selection: Any) -> None:
    found = prepared(Twice, 0.5)
    pruner = Pruner(found.model, found.plan, found.profile, selection=selection)
    pruner.prune()
    assert pruner.masks["again.weight"].sum() == 48
    for count, message in ((1, "is the weight of several layers"), (4, "also read by a layer")):
        with pytest.raises(BadInputError, match=message):
            Pruner(Twice(), changed(found.plan, count), found.profile)


class Aliased(Twice):
    """One module under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.other = self.again

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.other(self.again(self.first(x)).relu())
        return found


class Tied(Aliased):
    """Two modules that hold one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(8, 8)
        self.other.weight = self.again.weight


def test_one_module_of_two_names_has_one_mask() -> None:
    found = prepared(Aliased, 0.5)
    pruner = Pruner(found.model, found.plan, found.profile)
    pruner.prune()
    assert set(pruner.masks) == {"again.weight"}
    with pytest.raises(BadInputError, match=r"again.*also read by a layer"):
        Pruner(Aliased(), changed(found.plan, 4), found.profile)
    pruner.finalize()
    assert found.model.other is found.model.again and (found.model.other.weight == 0).any()


def test_two_modules_that_hold_one_parameter_have_two_masks() -> None:
    found = prepared(Tied, 0.5)
    model: Any = found.model
    pruner = Pruner(model, changed(found.plan, 1), found.profile)
    pruner.prune()
    masks = {name: mask.clone() for name, mask in pruner.masks.items()}
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "again.weight": 48,
        "other.weight": 40,
    }
    model.eval()
    expected = model(inputs(model, 0))
    pruner.finalize()
    assert torch.equal(model(inputs(model, 0)), expected)
    assert (model.again.weight != 0).equal(masks["again.weight"])
    assert (model.other.weight != 0).equal(masks["other.weight"])


def changed(plan: Plan, count: int) -> Plan:
    """The plan with another count in its last layer that exchanges features."""
    stage = plan.stages[0]
    last = max(i for i, layer in enumerate(stage.layers) if layer.kept_features is not None)
    layers = list(stage.layers)
    layers[last] = layers[last].model_copy(update={"kept_features": count})
    stage = stage.model_copy(update={"layers": tuple(layers)})
    return plan.model_copy(update={"stages": (stage,)})


def test_a_plan_that_prunes_nothing() -> None:
    found = prepared(Convolutions, 0.0)
    pruner = Pruner(found.model, found.plan, found.profile)
    assert list(pruner.rounds(0.1)) == [1.0] and pruner.masks == {}
    pruner.finalize()
    assert type(found.model.head) is nn.Linear


def test_independent_branches_keep_their_own_blocks() -> None:
    found = prepared(Convolutions)
    plan = independent_branches(found.case, 2)
    pruner = Pruner(found.model, plan, found.profile)
    pruner.prune()
    assert pruner.masks["head.weight"].sum() == 5 * 4 + 5 * 3

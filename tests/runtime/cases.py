"""Plans, and the dense model that slices must agree with."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from planner.case import Case
from planner.domain.cluster import Cluster, Link, Node
from planner.domain.plan import LayerPlan, Plan, StagePlan
from planner.domain.settings import CostSettings
from planner.runtime import slice_model
from planner.runtime.reading.traced import TracedModel
from planner.runtime.running.slices import Slices
from planner.strategies.costed import cost_plan
from planner.structure import allocation_units
from planner.weights.masks import LayerMask
from planner.weights.parameters import stored_weights
from profiles.from_torch.runnable import traced_model


def traced(
    module: torch.nn.Module, *shape: int, seed: int = 0, dtype: str | None = None
) -> TracedModel:
    torch.manual_seed(seed)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5 / max(parameter[0].numel(), 1) ** 0.5)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            torch.nn.init.normal_(buffer, std=0.1)
        elif name.endswith("running_var"):
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    return traced_model(module.eval(), {"x": tuple(shape)}, dtypes={"x": dtype} if dtype else None)


def cluster(speeds: Sequence[float], casting: str = "unicast") -> Cluster:
    return Cluster(
        name="test",
        nodes=tuple(Node(name=f"n{i}", macs_per_s=s) for i, s in enumerate(speeds)),
        link=Link(bandwidth_bytes_per_s=1e6),
        casting=casting,
    )


def random_plan(
    model: TracedModel,
    groups: Sequence[Sequence[float]],
    rng: np.random.Generator,
    *,
    casting: str = "unicast",
    share_inputs: bool = False,
    sparsity: float | None = None,
) -> Plan:
    """Stages at random cuts; on every layer any number of features per ordered pair."""
    speeds = [speed for group in groups for speed in group]
    case = Case(model.profile, cluster(speeds, casting), CostSettings(share_inputs=share_inputs))
    starts = [unit.start for unit in allocation_units(model.profile)][1:]
    count = min(len(groups) - 1, len(starts))
    cuts = [
        0,
        *sorted(rng.choice(starts, count, replace=False).tolist()),
        len(model.profile.layers),
    ]
    names = iter(node.name for node in case.cluster.nodes)
    stages = []
    for group, start, stop in zip(groups, cuts, cuts[1:], strict=False):
        members = tuple(next(names) for _ in group)
        shares = case.shares(members)
        layers = []
        for row in range(start, stop):
            layer, n = model.profile.layers[row], len(members)
            kept = None
            if n > 1 and shares.mixing[row] and shares.owned[row].any():
                owned = shares.owned[row]
                if sparsity is not None:
                    least = int(sparsity < 1)
                    matrix = [
                        [min(max(round((1 - sparsity) * int(k)), least), int(k))] * n for k in owned
                    ]
                elif share_inputs:
                    matrix = [[int(k)] * n for k in owned]
                else:
                    matrix = [[int(rng.integers(0, k + 1)) for _ in range(n)] for k in owned]
                for i in range(n):
                    matrix[i][i] = 0
                kept = tuple(map(tuple, matrix))
            layers.append(LayerPlan(name=layer.name, nodes=n, kept_features=kept))
        stages.append(StagePlan(nodes=members, layers=tuple(layers)))
    return cost_plan(case, tuple(stages), "random")


def masked(model: TracedModel, masks: Sequence[LayerMask]) -> torch.nn.Module:
    """The dense module with zeros where the masks drop weights."""
    module = copy.deepcopy(model.module)
    layers = [model.profile.layers[mask.row] for mask in masks]
    weighted = [
        item
        for item in model.profile.layers
        if item.feature_flow == "mixing" and item.op in ("conv", "conv_transpose", "linear")
    ]  # all of them: the way a square weight lies shows in its namesakes
    if layers:
        state = dict(module.named_parameters(remove_duplicate=False))
        shapes = {name: tuple(value.shape) for name, value in state.items()}
        stored = stored_weights(shapes, weighted, "test")
        with torch.no_grad():
            for layer, mask in zip(layers, masks, strict=True):
                weight = stored[layer.name]
                state[weight.name] *= torch.from_numpy(weight.spread(mask.mask()).copy())
    return module


def example(model: TracedModel, seed: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    found = []
    for spec in model.profile.inputs:
        if spec.dtype == "int64":
            found.append(torch.randint(0, 7, spec.shape, generator=generator))
        else:
            found.append(torch.randn(spec.shape, generator=generator))
    return tuple(found)


def check(model: TracedModel, plan: Plan) -> Slices:
    """Sliced and masked outputs agree; bytes and MACs are held inside `run`."""
    slices = slice_model(model, plan, select=True)
    inputs = example(model)
    with torch.no_grad():
        expected = masked(model, slices.masks)(*inputs)
    result = slices.run(*inputs)
    assert result.traffic == slices.predicted
    expected = getattr(expected, "logits", expected)
    wanted = expected if isinstance(expected, tuple) else (expected,)
    for found, item in zip(result.outputs, wanted, strict=True):
        assert found.shape == item.shape
        assert torch.isfinite(item).all() and item.abs().max() > 1e-3
        torch.testing.assert_close(found, item, rtol=1e-5, atol=1e-5)
    return slices

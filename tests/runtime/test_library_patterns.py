"""No slice of a library model holds an index of elements: each is of features, or of an axis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from planner.domain.layouts import WAYS, Way
from planner.runtime import slice_model
from planner.runtime.cutting.patterns import longest_index
from planner.runtime.reading.traced import TracedModel
from planner.runtime.running.records import Pattern
from planner.runtime.running.slices import Slices
from profiles import networks
from profiles.catalog import model_names
from profiles.from_torch.runnable import traced_model
from tests.runtime.test_ways import FAMILIES, model
from tests.runtime.way_plans import way_plan

FAST = ("resnet50-eighth",)
# as many weights as would not fit; of the same layers with fewer and narrower ones
NARROWED: dict[str, tuple[Any, ...]] = {
    "llama-3.1-8b": (2, 512, 1024, 8),
    "llama-3.1-70b": (2, 1024, 2048, 16),
}
NETWORKS = [
    name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in model_names()
]
DRAWN = "drawn"


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> TracedModel:
    name: str = request.param
    whole = name.removesuffix("-decode")
    if whole in NARROWED:
        made = networks.llama(*NARROWED[whole], decode=whole != name).prepare("meta")
    else:
        made = networks.ARCHITECTURES[name].prepare("meta")
    module = made.module.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.02, generator=generator)
        for buffer in module.buffers():
            buffer.zero_()
    return traced_model(module, made.shapes, name=name, dtypes=made.dtypes)


def patterns(slices: Slices) -> Iterator[tuple[str, Pattern]]:
    for node in slices.nodes.values():
        for name, step in node.steps.items():
            where = f"{node.name}, {name}"
            for number, operand in enumerate(step.operands):
                yield f"{where}, operand {number}", operand.pattern
            for item in step.sends:
                yield f"{where}, message {item.message}", item.content.pattern
            if step.picks is not None:
                yield f"{where}, picks", step.picks


def check_indices(traced: TracedModel, ways: list[Way | str]) -> None:
    """Where one way is not possible for a layer, another one is drawn."""
    tensors = [*traced.inputs.values(), *(layer.output for layer in traced.layers.values())]
    longest = max(max(tensor.shape, default=1) for tensor in tensors)
    features = max(layer.out_features for layer in traced.profile.layers)
    for way in ways:
        wanted = {item.name: way for item in traced.profile.layers} if way in WAYS else None
        groups = [[1.0, 3.0, 2.0]] if wanted else [[1.0, 3.0, 2.0], [2.0, 1.0]]
        plan = way_plan(traced, groups, np.random.default_rng(0), wanted=wanted)
        slices = slice_model(traced, plan, select=True)
        found = {where: longest_index(pattern) for where, pattern in patterns(slices)}
        assert len(found) >= len(traced.layers)
        worst = max(found, key=lambda where: found[where])
        assert found[worst] <= max(longest, features), (way, worst)


def test_slices_of_the_library_hold_no_index_of_elements(network: TracedModel) -> None:
    few: list[Way | str] = ["features", "positions", DRAWN]
    check_indices(network, few if network.profile.name in FAST else [*WAYS, DRAWN])


@pytest.mark.parametrize("family", FAMILIES)
def test_slices_of_the_tests_networks_hold_none_either(family: str) -> None:
    check_indices(model(family), [*WAYS, DRAWN])

"""A node has its own rows and columns, its own tensors, and what it was sent: nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from planner.case import Case
from planner.runtime import slice_model
from planner.runtime.reading.traced import TracedModel
from planner.runtime.running.slices import Slices
from planner.runtime.running.transport import InProcess
from planner.strategies.costed import cost_stages
from tests.runtime import networks
from tests.runtime.cases import example, masked, random_plan, traced

CASES = {
    "residual": (networks.Residual, (1, 3, 16, 16)),
    "depthwise": (networks.Depthwise, (1, 3, 16, 16)),
    "transformer": (networks.Transformer, (1, 3, 16, 16)),
    "reductions": (networks.Reductions, (1, 5, 6)),
}


@pytest.fixture(scope="module", params=CASES)
def subject(request: pytest.FixtureRequest) -> TracedModel:
    make, shape = CASES[request.param]
    return traced(make(), *shape)


def sliced(model: TracedModel, groups: list[list[float]]) -> Slices:
    plan = random_plan(model, groups, np.random.default_rng(4))
    return slice_model(model, plan, select=True)


def recorded(slices: Slices, inputs: tuple[torch.Tensor, ...]) -> dict[tuple[str, str], object]:
    """What each node has made of each layer in an undisturbed run."""
    transport, made = InProcess(), {}
    slices.start(*inputs)
    for stretch in slices.stretches:
        slices.advance(stretch, transport)
        for name in stretch.nodes:
            made[stretch.name, name] = slices.nodes[name].values.get(stretch.name)
    assert transport.undelivered == 0
    return made


def test_what_others_hold_changes_nothing_but_through_messages(subject: TracedModel) -> None:
    slices = sliced(subject, [[1.0, 2.0, 1.0], [1.0, 1.0]])
    undisturbed_by_others(slices, example(subject))


def undisturbed_by_others(slices: Slices, inputs: tuple[torch.Tensor, ...]) -> None:
    """Each node makes the same where all that others hold is NaN while it works."""
    undisturbed = recorded(slices, inputs)
    for alone in slices.nodes:
        transport = InProcess()
        slices.start(*inputs)
        for stretch in slices.stretches:
            group = [slices.nodes[name] for name in stretch.nodes]
            others = [node for node in group if node.name != alone]
            for node in group:
                node.send(stretch.name, transport)
            for node in others:
                node.begin(stretch.name, transport)
            if alone in stretch.nodes:
                with poisoned(slices, alone):
                    slices.nodes[alone].begin(stretch.name, transport)
                    slices.nodes[alone].finish(stretch.name, transport)
                found = slices.nodes[alone].values.get(stretch.name)
                expected = undisturbed[stretch.name, alone]
                assert (found is None) == (expected is None)
                if found is not None:
                    torch.testing.assert_close(found, expected, rtol=0, atol=0)
            for node in others:
                node.finish(stretch.name, transport)


@contextmanager
def poisoned(slices: Slices, alone: str) -> Iterator[None]:
    """Every tensor and weight of all nodes but one is NaN inside: all memory that they view."""
    stored = [
        value.new_empty(0).set_(value.untyped_storage())
        for name, node in slices.nodes.items()
        if name != alone
        for value in [*node.values.values(), *node._weights.values()]
        if value.is_floating_point()
    ]
    before = [value.clone() for value in stored]
    for value in stored:
        value.fill_(torch.nan)
    yield
    for value, was in zip(stored, before, strict=True):
        value.copy_(was)


def storages(slices: Slices) -> Iterator[tuple[str, int]]:
    for name, node in slices.nodes.items():
        for value in [*node._weights.values(), *node.values.values()]:
            if value.numel():
                yield name, value.untyped_storage().data_ptr()


def test_no_memory_is_shared_between_nodes_or_with_the_model(subject: TracedModel) -> None:
    slices = sliced(subject, [[1.0, 1.0], [2.0, 1.0]])
    inputs = example(subject)
    slices.run(*inputs)
    owners: dict[int, str] = {}
    for name, pointer in storages(slices):
        assert owners.setdefault(pointer, name) == name
    own = {i.untyped_storage().data_ptr() for i in (*subject.module.parameters(), *inputs)}
    assert not own & {pointer for _, pointer in storages(slices)}


def test_a_node_stores_the_weights_that_the_cost_model_counts(subject: TracedModel) -> None:
    plan = random_plan(subject, [[1.0, 2.0, 1.0]], np.random.default_rng(4))
    case = Case(subject.profile, plan.cluster, plan.settings)
    slices = slice_model(subject, plan, select=True)
    (stage,) = cost_stages(case, plan.stages).stages
    compared = 0
    for row, layer in enumerate(subject.profile.layers):
        if layer.feature_flow != "mixing":
            continue
        for number, name in enumerate(stage.table.node_names):
            weights = slices.nodes[name].steps[layer.name].weights
            stored = sum(value.numel() * value.element_size() for value in weights.values())
            assert stored == stage.table.weight_bytes[row, 0, number], (layer.name, name)
            compared += 1
    assert compared >= 6


def test_masks_of_another_choice_are_followed(subject: TracedModel) -> None:
    plan = random_plan(subject, [[1.0, 1.0, 1.0]], np.random.default_rng(4))
    rng = np.random.default_rng(9)
    largest = slice_model(subject, plan, select=True).masks
    chosen = tuple(
        replace(
            mask,
            sent=tuple(
                tuple(
                    np.sort(
                        rng.choice(np.flatnonzero(mask.input_owners == i), len(features), False)
                    )
                    for features in row
                )
                for i, row in enumerate(mask.sent)
            ),
        )
        for mask in largest
    )
    pruned = masked(subject, chosen)
    inputs = example(subject)
    slices = slice_model(subject, plan, masks=chosen, select=True)
    with torch.no_grad():
        expected = pruned(*inputs)
    torch.testing.assert_close(slices(*inputs), expected, rtol=1e-5, atol=1e-5)
    other = slice_model(subject, plan, select=True)(*inputs)
    assert not torch.allclose(other, expected, rtol=1e-3, atol=1e-3)

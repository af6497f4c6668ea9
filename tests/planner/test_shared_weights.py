"""Weights that several layers read: stored once on a node, counted once in a model."""

from __future__ import annotations

import numpy as np
import pytest

from planner.case import Case
from planner.cost.memory import stored_twice
from planner.domain.model_profile import ModelProfile
from planner.domain.request import Request
from planner.errors import InfeasibleError
from planner.quantise import with_weight_bits
from planner.strategies.optimise import optimise
from tests.planner.builders import Net, cluster

SIZE = 64
BYTES = 4 * SIZE * SIZE


def repeated(times: int, *, shared: bool = True) -> ModelProfile:
    """The same linear layer, one use after another."""
    net, tensor = Net(features=SIZE, pixels=1), "image"
    for _ in range(times):
        tensor = net.conv(tensor, SIZE)
    profile = net.profile()
    if not shared:
        return profile
    first, *others = profile.layers
    layers = [first]
    for layer in others:
        read = {"params": 0, "shared_params": layer.params}
        held = {layers[-1].name: layer.param_bytes}
        layers.append(layer.model_copy(update={**read, "shared_bytes": held}))
    return ModelProfile.model_validate(
        profile.model_copy(update={"layers": tuple(layers)}).model_dump(exclude={"totals"})
    )


def test_totals_count_once_and_every_use_reads() -> None:
    profile = repeated(5)
    assert profile.totals.params == SIZE * SIZE
    assert profile.totals.param_bytes == BYTES
    assert [layer.param_bytes for layer in profile.layers] == [BYTES] * 5
    assert [layer.mixing_weight_bytes for layer in profile.layers] == [BYTES] * 5


def test_weights_of_fewer_bits_are_shared_as_before() -> None:
    narrow = with_weight_bits(repeated(3), 4)
    assert narrow.totals.param_bytes == BYTES // 8
    assert ModelProfile.model_validate(narrow.model_dump()).totals == narrow.totals


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_node_stores_its_share_once(nodes: int) -> None:
    request = Request(max_nodes=nodes, parallelism="within-layer", exactly=True, ways=("features",))
    shared, apart = (
        optimise(Case(repeated(5, shared=one), cluster(nodes)), request).predicted.memory_bytes
        for one in (True, False)
    )
    assert {apart[name] - shared[name] for name in shared} == {4 * BYTES // nodes}


def test_a_model_fits_where_its_weights_do() -> None:
    """The sum over layers would not."""
    small = cluster(1, memory_bytes=2 * BYTES)
    plan = optimise(Case(repeated(5), small), Request(max_nodes=1))
    assert plan.certificate is not None and plan.certificate.status == "optimal"
    assert max(plan.predicted.memory_bytes.values()) <= 2 * BYTES
    with pytest.raises(InfeasibleError):
        optimise(Case(repeated(5, shared=False), small), Request(max_nodes=1))


def test_shares_of_unlike_layers_overlap_by_what_both_must_hold() -> None:
    """A table read by columns and by rows: of 3/4 each, half is the same at the least."""
    profile = repeated(2)
    first, second = profile.layers
    unlike = profile.model_copy(update={"layers": (first, second.model_copy(update={"op": "x"}))})
    stored = np.full((2, 1, 1), 3 * BYTES // 4)
    assert stored_twice(unlike, stored)[:, 0, 0].tolist() == [0, BYTES // 2]
    assert stored_twice(profile, stored)[:, 0, 0].tolist() == [0, 3 * BYTES // 4]
    assert not stored_twice(profile, stored, slice(1, 2)).any()

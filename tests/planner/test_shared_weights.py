"""Weights that several layers read: stored once on a node, counted once in a model."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from planner.case import Case
from planner.cost.memory import stored_twice
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import StagePlan
from planner.domain.request import Request
from planner.errors import InfeasibleError, SolverStoppedError
from planner.quantise import with_weight_bits
from planner.strategies.costed import layer_plans, predict
from planner.strategies.optimise import optimise, sharings
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


def test_layers_in_unlike_ways_store_unlike_parts() -> None:
    """Of one table read by rows and by columns, a quarter is the same on two nodes, at the most."""
    profile = repeated(2)
    stored = np.full((2, 1, 2), BYTES // 2)
    alike = stored_twice(profile, stored, slice(None), ("sums", "sums"))
    assert alike[:, 0].tolist() == [[0, 0], [BYTES // 2] * 2]
    assert not stored_twice(profile, stored, slice(None), ("features", "sums")).any()


def tied(sizes: list[int], sets: list[list[int]]) -> ModelProfile:
    """Linear layers of several sizes one behind the other, some of which read the same weights."""
    net, tensor = Net(features=sizes[0], pixels=1), "image"
    for size in sizes[1:]:
        tensor = net.conv(tensor, size)
    layers = list(net.profile().layers)
    for rows in sets:
        for before, row in itertools.pairwise(rows):
            layer = layers[row]
            read = {"params": 0, "shared_params": layer.params}
            held = {layers[before].name: layer.param_bytes}
            layers[row] = layer.model_copy(update={**read, "shared_bytes": held})
    profile = net.profile().model_copy(update={"layers": tuple(layers)})
    return ModelProfile.model_validate(profile.model_dump(exclude={"totals"}))


def every_plan(case: Case, sizes: Sequence[int]) -> Iterator[tuple[StagePlan, ...]]:
    """Every cut of the layers over groups of so many nodes, whose layers gather all features."""
    layers = case.profile.layers
    names = [node.name for node in case.cluster.nodes]
    for count in range(1, len(names) + 1):
        for starts in itertools.combinations(range(1, len(layers)), count - 1):
            stops = [*starts, len(layers)]
            for order in itertools.permutations(names):
                for taken in itertools.product(sizes, repeat=count):
                    ends = list(itertools.accumulate(taken))
                    if ends[-1] > len(names):
                        continue
                    yield tuple(
                        _whole_stage(case, order[end - size : end], slice(start, stop))
                        for start, stop, end, size in zip(
                            (0, *starts), stops, ends, taken, strict=True
                        )
                    )


def _whole_stage(case: Case, names: tuple[str, ...], rows: slice) -> StagePlan:
    first = np.zeros(len(case.profile.layers), np.int64)
    layers = layer_plans(case.table(names, (0.0,)), first, rows)
    return StagePlan(nodes=names, layers=layers)


@pytest.mark.parametrize("seed", range(24))
def test_no_plan_that_shares_what_it_stores_is_missed(seed: int) -> None:
    """Held against every cut on every group; what is called optimal or not to be there is."""
    chance = random.Random(seed)
    used = chance.choice([16, 32])
    sizes = [used] + [chance.choice([used, used, used, 24]) for _ in range(chance.choice([4, 5]))]
    alike = [row for row in range(len(sizes) - 1) if sizes[row : row + 2] == [used, used]]
    sets = [alike] if seed % 3 else [alike[:2], alike[2:]]
    profile = tied(sizes, sets)
    memory = int(profile.totals.param_bytes * chance.choice([0.4, 0.7, 1.0, 1.2])) + 300
    speeds = [chance.choice([1e5, 2e5, 4e5]) for _ in range(3)]
    case = Case(profile, cluster(speeds, 1.0, 1e5, memory_bytes=memory))
    hybrid = bool(seed % 2)
    request = Request(
        3, parallelism="hybrid" if hybrid else "pipeline", ways=("features",), time_limit_s=60
    )
    best = np.inf
    for one in sharings(case, request):
        for stages in every_plan(one, (1, 2, 3) if hybrid else (1,)):
            predicted = predict(one, stages)
            if max(predicted.memory_bytes.values()) <= memory:
                best = min(best, predicted.latency_s)
    try:
        plan = optimise(case, request)
    except InfeasibleError:
        assert best == np.inf
        return
    except SolverStoppedError as error:
        assert "share" in str(error) and best < np.inf
        pytest.fail("a plan that fits was not found")
    certificate = plan.certificate
    assert certificate is not None and certificate.bound is not None
    found = plan.predicted.latency_s
    assert certificate.bound <= best * (1 + 1e-9)
    assert best <= found * (1 + 1e-9)
    if certificate.status == "optimal":
        assert found == pytest.approx(best, rel=1e-9)
    print(seed, certificate.status, found / best)

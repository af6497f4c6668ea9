"""Slices run every way: outputs are the model's, bytes and MACs the cost model's, on any plan."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.layouts import WAYS, Way
from planner.domain.settings import CostSettings
from planner.runtime.reading.traced import TracedModel
from tests.examples import some
from tests.runtime import networks, spread_networks
from tests.runtime.cases import check, traced
from tests.runtime.way_plans import way_plan

FAMILIES = {
    "residual": (networks.Residual, (2, 3, 16, 16)),
    "plain": (networks.Plain, (2, 3, 8, 8)),
    "depthwise": (networks.Depthwise, (2, 3, 16, 16)),
    "dense": (networks.Dense, (2, 3, 8, 8)),
    "mixed": (networks.Mixed, (2, 3, 8, 8)),
    "norms": (networks.Norms, (2, 3, 8, 8)),
    "reductions": (networks.Reductions, (2, 5, 6)),
    "transformer": (networks.Transformer, (2, 3, 16, 16)),
    "recurrent": (networks.Recurrent, (3, 5, 6)),
    "products": (networks.Products, (2, 5, 6)),
    "inception": (spread_networks.Inception, (2, 3, 17, 15)),
    "segmenter": (spread_networks.Segmenter, (2, 3, 10, 8)),
    "windows": (spread_networks.Windows, (2, 3, 16, 16)),
    "decoder": (spread_networks.Decoder, (2, 9)),
    "sequence": (spread_networks.Sequence, (2, 4, 19)),
}

SPEEDS = st.sampled_from([1.0, 1.0, 2.0, 5.0, 30.0])
GROUPS = st.lists(st.lists(SPEEDS, min_size=1, max_size=4), min_size=1, max_size=3)
CASTING = st.sampled_from(["unicast", "broadcast"])
SEED = st.integers(0, 2**32 - 1)


@cache
def model(family: str) -> TracedModel:
    make, shape = FAMILIES[family]
    return traced(make(), *shape, dtype="int64" if family == "decoder" else None)


@pytest.mark.parametrize("family", FAMILIES)
@some(0.25)
@given(groups=GROUPS, casting=CASTING, counted=st.booleans(), seed=SEED)
def test_slices_agree_with_the_model_and_the_cost_model(
    family: str, groups: list[list[float]], casting: str, counted: bool, seed: int
) -> None:
    subject, rng = model(family), np.random.default_rng(seed)
    ends = CostSettings(count_input=counted)
    check(subject, way_plan(subject, groups, rng, casting=casting, settings=ends))


@some(0.4)
@given(graph=st.integers(0, 2**32 - 1), groups=GROUPS, casting=CASTING, seed=SEED)
def test_graphs_that_are_drawn(
    graph: int, groups: list[list[float]], casting: str, seed: int
) -> None:
    subject = traced(spread_networks.Drawn(graph), 2, 6, 12, 12)
    for _ in range(3):
        check(subject, way_plan(subject, groups, np.random.default_rng(seed), casting=casting))
        seed += 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_one_way_wherever_it_is_possible(family: str, way: Way) -> None:
    subject = model(family)
    wanted = {layer.name: way for layer in subject.profile.layers}
    plan = way_plan(subject, [[1.0, 3.0, 2.0]], np.random.default_rng(0), wanted=wanted)
    check(subject, plan)


def test_every_way_and_every_conversion_is_drawn() -> None:
    drawn: Counter[object] = Counter()
    subject = model("inception")
    for seed in range(80):
        plan = way_plan(subject, [[1.0, 2.0, 1.0]], np.random.default_rng(seed))
        for layer in plan.stages[0].layers:
            drawn[layer.way] += 1
            drawn["fused"] += layer.until is not None
            drawn.update((item.source, item.target) for item in layer.conversions)
    parted = ("features", "positions", "samples")
    assert all(drawn[way] for way in WAYS) and drawn["fused"]
    for source in (*parted, "one-node", "sums"):
        for target in (*parted, "one-node", "whole"):
            possible = source != target and (source, target) != ("sums", "whole")
            assert bool(drawn[source, target]) == possible, (source, target)

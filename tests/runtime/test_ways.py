"""Slices run every way: outputs are the model's, bytes and MACs the cost model's, on any plan."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.runtime.reading.traced import TracedModel
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


@cache
def model(family: str) -> TracedModel:
    make, shape = FAMILIES[family]
    return traced(make(), *shape, dtype="int64" if family == "decoder" else None)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25)
@given(
    groups=GROUPS,
    casting=st.sampled_from(["unicast", "broadcast"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_slices_agree_with_the_model_and_the_cost_model(
    family: str, groups: list[list[float]], casting: str, seed: int
) -> None:
    subject = model(family)
    check(subject, way_plan(subject, groups, np.random.default_rng(seed), casting=casting))

"""What Python asks for and nobody can mean is refused in one line, before anything is searched."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest

import planner
from planner.errors import BadInputError
from tests.planner.builders import chain, cluster


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"max_latency_s": -1.0}, "limits: max_latency_s: found -1.0; input should be greater"),
        ({"max_latency_s": nan}, "limits: max_latency_s: found NaN; input should be a finite"),
        ({"max_accuracy_drop": -0.1}, "limits: max_accuracy_drop: found -0.1; input should be"),
        ({"objective": "speed"}, "objective: found 'speed', allowed: latency, throughput"),
        ({"parallelism": "tensor"}, "parallelism: found 'tensor', allowed: within-layer, pipeline"),
        ({"solver": "cbc"}, "solver: found 'cbc', allowed: auto, ilp, exhaustive"),
        ({"ways": ("rows",)}, "ways: found ('rows',), allowed: features, positions"),
        ({"max_sparsity": 1.5}, "max_sparsity: found 1.5, allowed: 0 to 1"),
        ({"max_sparsity": nan}, "max_sparsity: found nan, allowed: 0 to 1"),
        ({"max_nodes": 1.5}, "nodes: found 1.5, allowed: a whole number"),
        ({"max_nodes": 3}, "3 nodes: cluster cluster has 1 to 2"),
        ({"nodes": 0}, "0 nodes: cluster cluster has 1 to 2"),
        ({"time_limit_s": -1.0}, "time_limit_s: found -1.0, allowed: 0 or more, or None"),
    ],
)
def test_what_cannot_be_asked(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInputError) as refused:
        planner.plan(chain(4), cluster(2), **asked)
    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)

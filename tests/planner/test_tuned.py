"""A cluster with some of its figures replaced."""

from __future__ import annotations

import itertools

import pytest
from pydantic import ValidationError

from planner.domain.cluster import tuned_cluster
from planner.errors import BadInputError
from tests.planner.builders import cluster

PAIRS = [
    {"between": ["a", "b"], "bandwidth_bytes_per_s": 5.0, "latency_s": 0.5},
    {"between": ["b", "c"], "bandwidth_bytes_per_s": 7.0},
]


def test_every_link_and_every_node_gets_the_figure() -> None:
    group = cluster([1.0, 2.0, 3.0], memory_bytes=[None, 4, 5], pair_links=PAIRS)
    changed = tuned_cluster(
        group, bandwidth_bytes_per_s=9.0, latency_s=0.25, macs_per_s=8.0, memory_bytes=64
    )
    assert {(node.macs_per_s, node.memory_bytes) for node in changed.nodes} == {(8.0, 64)}
    assert (changed.link.bandwidth_bytes_per_s, changed.link.latency_s) == (9.0, 0.25)
    assert changed.pair_links == ()
    assert [node.name for node in changed.nodes] == ["a", "b", "c"]
    assert {(f.key, f.origin, f.source) for f in changed.figures} == {
        (key, "assumed", "set by the user")
        for key in ("bandwidth_bytes_per_s", "latency_s", "macs_per_s", "memory_bytes")
    }


def test_what_is_not_named_stays_as_it_was() -> None:
    sources = [{"key": "macs_per_s", "origin": "measured", "source": "a stop watch"}]
    group = cluster([1.0, 2.0], pair_links=PAIRS[:1], figures=sources, source_node="b")
    assert tuned_cluster(group) == group
    changed = tuned_cluster(group, bandwidth_bytes_per_s=9.0)
    (pair,) = changed.pair_links
    assert (pair.bandwidth_bytes_per_s, pair.latency_s) == (9.0, 0.5), "its delay is its own"
    assert changed.nodes == group.nodes and changed.source_node == "b"
    assert [figure.key for figure in changed.figures] == ["macs_per_s", "bandwidth_bytes_per_s"]
    faster = tuned_cluster(group, macs_per_s=7.0)
    assert [(f.key, f.origin) for f in faster.figures] == [("macs_per_s", "assumed")]


def test_fewer_nodes_are_the_first_of_the_ring_and_more_are_copies_of_the_last() -> None:
    group = cluster([1.0, 2.0, 3.0], pair_links=PAIRS, source_node="b")
    fewer = tuned_cluster(group, nodes=2)
    assert [node.name for node in fewer.nodes] == ["b", "c"]
    assert [pair.between for pair in fewer.pair_links] == [("b", "c")]
    more = tuned_cluster(cluster([1.0, 2.0]), nodes=4)
    assert [node.macs_per_s for node in more.nodes] == [1.0, 2.0, 2.0, 2.0]
    assert len({node.name for node in more.nodes}) == 4
    assert tuned_cluster(more, nodes=6).nodes[:4] == more.nodes


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        *itertools.product(["bandwidth_bytes_per_s", "macs_per_s"], [0.0, -1.0, float("inf")]),
        *itertools.product(["memory_bytes"], [0, -1, 2**62]),
        ("latency_s", -1.0),
    ],
)
def test_figures_that_no_cluster_may_have_are_refused(figure: str, value: float) -> None:
    with pytest.raises(ValidationError, match=figure):
        tuned_cluster(cluster(2), **{figure: value})


def test_a_cluster_has_a_node() -> None:
    with pytest.raises(BadInputError, match="nodes: found 0"):
        tuned_cluster(cluster(2), nodes=0)

"""Changes of the hardware as they are typed."""

from __future__ import annotations

import pytest

from planner.domain.changes import Change, changed_cluster, parse_change
from planner.domain.cluster import Cluster, PairLink
from planner.errors import BadInputError
from profiles.catalog import load_cluster
from tests.planner.builders import cluster

PAIR = PairLink(between=("a", "b"), bandwidth_bytes_per_s=4e5, latency_s=0.01)
GROUP = cluster([1e6, 2e6], bandwidth_bytes_per_s=1e5, memory_bytes=1001)


def changed(*texts: str, group: Cluster = GROUP) -> Cluster:
    return changed_cluster(group, map(parse_change, texts))


def test_everything_of_a_kind_changes() -> None:
    names = [node.name for node in GROUP.nodes]
    pair = PAIR.model_copy(update={"between": tuple(names)})
    group = GROUP.model_copy(update={"pair_links": (pair,)})
    found = changed("bandwidth=2x", "link-latency=0.5x", "compute=3×", group=group)
    assert found.link.bandwidth_bytes_per_s == 2e5
    assert found.pair_links[0].bandwidth_bytes_per_s == 8e5
    assert found.pair_links[0].latency_s == 0.005 and found.link.latency_s == 0
    assert [node.macs_per_s for node in found.nodes] == [3e6, 6e6]
    assert [node.memory_bytes for node in changed("memory=0.5x").nodes] == [500, 500]
    assert {node.memory_bytes_per_s for node in changed("memory-bandwidth=2x").nodes} == {None}
    assert {x.memory_bytes_per_s for x in changed("memory-bandwidth=5MB/s").nodes} == {5e6}


def test_one_node_changes_alone_and_figures_say_that_it_was_set() -> None:
    group = load_cluster("small-nodes")
    found = changed("node-2:compute=7.5GMAC/s", group=group)
    speeds = [node.macs_per_s for node in found.nodes]
    assert speeds == [3.75e9, 7.5e9] + [3.75e9] * 6
    (figure,) = [x for x in found.figures if x.is_of(("macs_per_s",))]
    assert (figure.key, figure.origin) == ("node-2.macs_per_s", "assumed")
    assert len(found.figures) == len(group.figures)


def test_a_node_is_added_and_changes_follow_their_order() -> None:
    name = GROUP.nodes[1].name
    found = changed(f"node=+{name}", f"{name}:compute=2x", f"node=+{name}")
    assert [node.macs_per_s for node in found.nodes] == [1e6, 4e6, 2e6, 4e6]
    assert len({node.name for node in found.nodes}) == 4


@pytest.mark.parametrize(
    "text",
    ["bandwidth=2x", "a:compute=0.5x", "a=b:c:memory=3x", "node=+a", "link-latency=0.001"],
)
def test_a_change_is_written_as_it_is_read(text: str) -> None:
    change = parse_change(text)
    assert str(change) == text and parse_change(str(change)) == change


def test_values_are_written_in_si() -> None:
    assert str(parse_change("bandwidth=1MB/s")) == "bandwidth=1000000"
    assert parse_change("a:memory=2MB") == Change("memory", "a", value=2e6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "give bandwidth=2x"),
        ("bandwidth", "give bandwidth=2x"),
        ("speed=2x", "what changes is one of bandwidth, compute"),
        ("a:bandwidth=2x", "is that of all links; name no node"),
        (":compute=2x", "give bandwidth=2x"),
        ("compute=0x", "a factor above 0"),
        ("compute=1e999x", "a factor above 0"),
        ("compute=1.2.3x", "a factor above 0"),
        ("compute=2 apples", "3.75GMAC/s"),
        ("node=+", "give bandwidth=2x"),
    ],
)
def test_what_is_no_change_is_refused_with_what_one_is(text: str, words: str) -> None:
    with pytest.raises(BadInputError, match="--change") as refused:
        parse_change(text)
    assert words in str(refused.value)


@pytest.mark.parametrize("text", ["gone:compute=2x", "node=+gone"])
def test_a_node_that_is_not_there_is_named(text: str) -> None:
    with pytest.raises(BadInputError, match="'gone' is no node of"):
        changed(text)

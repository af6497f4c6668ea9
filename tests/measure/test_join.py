"""Parts become a cluster that says where every number of it comes from, or one line why not."""

from __future__ import annotations

import pytest

from planner.domain.cluster import Figure, Link
from planner.errors import BadInputError
from planner.measure.join import GivenLink, join
from planner.measure.parts import NodeMeasurement
from tests.measure.made import NOW, links_part, node_part

GIVEN = GivenLink(
    Link(bandwidth_bytes_per_s=1e7, latency_s=1e-3),
    "shared",
    (Figure(key="bandwidth_bytes_per_s", origin="assumed", source="typed"),),
)


def parts(*names: str) -> list[NodeMeasurement]:
    return [node_part(name) for name in names]


def test_measured_nodes_and_links() -> None:
    cluster = join(parts("b", "a"), links_part(("a", "b")), name="desk")
    assert [node.name for node in cluster.nodes] == ["b", "a"]
    assert cluster.link.bandwidth_bytes_per_s == pytest.approx(1e7)
    assert cluster.link.latency_s == pytest.approx(1e-3)  # 1.1 ms less twice 50 µs
    assert cluster.nodes[0].message_send_s == pytest.approx(5e-5)
    assert (cluster.medium, cluster.pair_links) == ("full_duplex", ())
    known = {figure.key: figure for figure in cluster.figures}
    for name in ("a", "b"):
        for field in ("macs_per_s", "memory_bytes_per_s", "message_send_s", "message_receive_s"):
            figure = known[f"{name}.{field}"]
            assert figure.low is not None and figure.high is not None
            assert (figure.origin, figure.measured_at) == ("measured", NOW)
    rate = known["bandwidth_bytes_per_s"]
    assert rate.low is not None and rate.high is not None and rate.low < 1e7 < rate.high
    assert (known["medium"].origin, known["casting"].origin) == ("derived", "assumed")


def test_a_link_that_differs_is_told_apart() -> None:
    cluster = join(parts("a", "b", "c"), links_part(("a", "b", "c"), slow=(1, 2)), name="desk")
    (pair,) = cluster.pair_links
    assert set(pair.between) == {"b", "c"}
    assert pair.bandwidth_bytes_per_s == pytest.approx(1e6)
    assert cluster.link.bandwidth_bytes_per_s == pytest.approx(1e7)
    assert "b-c.bandwidth_bytes_per_s" in {figure.key for figure in cluster.figures}


@pytest.mark.parametrize(
    ("names", "both", "together", "medium"),
    [
        ("ab", 1.0, 1.0, "full_duplex"),
        ("ab", 0.5, 1.0, "half_duplex"),
        ("abc", 1.0, 1.0, "full_duplex"),
        ("abc", 0.5, 0.5, "half_duplex"),
        ("abc", 0.5, 0.33, "shared"),
        ("abcd", 1.0, 1.0, "full_duplex"),
        ("abcd", 0.5, 1.0, "half_duplex"),
        ("abcd", 0.5, 0.5, "shared"),
    ],
)
def test_what_is_shared(names: str, both: float, together: float, medium: str) -> None:
    assert links_part(tuple(names), both=both, together=together).medium == medium


def test_a_link_that_is_given() -> None:
    cluster = join(parts("a", "b"), GIVEN, name="desk")
    assert (cluster.link, cluster.medium) == (GIVEN.link, "shared")
    assert cluster.figures[-1].origin == "assumed"


def test_figures_of_one_node_are_called_as_its_fields() -> None:
    cluster = join(parts("a"), GIVEN, name="desk")
    assert [figure.key for figure in cluster.figures][:2] == ["macs_per_s", "memory_bytes_per_s"]


def test_what_does_not_fit_together_is_refused() -> None:
    for given, links, match in (
        ([], GIVEN, "no measurement of a node"),
        (parts("a", "a"), GIVEN, "a: two measurements"),
        ([node_part("a", complete=False)], GIVEN, "a: its measurement was cut off"),
        (parts("a", "c"), links_part(("a", "b")), "measured among a, b, the nodes are a, c"),
        (parts("a"), links_part(("a", "b")), "measured among a, b, the nodes are a"),
        (parts("a", "b", "c"), links_part(("a", "b")), "the nodes are a, b, c"),
        (
            parts("a", "b"),
            links_part(("a", "b")).model_copy(update={"complete": False}),
            "links was cut off",
        ),
    ):
        with pytest.raises(BadInputError, match=match) as caught:
            join(given, links, name="desk")
        assert "\n" not in str(caught.value)

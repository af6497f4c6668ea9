"""Pictures as shapes: inside of their frame, described, and the same in SVG and PNG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from app.drawing.cluster import cluster_picture, describe
from app.drawing.shapes import CHARACTER, DARK, LIGHT, Box, Line, Picture, Words, stacked
from app.drawing.svg import to_svg
from app.drawing.times import time_bars
from app.node_times import cluster_table, node_time_table
from planner.case import Case
from planner.domain.cluster import PairLink
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.strategies.optimise import optimise
from planner.strategies.timeline import NodeTime, node_times
from profiles.catalog import load_cluster, load_model
from tests.planner.builders import chain, cluster

SVG = "{http://www.w3.org/2000/svg}"
WIDTHS = (320.0, 640.0, 1000.0)


@pytest.fixture(scope="module")
def found() -> tuple[Plan, tuple[NodeTime, ...]]:
    case = Case(load_model("resnet50-eighth"), load_cluster("small-nodes"))
    plan = optimise(case, Request(3, exactly=True, alternatives=False))
    return plan, node_times(case, plan)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def inside(picture: Picture) -> None:
    """Every shape lies in the frame; of words about."""
    for shape in picture.shapes:
        if isinstance(shape, Box):
            left, right, top, low = shape.x, shape.x + shape.width, shape.y, shape.y + shape.height
        elif isinstance(shape, Line):
            left, right = sorted((shape.x1, shape.x2))
            top, low = sorted((shape.y1, shape.y2))
        else:
            length = len(shape.text) * shape.size * CHARACTER
            left = shape.x - {"start": 0.0, "middle": length / 2, "end": length}[shape.anchor]
            right, top, low = left + length, shape.y - shape.size, shape.y
        assert left >= -1 and right <= picture.width + 8, shape
        assert top >= -2 and low <= picture.height + 1, shape


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_lies_inside_of_the_picture(
    found: tuple[Plan, tuple[NodeTime, ...]], width: float
) -> None:
    for picture in (cluster_picture(*found, width), time_bars(found[1], width)):
        assert picture.width == width
        inside(picture)
    inside(stacked([time_bars(found[1], width)] * 2, "two", "pictures"))


def test_the_cluster_shows_who_works_who_is_busiest_and_who_does_nothing(
    found: tuple[Plan, tuple[NodeTime, ...]],
) -> None:
    picture = cluster_picture(*found)
    words = [shape.text for shape in picture.shapes if isinstance(shape, Words)]
    assert [word for word in words if word.startswith("node-")] == [
        *("node-1", "node-2", "node-3"),
        "node-4 … node-8",
    ]
    assert words.count("busiest") == 1 and "5 nodes, not used" in words
    marked = [x for x in picture.shapes if isinstance(x, Box) and x.stroke == "busiest"]
    assert len(marked) == 1
    assert "full duplex links of 37.5 MB/s" in words
    shares = [int(word.partition("%")[0]) for word in words if word.endswith("% of the work")]
    assert len(shares) == 3 and abs(sum(shares) - 100) <= 2
    assert "Busiest: node-" in describe(*found)
    table = cluster_table(*found)
    assert [row[0] for row in table.rows] == [f"node-{k}" for k in range(1, 9)]
    assert len(node_time_table(found[1]).rows) == 3


def words_of(speeds: list[float], width: float = 640.0) -> list[str]:
    """What the drawing says of nodes of which the last alone works."""
    group = cluster(speeds, latency_s=1.0)
    nodes = tuple(
        node.model_copy(
            update={"name": f"a-kind-of-{node.macs_per_s:g}-{k}", "device_type": "board"}
        )
        for k, node in enumerate(group.nodes)
    )
    case = Case(chain(16, 32, 16), group.model_copy(update={"nodes": nodes}))
    plan = optimise(case, Request(len(speeds), alternatives=False))
    assert plan.running_nodes == (nodes[-1].name,)
    picture = cluster_picture(plan, node_times(case, plan), width)
    inside(picture)
    return [shape.text for shape in picture.shapes if isinstance(shape, Words)]


def test_unused_nodes_of_each_kind_have_their_own_speed() -> None:
    words = words_of([1e6, 1e6, 1e6, 3e6, 8e6])
    at = words.index("3 × board")
    assert words[at : at + 3] == ["3 × board", "1 MMAC/s", "3 nodes, not used"]
    assert words[words.index("a-kind-of-3e+06-3") + 1 :][:2] == ["3 MMAC/s", "not used"]


def test_unused_nodes_of_many_kinds_share_a_card_that_names_the_range() -> None:
    words = words_of([1e6, 2e6, 3e6, 4e6, 5e6, 9e6])
    assert words.count("5 nodes, not used") == 1
    assert words[words.index("5 nodes, not used") - 1] == "1 MMAC/s to 5 MMAC/s"


def test_bars_are_as_long_as_the_time(found: tuple[Plan, tuple[NodeTime, ...]]) -> None:
    picture = time_bars(found[1])
    bars = [x for x in picture.shapes if isinstance(x, Box) and x.height > 10]
    for time in found[1]:
        row, bars = [x for x in bars if x.y == bars[0].y], [x for x in bars if x.y != bars[0].y]
        whole = sum(box.width for box in row)
        computes = next(box for box in row if box.fill == "computes")
        assert computes.width / whole == pytest.approx(time.computing_s / time.total_s, abs=1e-6)


def test_links_that_differ_are_named() -> None:
    group = cluster([1e6, 1e6], bandwidth_bytes_per_s=3e5)
    ends = (group.nodes[0].name, group.nodes[1].name)
    pair = PairLink(between=ends, bandwidth_bytes_per_s=1e6, latency_s=0.002)
    case = Case(chain(16, 32, 16), group.model_copy(update={"pair_links": (pair,)}))
    plan = optimise(case, Request(2, exactly=True, alternatives=False))
    picture = cluster_picture(plan, node_times(case, plan))
    words = " ".join(shape.text for shape in picture.shapes if isinstance(shape, Words))
    assert f"{ends[0]} – {ends[1]} 1 MB/s, 2 ms a message" in words


@pytest.mark.parametrize("palette", [None, LIGHT, DARK])
def test_svg_is_an_image_with_a_name(
    found: tuple[Plan, tuple[NodeTime, ...]], palette: dict[str, str] | None
) -> None:
    text = to_svg(cluster_picture(*found), palette)  # type: ignore[arg-type]
    root = ET.fromstring(text)
    assert root.attrib["role"] == "img"
    assert re.search(r"node-\d busiest ", "".join(root.itertext()))
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None and "nodes, links" in (title.text or "")
    assert description is not None and "Busiest" in (description.text or "")
    assert ("var(--plan-" in text) == (palette is None)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_words_can_be_read_on_their_ground(palette: dict[str, str]) -> None:
    for words in ("text", "faint", "busiest"):
        for ground in ("ground", "card"):
            light, dark = sorted((luminance(palette[words]), luminance(palette[ground])))[::-1]
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (words, ground)

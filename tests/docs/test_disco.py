"""docs/disco.md: its figures against their own arithmetic, its sentences against the library."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest

from planner.case import Case
from profiles.catalog import load_cluster, load_model
from tests.planner.test_goldens import SMALL_NODE_MACS_PER_S, by_hand, fractional_count
from tests.processor_time import HANG_S

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "disco.md"
PICTURE = ROOT / "docs" / "images" / "disco-layers.svg"
SVG = "{http://www.w3.org/2000/svg}"
BLUE, ORANGE = "#0072b2", "#e69f00"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")


@pytest.fixture
def case(scripts: None) -> ModuleType:
    import small_nodes

    return small_nodes


def cells(after: str, first: str) -> list[list[str]]:
    """Rows of the table behind a heading whose first cell matches."""
    text = PAGE.read_text(encoding="utf-8").split(after)[1].split("\n#")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if re.fullmatch(first, row[0])]


def test_every_layer_follows_from_the_columns_beside_it() -> None:
    rows = cells("## ResNet-50 layer by layer", r"\d+")
    assert [row[0] for row in rows] == [str(number) for number in range(1, 55)]
    assert sum("shortcut" in row[1] for row in rows) == 4
    for *_, macs, sent, comm, compute, ratio in rows:
        sent_kb = float(sent.replace(",", ""))
        assert float(comm) == pytest.approx(sent_kb / 37.5, rel=2e-3, abs=1e-3)
        assert float(compute) == pytest.approx(float(macs) / 2 / 125, rel=2e-3, abs=1e-3)
        if sent_kb:
            assert float(ratio) == pytest.approx(sent_kb / 37.5 / (float(macs) / 250), rel=0.03)
    assert sum(float(row[6]) for row in rows) == pytest.approx(560.7, abs=0.1)
    assert sum(float(row[7]) for row in rows) == pytest.approx(16.4, abs=0.05)
    ratios = [float(row[8]) for row in rows[1:]]
    assert (sum(r >= 10 for r in ratios), sum(r >= 100 for r in ratios)) == (43, 8)


def marks(colour: str) -> list[float]:
    """Heights of a colour's marks in the plot, from left to right."""
    found = []
    for mark in ElementTree.parse(PICTURE).iter():
        if colour not in (mark.get("fill"), mark.get("stroke")):
            continue
        if mark.tag == f"{SVG}circle":
            found.append((float(mark.get("cx", "")), float(mark.get("cy", ""))))
        elif mark.tag == f"{SVG}polygon":
            corners = [point.split(",") for point in mark.get("points", "").split()]
            found.append((float(corners[0][0]), float(corners[1][1])))
    return [y for _, y in sorted(found) if y > 100]  # the legend lies above


def test_the_picture_shows_the_table() -> None:
    rows = cells("## ResNet-50 layer by layer", r"\d+")
    tree = ElementTree.parse(PICTURE)
    labels = {
        "".join(text.itertext()): float(text.get("y", "")) for text in tree.iter(SVG + "text")
    }
    top, bottom = labels["100"] - 4, labels["0.001"] - 4
    for colour, column, shown in ((BLUE, 6, rows[1:]), (ORANGE, 7, rows)):
        heights = np.array(marks(colour))
        times_ms = 10 ** (2 - 5 * (heights - top) / (bottom - top))
        assert times_ms == pytest.approx([float(row[column]) for row in shown], rel=0.07)
    described = tree.find(f"{SVG}desc")
    assert described is not None and "not measured" in (described.text or "")
    assert any("not measured" in label for label in labels)
    assert "time of the layer (ms, logarithmic)" in labels


def test_the_picture_refuses_a_time_outside_its_axis(scripts: None) -> None:
    import layer_picture

    layer = layer_picture.LayerTime("conv", "part", False, 1.0, 1e-4)
    with pytest.raises(ValueError, match="outside the time axis"):
        layer_picture.picture([layer], "title", [])


def test_a_stale_page_or_picture_is_found(tmp_path: Path) -> None:
    for folder in ("scripts", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    command = [sys.executable, str(tmp_path / "scripts" / "build_disco.py"), "--check"]
    page = tmp_path / "docs" / "disco.md"
    page.write_text(page.read_text(encoding="utf-8").replace("4.72×", "4.70×"), encoding="utf-8")
    (tmp_path / "docs" / "images" / "disco-layers.svg").unlink()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 1, done.stderr
    assert done.stdout.split() == "stale: docs/disco.md stale: docs/images/disco-layers.svg".split()
    assert "4.70×" in page.read_text(encoding="utf-8")


def test_a_node_holds_less_than_resnet50_over_8_where_nodes_times_x_is_8(case: ModuleType) -> None:
    limit = case.Memory.of(case.alone())
    for divisor in case.MODELS:
        for nodes in case.NODES:
            for reading in ("fractional", "whole, at least one"):
                need = case.Memory.of(case.small_costs(divisor, nodes, reading, case.SETTINGS))
                fits = nodes * divisor >= 8
                assert (need.weight_bytes <= limit.weight_bytes) == fits
                assert (need.total_bytes <= limit.total_bytes) == fits


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("reading", ["fractional", "whole, at least one"])
def test_castings_and_media(case: ModuleType, reading: str, overlap: bool) -> None:
    def over(divisor: int, medium: str, casting: str) -> float:
        found: float = case.overhead(divisor, reading, medium, casting, overlap)
        return found

    for divisor in case.LARGER:
        full = over(divisor, "full duplex", "unicast")
        assert over(divisor, "full duplex", "broadcast") == full
        assert over(divisor, "sending alone", "unicast") == pytest.approx(full)
        assert over(divisor, "half duplex", "broadcast") <= over(divisor, "half duplex", "unicast")
        alone_s = float(case.alone().latency_s.sum())
        floor_s = load_model(case.MODELS[divisor]).totals.macs / SMALL_NODE_MACS_PER_S
        for medium in case.MEDIA:
            for casting in case.CASTINGS:
                assert (1 + over(divisor, medium, casting)) * alone_s < floor_s
    for nodes in (4, 8):
        cheap = over(8 // nodes, "sending alone", "broadcast")
        assert cheap < over(8 // nodes, "sending alone", "unicast")


def test_overhead_of_the_whole_model_on_eight_nodes_by_hand(case: ModuleType) -> None:
    eighth = load_model("resnet50-eighth").totals.macs / SMALL_NODE_MACS_PER_S
    latency_s = sum(by_hand(8, Fraction(99, 100), SMALL_NODE_MACS_PER_S, fractional_count))
    found = case.overhead(1, "fractional", "full duplex", "unicast", False)
    assert found == pytest.approx(latency_s / eighth - 1, rel=1e-9)
    shown = [row for row in cells("### What it costs", "ResNet-50") if row[2] == "fractional"]
    assert [row[7] for row in shown] == [f"{latency_s / eighth - 1:+.1%}"]


def test_one_percent_of_eight_features_is_none_one_or_a_fraction(case: ModuleType) -> None:
    from readings import READINGS

    sparsity = []
    for reading in READINGS:
        costs = case.small_costs(1, 8, reading, case.SETTINGS)
        stem = load_model("resnet50").layers
        row = next(i for i, layer in enumerate(stem) if layer.macs and layer.in_features == 64)
        one_feature = stem[row].input_feature_bytes
        sparsity.append(costs.sent_bytes[row, 0, 0] / 7 / one_feature)
    assert sparsity == pytest.approx([0.08, 1, 0])


def test_a_layer_too_large_for_a_node_makes_a_pipeline_impossible(case: ModuleType) -> None:
    limit = case.Memory.of(case.alone())
    half = Case(load_model("resnet50-half"), load_cluster("small-nodes"))
    too_large = [
        np.flatnonzero(case.layer_bytes(half, with_activations) > most).tolist()
        for with_activations, most in ((False, limit.weight_bytes), (True, limit.total_bytes))
    ]
    assert too_large[0] == [53]  # the classifier
    assert len(too_large[1]) == 4 and 53 in too_large[1]
    rows = cells("### Pipelines", "ResNet50/4|ResNet50/2|ResNet-50")
    limited = [row for row in rows if row[1] in ("parameters", "with activations")]
    assert [row[5] for row in limited] == ["4", "4", "none", "none", "none", "none"]


@pytest.mark.parametrize("with_activations", [False, True])
def test_fewest_nodes_of_a_pipeline_by_filling_one_after_the_other(
    case: ModuleType, with_activations: bool
) -> None:
    memory = case.Memory.of(case.alone())
    limit = memory.total_bytes if with_activations else memory.weight_bytes
    profile = load_model("resnet50-quarter")
    alone = Case(profile, load_cluster("small-nodes"))
    table = alone.table(alone.names(1))
    nodes, weights, live = 1, 0, 0
    for unit in alone.units:
        rows = slice(unit.start, unit.stop)
        weight = table.weight_bytes[rows, 0, 0].sum()
        activations = table.live_bytes[rows, 0, 0].max()
        needed = weights + weight + max(live, activations) * with_activations
        if needed > limit:
            nodes, weights, live = nodes + 1, 0, 0
        weights, live = weights + weight, max(live, activations)
    assert case.pipelines(profile, limit, with_activations).nodes == nodes


@pytest.fixture
def split(scripts: None) -> ModuleType:
    import split_shares

    return split_shares


def published_rows(network: str) -> list[list[str]]:
    """Rows of a network with a published point."""
    rows = cells("## Average sparsity of the split baselines", re.escape(network))
    return [row for row in rows if len(row) == 8 and row[2] != "–"]


@pytest.mark.parametrize(
    "network, points, right",
    [("ResNet-50", 6, 12), ("DeiT-S", 4, 4), ("DeepLabV3+", 6, 0), ("SSD300", 0, 0)],
)
def test_differences_are_those_of_the_columns_beside_them(
    network: str, points: int, right: int
) -> None:
    rows = published_rows(network)
    assert len(rows) == points
    triples = [row[at : at + 3] for row in rows for at in (2, 5)]
    for published, here, difference in triples:
        assert float(difference) == pytest.approx(float(here) - float(published), abs=0.006)
    assert sum(abs(float(gap)) <= 0.5 for *_, gap in triples) == right


def test_published_points_of_deeplab_lie_at_the_second_to_fourth_cut(split: ModuleType) -> None:
    assert [row[1] for row in published_rows("DeepLabV3+")] == [
        f"{strategy}, {groups} of 5" for strategy in split.STRATEGIES for groups in (2, 3, 4)
    ]
    with pytest.raises(ValueError, match="two published points"):
        split.matched([(0.0, 0.0), (90.0, 40.0)], ((1, 1), (2, 2)))


@pytest.mark.parametrize("model", ["resnet50", "deit-s", "deeplabv3plus-resnet101", "esrgan"])
def test_the_unchanged_reading_is_the_planners(split: ModuleType, model: str) -> None:
    planned = split.case_on("head-mounted", model)
    for strategy in split.STRATEGIES:
        read = split.shares_read_so(model, strategy, ())
        assert np.array(read) == pytest.approx(np.array(split.points_of(planned, strategy)))


def test_shares_of_deit_by_hand(split: ModuleType) -> None:
    tokens, width, classes, patches, pixels = 197, 384, 1000, 196, 3 * 16 * 16
    linear = 12 * tokens * width**2  # of a block: q, k, v, o and two of four times the width
    attention = 2 * tokens**2 * width
    macs = 12 * (linear + attention) + patches * pixels * width + width * classes
    read = 9 * tokens * width  # of a block
    everything = 12 * read + 3 * 224**2 + width
    found = split.points_of(split.case_on("head-mounted", "deit-s"), "split-then-aggregate")
    for third, (comm, comp) in enumerate(found, start=1):
        assert comm == pytest.approx(100 * third * 4 * read / everything, rel=1e-9)
        assert comp == pytest.approx(50 * third * 4 * linear / macs, rel=1e-9)


def test_each_reading_of_deeplab_brings_more_shares_to_the_published(split: ModuleType) -> None:
    model = "deeplabv3plus-resnet101"
    found = [split.read_at_published(model, changes).right for _, changes in split.DEEPLAB_READINGS]
    assert found == [0, 6, 9, 12]
    assert split.read_at_published("resnet50", (split.first_layer_splits,)).right < 12


def test_no_reading_of_deit_has_both_of_its_published_shares(split: ModuleType) -> None:
    for _, changes in split.DEIT_READINGS:
        for points in split.read_at_published("deit-s", changes).points.values():
            near = [split.rounds_to(at[0], of) for at, of in zip(points, (24, 47), strict=True)]
            assert not any(near)

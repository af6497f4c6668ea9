"""Measured times: what is read, what is refused, and what they do to a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.case import Case
from planner.domain.cluster import Cluster
from planner.errors import BadInputError
from planner.measure.parts import LayerSample, ModelTime
from planner.strategies.baselines import dense, single_node
from profiles.catalog import load_cluster, load_model
from profiles.files import document_text
from profiles.measured import Times, attach_times, read_times
from tests.measure.made import node_part


def first_conv() -> str:
    return load_model("resnet50").layers[0].name


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def board() -> Cluster:
    cluster = load_cluster("small-nodes")
    nodes = tuple(node.model_copy(update={"device_type": "board"}) for node in cluster.nodes)
    return cluster.model_copy(update={"nodes": nodes})


def test_csv_and_json_say_the_same(tmp_path: Path) -> None:
    name, profile = first_conv(), load_model("resnet50")
    table = f"layer,device_type,seconds\n{name},board,0.25\n\n{name},phone,0\n"
    as_csv = read_times(write(tmp_path, "t.csv", table), profile)
    text = f'{{"{name}": {{"board": 0.25, "phone": 0.0}}}}'
    assert as_csv == read_times(write(tmp_path, "t.json", text), profile)
    assert as_csv == {name: {"board": 0.25, "phone": 0.0}}


def test_a_measured_time_overrides_the_analytic_one(tmp_path: Path) -> None:
    profile = load_model("resnet50")
    layer = profile.layers[0]
    timed = attach_times(profile, {layer.name: {"board": 0.25}}, where="t.csv")
    before, after = Case(profile, board()), Case(timed, board())
    analytic_s = layer.macs / board().nodes[0].macs_per_s
    added = single_node(after).predicted.latency_s - single_node(before).predicted.latency_s
    assert added == pytest.approx(0.25 - analytic_s)
    halved = dense(after, 2).predicted.compute_s - dense(before, 2).predicted.compute_s
    assert halved == pytest.approx((0.25 - analytic_s) / 2)  # half of its MACs on each node
    assert single_node(after).predicted.origin["latency_s"] == "measured"
    assert single_node(before).predicted.origin["latency_s"] == "derived"


def test_another_device_s_times_change_nothing() -> None:
    profile = load_model("resnet50")
    timed = attach_times(profile, {first_conv(): {"phone": 9.0}}, where="t.csv")
    assert single_node(Case(timed, board())).predicted.latency_s == pytest.approx(
        single_node(Case(profile, board())).predicted.latency_s
    )


@pytest.mark.parametrize(
    ("name", "text", "needles"),
    [
        ("t.csv", "", ["t.csv", "layer,device_type,seconds"]),
        ("t.csv", "a,b\n", ["a,b", "layer,device_type,seconds"]),
        ("t.csv", "layer,device_type,seconds\nx,y\n", ["line 2", "2 values"]),
        ("t.csv", "layer,device_type,seconds\nx,y,fast\n", ["line 2", "fast"]),
        ("t.csv", "layer,device_type,seconds\nx,y,-1\n", ["line 2", "-1"]),
        ("t.csv", "layer,device_type,seconds\nx,y,nan\n", ["line 2", "nan"]),
        ("t.csv", "layer,device_type,seconds\nx,y,1_0\n", ["line 2", "1_0"]),
        ("t.csv", "layer,device_type,seconds\nx,y,1\nx,y,2\n", ["line 3", "before"]),
        ("t.json", '{"x": {"y": "1"}}', ["t.json", "x.y"]),
        ("t.json", "[1]", ["t.json"]),
        ("t.json", '{"schema_version": 2}', ["is another document of ours", "plan_digest, part"]),
    ],
)
def test_bad_times_are_one_line(tmp_path: Path, name: str, text: str, needles: list[str]) -> None:
    with pytest.raises(BadInputError) as error:
        read_times(write(tmp_path, name, text), load_model("resnet50"))
    assert "\n" not in str(error.value)
    for needle in needles:
        assert needle in str(error.value)


def test_an_unknown_layer_is_named_with_the_nearest_one() -> None:
    profile = load_model("resnet50")
    with pytest.raises(BadInputError, match="did you mean") as error:
        attach_times(profile, {first_conv() + "x": {"board": 1.0}}, where="t.csv")
    assert first_conv() in str(error.value)


def test_a_negative_time_in_json_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"give seconds, 0 to 1e\+30"):
        attach_times(load_model("resnet50"), {first_conv(): {"board": -1.0}}, where="t.json")


@pytest.mark.parametrize(
    ("times", "words"),
    [({}, "t.json: has no times"), ({first_conv(): {"": 1.0}}, "a device type has no name")],
)
def test_times_of_nothing_are_refused(times: Times, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        attach_times(load_model("resnet50"), times, where="t.json")


def test_times_at_another_input_shape_are_refused(tmp_path: Path) -> None:
    profile = load_model("resnet50")
    part = node_part("a")
    layer = LayerSample(
        layer=first_conv(), kind="conv", seconds=1.0, low_s=1.0, high_s=1.0, predicted_s=1.0
    )

    def read(macs: int | None) -> Times:
        model = ModelTime(model="resnet50", macs=macs, measured_s=1.0, layers=(layer,))
        text = document_text(part.model_copy(update={"models": (model,)}))
        return read_times(write(tmp_path, "t.json", text), profile)

    for macs in (None, profile.totals.macs):
        assert read(macs) == {first_conv(): {"generic": 1.0}}
    with pytest.raises(BadInputError, match="give the same --input-shape and --batch"):
        read(2 * profile.totals.macs)

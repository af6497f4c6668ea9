"""What each view shows, run without a browser."""

from __future__ import annotations

import html
import json

import pytest

from app.page.answer import Answer
from app.page.asking import question_of
from app.page.views.trade_off import limits_of
from profiles.catalog import load_model
from tests.page.driving import (
    BYTES,
    chart,
    go_to,
    good,
    metrics,
    milliseconds,
    opened,
    shown_headline,
    shown_title,
    texts,
    traces,
    values_of,
)


def test_layers_are_the_plans_or_a_baselines() -> None:
    page = opened("layers", limit="0.5", ways="features")
    planned = traces(page, "layers")
    assert len(planned["communication"]["y"]) == 53
    assert min(planned["communication"]["y"]) > 0
    assert len(planned["no communication"]["y"]) == 1  # the reader of the image
    assert "zeros" in texts(page)
    good(page.segmented_control(key="layers").set_value("dense").run())
    dense = traces(page, "layers")
    assert sum(dense["communication"]["y"]) > 5 * sum(planned["communication"]["y"])
    assert sum(dense["computation"]["y"]) > sum(planned["computation"]["y"])
    assert page.query_params == {"layers": "dense", "limit": "0.5", "ways": "features"}


def test_a_strip_above_the_layers_says_how_each_runs_and_lies() -> None:
    page = opened("layers")
    drawn = chart(page, "layers")
    points = [
        x
        for trace in drawn["data"]
        if trace.get("name", "").endswith("computation")
        for x in trace["x"]
    ]
    rows = [trace for trace in drawn["data"] if trace["type"] == "bar"]
    ways = {trace["name"]: trace for trace in rows if trace.get("showlegend", True)}
    layouts = {trace["name"]: trace for trace in rows if not trace.get("showlegend", True)}
    for of in (ways, layouts):
        assert sorted(x for trace in of.values() for x in trace["x"]) == sorted(points)
        looks = [str(trace["marker"]) for trace in of.values()]
        assert len(set(looks)) == len(looks) > 1
    plan = Answer(load_model("resnet50"), question_of(values_of(page))).plan
    planned = {layer.name: layer for layer in plan.stages[0].layers}
    for kind, trace in ways.items():
        way, _, fusing = kind.partition(", ")
        for name, _, said, lies, before in trace["customdata"]:
            layer = planned[name]
            assert (layer.until is not None) == (fusing == "fused halos")
            fused = f", halos fused up to {layer.until}" if layer.until else ""
            assert (said, layer.way) == (f"{way}{fused}", way)
            assert lies == f"<br>its output lies: {layer.layout}"
            assert before.count("→") == len(layer.conversions)
    assert all(trace["yaxis"] == "y2" for trace in rows)
    (mark,) = [x for x in drawn["data"] if x.get("name") == "conversion before it"]
    (name, words) = mark["customdata"][0]
    assert name == "classifier.0" or planned[name].conversions
    assert "resnet.pooler: sums→features, 24.6 kB sent" in words
    layout = drawn["layout"]
    assert layout["yaxis2"]["domain"][0] > layout["yaxis"]["domain"][1]
    parting = [shape for shape in layout["shapes"] if shape["type"] == "line"]
    assert len(parting) == len(layout["xaxis"]["ticktext"]) - 1 > 2


def test_one_node_has_no_strip() -> None:
    page = opened("layers", nodes="1")
    assert not [trace for trace in chart(page, "layers")["data"] if trace["type"] == "bar"]


def test_layers_of_a_single_node_have_no_baseline_and_no_roofline() -> None:
    page = opened("layers", nodes="1", layers="dense")
    assert "whole model on one node" in shown_headline(page)
    assert "layers of the plan" in texts(page)
    assert len(page.get("plotly_chart")) == 1


@pytest.mark.parametrize(("view", "asked"), [("layers", {"layers": "model"}), ("model", {})])
def test_the_model_itself_is_every_layer_the_graph_and_what_was_counted(
    view: str, asked: dict[str, str]
) -> None:
    page = opened(view, **asked)
    profile = load_model("resnet50")
    table = page.dataframe[0].value
    assert list(table["layer"]) == [layer.name for layer in profile.layers]
    assert table["MACs"].sum() == profile.totals.macs
    assert "4,089,184,256 MACs" in texts(page)
    assert "100.0% of the operators" in texts(page)
    assert sum(traces(page, "work")["MACs"]["y"]) == profile.totals.macs
    assert "20 arcs" in texts(page)


def test_time_shows_stages_and_who_waits_for_whom() -> None:
    asked = {"objective": "throughput", "limit": "0.5", "ways": "features"}
    page = opened("time", model="deit-s", rule="equal", **asked)
    assert shown_headline(page).startswith("2 stages on 4 nodes, up to 3 a stage: ")
    stages = page.dataframe[0].value
    assert list(stages["nodes"]) == ["node-1 node-2 node-3", "node-4"]
    spans = traces(page, "timeline")
    assert set(spans) == {"communication", "computation", "handed over", "waiting", "exchange"}
    assert max(x for x in spans["computation"]["x"] if x) == pytest.approx(
        milliseconds(metrics(page)["Latency"]), rel=1e-3
    )
    assert any("while other stages work" in words for words in spans["waiting"]["text"] if words)
    assert max(traces(page, "cumulative")["communication"]["y"]) > 0
    assert "Optimal under the accuracy model curve:deit-s-imagenet/equal" in texts(page)
    go_to(page, "layers")
    marks = [mark["text"] for mark in chart(page, "sparsity")["layout"]["annotations"]]
    assert marks == ["stage 1<br>3 nodes", "2"]


def test_the_devices_have_what_the_plan_needs_beside_their_limits() -> None:
    page = opened("hardware", nodes="1", memory="512")
    assert traces(page, "memory")["limit"]["x"] == [512]
    assert "No limit is known" in texts(opened("hardware", nodes="1"))


def test_strategies_stand_side_by_side_on_one_to_eight_nodes() -> None:
    page = opened("compare", model="resnet50-eighth")
    table = page.dataframe[0].value
    assert set(table["nodes"]) >= {1, 2, 4, 8}
    assert {"single-node", "dense", "optimal", "ar-mdi", "pipeline-equal"} <= set(table["strategy"])
    assert (table["strategy"] == "single-node").sum() == 1
    assert traces(page, "by_nodes")["optimal"]["x"] == [1, 2, 4, 8]
    names = chart(page, "strategies")["data"][0]["y"]
    assert "optimal (4)" in names
    ends = chart(page, "strategies")["data"][-1]["text"]
    assert all(end.endswith("B") for end in ends)  # what it takes of the fullest node
    good(page.segmented_control(key="bars").set_value(2).run())
    assert "dense (2)" in chart(page, "strategies")["data"][0]["y"]
    good(page.segmented_control(key="measure").set_value("memory").run())
    assert "memory of the fullest" in json.dumps(chart(page, "by_nodes")["layout"])
    assert page.query_params == {"model": "resnet50-eighth", "bars": "2", "measure": "memory"}


@pytest.mark.parametrize("trade", ("accuracy", "throughput"))
def test_every_point_of_a_frontier_is_the_plan_under_its_limits(trade: str) -> None:
    asked = {"rule": "equal", "nodes": "3", "ways": "features"}
    page = opened("trade-off", model="deit-s", points="3", trade=trade, **asked)
    drawn = traces(page, "frontier")["best plans"]
    values = values_of(page)
    profile = load_model("deit-s")
    found = Answer(profile, question_of(values)).traded(trade).frontier(trade, 3)
    assert [point.latency_s * 1e3 for point in found.points] == pytest.approx(drawn["y"])
    for point in found.points:
        plan = Answer(profile, question_of({**values, **limits_of(found, point)})).plan
        assert plan.predicted.latency_s == pytest.approx(point.latency_s)
    assert len(page.dataframe[0].value) == len(found.points)


def test_trade_off_without_an_accuracy_model_says_what_is_missing() -> None:
    page = opened("trade-off", accuracy="none")
    assert "no accuracy model to trade with: choose one under *Goal*." in texts(page)
    assert not page.get("plotly_chart")


@pytest.mark.usefixtures("lingering")
def test_what_if_sweeps_and_says_what_a_target_takes() -> None:
    asked = {"accuracy": "none", "sparsity": "1", "ways": "features"}
    page = opened("what-if", model="resnet50-eighth", **asked)
    assert "What changes most is the " in texts(page)
    bars = traces(page, "swings")
    assert set(bars) == {"half as much", "twice as much"}
    here = milliseconds(metrics(page)["Latency"])
    assert bars["half as much"]["base"] == pytest.approx(here, rel=1e-3)
    slower = dict(zip(bars["half as much"]["y"], bars["half as much"]["x"], strict=True))
    assert slower["computing speed"] > 0
    assert "saves" in texts(page)  # what binds
    assert "Bandwidth: " in texts(page)
    times = traces(page, "sweep")["time per input"]["y"]
    assert times == sorted(times, reverse=True)
    assert traces(page, "sweep")["the present plan"]["x"] == [37.5]
    good(page.segmented_control(key="over").set_value("nodes").run())
    assert traces(page, "sweep")["time per input"]["x"] == list(range(1, 9))
    target = milliseconds(metrics(page)["Latency"]) * 0.8
    good(page.number_input(key="target").set_value(target).run())
    assert "is not met yet" in texts(page)
    assert "No bandwidth is enough" in texts(page)  # nothing is sent any more
    good(page.segmented_control(key="needs").set_value("compute").run())
    assert "MAC/s is enough" in texts(page)
    good(page.segmented_control(key="needs").set_value("nodes").run())
    assert "nodes is enough" in texts(page)
    assert "smallest number" in texts(page)


def test_export_offers_the_shown_plan_and_its_command() -> None:
    asked = {"limit": "0.5", "ways": "features,positions"}
    page = opened("export", bandwidth="30", overlap="1", nodes="2", node_choice="exactly", **asked)
    (command, *others) = [code.value for code in page.code]
    assert command == (
        "planner plan resnet50 --cluster small-nodes --bandwidth 30MB/s --nodes 2 "
        "--ways features,positions --accuracy-model curve:resnet50-imagenet/equal-squares "
        "--max-accuracy-drop 0.5 --overlap"
    )
    assert [line.split()[1] for line in others] == ["compare", "pareto"]
    assert all("--ways features,positions" in line for line in others)
    labels = [x.proto.label for x in page.get("download_button")]
    assert labels[:4] == ["plan.json", "layers.csv", "profile.json", "cluster.json"]
    assert labels[4:] == ["export.zip", "report.html", "report.png", "Save this page"]
    assert page.file_uploader(key="weights_upload") is not None
    plain = opened("export", nodes="2")
    assert "no training is needed" in texts(plain)
    assert [x.proto.label for x in plain.get("download_button")] == labels
    assert "weights_upload" not in {x.key for x in plain.get("file_uploader")}


def test_names_stay_text_in_every_view(onnx_net) -> None:
    hostile = "<script>alert(1)</script>"
    content = onnx_net(first=hostile, second="![i](https://example.invalid/x.png) :smile: $x$")
    page = opened()
    page.file_uploader(key="upload").set_value(("[l](x) <b>.onnx", content, BYTES))
    good(page.run())
    for view in ("", "time", "layers", "model", "compare", "what-if", "export"):
        go_to(page, view)
        assert shown_title(page) == "[l](x) <b> on small-nodes"
        for found in page.get("plotly_chart"):
            assert "<script>" not in found.proto.spec
    assert page.session_state["layers"] == "model"
    go_to(page, "layers")
    assert html.escape(hostile, quote=False) in json.dumps(chart(page, "work"))
    assert hostile in set(page.dataframe[0].value["layer"])

"""The page's script, run without a browser."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.page.question import Answer, Question
from app.words import headline
from planner.accuracy.spreading import DEFAULT_RULE
from profiles.catalog import load_cluster, load_model

REPO = Path(__file__).parents[2]
MAIN = REPO / "app/page/main.py"
PUBLISHED = f"curve:resnet50-imagenet/{DEFAULT_RULE}"
ONNX_TYPE = "application/octet-stream"


@pytest.fixture
def page() -> AppTest:
    """A new visitor's page."""
    return good(AppTest.from_file(str(MAIN), default_timeout=60).run())


def good(page: AppTest) -> AppTest:
    """The page after a run that raised nothing and complained of nothing."""
    assert not page.exception
    assert not page.error
    return page


def shown_headline(page: AppTest) -> str:
    (found,) = [m.value for m in page.markdown if m.value.startswith("#### ")]
    return unescaped(found.removeprefix("#### "))


def unescaped(markdown: str) -> str:
    """What a reader sees of text whose punctuation was escaped."""
    return markdown.replace("\\", "")


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def captions(page: AppTest) -> str:
    return unescaped(" ".join(caption.value for caption in page.caption))


def chart(page: AppTest, position: int) -> dict[str, object]:
    found = page.get("plotly_chart")[position]
    spec: dict[str, object] = json.loads(found.proto.spec)
    return spec


def test_first_page_is_resnet50_on_four_small_nodes_as_the_planner_plans_it(page: AppTest) -> None:
    question = Question(
        cluster="small-nodes", nodes=4, accuracy_model=PUBLISHED, max_accuracy_drop=0.5
    )
    plan = Answer(load_model("resnet50"), question).plan
    assert plan.node_count == 4
    assert shown_headline(page) == headline(plan)
    assert page.header[0].value == "resnet50 on small\\-nodes"
    assert "up to 4 nodes · B 37.5 MB/s · C 3.75 GMAC/s" in captions(page)
    shown = metrics(page)
    assert list(shown) == [
        "Latency",
        "Throughput",
        "Accuracy drop",
        "Memory per node",
        "Mean S_comm",
    ]
    assert shown["Accuracy drop"] == "0.50 points"
    assert len(page.get("plotly_chart")) == 3
    assert len(page.get("download_button")) == 4


def test_untouched_presets_keep_the_clusters_own_figures(page: AppTest) -> None:
    figures = page.dataframe[-1].value
    assert "set by the user" not in set(figures["source"])
    good(page.number_input(key="bandwidth").set_value(30.0).run())
    figures = page.dataframe[-1].value
    assert list(figures[figures["source"] == "set by the user"]["origin"]) == ["assumed"]


def test_more_bandwidth_and_fewer_nodes_change_the_plan(page: AppTest) -> None:
    before = metrics(page)["Latency"]
    good(page.number_input(key="bandwidth").set_value(75.0).run())
    assert "B 75 MB/s" in captions(page)
    faster = metrics(page)["Latency"]
    assert milliseconds(faster) < milliseconds(before)
    good(page.number_input(key="nodes").set_value(2).run())
    assert "split over 2 nodes" in shown_headline(page)
    assert milliseconds(metrics(page)["Latency"]) > milliseconds(faster)


def milliseconds(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"s": 1e3, "ms": 1.0, "µs": 1e-3}[unit]


def test_another_unit_keeps_the_quantity_and_the_plan(page: AppTest) -> None:
    before = shown_headline(page)
    good(page.selectbox(key="bandwidth_unit").set_value("Mbit/s").run())
    assert page.number_input(key="bandwidth").value == 300.0
    good(page.selectbox(key="compute_unit").set_value("GFLOP/s").run())
    assert page.number_input(key="compute").value == 7.5
    assert shown_headline(page) == before
    good(page.number_input(key="bandwidth").set_value(240.0).run())
    assert "B 30 MB/s" in captions(page)


def test_throughput_objective_chooses_the_pipeline(page: AppTest) -> None:
    page.selectbox(key="cluster").set_value("head-mounted").run()
    good(page.number_input(key="limit").set_value(0.0).run())
    least_latency = metrics(page)
    good(page.segmented_control(key="objective").set_value("throughput").run())
    most_throughput = metrics(page)
    assert "most throughput" in captions(page)
    assert "pipeline of 2 stages" in shown_headline(page)
    assert any("no features within layers" in info.value for info in page.info)
    rates = [float(m["Throughput"].split()[0]) for m in (least_latency, most_throughput)]
    assert rates[1] > rates[0]
    assert milliseconds(most_throughput["Latency"]) > milliseconds(least_latency["Latency"])
    traces = chart(page, 0)["data"]
    assert isinstance(traces, list)
    named = {trace["name"]: trace["y"] for trace in traces if "name" in trace}
    assert "communication" not in named
    assert len(named["handed over"]) == 1
    assert list(page.dataframe[0].value["nodes"]) == ["node-1", "node-2"]


def test_a_hybrid_plan_shows_its_stages(page: AppTest) -> None:
    page.selectbox(key="model").set_value("deit-s").run()
    page.selectbox(key="rule").set_value("equal").run()
    good(page.segmented_control(key="objective").set_value("throughput").run())
    assert shown_headline(page).startswith("2 stages on 4 nodes, up to 3 a stage: ")
    stages = page.dataframe[0].value
    assert list(stages["nodes"]) == ["node-1 node-2 node-3", "node-4"]
    for position in (0, 1):
        layout = chart(page, position)["layout"]
        assert isinstance(layout, dict)
        texts = [mark["text"] for mark in layout["annotations"]]
        assert texts == ["stage 1<br>3 nodes", "2"]
    assert len(page.get("plotly_chart")) == 3
    good(page.segmented_control(key="view").set_value("dense").run())
    assert "stage" not in page.dataframe[0].value
    assert "annotations" not in chart(page, 0)["layout"]


def test_a_preset_fills_its_section_and_says_when_one_node_is_best(page: AppTest) -> None:
    good(page.number_input(key="bandwidth").set_value(99.0).run())
    good(page.selectbox(key="cluster").set_value("head-mounted").run())
    preset = load_cluster("head-mounted")
    assert page.number_input(key="bandwidth").value == 37.5
    assert page.number_input(key="compute").value == preset.nodes[0].macs_per_s / 1e9
    assert page.number_input(key="nodes").value == len(preset.nodes)
    assert page.number_input(key="memory").value is None
    good(page.number_input(key="limit").set_value(0.0).run())
    (told,) = page.info[:1]
    assert "Distributing does not pay here" in told.value
    assert "whole model on one node" in shown_headline(page)
    good(page.segmented_control(key="node_choice").set_value("exactly").run())
    assert "2 " in shown_headline(page)
    assert "exactly 2 nodes" in captions(page)


def test_a_preset_with_memory_shows_it_and_it_binds(page: AppTest) -> None:
    page.selectbox(key="accuracy").set_value("none").run()
    good(page.selectbox(key="cluster").set_value("esp32-s3").run())
    assert page.number_input(key="memory").value == pytest.approx(8.912896)
    assert page.selectbox(key="medium").value == "shared"
    page.number_input(key="memory").set_value(4.0).run()
    assert "memory of" in page.error[0].value


def test_memory_that_nothing_fits_keeps_the_last_good_plan(page: AppTest) -> None:
    before = shown_headline(page)
    page.number_input(key="memory").set_value(1.0).run()
    assert not page.exception
    (error,) = page.error
    assert "no plan fits: memory of node-1 binds: its limit is 1,000,000 bytes" in unescaped(
        error.value
    )
    assert "the smallest that works is" in error.value
    assert "\n" not in error.value
    assert "last plan that worked" in page.info[0].value
    assert "no memory limit" in unescaped(page.info[0].value)
    assert shown_headline(page) == before
    good(page.number_input(key="memory").set_value(64.0).run())
    assert "64 MB a node" in captions(page)
    assert not page.info


def test_without_an_accuracy_model_there_is_no_limit_and_a_warning(page: AppTest) -> None:
    good(page.selectbox(key="accuracy").set_value("none").run())
    assert page.number_input(key="limit").disabled
    assert metrics(page)["Accuracy drop"] == "–"
    assert "no accuracy model" in captions(page)
    assert any("cutting all communication" in warning.value for warning in page.warning)


def test_a_curve_of_another_model_is_marked_assumed(page: AppTest) -> None:
    good(page.selectbox(key="accuracy").set_value("deit-s-imagenet").run())
    assert any("was not published for resnet50" in unescaped(w.value) for w in page.warning)


def test_a_model_without_a_curve_starts_without_one_and_comes_back_with_it(page: AppTest) -> None:
    good(page.selectbox(key="model").set_value("mobilenetv2-224").run())
    assert page.selectbox(key="accuracy").value == "none"
    good(page.selectbox(key="model").set_value("resnet50").run())
    assert page.selectbox(key="accuracy").value == "resnet50-imagenet"


def test_views_of_the_layers_and_zeros_on_a_log_axis(page: AppTest) -> None:
    def times(name: str) -> list[float]:
        traces = chart(page, 0)["data"]
        assert isinstance(traces, list)
        return [y for trace in traces if trace.get("name") == name for y in trace["y"]]

    planned = times("communication")
    assert len(planned) == 53
    assert min(planned) > 0
    assert len(times("no communication")) == 1  # the reader of the image
    assert "zeros" in captions(page)
    good(page.segmented_control(key="view").set_value("dense").run())
    assert sum(times("communication")) > 5 * sum(planned)


def test_overlap_takes_less_time(page: AppTest) -> None:
    before = milliseconds(metrics(page)["Latency"])
    good(page.toggle(key="overlap").set_value(True).run())
    assert milliseconds(metrics(page)["Latency"]) < before


def test_a_single_node_has_nothing_to_compare_or_send(page: AppTest) -> None:
    good(page.number_input(key="nodes").set_value(1).run())
    assert "whole model on one node" in shown_headline(page)
    assert any("nothing is exchanged" in info.value for info in page.info)
    assert len(page.get("plotly_chart")) == 2


def test_an_upload_is_profiled_planned_and_forgotten(page: AppTest, onnx_net) -> None:
    page.segmented_control(key="source").set_value("ONNX file").run()
    assert not page.error
    assert "Choose an .onnx file" in unescaped(page.info[0].value)
    page.file_uploader[0].set_value(("net.onnx", onnx_net(), ONNX_TYPE))
    good(page.run())
    assert page.header[0].value == "net on small\\-nodes"
    assert metrics(page)["Accuracy drop"] == "–"
    profile = page.dataframe[1].value
    assert list(profile["layer"]) == ["first", "relu", "second"]
    assert profile["MACs"].sum() == 16 * 16 * 9 * (3 * 16 + 16 * 8)
    good(page.segmented_control(key="source").set_value("Catalogue").run())
    assert page.header[0].value == "resnet50 on small\\-nodes"
    assert page.selectbox(key="accuracy").value == "resnet50-imagenet"


def test_open_dimensions_ask_for_a_shape_and_take_it(page: AppTest, onnx_net) -> None:
    page.segmented_control(key="source").set_value("ONNX file").run()
    assert not page.text_input
    page.file_uploader[0].set_value(("net.onnx", onnx_net(batch="N"), ONNX_TYPE))
    page.run()
    assert "'image' has open dimensions" in unescaped(page.error[0].value)
    assert "resnet50" in page.header[0].value
    page.text_input(key="shapes").set_value("image=one").run()
    assert "give NAME=DIM" in unescaped(page.error[0].value)
    good(page.text_input(key="shapes").set_value("image=2,3,16,16").run())
    assert page.header[0].value == "net on small\\-nodes"
    assert page.dataframe[1].value["MACs"].sum() == 2 * 16 * 16 * 9 * (3 * 16 + 16 * 8)


@pytest.mark.parametrize("content", [b"", b"this is a text\n" * 40, "truncated"])
def test_bad_files_are_one_line_and_the_plan_stays(page: AppTest, onnx_net, content) -> None:
    before = shown_headline(page)
    content = onnx_net()[:600] if content == "truncated" else content
    page.segmented_control(key="source").set_value("ONNX file").run()
    page.file_uploader[0].set_value(("net.onnx", content, ONNX_TYPE))
    page.run()
    assert not page.exception
    (error,) = page.error
    assert unescaped(error.value).startswith("net.onnx: ")
    assert "\n" not in error.value
    assert not page.text_input
    assert shown_headline(page) == before


def test_names_stay_text_in_charts_and_markdown(page: AppTest, onnx_net) -> None:
    hostile = "<script>alert(1)</script>"
    content = onnx_net(first=hostile, second="![i](https://example.invalid/x.png) :smile: $x$")
    page.segmented_control(key="source").set_value("ONNX file").run()
    page.file_uploader[0].set_value(("[l](x) <b>.onnx", content, ONNX_TYPE))
    good(page.run())
    spec = json.dumps(chart(page, 0))
    assert html.escape(hostile, quote=False) in spec
    assert "<script>" not in spec
    assert page.header[0].value == r"\[l\]\(x\) \<b\> on small\-nodes"
    assert hostile in set(page.dataframe[1].value["layer"])


def test_importing_the_page_needs_no_torch() -> None:
    code = "import sys, app.page.sections, app.page.controls; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True)

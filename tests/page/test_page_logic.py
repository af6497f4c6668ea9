"""The page's controls and what they have in common in all views, run without a browser."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import words
from app.next_steps import SHOWN
from app.page import answer as answer_module
from app.page import asking, current, server
from app.page.answer import Answer
from app.page.asking import ask_on_page
from app.page.show import on_page
from app.serve import run_page
from app.words import better_words, headline
from planner.accuracy.spreading import DEFAULT_RULE
from planner.domain.layouts import WAYS
from profiles.catalog import load_cluster, load_model
from profiles.devices import cluster_of
from tests.page.driving import (
    figures,
    go_to,
    good,
    is_old,
    metric,
    metrics,
    milliseconds,
    opened,
    shown_headline,
    shown_title,
    texts,
    traces,
    unescaped,
)
from tests.processor_time import HANG_S

REPO = Path(__file__).parents[2]
PUBLISHED = f"curve:resnet50-imagenet/{DEFAULT_RULE}"


@pytest.fixture
def page() -> AppTest:
    """A new visitor's page."""
    return opened()


def test_first_page_is_resnet50_on_four_small_nodes_as_the_planner_plans_it(page: AppTest) -> None:
    question = ask_on_page(cluster="small-nodes", nodes=4, accuracy_model=PUBLISHED, ways=WAYS)
    plan = Answer(load_model("resnet50"), question).plan
    assert plan.node_count == 4
    assert shown_headline(page) == headline(plan)
    assert shown_title(page) == "resnet50 on small-nodes"
    assert "up to 4 nodes · B 37.5 MB/s · C 3.75 GMAC/s" in texts(page)
    shown = metrics(page)
    assert list(shown) == [
        "One node alone",
        ":green-badge[this plan] Without training",
        "With training",
        "Latency",
        "Throughput",
        "Accuracy drop",
        "Memory per node",
        "Mean S_comm",
    ]
    assert shown["Accuracy drop"] == "0.00 points"
    alone, best, trained, *_ = shown.values()
    assert (alone, trained) == ("1.09 s", "122.5 ms")
    assert best == shown["Latency"] and milliseconds(best) <= 309.7
    about = [page.metric[index].delta for index in range(3)]
    assert about[0] == "0.917 /s, 1 node"
    assert re.fullmatch(r"3\.5\d× as fast, 3\.2\d /s, 4 nodes", about[1])
    assert about[2] == "8.9× as fast, 8.16 /s, 4 nodes, 0.50 points lost"
    assert "nothing dropped" in shown_headline(page) and "nothing dropped" in texts(page)
    assert not page.get("plotly_chart")  # nothing waits for a library of charts
    assert page.query_params == {}


def test_more_bandwidth_and_fewer_nodes_change_the_plan(page: AppTest) -> None:
    before = metrics(page)["Latency"]
    good(page.number_input(key="bandwidth").set_value(75.0).run())
    assert "B 75 MB/s" in texts(page)
    faster = metrics(page)["Latency"]
    assert milliseconds(faster) < milliseconds(before)
    ratio = milliseconds(before) / milliseconds(faster)
    assert f"<dd>{better_words(ratio, by_rate=False)}</dd>" in figures(page)
    good(page.number_input(key="nodes").set_value(2).run())
    assert "split over 2 nodes" in shown_headline(page)
    assert milliseconds(metrics(page)["Latency"]) > milliseconds(faster)
    assert page.query_params == {"bandwidth": "75", "nodes": "2"}


def test_another_unit_keeps_the_quantity_and_the_plan(page: AppTest) -> None:
    before = shown_headline(page)
    good(page.selectbox(key="bandwidth_unit").set_value("Mbit/s").run())
    assert page.number_input(key="bandwidth").value == 300.0
    good(page.selectbox(key="compute_unit").set_value("GFLOP/s").run())
    assert page.number_input(key="compute").value == 7.5
    assert shown_headline(page) == before
    good(page.number_input(key="bandwidth").set_value(240.0).run())
    assert "B 30 MB/s" in texts(page)


def test_throughput_objective_chooses_the_pipeline(page: AppTest) -> None:
    page.selectbox(key="cluster").set_value("head-mounted").run()
    good(page.number_input(key="limit").set_value(0.0).run())
    least_latency = metrics(page)
    good(page.segmented_control(key="objective").set_value("throughput").run())
    most_throughput = metrics(page)
    assert "most throughput" in texts(page)
    assert "pipeline of 2 stages" in shown_headline(page)
    rates = [float(m["Throughput"].split()[0]) for m in (least_latency, most_throughput)]
    assert rates[1] > rates[0]
    assert milliseconds(most_throughput["Latency"]) > milliseconds(least_latency["Latency"])
    drawn = traces(go_to(page, "layers"), "layers")
    assert "communication" not in drawn
    assert len(drawn["handed over"]["y"]) == 1


def test_a_preset_fills_its_section_and_says_when_one_node_is_best(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    good(page.number_input(key="bandwidth").set_value(99.0).run())
    good(page.selectbox(key="cluster").set_value("head-mounted").run())
    preset = load_cluster("head-mounted")
    assert page.number_input(key="bandwidth").value == 37.5
    assert page.number_input(key="compute").value == preset.nodes[0].macs_per_s / 1e9
    assert page.number_input(key="nodes").value == len(preset.nodes)
    assert page.number_input(key="memory").value is None
    good(page.button_group(key="ways").set_value(["features"]).run())
    assert "only by features" in texts(page) and page.query_params["ways"] == "features"
    assert "Distributing does not pay here" in page.info[0].value
    with monkeypatch.context() as ended:  # a search that time ended proves nothing
        ended.setattr(words, "_is_proven", lambda plan: False)
        told = good(page.run()).info[0].value
    assert "Whether distributing pays here is not known yet" in told and "is best" not in told
    assert "whole model on one node" in shown_headline(page)
    good(page.segmented_control(key="node_choice").set_value("exactly").run())
    assert "2 " in shown_headline(page)
    assert "exactly 2 nodes" in texts(page)


def test_a_preset_with_memory_shows_it_and_it_binds(page: AppTest) -> None:
    page.selectbox(key="accuracy").set_value("none").run()
    page.number_input(key="sparsity").set_value(1.0).run()  # dense weights are too large for these
    page.button_group(key="ways").set_value(["features"]).run()
    good(page.selectbox(key="cluster").set_value("esp32-s3").run())
    assert page.number_input(key="memory").value == pytest.approx(8.912896)
    assert page.selectbox(key="medium").value == "shared"
    page.number_input(key="memory").set_value(4.0).run()
    assert "memory of" in page.error[0].value


def test_memory_that_nothing_fits_keeps_the_last_good_plan_and_can_be_undone(
    page: AppTest,
) -> None:
    before = shown_headline(page)
    page.number_input(key="memory").set_value(1.0).run()
    assert not page.exception
    (error,) = page.error
    assert "no plan fits: memory of node-1 binds: its limit is 1 MB" in unescaped(error.value)
    assert re.search("the smallest that works is|what surely works is", error.value)
    assert "\n" not in error.value
    (told,) = [x.value for x in page.caption if "last plan that worked" in x.value]
    assert "no memory limit" in unescaped(told) and is_old(page)
    assert shown_headline(page) == before
    good(page.button(key="undo_change").click().run())
    assert page.number_input(key="memory").value is None
    assert shown_headline(page) == before
    good(page.number_input(key="memory").set_value(64.0).run())
    assert "64 MB a node" in texts(page)
    assert "last plan that worked" not in texts(page) and not is_old(page)


def test_undo_goes_back_through_all_good_states(page: AppTest) -> None:
    assert page.button(key="undo").disabled
    seen = [shown_headline(page)]
    for bandwidth in (30.0, 20.0):
        good(page.number_input(key="bandwidth").set_value(bandwidth).run())
        seen.append(shown_headline(page))
    assert len(set(seen)) == 3
    good(page.selectbox(key="cluster").set_value("head-mounted").run())
    for wanted in reversed(seen):
        good(page.button(key="undo").click().run())
        assert shown_headline(page) == wanted
    assert page.selectbox(key="cluster").value == "small-nodes"
    assert page.number_input(key="bandwidth").value == 37.5
    good(page.run())
    assert page.button(key="undo").disabled


def test_without_an_accuracy_model_nothing_is_dropped_unless_a_sparsity_is_given(
    page: AppTest,
) -> None:
    before = metrics(page)["Latency"]
    good(page.selectbox(key="accuracy").set_value("none").run())
    assert page.number_input(key="limit").disabled
    shown = metrics(page)
    assert (shown["Latency"], shown["Accuracy drop"]) == (before, "–")
    assert shown["With training"] == "–" and "no accuracy model" in page.metric[2].delta
    assert "no accuracy model" in texts(page) and not page.warning
    good(page.number_input(key="sparsity").set_value(0.9).run())
    assert "up to 0.9 sparse" in texts(page)
    shown = metrics(page)
    assert (
        milliseconds(shown["Latency"])
        < milliseconds(before)
        == milliseconds(shown["Without training"])
    )
    assert shown[":green-badge[this plan] With training"] == shown["Latency"]
    assert any("what that costs is unknown" in warning.value for warning in page.warning)


def test_a_limit_that_is_asked_for_makes_the_plan_that_must_be_trained(page: AppTest) -> None:
    beside = metrics(page)["With training"]
    good(page.number_input(key="limit").set_value(0.5).run())
    shown = metrics(page)
    assert shown["Latency"] == shown[":green-badge[this plan] With training"] == beside
    assert shown["Accuracy drop"] == "0.50 points"
    assert page.query_params == {"limit": "0.5"}
    assert "at most 0.5 points lost" in texts(page) and "nothing dropped" not in texts(page)


def test_ways_can_be_chosen_and_none_chosen_are_all(page: AppTest) -> None:
    before = shown_headline(page)
    good(page.button_group(key="ways").set_value(["sums", "positions"]).run())
    assert page.query_params == {"ways": "positions,sums"}
    assert "only by positions, sums" in texts(page)
    good(page.button_group(key="ways").set_value([]).run())
    assert page.query_params == {} and shown_headline(page) == before


def test_a_curve_of_another_model_is_marked_assumed(page: AppTest) -> None:
    good(page.selectbox(key="accuracy").set_value("deit-s-imagenet").run())
    assert any("was not published for resnet50" in unescaped(w.value) for w in page.warning)


def test_a_model_without_a_curve_starts_without_one_and_comes_back_with_it(page: AppTest) -> None:
    good(page.selectbox(key="model_chip").set_value("mobilenetv2-224").run())
    assert page.selectbox(key="accuracy").value == "none"
    good(page.selectbox(key="model_chip").set_value("resnet50").run())
    assert page.selectbox(key="accuracy").value == "resnet50-imagenet"


def test_limits_and_conventions_reach_the_plan(page: AppTest) -> None:
    before = milliseconds(metrics(page)["Latency"])
    good(page.toggle(key="overlap").set_value(True).run())
    overlapped = milliseconds(metrics(page)["Latency"])
    assert overlapped < before
    good(page.toggle(key="count_input").set_value(True).run())
    assert milliseconds(metrics(page)["Latency"]) > overlapped
    assert "input sent out" in texts(page)
    good(page.selectbox(key="parallelism").set_value("pipeline").run())
    assert "pipeline" in shown_headline(page) or "one node" in shown_headline(page)
    page.number_input(key="max_latency").set_value(1.0).run()
    assert "no plan fits" in page.error[0].value
    assert page.query_params == {
        "overlap": "1",
        "count_input": "1",
        "parallelism": "pipeline",
        "max_latency": "1",
    }


def test_a_larger_batch_and_another_shape_are_planned(page: AppTest) -> None:
    before = milliseconds(metrics(page)["Latency"])
    good(page.number_input(key="batch").set_value(2).run())
    assert milliseconds(metrics(page)["Latency"]) == pytest.approx(2 * before, rel=0.01)
    page.text_input(key="shapes").set_value("image=1,3").run()
    assert page.error and "image" in page.error[0].value
    good(page.text_input(key="shapes").set_value("").run())


def test_a_link_opens_the_page_that_wrote_it() -> None:
    query = {
        "model": "resnet50-eighth",
        "cluster": "arm-wireless",
        "nodes": "3",
        "bandwidth_unit": "Mbit/s",
        "bandwidth": "160",
        "memory": "256",
        "ways": "features",
        "objective": "throughput",
        "overlap": "1",
        "limit": "0.8",
    }
    first = opened(**query)
    assert first.query_params == query
    assert "B 20 MB/s" in texts(first)
    second = opened("plan", **first.query_params)
    assert shown_headline(second) == shown_headline(first)
    assert go_to(second, "compare").query_params == query


def test_a_hostile_link_is_told_once_and_leaves_defaults() -> None:
    page = opened(nodes="99", bandwidth="1e999", accuracy="<script>", limit="0.3", x="y" * 5000)
    (told,) = [x for w in page.warning if "not understood" in (x := unescaped(w.value))]
    assert told.startswith("The link was not understood everywhere")
    assert "\n" not in told and len(told) < 1000
    assert page.number_input(key="nodes").value == 4
    assert page.number_input(key="limit").value == 0.3
    assert page.query_params == {"limit": "0.3"}
    good(page.number_input(key="limit").set_value(0.4).run())
    assert "not understood" not in texts(page)


def test_a_pinned_plan_stands_beside_every_other(page: AppTest) -> None:
    good(page.button(key="pin").click().run())
    a = metric(page, "Latency").value
    assert metric(page, "Latency").delta == "as in A"
    good(page.number_input(key="bandwidth").set_value(75.0).run())
    assert f"(A: {a})" in metric(page, "Latency").delta
    assert metric(page, "Latency").delta.startswith("-")
    assert "B 37.5 MB/s → B 75 MB/s" in texts(page)
    rows = page.dataframe[0].value.set_index("number")
    assert rows.loc["latency (ms)", "A"] == pytest.approx(milliseconds(a), rel=1e-3)
    assert rows.loc["latency (ms)", "B"] < rows.loc["latency (ms)", "A"]
    good(page.button(key="to_pinned").click().run())
    assert page.number_input(key="bandwidth").value == 37.5
    good(page.button(key="unpin").click().run())
    assert metric(page, "Latency").delta == "derived"


def test_importing_the_page_needs_no_torch() -> None:
    code = (
        "import sys, app.page.side_bar, app.page.current, app.page.header, app.page.apart; "
        "from app.page.views import export, first, what_if; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True)


def test_planning_that_takes_long_can_be_stopped_and_begun_again(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shown_headline(page)
    go_on = threading.Event()
    real = answer_module.optimise

    def slow(*given: object) -> object:
        assert go_on.wait(HANG_S)
        return real(*given)

    monkeypatch.setattr(answer_module, "optimise", slow)
    monkeypatch.setattr(current, "PLAN_PATIENCE_S", 0.1)
    page.number_input(key="bandwidth").set_value(31.0).run()
    assert is_old(page)
    assert shown_headline(page) == before
    page.button(key="stop_plan").click().run()
    assert "Planning was stopped" in texts(page)
    page.run()
    assert "Planning was stopped" in texts(page)
    go_on.set()
    monkeypatch.setattr(current, "PLAN_PATIENCE_S", HANG_S)
    good(page.button(key="again_plan").click().run())
    assert "B 31 MB/s" in texts(page)
    assert shown_headline(page) != before


def test_a_shown_plan_is_not_looked_for_again_when_others_fill_the_cache(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shown_headline(page)
    answer_module.catalogue_answer.cache_clear()

    def never(*given: object) -> object:
        raise AssertionError("planned again")

    monkeypatch.setattr(answer_module, "optimise", never)
    assert shown_headline(good(page.run())) == before
    assert not page.info


def test_a_large_model_is_planned_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: object) -> object:
        raise AssertionError("planned here")

    monkeypatch.setattr(answer_module, "_MANY_LAYERS", 1)
    monkeypatch.setattr(answer_module, "optimise", never)
    assert "4 nodes" in shown_headline(opened(model="resnet50-eighth", bandwidth="36"))


@pytest.mark.usefixtures("lingering")
def test_every_next_step_gives_what_it_promised() -> None:
    asked = {"model": "resnet50-eighth", "cluster": "arm-wireless", "nodes": "2"}
    page = opened(**asked)
    steps = page.session_state["_store"].shown.next_steps.steps[:SHOWN]
    assert len(steps) == SHOWN
    for number, step in enumerate(steps, start=1):
        page = opened(**asked)
        good(page.button(key=f"take_{number}").click().run())
        plan = page.session_state["_store"].shown.plan
        assert plan.predicted.latency_s == pytest.approx(step.latency_s)
        assert "faster</dd>" in figures(page)


def test_devices_that_one_owns_are_the_cluster(page: AppTest) -> None:
    page.multiselect(key="own_kinds").set_value(["raspberry-pi-4", "raspberry-pi-5"]).run()
    page.number_input(key="own_count_raspberry-pi-5").set_value(3).run()
    page.selectbox(key="own_link").set_value("wi-fi-5").run()
    good(page.button(key="use_owned").click().run())
    wanted = cluster_of([("raspberry-pi-4", 2), ("raspberry-pi-5", 3)], "wi-fi-5")
    shown = page.session_state["_store"].shown
    assert shown.question.base_cluster == wanted
    assert shown_title(page) == f"resnet50 on {wanted.name}"
    assert page.number_input(key="nodes").value == 5
    # one number for all would hide what each has
    assert not [x for x in page.number_input if x.key in ("compute", "memory")]
    assert "compute at different speeds and have different memory: see the view" in texts(page)
    assert {x.memory_bytes for x in shown.question.tuned_cluster.nodes} == {
        x.memory_bytes for x in wanted.nodes
    }


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("no accuracy model (--accuracy-model curve:NAME)", "no accuracy model (“Accuracy model”)"),
        ("give one, such as --input-shape x=1,3", "give one, such as “Input shapes” x=1,3"),
        ("--what-binds: the solver stopped", "“What binds”: the solver stopped"),
        ("--points 1: at least 2", "“Points at most” 1: at least 2"),
    ],
)
def test_messages_name_the_pages_fields(message: str, said: str) -> None:
    assert on_page(message) == said


def test_no_collection_runs_behind_every_run_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(server, "serve", lambda options, _: given.update(options))
    run_page(0, headless=True, time_limit_s=asking.TIME_LIMIT_S)
    assert given["runner.postScriptGC"] is False

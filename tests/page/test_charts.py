"""Figures and texts of the page, without Streamlit."""

from __future__ import annotations

import math
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.page import charts
from app.page.layer_view import LayerPoint, plan_points, uniform_points
from app.page.question import Answer, Question, count
from app.page.text import label, plain
from profiles.catalog import load_model


def point(comm_s: float, compute_s: float, sparsity: float | None = None) -> LayerPoint:
    return LayerPoint("layer", "conv", 1000, comm_s, compute_s, sparsity, 3)


times = st.one_of(st.just(0.0), st.floats(1e-9, 1e4))


@given(st.lists(st.builds(point, times, times), min_size=1, max_size=30))
def test_every_layer_has_both_of_its_times_inside_the_axis(points: list[LayerPoint]) -> None:
    figure = charts.layer_times(points)
    low, high = figure.layout.yaxis.range
    drawn: dict[str, dict[int, float]] = {}
    for trace in figure.data:
        if trace.name:
            kind = trace.name.removeprefix("no ")
            drawn.setdefault(kind, {}).update(zip(trace.x, trace.y, strict=True))
            assert all(low < math.log10(y) < high for y in trace.y)
    everyone = set(range(1, len(points) + 1))
    assert drawn["communication"].keys() == drawn["computation"].keys() == everyone
    for index, layer in enumerate(points, start=1):
        if layer.comm_s:
            assert drawn["communication"][index] == pytest.approx(layer.comm_s * 1e3)
    named = {trace.name for trace in figure.data}
    assert ("no communication" in named) == any(p.comm_s == 0 for p in points)
    assert charts.has_zeros(points) == any(name and name.startswith("no ") for name in named)
    ticks = figure.layout.yaxis
    assert list(ticks.ticktext) == ["0", *(f"{value:g}" for value in ticks.tickvals[1:])]


@pytest.mark.parametrize("nodes", [2, 3])
def test_layer_times_add_up_to_the_plans(nodes: int) -> None:
    answer = Answer(
        load_model("resnet50-eighth"),
        Question("small-nodes", nodes, exactly=True, accuracy_model="none"),
    )
    for points, predicted in (
        (plan_points(answer), answer.plan.predicted),
        (
            uniform_points(answer, 0.0),
            next(row for row in answer.comparison.rows if row.strategy == "dense"),
        ),
    ):
        assert sum(p.comm_s for p in points) == pytest.approx(predicted.comm_s)
        assert sum(p.compute_s for p in points) == pytest.approx(predicted.compute_s)


def test_layer_times_of_a_pipeline_add_up_to_the_plans() -> None:
    question = Question(
        "head-mounted",
        2,
        objective="throughput",
        accuracy_model="curve:resnet50-imagenet/equal",
        max_accuracy_drop=0.0,
    )
    answer = Answer(load_model("resnet50"), question)
    assert len(answer.plan.stages) == 2
    points = plan_points(answer)
    assert sum(p.comm_s for p in points) == pytest.approx(answer.plan.predicted.comm_s)
    assert sum(p.compute_s for p in points) == pytest.approx(answer.plan.predicted.compute_s)
    assert sum(p.macs for p in points) == answer.profile.totals.macs


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_strategies_stand_in_order_of_the_objective(objective: str) -> None:
    question = Question("small-nodes", 4, objective=objective, accuracy_model="none")
    answer = Answer(load_model("resnet50-eighth"), question)
    figure = charts.strategies(answer.comparison)
    names = list(figure.data[0].y)
    assert len(set(names)) == len(names)
    assert not any(name.startswith("random") for name in names)
    shown = {r.latency_s: r for r in answer.comparison.rows if r.strategy != "random"}
    totals = [(a + b) / 1e3 for a, b in zip(figure.data[0].x, figure.data[1].x, strict=True)]
    rows = [min(shown.values(), key=lambda r, t=total: abs(r.latency_s - t)) for total in totals]
    if objective == "latency":
        assert [row.latency_s for row in rows] == sorted((r.latency_s for r in rows), reverse=True)
    else:
        rates = [row.throughput_per_s for row in rows]
        assert rates == sorted(rates)


def test_long_times_are_labelled_in_seconds() -> None:
    answer = Answer(load_model("resnet50"), Question("esp32-s3", 2, accuracy_model="none"))
    figure = charts.strategies(answer.comparison)
    assert figure.layout.xaxis.title.text == "time per input (s)"
    assert max(figure.data[0].x) < 1000


@given(st.text(st.one_of(st.sampled_from(string.punctuation + " \n\ta"), st.characters())))
def test_markdown_escapes_every_punctuation_mark_and_nothing_else(text: str) -> None:
    mark = f"[{re.escape(string.punctuation)}]"
    escaped = plain(text)
    assert re.fullmatch(rf"(\\{mark}|(?!{mark}).)*", escaped)
    assert re.sub(rf"\\({mark})", r"\1", escaped) == " ".join(text.split())


def test_chart_labels_are_short_and_hold_no_markup() -> None:
    assert label("<b>&</b>") == "&lt;b&gt;&amp;&lt;/b&gt;"
    assert len(label("a" * 500)) == 81


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 nodes"), (1, "1 node"), (2, "2 nodes"), (1234, "1,234 nodes")]
)
def test_counts_have_the_right_plural(number: int, text: str) -> None:
    assert count(number, "node") == text

"""Figures and texts of the page, without Streamlit."""

from __future__ import annotations

import math
import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.page.answer import Answer
from app.page.asking import ask_on_page
from app.page.charts import layers as charts
from app.page.charts.plans import strategies
from app.page.layer_view import (
    LayerPoint,
    StageView,
    numbered,
    plan_stages,
    stage_table,
    uniform_stage,
)
from app.page.text import count, label, plain, said
from app.question import Question
from profiles.catalog import load_model
from tests.processor_time import HANG_S


def asked(cluster: str, nodes: int, **given: Any) -> Question:
    """A question of the page with time enough on a busy machine."""
    return ask_on_page(cluster, nodes, time_limit_s=HANG_S, **given)


def point(comm_s: float, compute_s: float, sparsity: float | None = None) -> LayerPoint:
    return LayerPoint("layer", "conv", 1000, comm_s, compute_s, comm_s + compute_s, sparsity, 3)


times = st.one_of(st.just(0.0), st.floats(1e-9, 1e4))


@given(
    st.lists(
        st.tuples(st.lists(st.builds(point, times, times), min_size=1, max_size=12), times),
        min_size=1,
        max_size=4,
    )
)
def test_every_time_stands_in_its_place_inside_the_axis(
    drawn_stages: list[tuple[list[LayerPoint], float]],
) -> None:
    stages = [
        StageView(("a", "b")[: 1 + number % 2], tuple(points), received_s if number else 0.0)
        for number, (points, received_s) in enumerate(drawn_stages)
    ]
    points = [layer for stage in stages for layer in stage.points]
    figure = charts.layer_times(stages)
    low, high = figure.layout.yaxis.range
    drawn: dict[str, dict[float, float]] = {}
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
    moves = {
        first - 0.5: stage.received_s * 1e3
        for stage, first, _ in numbered(stages)
        if stage.received_s
    }
    assert drawn.get("handed over", {}) == pytest.approx(moves)
    named = {trace.name for trace in figure.data}
    assert ("no communication" in named) == any(p.comm_s == 0 for p in points)
    assert charts.has_zeros(points) == any(name and name.startswith("no ") for name in named)
    ticks = figure.layout.yaxis
    assert list(ticks.ticktext) == ["0", *(f"{value:g}" for value in ticks.tickvals[1:])]


def test_stages_are_marked_where_they_begin_and_end() -> None:
    layer = point(1e-3, 1e-3, 0.5)
    stages = [StageView(("a", "b"), (layer,) * 6), StageView(("c",), (layer,), 1e-3)]
    for figure in (charts.layer_times(stages), charts.layer_sparsity(stages)):
        marks = figure.layout.annotations
        assert [(mark.x, mark.text) for mark in marks] == [(3.5, "stage 1<br>2 nodes"), (7, "2")]
        assert [mark.hovertext for mark in marks] == ["stage 1: a, b", "stage 2: c"]
        (shade,) = figure.layout.shapes
        assert (shade.x0, shade.x1) == (6.5, 7.5)
    whole = charts.layer_times(stages[:1])
    assert not whole.layout.annotations and not whole.layout.shapes


PUBLISHED = "curve:resnet50-imagenet/equal"
DEIT_CURVE = "curve:deit-s-imagenet/equal"


@pytest.mark.parametrize(
    ("model", "question", "stages"),
    [
        ("resnet50-eighth", asked("small-nodes", 2, exactly=True), [2]),
        ("resnet50-eighth", asked("small-nodes", 3, exactly=True), [3]),
        (
            "resnet50",
            asked(
                "head-mounted",
                2,
                objective="throughput",
                accuracy_model=PUBLISHED,
                max_accuracy_drop=0.0,
            ),
            [1, 1],
        ),
        (
            "resnet50",
            asked(
                "small-nodes",
                8,
                objective="throughput",
                accuracy_model=PUBLISHED,
                max_accuracy_drop=0.5,
                ways=("features",),
            ),
            [3, 5],
        ),
        (
            "deit-s",
            asked(
                "small-nodes",
                4,
                objective="throughput",
                accuracy_model=DEIT_CURVE,
                max_accuracy_drop=0.5,
                ways=("features",),
            ),
            [3, 1],
        ),
    ],
)
def test_times_of_layers_and_handovers_add_up_to_the_plans(
    model: str, question: Question, stages: list[int]
) -> None:
    answer = Answer(load_model(model), question)
    shown, predicted = plan_stages(answer), answer.plan.predicted
    assert [len(stage.nodes) for stage in shown] == stages
    assert [stage.nodes for stage in shown] == [stage.nodes for stage in answer.plan.stages]
    inside = sum(p.comm_s for stage in shown for p in stage.points)
    assert inside + sum(s.received_s for s in shown) == pytest.approx(predicted.comm_s)
    compute = sum(p.compute_s for stage in shown for p in stage.points)
    assert compute == pytest.approx(predicted.compute_s)
    assert sum(p.macs for s in shown for p in s.points) == answer.profile.totals.macs
    busiest = max(
        *(sum(p.comm_s + p.compute_s for p in stage.points) for stage in shown),
        *(stage.received_s for stage in shown),
    )
    assert 1 / busiest == pytest.approx(predicted.throughput_per_s)


def test_the_table_of_stages_says_who_runs_what_and_for_how_long() -> None:
    question = asked(
        "small-nodes",
        4,
        objective="throughput",
        accuracy_model=DEIT_CURVE,
        max_accuracy_drop=0.5,
        ways=("features",),
    )
    answer = Answer(load_model("deit-s"), question)
    table = stage_table(answer)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["nodes"] for row in rows] == ["node-1 node-2 node-3", "node-4"]
    assert [row["first layer"] for row in rows] == [
        stage.layers[0].name for stage in answer.plan.stages
    ]
    assert rows[0]["handed over (ms)"] is None
    predicted = answer.plan.predicted
    comm_ms = sum(row["comm. (ms)"] + (row["handed over (ms)"] or 0) for row in rows)
    assert comm_ms == pytest.approx(predicted.comm_s * 1e3)
    assert sum(row["comp. (ms)"] for row in rows) == pytest.approx(predicted.compute_s * 1e3)
    assert rows[0]["S_comm"] is not None and rows[1]["S_comm"] is None


def test_a_uniform_view_is_the_baselines_row() -> None:
    question = asked("small-nodes", 3, exactly=True, accuracy_model="none")
    answer = Answer(load_model("resnet50-eighth"), question)
    rows = answer.comparisons((3,))[3].rows
    dense = next(row for row in rows if row.strategy == "dense")
    points = uniform_stage(answer, 0.0).points
    assert sum(p.comm_s for p in points) == pytest.approx(dense.comm_s)
    assert sum(p.compute_s for p in points) == pytest.approx(dense.compute_s)


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_strategies_stand_in_order_of_the_objective(objective: str) -> None:
    question = asked("small-nodes", 4, objective=objective, accuracy_model="none")
    answer = Answer(load_model("resnet50-eighth"), question)
    comparison = answer.comparisons((4,))[4]
    figure = strategies(comparison)
    names = list(figure.data[0].y)
    assert len(set(names)) == len(names)
    assert not any(name.startswith("random") for name in names)
    shown = {r.latency_s: r for r in comparison.rows if r.strategy != "random"}
    totals = [(a + b) / 1e3 for a, b in zip(figure.data[0].x, figure.data[1].x, strict=True)]
    rows = [min(shown.values(), key=lambda r, t=total: abs(r.latency_s - t)) for total in totals]
    if objective == "latency":
        assert [row.latency_s for row in rows] == sorted((r.latency_s for r in rows), reverse=True)
    else:
        rates = [row.throughput_per_s for row in rows]
        assert rates == sorted(rates)


def test_long_times_are_labelled_in_seconds() -> None:
    answer = Answer(load_model("resnet50"), asked("esp32-s3", 2, accuracy_model="none"))
    figure = strategies(answer.comparisons((2,))[2])
    assert figure.layout.xaxis.title.text == "time per input (s)"
    assert max(figure.data[0].x) < 1000


@given(st.text(st.one_of(st.sampled_from(string.punctuation + " \n\ta"), st.characters())))
def test_markdown_escapes_every_punctuation_mark_and_nothing_else(text: str) -> None:
    mark = f"[{re.escape(string.punctuation)}]"
    escaped = plain(text)
    assert re.fullmatch(rf"(\\{mark}|(?!{mark}).)*", escaped)
    assert re.sub(rf"\\({mark})", r"\1", escaped) == " ".join(text.split())


def test_what_is_read_aloud_has_no_more_marks_than_it_needs() -> None:
    assert said("4 × small-nodes, 37.5 MB/s") == "4 × small-nodes, 37.5 MB/s"
    assert said("**a**\n![b](c) :d: $e$ <i>") == (r"\*\*a\*\* \!\[b\]\(c\) \:d\: \$e\$ \<i\>")


def test_chart_labels_are_short_and_hold_no_markup() -> None:
    assert label("<b>&</b>") == "&lt;b&gt;&amp;&lt;/b&gt;"
    assert len(label("a" * 500)) == 81


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 nodes"), (1, "1 node"), (2, "2 nodes"), (1234, "1,234 nodes")]
)
def test_counts_have_the_right_plural(number: int, text: str) -> None:
    assert count(number, "node") == text

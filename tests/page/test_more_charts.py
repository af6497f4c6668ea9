"""Figures of whole plans: timelines, memory, rooflines, graphs, frontiers, masks."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.page.answer import Answer
from app.page.asking import ask_on_page
from app.page.charts.layers import cumulative, roofed, roofline
from app.page.charts.masks import HELD_BY_ALL, OWN, PRUNED, SENT, blocks, mask_picture
from app.page.charts.model import graph, work
from app.page.charts.plans import POINTS, by_nodes, frontier_chart, strategies, sweep_chart
from app.page.charts.timeline import gantt, memory, timeline_table
from app.page.layer_view import layer_table, plan_stages
from app.page.views.what_if import here_value, sweep_values
from planner.domain.cluster import Cluster
from planner.domain.owners import REPLICATED
from planner.strategies.timeline import spans as spans_of
from planner.strategies.what_if.sweep import sweep
from planner.weights.masks import LayerMask
from profiles.catalog import load_model

PUBLISHED = "curve:resnet50-imagenet/equal"


def answer(model: str = "resnet50-eighth", nodes: int = 3, **asked: object) -> Answer:
    return Answer(load_model(model), ask_on_page("small-nodes", nodes, **asked))


def test_the_gantt_chart_ends_with_the_latency_says_why_it_waits_and_joins_who_exchanges() -> None:
    cluster = {
        "name": "pair",
        "nodes": [
            {"name": "fast", "macs_per_s": 3e9},
            {"name": "slow", "macs_per_s": 1e9, "memory_bytes_per_s": 1e8},
        ],
        "link": {"bandwidth_bytes_per_s": 1e7},
    }
    given = {"exactly": True, "parallelism": "within-layer", "ways": ("features",)}
    question = ask_on_page(Cluster.model_validate(cluster), 2, **given)
    found = Answer(load_model("resnet50-eighth"), question)
    spans = tuple(spans_of(found.case, found.plan))
    drawn = gantt(spans, ["fast", "slow", "idle"])
    traces = {trace.name: trace for trace in drawn.data}
    ends = [x for trace in drawn.data for x in trace.x if x is not None]
    assert max(ends) == pytest.approx(found.plan.predicted.latency_s * 1e3)
    rows = {round(y) for trace in drawn.data for y in trace.y if y is not None}
    assert rows == {0, 1}
    waits = [words for words in traces["waiting"].text if words and "fast" in words]
    assert waits and all("for slower nodes of its stage" in words for words in waits)
    exchanges = {(s.what, s.start_s) for s in spans if s.kind == "communication"}
    assert len(traces["exchange"].x) == 3 * len(exchanges)
    table = timeline_table(spans)
    assert len(table.rows) == len(spans)


def test_memory_shows_what_is_needed_and_the_limits_that_are_known() -> None:
    figure = memory({"a": 2_000_000, "b": 5_000_000}, {"a": None, "b": 8_000_000})
    assert list(figure.data[0].x) == [2, 5]
    assert (list(figure.data[1].y), list(figure.data[1].x)) == (["b"], [8])
    assert len(memory({"a": 1}, {"a": None}).data) == 1


def test_time_so_far_ends_with_the_plans_sums() -> None:
    found = answer(exactly=True)
    stages, predicted = plan_stages(found), found.plan.predicted
    compute, comm = (list(trace.y) for trace in cumulative(stages).data)
    assert comm[-1] == pytest.approx(predicted.comm_s * 1e3)
    assert compute[-1] == pytest.approx(predicted.compute_s * 1e3)
    assert comm == sorted(comm) and compute == sorted(compute)
    rows = layer_table(stages).rows
    assert rows[-1][6] == pytest.approx(comm[-1])
    assert rows[-1][7] == pytest.approx(compute[-1])


@pytest.mark.parametrize("overlap", [False, True])
def test_no_layer_stands_above_the_roofs_and_sides_are_right(overlap: bool) -> None:
    asked = {"exactly": True, "accuracy_model": PUBLISHED, "max_accuracy_drop": 0.5}
    found = answer("resnet50", 4, overlap=overlap, **asked)
    points = roofed(plan_stages(found))
    roof, link, processor = roofline(points).data
    assert len(link.x) + len(processor.x) == len(points) == 53
    (_, ridge, _), (_, top, _) = roof.x, roof.y
    for x, y in [*zip(link.x, link.y, strict=True), *zip(processor.x, processor.y, strict=True)]:
        assert y <= min(top, top * x / ridge) * (1 + 1e-9)
    assert len(link.x) == sum(point.comm_s > point.compute_s for point in points)
    assert max(link.x) <= min(processor.x) * (1 + 1e-9)


def test_the_graph_draws_every_skip_and_every_layer() -> None:
    profile = load_model("resnet50")
    figure = graph(profile)
    arcs = sum(x is None for x in figure.data[0].x)
    index = {layer.name: n for n, layer in enumerate(profile.layers, 1)}
    index |= {spec.name: 0 for spec in profile.inputs}
    wanted = sum(index[x.name] - index[p] > 1 for x in profile.layers for p in x.inputs)
    assert arcs == wanted >= 16
    assert sum(len(trace.x) for trace in figure.data[2:]) == len(profile.layers)
    assert max(y for y in figure.data[0].y if y is not None) < figure.layout.yaxis.range[1]


def test_work_shows_macs_and_bytes_of_the_layers_that_have_them() -> None:
    profile = load_model("resnet50")
    figure = work(list(enumerate(profile.layers, 1)))
    by_name = {trace.name: trace for trace in figure.data}
    assert sum(by_name["MACs"].y) == profile.totals.macs
    assert sum(by_name["bytes of weights"].y) == profile.totals.param_bytes


def test_lines_over_nodes_are_the_rows_of_the_comparisons() -> None:
    found = answer("resnet50-eighth", 2, accuracy_model="none").comparisons((1, 2, 4))
    for measure in ("latency", "throughput", "accuracy drop", "memory"):
        figure = by_nodes(found, measure)
        assert all(trace.x for trace in figure.data)
    figure = by_nodes(found, "latency")
    dense = next(trace for trace in figure.data if trace.name == "dense")
    row = next(row for row in found[4].rows if row.strategy == "dense")
    assert dict(zip(dense.x, dense.y, strict=True))[4] == pytest.approx(row.latency_s * 1e3)
    optimal = next(trace for trace in figure.data if trace.name == "optimal")
    assert list(optimal.x) == [1, 2, 4]
    assert list(optimal.y) == sorted(optimal.y, reverse=True)
    uniform = [trace for trace in figure.data if trace.name.startswith("disco-uniform")]
    assert [trace.name for trace in uniform] == ["disco-uniform 80%", "disco-uniform 90%"]
    looks = {(trace.marker.symbol[0], trace.line.dash) for trace in uniform}
    assert len(looks) == 2, "told apart without colours"
    for trace in uniform:  # no accuracy model says what that costs
        (said,) = {re.sub("[0-9]+", "N", x) for x in trace.customdata}
        assert said == "<br>drops N%, loss unknown"
    assert set(dense.customdata) == {""}
    bars = strategies(found[4])
    at_ends = dict(zip(bars.data[2].y, bars.data[2].text, strict=True))
    assert "%, loss unknown · " in at_ends["disco-uniform 90% (4)"]
    assert "drops" not in at_ends["dense (4)"]


def test_the_frontier_draws_its_points_in_order_and_the_plan() -> None:
    found = answer("resnet50", 2, accuracy_model=PUBLISHED, max_accuracy_drop=0.5)
    seen: list[tuple[int, int]] = []
    frontier = found.traded("accuracy").frontier(
        "accuracy", 4, lambda done, total: seen.append((done, total))
    )
    assert seen == [(n, 4) for n in range(4)]
    figure = frontier_chart(frontier, found.plan)
    trace = figure.data[POINTS]
    assert list(trace.y) == pytest.approx([p.latency_s * 1e3 for p in frontier.points])
    assert list(trace.x) == [p.accuracy_drop for p in frontier.points]
    assert figure.data[1].x[0] == found.plan.predicted.accuracy_drop


@pytest.mark.parametrize("over", ["bandwidth", "nodes", "link-latency", "memory"])
def test_a_sweep_goes_through_the_present_plan(over: str) -> None:
    found = answer("resnet50-eighth", 2, accuracy_model="none")
    values = sweep_values(found, over, 4.0)
    curve = sweep(found.case, found.request, over, values)
    here = here_value(found, over)
    figure = sweep_chart(curve, here, found.plan)
    best = [point.best for point in curve.points if point.best]
    assert list(figure.data[0].y) == pytest.approx([one.latency_s * 1e3 for one in best])
    if here:
        at = [point.best.latency_s for point in curve.points if point.value == here]
        assert at == pytest.approx([found.plan.predicted.latency_s])
    assert len(figure.data) == (3 if here is None else 4)


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.data())
def test_blocks_say_of_every_sub_row_what_the_mask_says(
    nodes: int, inputs: int, outputs: int, data: st.DataObject
) -> None:
    draw = data.draw
    owner = st.integers(0, nodes - 1)
    held = np.array([draw(owner | st.just(REPLICATED)) for _ in range(inputs)], dtype=np.int16)
    made = np.array([draw(owner) for _ in range(outputs)], dtype=np.int16)
    sent = tuple(
        tuple(
            np.array(
                [f for f in range(inputs) if held[f] == i and i != j and draw(st.booleans())],
                dtype=np.int64,
            )
            for j in range(nodes)
        )
        for i in range(nodes)
    )
    layer = LayerMask(0, tuple(f"n{i}" for i in range(nodes)), held, made, sent, True)
    states, order = blocks(layer)
    assert sorted(order) == list(range(inputs))
    assert list(held[order]) == sorted(held)
    mask = layer.mask()
    for row, feature in enumerate(order):
        for node in range(nodes):
            state = states[row, node]
            kept = mask[made == node, feature]
            assert all(kept == (state != PRUNED))
            assert (state == OWN) == (held[feature] == node)
            assert (state == HELD_BY_ALL) == (held[feature] == REPLICATED)
            assert (state == SENT) == any(feature in of_sender[node] for of_sender in sent)
    assert mask_picture(layer).data[0].z.shape == (inputs, nodes)

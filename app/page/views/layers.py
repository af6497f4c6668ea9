"""The view *Layers*: what each one costs, how it runs, what it drops, and what the model has."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.blocks import blocks
from app.page.answer import Answer
from app.page.charts.layers import has_zeros, layer_sparsity, layer_times, roofed, roofline
from app.page.charts.ways import runs_in_ways
from app.page.controls import draw_control
from app.page.layer_view import StageView, layer_table, plan_stages, uniform_stage
from app.page.show import chart, times_origin
from app.page.text import count
from app.page.views import model
from app.settings import LAYER_VIEWS, MODEL_LAYERS
from planner.strategies.compare import DEFAULT_SPARSITIES
from planner.units import format_bytes

_WORDS = {"plan": "as planned", MODEL_LAYERS: "the model itself"}
_LEVELS = dict(zip(LAYER_VIEWS[1:-1], (0.0, *DEFAULT_SPARSITIES), strict=True))


def show(answer: Answer) -> None:
    """Draw the view."""
    draw_control("layers", format_func=lambda name: _WORDS.get(name, name))
    if st.session_state.layers == MODEL_LAYERS:
        model.show(answer.profile)
        return
    shown = _chosen(answer)
    if any(stage.points for stage in shown.stages):
        _layers(answer, shown)
    else:
        st.info("No layer computes or exchanges anything.")
    _sparsity(answer)
    _roofline(answer, shown)


@dataclass(frozen=True)
class DrawnStages:
    """The stages that are drawn, and whose they are."""

    stages: tuple[StageView, ...]
    whose: str


def _chosen(answer: Answer) -> DrawnStages:
    """The plan's layers, or those of a uniform baseline."""
    nodes = answer.request.max_nodes
    view = st.session_state.layers
    if nodes == 1 or view == "plan":
        return DrawnStages(plan_stages(answer), "the plan")
    return DrawnStages((uniform_stage(answer, _LEVELS[view]),), f"{view} on {count(nodes, 'node')}")


def _layers(answer: Answer, shown: DrawnStages) -> None:
    points = [point for stage in shown.stages for point in stage.points]
    zeros = ""
    if has_zeros(points):
        zeros = " Hollow markers on the lowest line are zeros, for which a log scale has no place."
    strip = ""
    if runs_in_ways(shown.stages):
        brought = [x.moved_bytes for point in points for x in point.conversions]
        sent = sum(point.wire_bytes for point in points)
        strip = (
            " The strip: the way of each layer, hatched where halos are fused, and below it how "
            f"its output lies; triangles are conversions: {count(len(brought), 'tensor')} brought "
            f"to another layout, {format_bytes(sum(brought))} of the {format_bytes(sent)} that are "
            "sent within stages."
        )
    chart(
        layer_times(shown.stages, blocks(answer.case, answer.plan)),
        layer_table(shown.stages),
        f"{count(len(points), 'layer').capitalize()} of {shown.whose}, by blocks; those that "
        "neither compute nor send are left out. Drag over some of them to see them closer; a "
        f"double click shows all again. {times_origin(answer)}{zeros}{strip}",
        key="chart_layers",
        alt=f"Communication and computation time of {count(len(points), 'layer')}, log scale",
    )


def _sparsity(answer: Answer) -> None:
    """What the plan chose to drop, layer by layer."""
    if not answer.plan.drops_features:
        return
    st.subheader("What each layer drops", anchor=False)
    stages = plan_stages(answer)
    chart(
        layer_sparsity(stages),
        layer_table(stages),
        "S_comm: share of a node's features that it does not send to each other node. 0 % is "
        "dense, 100 % are independent branches. Chosen by the optimiser; layers without a dot have "
        "nothing to choose. The loss that goes with it is assumed until the model is trained.",
        key="chart_sparsity",
        alt="Communication sparsity of every layer of the plan",
    )


def _roofline(answer: Answer, shown: DrawnStages) -> None:
    """What holds each layer back."""
    points = roofed(shown.stages)
    if not points:
        return
    st.subheader("Rooflines of link and processor", anchor=False)
    held = sum(point.comm_s > point.compute_s for point in points)
    chart(
        roofline(points),
        layer_table(shown.stages),
        f"{held} of {count(len(points), 'layer')} of {shown.whose} that exchange anything are held "
        "back by the link: they stand left of the ridge, where a byte sent brings too few MACs. "
        "Sending less moves a layer to the right. The roofs are the best that any layer reaches. "
        f"{times_origin(answer)}",
        key="chart_roofline",
        alt="Speed of every layer against MACs per byte sent, with the roofs of link and processor",
    )

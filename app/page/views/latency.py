"""The view *Latency*: why the model takes so long, layer by layer, and what binds."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.page.answer import Answer
from app.page.charts.layers import cumulative, has_zeros, layer_times, roofed, roofline
from app.page.charts.ways import runs_in_ways
from app.page.controls import draw_control
from app.page.layer_view import StageView, layer_table, plan_stages, uniform_stage
from app.page.progress import finished
from app.page.show import chart
from app.page.text import count, plain
from app.settings import LAYER_VIEWS
from app.words import binding_sentences
from planner.domain.plan import Binding
from planner.strategies.compare import DEFAULT_SPARSITIES

_LEVELS = dict(zip(LAYER_VIEWS[1:], (0.0, *DEFAULT_SPARSITIES), strict=True))


def show(answer: Answer) -> None:
    """Draw the view."""
    shown = _chosen(answer)
    if any(stage.points for stage in shown.stages):
        _layers(answer, shown)
    else:
        st.info("No layer computes or exchanges anything.")
    _binding(answer)
    _so_far(answer, shown)
    _roofline(answer, shown)


@dataclass(frozen=True)
class DrawnStages:
    """The stages that are drawn, and whose they are."""

    stages: tuple[StageView, ...]
    whose: str


def _chosen(answer: Answer) -> DrawnStages:
    """The plan's layers, or those of a uniform baseline."""
    st.subheader("Communication against computation, layer by layer", anchor=False)
    nodes = answer.request.max_nodes
    if nodes == 1:
        return DrawnStages(plan_stages(answer), "the plan")
    draw_control("layers")
    view = st.session_state.layers
    if view == "plan":
        return DrawnStages(plan_stages(answer), "the plan")
    return DrawnStages((uniform_stage(answer, _LEVELS[view]),), f"{view} on {count(nodes, 'node')}")


def _layers(answer: Answer, shown: DrawnStages) -> None:
    points = [point for stage in shown.stages for point in stage.points]
    zeros = ""
    if has_zeros(points):
        zeros = " Hollow markers on the lowest line are zeros, for which a log scale has no place."
    strip = ""
    if runs_in_ways(shown.stages):
        strip = (
            " The strip: the way of each layer, hatched where halos are fused, and below it how "
            "its output lies; triangles are conversions."
        )
    chart(
        layer_times(shown.stages),
        layer_table(shown.stages),
        f"{count(len(points), 'layer').capitalize()} of {shown.whose}; layers that neither compute "
        f"nor send are left out. {times_origin(answer)}{zeros}{strip}",
        key="chart_layers",
        alt=f"Communication and computation time of {count(len(points), 'layer')}, log scale",
    )


def _so_far(answer: Answer, shown: DrawnStages) -> None:
    """Where the time goes, summed up."""
    st.subheader("Time so far", anchor=False)
    hidden = ""
    if answer.case.settings.overlap:
        hidden = " With overlap a layer takes the longer of its two parts: less than the stack."
    chart(
        cumulative(shown.stages),
        layer_table(shown.stages),
        f"What {shown.whose} has spent up to each layer, handovers between stages with the "
        f"communication. {times_origin(answer)}{hidden}",
        key="chart_cumulative",
        alt="Time spent up to each layer, communication and computation stacked",
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


def _binding(answer: Answer) -> None:
    """What holds the plan back, found by solving again."""
    st.subheader("What binds, and what more would be worth", anchor=False)

    def draw(found: tuple[Binding, ...]) -> None:
        with_binding = answer.plan.model_copy(update={"binding": found})
        sentences = binding_sentences(with_binding)
        for sentence in sentences or ["No limit and no resource holds this plan back."]:
            st.markdown(f"- {plain(sentence)}")
        st.caption("Derived: each gain is that of the best plan, found by solving again.")

    if "binding" in vars(answer):
        draw(answer.binding)
    else:
        finished("binding", answer, answer.find_binding, "Asking what binds", draw, settles=True)


def times_origin(answer: Answer) -> str:
    """Whether the times were measured, for captions."""
    if answer.plan.predicted.origin["compute_s"] == "measured":
        return "Computation measured where the profile has times; communication derived."
    return "Times derived by the cost model, none measured."

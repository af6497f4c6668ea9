"""The view *Trade-off*: what a loss or a latency buys; a click on a point makes it the plan."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Context
from functools import partial

import streamlit as st

from app.kinds import Value
from app.page import state
from app.page.answer import Answer
from app.page.charts.plans import POINTS, frontier_chart
from app.page.controls import draw_control
from app.page.progress import finished
from app.page.show import chart, grid, times_origin
from app.page.store import Same, store
from app.page.text import plain
from app.tables import frontier_table
from app.words import frontier_sentence
from planner.strategies.what_if.frontier import ParetoFrontier
from planner.strategies.what_if.summary import PlanSummary
from planner.units import round_up

_CHART = "chart_frontier"
_TABLE = "table_frontier"
_DIGITS = 9
_WORDS = {
    "accuracy": "what a loss of accuracy buys",
    "throughput": "what throughput a latency buys",
}


def show(answer: Answer) -> None:
    """Draw the view."""
    left, right = st.columns((3, 1), vertical_alignment="bottom")
    draw_control("trade", left, format_func=_WORDS.__getitem__)
    draw_control("points", right)
    trade, points = st.session_state.trade, st.session_state.points
    if trade == "accuracy" and answer.case.loss_model is None:
        st.info("There is no accuracy model to trade with: choose one under *Goal*.")
        return
    free = answer.traded(trade)
    key = (Same(answer.profile, answer.own_accuracy), free.question, points, trade)
    finished(
        "frontier",
        key,
        partial(free.frontier, trade, points),
        "Tracing the frontier",
        lambda found: _drawn(answer, found),
    )


def _drawn(answer: Answer, found: ParetoFrontier) -> None:
    store().read["frontier"] = (None, found)
    st.markdown(plain(frontier_sentence(found)))
    numbers = frontier_table(found)
    chart(
        frontier_chart(found, answer.plan),
        numbers,
        "Every point is the best plan at its limit, with its certificate; a click makes it the "
        f"plan. {times_origin(answer)} What is lost is assumed until the model is trained.",
        key=_CHART,
        alt="Latency of the best plans against what is traded",
        on_select=_chart_clicked,
    )
    grid(numbers, key=_TABLE, on_select=_row_chosen, selection_mode="single-row")
    st.caption(plain(f"Choosing a row makes it the plan as well. {numbers.footer}."))


def _chart_clicked() -> None:
    chosen = st.session_state[_CHART]["selection"]["points"]
    here = [point for point in chosen if point["curve_number"] == POINTS]
    if here:
        _make_plan(here[0]["point_index"])


def _row_chosen() -> None:
    rows = st.session_state[_TABLE]["selection"]["rows"]
    if rows:
        _make_plan(rows[0])


def _make_plan(index: int) -> None:
    """Set the limits so that the best plan under them is the point's."""
    _, found = store().read["frontier"]
    assert isinstance(found, ParetoFrontier)
    point = found.points[index]
    state.put({"objective": "latency", **limits_of(found, point)})


def limits_of(found: ParetoFrontier, point: PlanSummary) -> dict[str, Value]:
    """The controls' values under which the best plan is a point of a frontier."""
    if found.trade == "throughput":
        down = Context(prec=_DIGITS, rounding=ROUND_FLOOR)
        least = float(down.create_decimal_from_float(point.throughput_per_s))
        usual = point.plan.limits
        return {
            "min_throughput": least,
            "limit": usual.max_accuracy_drop,
            "energy_limit": usual.max_energy_loss,
        }
    if point.energy_loss is not None:
        return {"sparsity": None, "energy_limit": float(round_up(point.energy_loss, _DIGITS))}
    return {"sparsity": None, "limit": float(round_up(point.accuracy_drop or 0.0, _DIGITS))}

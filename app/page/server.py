"""Streamlit's server with the page already at work: what the first visitor needs is made before."""

from __future__ import annotations

import threading

from streamlit.web.cli import main as streamlit


def warm_up() -> None:
    """Import what the first view needs, and find its plan."""
    from app.page.address import defaults
    from app.page.answer import catalogue_answer
    from app.page.asking import question_of
    from app.page.charts.layers import cumulative, layer_times, roofed, roofline
    from app.page.layer_view import layer_table, plan_stages
    from app.page.views import latency  # noqa: F401

    usual = defaults({})
    answer = catalogue_answer(str(usual["model"]), question_of(usual))
    stages = plan_stages(answer)
    for figure in (layer_times(stages), cumulative(stages), roofline(roofed(stages))):
        figure.to_json()
    layer_table(stages)
    _ = answer.binding


def serve(arguments: list[str]) -> None:
    """Run Streamlit with these arguments; it ends the process."""
    threading.Thread(target=warm_up, daemon=True).start()
    streamlit(arguments, prog_name="streamlit")

"""Streamlit's server with the page already at work: what the first visitor needs is made before."""

from __future__ import annotations

import threading

from streamlit.web.cli import main as streamlit


def warm_up() -> None:
    """Import what the first view needs, find its plan, and then what to change first."""
    from app.page.address import defaults
    from app.page.answer import catalogue_answer
    from app.page.asking import question_of
    from app.page.jobs import Job
    from app.page.views import compare, export, first, hardware, layers, sources, time  # noqa: F401

    usual = defaults({})
    answer = catalogue_answer(str(usual["model"]), question_of(usual))
    first.prepare(answer)
    answer.keep("next_steps", Job(answer.find_next_steps, is_apart=True).result())


def serve(arguments: list[str]) -> None:
    """Run Streamlit with these arguments; it ends the process."""
    threading.Thread(target=warm_up, daemon=True).start()
    streamlit(arguments, prog_name="streamlit")

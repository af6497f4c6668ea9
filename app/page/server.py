"""Streamlit's server with the page already at work: what the first visitor needs is made before."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from app.page.look import WithLook

PAGE = Path(__file__).parent / "main.py"


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


def serve(options: Mapping[str, object], open_at: str | None) -> None:
    """Run the page until the process is told to end.

    Parameters
    ----------
    options : mapping
        Of Streamlit's configuration.
    open_at : str, optional
        The address that a browser is opened at.
    """

    @asynccontextmanager
    async def at_work(_: st.App) -> AsyncIterator[None]:
        if open_at is not None:
            threading.Thread(target=webbrowser.open, args=(open_at,), daemon=True).start()
        yield

    threading.Thread(target=warm_up, daemon=True).start()
    app = st.App(PAGE, middleware=[Middleware(WithLook)], lifespan=at_work)
    app.run(config=options)

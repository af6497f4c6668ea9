"""Long work on the page: its result when it is there, else how far it is and a way to stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from app.page.jobs import Job, StoppedError, Watch
from app.page.show import tell_error
from app.page.store import store
from planner.errors import PlannerError

PATIENCE_S = 0.3
"""So long a run waits for work before it shows progress instead."""

SETTLE_S = 0.5
"""So long work that no one may be waiting for leaves the visitor time to move on."""

_STEP_S = 0.05
_AGAIN_S = 0.4  # between two looks at work that goes on
Result = TypeVar("Result")


def finished(
    name: str,
    key: object,
    work: Callable[[Watch], Result],
    words: str,
    draw: Callable[[Result], None],
    *,
    settles: bool = False,
) -> None:
    """Draw what some work finds; until then its progress, with a button that stops it.

    Parameters
    ----------
    name : str
        Of the work in this session; at most one goes on under each name.
    key : object
        What the work is about; other work under the name is stopped.
    work, draw : callable
    words : str
        What is being done.
    settles : bool
        Whether the work begins only once the visitor lingers.
    """

    def settled(watch: Watch) -> Result:
        begin = time.monotonic()
        while settles and time.monotonic() < begin + SETTLE_S:
            watch(0, 0)
            time.sleep(_STEP_S)
        return work(watch)

    job = store().job(name, key, settled)
    if job.wait(max(PATIENCE_S - SETTLE_S, 0.0) if settles else PATIENCE_S):
        _draw(name, job, words, draw)
    elif job.is_stopped:
        stopped(name, words)
    else:
        follow(name, job, words)


def _draw(name: str, job: Job[Result], words: str, draw: Callable[[Result], None]) -> None:
    try:
        found = job.result()
    except StoppedError:
        stopped(name, words)
        return
    except PlannerError as error:
        tell_error(error)
        return
    draw(found)


def stopped(name: str, words: str) -> None:
    """Say that work was stopped, and offer to begin it again."""
    st.info(f"{words} was stopped.")
    st.button("Start again", key=f"again_{name}", on_click=store().forget, args=(name,))


def follow(name: str, job: Job[Result], words: str) -> None:
    """How far the work is; the whole page is drawn again when it is done."""

    @st.fragment(run_every=_AGAIN_S)
    def look() -> None:
        if job.is_done or job.is_stopped:
            st.rerun()
        steps = f": {job.done} of {job.total}" if job.total else ""
        st.progress(job.done / job.total if job.total else 0.0, text=f"{words}{steps} …")
        st.button("Stop", key=f"stop_{name}", on_click=job.stop, icon=":material/stop:")

    look()

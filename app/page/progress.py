"""Long work on the page: its result when it is there, else how far it is and a way to stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.page.apart import Watch
from app.page.jobs import Job, StoppedError
from app.page.show import tell_error
from app.page.store import Shown, store
from planner.errors import PlannerError

PATIENCE_S = 0.3
"""So long a run waits for work before it shows progress instead."""

SETTLE_S = 0.5
"""So long work that no one may be waiting for leaves the visitor time to move on."""

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
    work : callable
        Can be pickled: a process of its own does it.
    words : str
        What is being done.
    draw : callable
    settles : bool
        Whether the work begins only once the visitor lingers.
    """
    job = store().job(name, key, work, is_apart=True, settle_s=SETTLE_S if settles else 0.0)
    with _room(name):
        if job.wait(max(PATIENCE_S - SETTLE_S, 0.0) if settles else PATIENCE_S):
            _draw(name, job, words, draw)
        elif job.is_stopped:
            stopped(name, words)
        else:
            follow(name, job, words)


def part(
    answer: Shown,
    name: str,
    work: Callable[[Watch], Result],
    words: str,
    draw: Callable[[Result], None],
) -> None:
    """Draw a part of an answer that is found beside it, once for all who ask the same.

    Parameters are those of `finished`; ``name`` is the part's.
    """
    known = vars(answer).get(name)
    if known is not None:
        with _room(name):
            draw(known)
        return

    def drawn(found: Result) -> None:
        answer.keep(name, found)
        draw(found)

    finished(name, answer, work, words, drawn, settles=True)


def _room(name: str) -> DeltaGenerator:
    """Where a work's result stands: as high as its style says while there is none yet."""
    return st.container(key=f"room_{name}")


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
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"{words} was stopped.", width="content")
        st.button("Start again", key=f"again_{name}", on_click=store().forget, args=(name,))


def follow(name: str, job: Job[Result], words: str) -> None:
    """How far the work is; the whole page is drawn again when it is done."""

    @st.fragment(run_every=_AGAIN_S)
    def look() -> None:
        if job.is_done or job.is_stopped:
            st.rerun()
        steps = f": {job.done} of {job.total}" if job.total else ""
        with st.container(horizontal=True, vertical_alignment="center"):
            share = job.done / job.total if job.total else 0.0
            st.progress(share, text=f"{words}{steps} …", width=200)
            st.button("Stop", key=f"stop_{name}", on_click=job.stop, icon=":material/stop:")

    look()

"""The answer that the page shows: the one to what is asked, or the last that had a plan."""

from __future__ import annotations

import streamlit as st

from app.page import progress, state
from app.page.chosen import Chosen
from app.page.header import Head, header
from app.page.jobs import StoppedError
from app.page.language_answer import LanguageAnswer
from app.page.show import tell_error
from app.page.store import Moment, Same, Shown, store
from app.page.text import plain
from planner.errors import InfeasibleError, PlannerError

PLAN_PATIENCE_S = 1.5
"""So long a run waits for a plan before it shows how the search goes on."""


def current_answer(chosen: Chosen, head: Head) -> Shown | None:
    """The answer to show, its plan found; says what is wrong, and stays at the last good one.

    Draws the header's line. A language model that has no plan is shown nevertheless: what fits is
    what its visitor wants to know.
    """
    kept = store()
    answer = chosen.answer()
    if answer is not None and _has_plan(answer, head):
        asked = Same(*answer.about), answer.question
        moment = Moment(state.values(), kept.files, answer.score, asked)
        kept.keep(moment, answer)
        header(answer, head.figures, is_old=False)
        return answer
    if answer is None:
        _tell_missing(chosen, head)
    elif isinstance(answer, LanguageAnswer) and has_no_plan(answer):
        return answer
    shown = kept.shown
    if shown is not None:
        header(shown, head.figures, is_old=True)
        _tell_old(shown, head)
    return shown


def has_no_plan(answer: LanguageAnswer) -> bool:
    """Whether it is known that nothing fits."""
    job = store().job("plan", answer, answer.find_plan, is_apart=answer.is_large)
    return isinstance(job.failure, InfeasibleError)


def _has_plan(answer: Shown, head: Head) -> bool:
    """Whether the plan is there; else says that it is looked for, or why there is none."""
    if answer.is_planned:
        return True
    job = store().job("plan", answer, answer.find_plan, is_apart=answer.is_large)
    job.wait(PLAN_PATIENCE_S)
    with head.doing:
        if not job.is_done and not job.is_stopped:
            progress.follow("plan", job, "Planning")
            return False
        try:
            if not job.is_done:
                raise StoppedError
            answer.keep("plan", job.result())
        except StoppedError:
            progress.stopped("plan", "Planning")
            return False
        except PlannerError as error:
            with head.below:
                tell_error(error)
            return False
    return True


def _tell_missing(chosen: Chosen, head: Head) -> None:
    """Why there is no model."""
    reading = chosen.model.reading
    if reading is not None:
        with head.doing:
            if reading.is_stopped:
                progress.stopped("reading", "Reading the file")
            else:
                progress.follow("reading", reading, "Reading the file")
        return
    with head.below:
        st.info(chosen.message) if chosen.is_missing else tell_error(chosen.message)


def _tell_old(shown: Shown, head: Head) -> None:
    """Whose the numbers are, and the way back to them; not while the next ones are looked for."""
    if store().is_busy("plan", "reading"):
        return
    with head.below.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            "Below is still the last plan that worked: "
            f"**{plain(shown.title)}**, {plain(shown.settings_sentence)}."
        )
        st.button("Undo the change", key="undo_change", on_click=state.undo, icon=":material/undo:")

"""The answer that the page shows: the one to what is asked, or the last that had a plan."""

from __future__ import annotations

import streamlit as st

from app.page import progress, state
from app.page.answer import Answer
from app.page.jobs import StoppedError
from app.page.show import tell_error
from app.page.side_bar import Chosen
from app.page.store import Moment, store
from app.page.text import plain
from planner.errors import PlannerError

PLAN_PATIENCE_S = 1.5
"""So long a run waits for a plan before it shows how the search goes on."""


def current_answer(chosen: Chosen) -> Answer | None:
    """The answer to show, its plan found; says what is wrong, and stays at the last good one."""
    kept = store()
    answer = chosen.answer()
    if answer is None:
        st.info(chosen.message) if chosen.is_missing else tell_error(chosen.message)
        return _last_good()
    if "plan" not in vars(answer):
        job = kept.job("plan", answer, lambda _: answer.plan)
        is_done = job.wait(PLAN_PATIENCE_S)
        if not is_done and not job.is_stopped:
            progress.follow("plan", job, "Planning")
            return _last_good()
        try:
            if not is_done:
                raise StoppedError
            _ = job.result()
        except StoppedError:
            progress.stopped("plan", "Planning")
            return _last_good()
        except PlannerError as error:
            tell_error(error)
            return _last_good()
    kept.keep(Moment(state.values(), kept.files), answer)
    return answer


def _last_good() -> Answer | None:
    shown = store().shown
    if shown is None:
        return None
    st.info(
        "Below is still the last plan that worked: "
        f"**{plain(shown.title)}**, {plain(shown.settings_sentence)}."
    )
    st.button("Undo the change", key="undo_change", on_click=state.undo, icon=":material/undo:")
    return shown

"""The page itself; `app.serve` runs it with Streamlit."""

from __future__ import annotations

import streamlit as st

from app.page.controls import Asked, side_bar
from app.page.question import Answer, catalogue_answer
from app.page.sections import show_answer
from app.page.text import plain
from planner.errors import PlannerError

_LAST_GOOD = "_last_good"  # session state: the last answer that had a plan

_SIDE_BAR_PX = 330


def main() -> None:
    """Draw the page for what the controls ask, or for what they last asked with success."""
    st.set_page_config(
        page_title="What if · planner", layout="wide", initial_sidebar_state=_SIDE_BAR_PX
    )
    asked = side_bar()
    answer, problem = _answer(asked)
    if answer is not None:
        st.session_state[_LAST_GOOD] = answer
    else:
        show_message = st.error if asked.is_error else st.info
        show_message(plain(problem))
        answer = st.session_state.get(_LAST_GOOD)
        if answer is None:
            return
        st.info(
            "Below is still the last plan that worked: "
            f"**{plain(answer.title)}**, {plain(answer.settings_sentence)}."
        )
    st.header(plain(answer.title), anchor=False)
    st.caption(plain(answer.settings_sentence))
    show_answer(answer)


def _answer(asked: Asked) -> tuple[Answer | None, str]:
    """The answer, its plan already found; or none, and why."""
    if asked.profile is None:
        return None, asked.message
    last: Answer | None = st.session_state.get(_LAST_GOOD)
    if last is not None and last.profile is asked.profile and last.question == asked.question:
        return last, ""
    if asked.catalogue_model is not None:
        answer = catalogue_answer(asked.catalogue_model, asked.question)
    else:  # an upload's answer stays in its session
        answer = Answer(asked.profile, asked.question)
    try:
        _ = answer.plan
    except PlannerError as error:
        return None, str(error)
    return answer, ""


main()

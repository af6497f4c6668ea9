"""The details behind the header's line, of a language model's answer."""

from __future__ import annotations

import streamlit as st

from app.answer_words import answer_heading
from app.page.language_answer import LanguageAnswer
from app.page.text import plain


def language_details(answer: LanguageAnswer) -> None:
    """Draw all that the header's line leaves out."""
    found = answer.plan
    st.subheader(plain(answer.title), anchor=False)
    st.caption(plain(answer.settings_sentence))
    _, *lines = answer_heading(found.plan, found.fewer)
    for line in (*lines, *(f"assumed: {line}" for line in found.plan.assumed)):
        st.markdown(plain(line))

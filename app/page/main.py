"""The page itself; `app.serve` runs it with Streamlit."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from streamlit.navigation.page import Page

from app.page import state
from app.page.answer import Answer
from app.page.current import current_answer
from app.page.header import header
from app.page.show import tell_error
from app.page.side_bar import Chosen, side_bar
from app.page.text import plain
from app.page.views import (
    export,
    hardware,
    latency,
    measured,
    model,
    plan,
    sources,
    strategies,
    trade_off,
    what_if,
)
from planner.errors import PlannerError

_SIDE_BAR_PX = 330


def main() -> None:
    """Draw the view that is chosen for what the controls ask, or last asked with success."""
    st.set_page_config(
        page_title="What if · planner", layout="wide", initial_sidebar_state=_SIDE_BAR_PX
    )
    state.begin()
    asked: list[Chosen] = []

    def page(show: Callable[[Answer], None], title: str, path: str = "") -> Page:
        """A view below what all have in common; the first one opens."""

        def view() -> None:
            answer = current_answer(asked[0])
            if answer is not None:
                header(answer)
                show(answer)

        is_first = show is latency.show
        return st.Page(view, title=title, url_path=path or title.lower(), default=is_first)

    def edit_hardware() -> None:
        answer = current_answer(asked[0])
        if answer is not None:
            header(answer)
        hardware.show(asked[0].question)

    chosen = st.navigation(
        [
            page(latency.show, "Latency"),
            page(lambda answer: model.show(answer.profile), "Model"),
            page(plan.show, "Plan"),
            page(strategies.show, "Strategies"),
            page(trade_off.show, "Trade-off"),
            page(what_if.show, "What if", "what-if"),
            page(sources.show, "Sources"),
            st.Page(measured.show, title="Measured", url_path="measured"),
            st.Page(edit_hardware, title="Hardware", url_path="hardware"),
            page(export.show, "Export"),
        ],
        position="top",
    )
    try:
        asked.append(side_bar())
        if refused := state.refused():
            st.warning(plain(refused))
        chosen.run()
    except PlannerError as error:  # what nobody nearer to it has told
        tell_error(error)
    state.write_address()


main()

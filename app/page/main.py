"""The page itself; `app.serve` runs it with Streamlit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
from streamlit.navigation.page import Page

from app.page import state
from app.page.answer import Answer
from app.page.chosen import Chosen, chosen_now
from app.page.current import current_answer
from app.page.goal import goal_chip
from app.page.header import head
from app.page.look import SIDE_BAR_PX
from app.page.show import tell_error
from app.page.side_bar import side_bar
from app.page.text import plain
from app.page.views import (
    compare,
    export,
    first,
    hardware,
    layers,
    measured,
    sources,
    time,
    trade_off,
    what_if,
)
from app.settings import MODEL_LAYERS
from planner.errors import PlannerError


@dataclass(frozen=True)
class View:
    """What the navigation leads to: ``draw`` is given what is asked, and its answer if any."""

    title: str
    path: str
    draw: Callable[[Chosen, Answer | None], None]
    is_alias: bool = False


def _of_answer(draw: Callable[[Answer], None]) -> Callable[[Chosen, Answer | None], None]:
    """A view that shows nothing until there is a plan."""

    def view(_: Chosen, answer: Answer | None) -> None:
        if answer is not None:
            draw(answer)

    return view


def _model_layers(answer: Answer) -> None:
    st.session_state.layers = MODEL_LAYERS
    layers.show(answer)


VIEWS = (
    View("Answer", "", _of_answer(first.show)),
    View("Where the time goes", "time", _of_answer(time.show)),
    View("Layers", "layers", _of_answer(layers.show)),
    View("Compare", "compare", _of_answer(compare.show)),
    View("Trade-off", "trade-off", _of_answer(trade_off.show)),
    View("What if", "what-if", _of_answer(what_if.show)),
    View("Sources", "sources", _of_answer(sources.show)),
    View("Measured", "measured", lambda *_: measured.show()),
    View("Devices", "hardware", lambda chosen, answer: hardware.show(chosen.question, answer)),
    View("Export", "export", _of_answer(export.show)),
    # what links of earlier versions lead to
    View("Layers", "model", _of_answer(_model_layers), is_alias=True),
    View("Where the time goes", "plan", _of_answer(time.show), is_alias=True),
    View("Compare", "strategies", _of_answer(compare.show), is_alias=True),
)


def main() -> None:
    """Draw the view that is chosen for what the controls ask, or last asked with success."""
    st.set_page_config(page_title="planner", layout="wide", initial_sidebar_state=SIDE_BAR_PX)
    state.begin()
    asked: list[tuple[Chosen, Answer | None]] = []

    def page(view: View) -> Page:
        def draw() -> None:
            view.draw(*asked[0])

        return st.Page(
            draw,
            title=view.title,
            url_path=view.path,
            default=not view.path,
            visibility="hidden" if view.is_alias else "visible",
        )

    chosen = st.navigation([page(view) for view in VIEWS], position="top")
    place = head(chosen.title)
    try:
        model = side_bar()
        own = goal_chip(place.start, model.profile)
        if refused := state.refused():
            place.below.warning(plain(refused))
        question = chosen_now(model, own)
        asked.append((question, current_answer(question, place)))
        chosen.run()
    except PlannerError as error:  # what nobody nearer to it has told
        tell_error(error)
    state.write_address()


main()

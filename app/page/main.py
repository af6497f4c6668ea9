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
from app.page.goal import OwnAccuracy, goal_chip
from app.page.header import head
from app.page.language_answer import LanguageAnswer
from app.page.look import SIDE_BAR_PX
from app.page.model_choice import Model, is_of_language
from app.page.show import tell_error
from app.page.side_bar import side_bar
from app.page.store import Shown
from app.page.text import plain
from app.page.views import (
    compare,
    export,
    first,
    hardware,
    language,
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
    draw: Callable[[Chosen, Shown | None], None]
    is_alias: bool = False
    is_of_language: bool = False


def _of_answer(
    draw: Callable[[Answer], None], of_language: Callable[[LanguageAnswer], None] | None = None
) -> Callable[[Chosen, Shown | None], None]:
    """A view that shows nothing until there is a plan; some have one of language models as well."""

    def view(_: Chosen, answer: Shown | None) -> None:
        if isinstance(answer, Answer):
            draw(answer)
        elif answer is not None and of_language is not None:
            of_language(answer)
        elif answer is not None:
            st.info(
                "This view is about one forward pass. Of a prompt and its answer there are the "
                "views Answer, Compare, Devices and Export."
            )

    return view


def _devices(chosen: Chosen, answer: Shown | None) -> None:
    hardware.show(chosen.question, answer if isinstance(answer, Answer) else None)


def _model_layers(answer: Answer) -> None:
    st.session_state.layers = MODEL_LAYERS
    layers.show(answer)


VIEWS = (
    View("Answer", "", _of_answer(first.show, language.show), is_of_language=True),
    View("Where the time goes", "time", _of_answer(time.show)),
    View("Layers", "layers", _of_answer(layers.show)),
    View("Compare", "compare", _of_answer(compare.show, language.compare), is_of_language=True),
    View("Trade-off", "trade-off", _of_answer(trade_off.show)),
    View("What if", "what-if", _of_answer(what_if.show)),
    View("Sources", "sources", _of_answer(sources.show)),
    View("Measured", "measured", lambda *_: measured.show()),
    View("Devices", "hardware", _devices, is_of_language=True),
    View("Export", "export", _of_answer(export.show, language.export), is_of_language=True),
    # what links of earlier versions lead to
    View("Layers", "model", _of_answer(_model_layers), is_alias=True),
    View("Where the time goes", "plan", _of_answer(time.show), is_alias=True),
    View("Compare", "strategies", _of_answer(compare.show), is_alias=True),
)


def _is_shown(view: View, is_language: bool) -> bool:
    """Whether the navigation leads there."""
    return not view.is_alias and (view.is_of_language or not is_language)


def main() -> None:
    """Draw the view that is chosen for what the controls ask, or last asked with success."""
    st.set_page_config(page_title="planner", layout="wide", initial_sidebar_state=SIDE_BAR_PX)
    state.begin()
    asked: list[tuple[Chosen, Shown | None]] = []
    # before the navigation, which depends on it; a rerun would undo what a callback has set
    try:
        model = side_bar()
    except PlannerError as error:
        model = Model(None, message=str(error))
    is_language = is_of_language(model)

    def page(view: View) -> Page:
        def draw() -> None:
            view.draw(*asked[0])

        return st.Page(
            draw,
            title=view.title,
            url_path=view.path,
            default=not view.path,
            visibility="visible" if _is_shown(view, is_language) else "hidden",
        )

    chosen = st.navigation([page(view) for view in VIEWS], position="top")
    place = head(chosen.title)
    try:
        own = OwnAccuracy() if is_language else goal_chip(place.start, model.profile)
        if refused := state.refused():
            place.below.warning(plain(refused))
        question = chosen_now(model, own)
        asked.append((question, current_answer(question, place)))
        chosen.run()
    except PlannerError as error:  # what nobody nearer to it has told
        tell_error(error)
    state.write_address()


main()

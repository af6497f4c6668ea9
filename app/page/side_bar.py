"""The side bar: every control, and the question that they ask together."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.inputs import Accuracy
from app.page import state
from app.page.answer import Answer, catalogue_answer
from app.page.asking import question_of
from app.page.side_cluster import cluster_section
from app.page.side_goal import goal_section
from app.page.side_model import Model, model_section
from app.page.store import Same, store
from app.page.uploads import read_shapes
from app.question import Question


@dataclass(frozen=True)
class Chosen:
    """The question and its model; without a model, why there is none."""

    question: Question
    model: Model
    own_accuracy: Accuracy | None = None

    @property
    def is_missing(self) -> bool:
        """Whether a file is merely awaited."""
        return self.model.profile is None and not self.model.message

    @property
    def message(self) -> str:
        """Why there is no model."""
        return self.model.message or "Choose a model file in the side bar."

    def answer(self) -> Answer | None:
        """The answer, nothing of it worked out yet; none without a model.

        What a visitor's own file had a part in stays in the visitor's session.
        """
        chosen, model = st.session_state, self.model
        if model.profile is None:
            return None
        shown = store().shown
        if shown is not None and self._is_about(shown):  # others may have driven it from the cache
            return shown
        if model.catalogue_model is not None and self.own_accuracy is None:
            shapes = tuple(read_shapes(chosen.shapes).items())
            return catalogue_answer(model.catalogue_model, self.question, shapes, chosen.batch)
        profile = model.profile
        key = (Same(profile, self.own_accuracy), self.question)
        return store().once(
            "answer", key, lambda: Answer(profile, self.question, self.own_accuracy, shown)
        )

    def _is_about(self, answer: Answer) -> bool:
        """Whether an answer is to this very question."""
        return (
            answer.profile is self.model.profile
            and answer.own_accuracy is self.own_accuracy
            and answer.question == self.question
        )


def side_bar() -> Chosen:
    """Draw the controls and read them."""
    with st.sidebar:
        _buttons()
        st.subheader("Model", anchor=False)
        model = model_section()
        st.subheader("Cluster", anchor=False)
        cluster_section()
        st.subheader("Plan", anchor=False)
        kind, own_accuracy = goal_section(model.profile)
    return Chosen(question_of(state.values(), kind), model, own_accuracy)


def _buttons() -> None:
    """Undo, and pinning a plan as A."""
    left, right = st.columns(2)
    left.button(
        "Undo",
        icon=":material/undo:",
        on_click=state.undo,
        key="undo",
        disabled=not state.can_undo(),
        help="Back to the state before, or to the last one that had a plan.",
        width="stretch",
    )
    right.button(
        "Pin as A",
        icon=":material/keep:",
        on_click=state.pin,
        key="pin",
        help="Keep this plan as A, and see every other one, B, beside it.",
        width="stretch",
    )
    if store().pinned is not None:
        left.button("Back to A", on_click=state.back_to_pinned, key="to_pinned", width="stretch")
        right.button("Unpin", on_click=state.unpin, key="unpin", width="stretch")
